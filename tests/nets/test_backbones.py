"""Encoders by name, and weights from every kind of file that people have."""

import sys

import pytest
import torch
from safetensors.torch import save_file

from unbraid.errors import UserError
from unbraid.nets import backbone
from unbraid.nets.backbones import TRUNKS, load_trunk


@pytest.fixture(scope="module")
def trained():
    """Tensors for a ResNet-50 trunk."""
    torch.manual_seed(1)
    state = TRUNKS["resnet50"]()[0].state_dict()
    return {name: torch.rand_like(value) if value.is_floating_point() else value + 7 for name, value in state.items()}


@pytest.mark.parametrize("name", ["resnet18-cifar", "small", "tiny"])
@pytest.mark.parametrize("channels", [1, 3])
def test_images_to_codes(name, channels):
    encoder = backbone(name, out_dim=5, head=True)
    assert encoder(torch.rand(2, channels, 32, 32)).shape == (2, 5)


def test_cifar_stem_keeps_the_resolution():
    trunk = TRUNKS["resnet18-cifar"]()[0]
    assert trunk.maxpool(trunk.conv1(torch.rand(1, 3, 32, 32))).shape == (1, 64, 32, 32)
    plain = TRUNKS["resnet18"]()[0]
    assert plain.maxpool(plain.conv1(torch.rand(1, 3, 32, 32))).shape == (1, 64, 8, 8)


def test_moco_v2_as_published(tmp_path, trained):
    """The query encoder is taken with the projector's first layer; the rest of the file is not ours."""
    state = {f"module.encoder_q.{name}": value for name, value in trained.items()}
    state |= {"module.encoder_q.fc.2.weight": torch.rand(128, 2048), "module.encoder_q.fc.2.bias": torch.rand(128)}
    state |= {f"module.encoder_k.{name}": torch.zeros_like(value) for name, value in trained.items()}
    state |= {"module.queue": torch.rand(128, 16), "module.queue_ptr": torch.zeros(1)}
    torch.save({"epoch": 800, "arch": "resnet50", "state_dict": state}, tmp_path / "moco.pth.tar")
    encoder = backbone("resnet50", out_dim=5, weights=str(tmp_path / "moco.pth.tar"))
    for name, value in encoder.trunk.state_dict().items():
        assert torch.equal(value, trained[name]), name


def test_torchvision_state_dict(tmp_path):
    """The classifier is left out, and our own layer in its place keeps its initial weights."""
    state = TRUNKS["resnet18"]()[0].state_dict()
    state = {name: torch.full_like(value, 2) for name, value in state.items()}
    torch.save(state | {"fc.weight": torch.rand(1000, 512), "fc.bias": torch.rand(1000)}, tmp_path / "resnet18.pth")
    encoder = backbone("resnet18", out_dim=5, weights=str(tmp_path / "resnet18.pth"))
    assert all((value == 2).all() for value in encoder.trunk.state_dict().values())


def test_safetensors(tmp_path):
    state = {name: torch.full_like(value, 3) for name, value in TRUNKS["tiny"]()[0].state_dict().items()}
    save_file(state, tmp_path / "tiny.safetensors")
    encoder = backbone("tiny", out_dim=5, weights=str(tmp_path / "tiny.safetensors"))
    assert all((value == 3).all() for value in encoder.trunk.state_dict().values())


def test_weights_that_do_not_fit_are_named(tmp_path):
    trunk = TRUNKS["tiny"]()[0]
    state = trunk.state_dict()
    foreign = {name: value for name, value in state.items() if name != "3.weight"} | {"0.weight": state["3.weight"]}
    with pytest.raises(UserError, match=r"x\.pth does not fit .*: 1 missing, 1 of another shape, first 3\.weight"):
        load_trunk(trunk, foreign, source="x.pth")
    torch.save(state, tmp_path / "tiny.pth")
    with pytest.raises(UserError, match=r"tiny\.pth does not fit this backbone: \d+ missing, 0 of another shape"):
        backbone("resnet18", out_dim=5, weights=str(tmp_path / "tiny.pth"))


def test_files_that_are_no_weights(tmp_path):
    with pytest.raises(UserError, match=r"no weights at none\.pth"):
        backbone("tiny", out_dim=5, weights="none.pth")
    for name in ("bad.pth", "bad.safetensors"):
        (tmp_path / name).write_bytes(b"nonsense")
        with pytest.raises(UserError, match=r"bad\..* is not a file of weights"):
            backbone("tiny", out_dim=5, weights=str(tmp_path / name))
    torch.save([1, 2], tmp_path / "list.pth")
    with pytest.raises(UserError, match="does not fit this backbone"):
        backbone("tiny", out_dim=5, weights=str(tmp_path / "list.pth"))


def test_no_pickle_is_executed(tmp_path):
    class Bomb:
        def __reduce__(self):
            return (pytest.fail, ("pickle was executed",))

    torch.save({"state_dict": Bomb()}, tmp_path / "bomb.pth")
    with pytest.raises(UserError, match=r"bomb\.pth is not a file of weights"):
        backbone("tiny", out_dim=5, weights=str(tmp_path / "bomb.pth"))


def test_names_that_are_not_known():
    with pytest.raises(UserError, match=r"unknown backbone 'resnet51'\. Did you mean 'resnet50'"):
        backbone("resnet51", out_dim=5)
    with pytest.raises(UserError, match="no ImageNet weights for backbone 'tiny'; use resnet18 or resnet50"):
        backbone("tiny", out_dim=5, weights="imagenet")


def test_imagenet_without_a_network(monkeypatch):
    def fail(*args, **kwargs):
        raise OSError("no route to host")

    monkeypatch.setattr("torchvision.models.WeightsEnum.get_state_dict", fail)
    with pytest.raises(UserError, match=r"cannot download ImageNet weights \(no route to host\); give a file instead"):
        backbone("resnet18", out_dim=5, weights="imagenet")


def test_without_timm(monkeypatch):
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(UserError, match=r"need timm: pip install 'unbraid\[timm\]'"):
        backbone("timm:resnet18", out_dim=5)


def test_timm():
    timm = pytest.importorskip("timm")
    assert "resnet10t" in timm.list_models()
    assert backbone("timm:resnet10t", out_dim=5)(torch.rand(2, 3, 32, 32)).shape == (2, 5)
    with pytest.raises(UserError, match=r"timm has no model 'resnet10x'.*Did you mean"):
        backbone("timm:resnet10x", out_dim=5)
