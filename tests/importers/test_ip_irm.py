"""A checkpoint of IP-IRM, made here with the published network, gives the same features as a run directory."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import torchvision
from desk import refuse, say
from torch import Tensor, nn

from unbraid.encoder import load
from unbraid.errors import UserError
from unbraid.importers.ip_irm import read


class Published(nn.Module):
    """torchvision's ResNet-50 with a 3x3 first convolution, without max-pool and classifier."""

    def __init__(self) -> None:
        super().__init__()
        network = torchvision.models.resnet50(weights=None)
        network.conv1 = nn.Conv2d(3, 64, 3, 1, 1, bias=False)
        self.f = nn.Sequential(*[part for name, part in network.named_children() if name not in ("maxpool", "fc")])
        head = [nn.Linear(2048, 512, bias=False), nn.BatchNorm1d(512), nn.ReLU(inplace=True), nn.Linear(512, 128)]
        self.g = nn.Sequential(*head)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        h = self.f(x).flatten(1)
        return F.normalize(h, dim=-1), F.normalize(self.g(h), dim=-1)


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    network = Published().eval()
    assert sum(value.numel() for value in network.parameters()) == 24_615_616  # as the published one
    return network


@pytest.fixture
def folder(tmp_path, network):
    (path := tmp_path / "stl.run").mkdir()
    torch.save(nn.DataParallel(network).state_dict(), path / "model_400.pth")
    return path


def test_same_features(folder, network, tmp_path, capsys):
    say(capsys, "import", "ip-irm", folder / "model_400.pth", "--out", tmp_path / "run")
    run = load(tmp_path / "run")
    pixels = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), dtype=np.uint8)
    mean, std = (torch.tensor(v)[:, None, None] for v in ((0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)))
    with torch.no_grad():
        x = torch.from_numpy(pixels).permute(0, 3, 1, 2) / 255
        features, projections = network((x - mean) / std)
        torch.testing.assert_close(run.method.outputs(x), projections, atol=1e-5, rtol=1e-5)
    np.testing.assert_allclose(run.encode(pixels), features.numpy(), atol=1e-5)
    assert (run.config.method, run.spec.image_shape) == ("ip-irm", (3, 32, 32))


def test_a_folder_and_what_does_not_fit(folder, tmp_path, capsys):
    assert "has no model_25.pth; it has 400" in refuse(capsys, "import", "ip-irm", folder, "--epoch", "25")
    state = torch.load(folder / "model_400.pth", weights_only=True)
    state["module.f.8.weight"] = state.pop("module.f.0.weight")
    torch.save(state, folder / "model_425.pth")
    line = refuse(capsys, "import", "ip-irm", folder)
    assert "1 missing (encoder.encoder.trunk.conv1.weight); 1 unknown (module.f.8.weight)" in line
    torch.save({"module.f.0.weight": torch.zeros(1)}, folder / "model_425.pth")
    with pytest.raises(UserError, match=r"holds no projector, g\.0 and g\.3"):
        read(folder, tmp_path / "run")
    assert "no folder or file nowhere" in refuse(capsys, "import", "ip-irm", "nowhere")
