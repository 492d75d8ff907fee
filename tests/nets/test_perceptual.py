"""The perceptual distance: frozen, invisible to checkpoints, and honest about what stands in for VGG-16."""

import logging
from urllib.error import URLError

import pytest
import torch
from torch import nn
from torchvision.models import VGG16_Weights, vgg16

from unbraid.errors import UserError
from unbraid.nets import perceptual_distance


def images(seed, size=32, channels=3):
    return torch.rand(2, channels, size, size, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def distance():
    return perceptual_distance("random")


def test_random_filters_are_seeded(distance):
    torch.manual_seed(5)
    again = perceptual_distance("random")
    assert distance(images(0), images(1)) == again(images(0), images(1))
    assert "random" in distance.kind
    assert distance(images(0), images(0)) == 0


def test_it_is_a_distance_of_images(distance):
    per_image = distance.per_image(images(0), images(1))
    assert per_image.shape == (2,)
    assert distance(images(0), images(1)) == per_image.mean()
    pixels = (images(0) - images(1)).abs().mean()
    assert distance(images(0), images(1)) > pixels
    grey = images(0, channels=1)
    wide = grey.repeat(1, 3, 1, 1)
    assert distance(grey, images(1, channels=1)) == distance(wide, images(1, channels=1).repeat(1, 3, 1, 1))


def test_the_gradient_flows_to_the_drawn_image_alone(distance):
    x, target = images(0).requires_grad_(), images(1).requires_grad_()
    distance(x, target).backward()
    assert x.grad.abs().sum() > 0
    assert all(param.grad is None and not param.requires_grad for param in distance.parameters())


def test_the_target_as_a_constant(distance):
    """Its features are computed without a graph; only the difference of pixels knows it."""
    x, target = images(0), images(1).requires_grad_()
    distance(x, target).backward()
    torch.testing.assert_close(target.grad, (target.detach() - x).sign() / x.numel())


class Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(2, 2)
        self.distance = perceptual_distance("random")


def test_it_has_no_place_in_a_checkpoint():
    model, other = Model(), Model()
    assert set(model.state_dict()) == {"layer.weight", "layer.bias"}
    assert perceptual_distance("random").state_dict() == {}
    other.load_state_dict(model.state_dict())
    assert torch.equal(other.layer.weight, model.layer.weight)
    with pytest.raises(RuntimeError, match=r"layer\.bias"):
        other.load_state_dict({"layer.weight": model.layer.weight})


@pytest.fixture(scope="module")
def vgg():
    torch.manual_seed(0)
    return {f"features.{name}": value for name, value in vgg16(weights=None).features.state_dict().items()}


def test_weights_from_a_file(tmp_path, vgg):
    torch.save(vgg | {"classifier.0.weight": torch.zeros(3)}, tmp_path / "vgg16.pth")
    distance = perceptual_distance(str(tmp_path / "vgg16.pth"))
    assert distance.kind == "vgg16"
    loaded = [param for param in distance.parameters() if param.dim() == 4]
    assert torch.equal(loaded[0], vgg["features.0.weight"])
    assert torch.equal(loaded[-1], vgg["features.28.weight"])


def test_a_file_of_something_else(tmp_path, vgg):
    torch.save({name: value for name, value in vgg.items() if "28" not in name}, tmp_path / "cut.pth")
    with pytest.raises(UserError, match=r"cut\.pth does not hold the convolutions of VGG-16"):
        perceptual_distance(str(tmp_path / "cut.pth"))
    with pytest.raises(UserError, match=r"no weights at none\.pth"):
        perceptual_distance("none.pth")


@pytest.fixture
def offline(monkeypatch):
    def fail(*args, **kwargs):
        raise URLError("no route to host")

    monkeypatch.setattr(VGG16_Weights, "get_state_dict", fail)


def test_auto_falls_back_with_a_warning(offline, caplog):
    with caplog.at_level(logging.WARNING):
        distance = perceptual_distance("auto")
    assert "random" in distance.kind
    assert "VGG-16 weights cannot be had (<urlopen error no route to host>)" in caplog.text
    assert "Give a file of weights" in caplog.text


def test_imagenet_does_not_fall_back(offline):
    with pytest.raises(UserError, match=r"cannot download VGG-16 .*; give a file, or 'random'"):
        perceptual_distance("imagenet")


def test_imagenet_weights_are_used_when_they_can_be_had(monkeypatch, vgg):
    monkeypatch.setattr(VGG16_Weights, "get_state_dict", lambda *args, **kwargs: vgg)
    assert perceptual_distance("auto").kind == perceptual_distance("imagenet").kind == "vgg16"
