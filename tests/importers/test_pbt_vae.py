"""Models of PBT-VAE and PU-VAE, made here with the published networks, give the same codes as run directories."""

import numpy as np
import pytest
import torch
from desk import refuse, say
from torch import Tensor, nn

from unbraid.encoder import load
from unbraid.importers.pbt_vae import read

HYPER = {"z_dim": 10, "include_mutinfo": True, "tcvae": True, "lamb": 0, "beta": np.int64(8), "mss": False,
         "device": torch.device("cpu"), "num_channels": 1}  # fmt: skip


class Coder(nn.Module):
    """Convolutions with batch norm and ReLU, and a last one."""

    def __init__(self, convs: list[nn.Module], name: str, last: nn.Module) -> None:
        super().__init__()
        for number, conv in enumerate(convs, start=1):
            self.add_module(f"conv{number}", conv)
            self.add_module(f"bn{number}", nn.BatchNorm2d(conv.out_channels))
        self.add_module(name, last)

    def forward(self, x: Tensor) -> Tensor:
        *layers, last = self.children()
        for conv, norm in zip(layers[::2], layers[1::2]):
            x = torch.relu(norm(conv(x)))
        return last(x)


class Published(nn.Module):
    def __init__(self, channels: int = 1, z: int = 10) -> None:
        super().__init__()
        down = [nn.Conv2d(*pair, 4, 2, 1) for pair in ((channels, 32), (32, 32), (32, 64), (64, 64))]
        self.encoder = Coder([*down, nn.Conv2d(64, 512, 4)], "conv_z", nn.Conv2d(512, 2 * z, 1))
        up = [nn.ConvTranspose2d(z, 512, 1), nn.ConvTranspose2d(512, 64, 4)]
        up += [nn.ConvTranspose2d(*pair, 4, 2, 1) for pair in ((64, 64), (64, 32), (32, 32))]
        self.decoder = Coder(up, "conv_final", nn.ConvTranspose2d(32, channels, 4, 2, 1))
        self.register_buffer("prior_params", torch.zeros(z, 2))


class Trap:
    def __init__(self, path) -> None:
        self.path = path

    def __reduce__(self):
        return self.path.touch, ()


@pytest.fixture
def folder(tmp_path):
    torch.manual_seed(0)
    (path := tmp_path / "model_dir" / "bestmodels").mkdir(parents=True)
    yield path
    assert not (tmp_path / "sprung").exists()  # what the files hold beside tensors was never executed


def save(path, network, hyper=HYPER, **options) -> None:
    """As published: distributions are objects."""
    checkpoint = {
        "model_state_dict": network.state_dict(),
        "hyperparam_state_dict": hyper | {"x_dist": Trap(path.parents[1] / "sprung"), "q_dist": nn.Identity()},
        "batch_size": np.int64(32),  # drawn from a grid
        "training_params": {0: {"epoch": 1, "lr": np.float64(1e-3), "batch_size": np.int64(32), "beta": np.int64(8)}},
        "scores": [],
        "random_state": np.random.default_rng(0).random(3),
    }
    torch.save(checkpoint, path, **options)


def images(channels: int) -> tuple[np.ndarray, Tensor]:
    pixels = np.random.default_rng(0).integers(0, 256, (3, 64, 64, channels), dtype=np.uint8)
    return pixels, torch.from_numpy(pixels).permute(0, 3, 1, 2) / 255


@pytest.mark.parametrize("new_format", [True, False])
def test_one_model(folder, tmp_path, capsys, new_format):
    network = Published().eval()
    assert len(network.state_dict()) == 75
    save(folder / "model.pth", network, _use_new_zipfile_serialization=new_format)
    say(capsys, "import", "pbt-vae", folder.parent, "--out", tmp_path / "run")
    run = load(tmp_path / "run")
    pixels, x = images(1)
    with torch.no_grad():
        params = network.encoder(x).view(3, 10, 2)
        drawn = torch.sigmoid(network.decoder(params[:, :, :1, None]))
        mean, log_var = run.method.posterior(x)
        torch.testing.assert_close(log_var, 2 * params[..., 1], atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(run.method.decode(mean, torch.zeros(3).long()), drawn, atol=1e-5, rtol=1e-5)
    np.testing.assert_allclose(run.encode(pixels), params[..., 0].numpy(), atol=1e-5)
    hparams = run.config.hparams
    assert (hparams.alpha, hparams.beta, hparams.gamma, hparams.batch_size) == (1, 8, 1, 32)
    assert (hparams.num_models, run.spec.image_shape) == (1, (1, 64, 64))


def test_five_models(folder, tmp_path):
    networks = nn.ModuleList(Published(3) for _ in range(5)).eval()
    assert len(networks.state_dict()) == 375
    save(folder / "task-003.pth", networks)
    run = load(read(folder / "task-003.pth", tmp_path / "run").path)
    pixels, x = images(3)
    with torch.no_grad():
        means = torch.stack([network.encoder(x).view(3, 10, 2)[..., 0] for network in networks])
        torch.testing.assert_close(run.method.posteriors(x)[0], means, atol=1e-5, rtol=1e-5)
    run.method.choose(3)
    np.testing.assert_allclose(run.encode(pixels), means[3].numpy(), atol=1e-5)


@pytest.mark.parametrize(
    ("total", "information", "expected"),
    [(True, False, (0, 8, 0.75)), (False, True, (8, 8, 6)), (False, False, (0, 8, 6))],
)
def test_objectives(folder, tmp_path, total, information, expected):
    save(folder / "m.pth", Published(), HYPER | {"tcvae": total, "include_mutinfo": information, "lamb": 0.25})
    hparams = load(read(folder / "m.pth", tmp_path / "run").path).config.hparams
    assert (hparams.alpha, hparams.beta, hparams.gamma) == expected


def test_what_does_not_fit_is_named(folder, capsys):
    assert "no checkpoint at" in refuse(capsys, "import", "pbt-vae", folder.parent)
    (path := folder / "model.pth").write_bytes(b"damaged")
    assert "is damaged or no checkpoint" in refuse(capsys, "import", "pbt-vae", path)
    for content, line in ((["a list"], "holds no dictionary"), ({"model_state_dict": 3}, "lacks model_state_dict")):
        torch.save(content, path)
        assert line in refuse(capsys, "import", "pbt-vae", path)
    save(path, nn.Linear(2, 2))
    assert "no convolutional encoder and decoder" in refuse(capsys, "import", "pbt-vae", path)
    network = Published()
    network.encoder.add_module("bn9", network.encoder.bn5)
    del network.encoder.bn5
    save(path, network)
    line = refuse(capsys, "import", "pbt-vae", path)
    assert "5 missing (vaes.0.encoder.bn5.weight, vaes.0.encoder.bn5.bias" in line
    assert "5 unknown (vaes.0.encoder.bn9.weight" in line
