"""Checkpoints of DisEnt and LfF, made here with the published networks, predict the same as run directories."""

import numpy as np
import pytest
import torch
import torchvision
from desk import refuse, say
from torch import Tensor, nn

from unbraid.encoder import load
from unbraid.errors import UserError
from unbraid.importers.disent import _spec, read

DIGITS = "digits:source=sklearn,size=40,num=100"


class PublishedMLP(nn.Module):
    def __init__(self, width: int, head: str, head_in: int) -> None:
        super().__init__()
        sizes = [nn.Linear(2352, 100), nn.ReLU(), nn.Linear(100, 100), nn.ReLU(), nn.Linear(100, width), nn.ReLU()]
        self.feature = nn.Sequential(*sizes)
        self.add_module(head, nn.Linear(head_in, 10))

    def extract(self, x: Tensor) -> Tensor:
        return self.feature(x.flatten(1) / 255)


def resnet18(head_in: int, classes: int) -> nn.Module:
    network = torchvision.models.resnet18(weights=None)
    network.fc = nn.Linear(head_in, classes)
    return network


def trunk(network: nn.Module, x: Tensor) -> Tensor:
    mean, std = (torch.tensor(v)[:, None, None] for v in ((0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)))
    return nn.Sequential(*list(network.children())[:-1], nn.Flatten())((x - mean) / std)


def save(path, network: nn.Module) -> None:
    """As published: with the optimiser, not as a bare state."""
    optimizer = torch.optim.Adam(network.parameters())
    state = {"steps": 9000, "state_dict": network.state_dict(), "optimizer": optimizer.state_dict()}
    torch.save(state, path)


def images(side: int) -> tuple[np.ndarray, Tensor]:
    pixels = np.random.default_rng(0).integers(0, 256, (3, side, side, 3), dtype=np.uint8)
    return pixels, torch.from_numpy(pixels).permute(0, 3, 1, 2) / 255


def check(run, pixels: np.ndarray, x: Tensor, z: Tensor, logits: Tensor) -> None:
    np.testing.assert_allclose(run.encode(pixels), z.numpy(), atol=1e-5)
    with torch.no_grad():
        torch.testing.assert_close(run.method.predict(x), logits, atol=1e-5, rtol=1e-5)


@pytest.fixture
def folder(tmp_path):
    torch.manual_seed(0)
    (path := tmp_path / "result").mkdir()
    return path


def test_disent_mlp(folder, tmp_path, capsys):
    intrinsic, bias = (PublishedMLP(16, "fc", 32).eval() for _ in range(2))
    for network, part in ((intrinsic, "l"), (bias, "b")):
        save(folder / f"best_model_{part}.th", network)
        save(folder / f"model_{part}_1000.th", PublishedMLP(16, "fc", 32))
    pixels, x = images(28)
    with torch.no_grad():
        z = intrinsic.extract(x)
        logits = intrinsic.fc(torch.cat([z, bias.extract(x)], dim=1))
        biased = bias.fc(torch.cat([z, bias.extract(x)], dim=1))
    say(capsys, "import", "disent", folder, "--out", tmp_path / "run")
    run = load(tmp_path / "run")
    check(run, pixels, x, z, logits)
    with torch.no_grad():
        both = torch.cat([run.method.encoder(x), run.method.bias_encoder(x)], dim=1)
        torch.testing.assert_close(run.method.bias_head(both), biased, atol=1e-5, rtol=1e-5)
    assert (run.config.method, run.config.hparams.backbone, run.spec.image_shape) == ("disent-swap", "mlp", (3, 28, 28))
    early = load(read(folder, tmp_path / "early", epoch="1000").path)
    assert not np.allclose(early.encode(pixels), z)


@pytest.mark.parametrize(("width", "backbone", "name"), [(16, "mlp", "best_model.th"), (100, "mlp-wide", "model.th")])
def test_plain_and_lff_mlp(folder, tmp_path, width, backbone, name):
    network = PublishedMLP(width, "classifier", width).eval()
    save(folder / name, network)
    pixels, x = images(28)
    with torch.no_grad():
        z = network.extract(x)
        logits = network.classifier(z)
    run = load(read(folder, tmp_path / "run").path)
    check(run, pixels, x, z, logits)
    assert (run.config.method, run.config.hparams.backbone) == ("vanilla", backbone)


def test_disent_resnet18(folder, tmp_path):
    networks = [resnet18(1024, 10).eval() for _ in range(2)]
    for network, part in zip(networks, "lb"):
        save(folder / f"best_model_{part}.th", network)
    pixels, x = images(40)
    with torch.no_grad():
        z, bias_z = (trunk(network, x) for network in networks)
        logits = networks[0].fc(torch.cat([z, bias_z], dim=1))
    run = load(read(folder, tmp_path / "run", data=DIGITS).path)
    check(run, pixels, x, z, logits)
    assert (run.spec.image_shape, run.spec.label, run.config.data) == ((3, 40, 40), "digit", DIGITS)


def test_the_size_of_the_published_sets():
    sizes = [_spec({"head.weight": torch.zeros(num, 1024)}, "x").image_shape for num in (10, 2)]
    assert sizes == [(3, 32, 32), (3, 224, 224)]


def test_what_does_not_fit_is_named(folder, tmp_path, capsys):
    assert "holds none of best_model_l.th" in refuse(capsys, "import", "disent", folder)
    save(folder / "best_model_l.th", PublishedMLP(16, "fc", 32))
    assert "no weights at" in refuse(capsys, "import", "disent", folder)
    save(folder / "best_model_b.th", PublishedMLP(16, "classifier", 16))
    assert "1 of another shape (bias_head.weight)" in refuse(capsys, "import", "disent", folder)
    save(folder / "best_model_b.th", PublishedMLP(16, "fc", 32))
    line = refuse(capsys, "import", "disent", folder, "--data", DIGITS)
    assert "has images (3, 40, 40) (C, H, W), the weights take (3, 28, 28)" in line
    line = refuse(capsys, "import", "disent", folder, "--data", "sprites:size=28")
    assert "has 3 labels, the weights know 10" in line
    whole = (folder / "best_model_b.th").read_bytes()
    (folder / "best_model_b.th").write_bytes(b"damaged")
    assert "is not a file of weights" in refuse(capsys, "import", "disent", folder)
    save(folder / "best_model_l.th", nn.Linear(2, 2))
    (folder / "best_model_b.th").write_bytes(whole)
    with pytest.raises(UserError, match="holds no last layer, fc or classifier"):
        read(folder, tmp_path / "run")
