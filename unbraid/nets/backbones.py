"""Encoders: a trunk, a linear map to the code and, when asked, a small head on top."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import torch
import torchvision.models as tv
from jaxtyping import Float
from torch import Tensor, nn

from unbraid.errors import UserError, did_you_mean


class Encoder(nn.Module):
    """Images to codes. Grey images are repeated to three channels, as the published encoders do."""

    def __init__(self, trunk: nn.Module, trunk_dim: int, out_dim: int, *, head: bool = False) -> None:
        super().__init__()
        self.trunk = trunk
        self.projection = nn.Linear(trunk_dim, out_dim)
        self.head = _head(out_dim) if head else nn.Identity()

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d"]:
        x = x.expand(-1, 3, -1, -1) if x.size(1) == 1 else x
        return self.head(self.projection(self.trunk(x)))  # type: ignore[no-any-return]


def _head(dim: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(dim, dim), nn.LeakyReLU(0.01), nn.Linear(dim, dim), nn.LeakyReLU(0.01), nn.Linear(dim, dim)
    )


def _resnet50() -> tuple[nn.Module, int]:
    trunk = tv.resnet50(weights=None)
    trunk.fc = nn.Sequential(nn.Linear(2048, 2048))  # the first layer of MoCo's projector, without its ReLU
    return trunk, 2048


def _resnet50_alone() -> tuple[nn.Module, int]:
    trunk = tv.resnet50(weights=None)
    trunk.fc = nn.Identity()
    return trunk, 2048


def _resnet18() -> tuple[nn.Module, int]:
    trunk = tv.resnet18(weights=None)
    trunk.fc = nn.Identity()
    return trunk, 512


def _cifar_stem(make: Callable[[], tuple[nn.Module, int]]) -> Callable[[], tuple[nn.Module, int]]:
    """For images of about 32 pixels: a 3x3 first convolution without stride, and no pooling after it."""

    def build() -> tuple[nn.Module, int]:
        trunk, dim = make()
        trunk.conv1 = nn.Conv2d(3, 64, 3, padding=1, bias=False)
        trunk.maxpool = nn.Identity()
        return trunk, dim

    return build


def _block(in_channels: int, out_channels: int, stride: int) -> list[nn.Module]:
    conv = nn.Conv2d(in_channels, out_channels, 3, stride, padding=1, bias=False)
    return [conv, nn.BatchNorm2d(out_channels), nn.ReLU(inplace=True)]


def _small() -> tuple[nn.Module, int]:
    """Six convolutions, 0.6 M parameters, strided early: real training at 32 to 64 pixels in minutes on a CPU."""
    widths = [(3, 32, 2), (32, 64, 1), (64, 64, 1), (64, 128, 2), (128, 128, 1), (128, 256, 2)]
    layers = [layer for width in widths for layer in _block(*width)]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten()), 256


def _tiny() -> tuple[nn.Module, int]:
    """Two convolutions: tests and examples in a second."""
    layers = [*_block(3, 16, 2), *_block(16, 32, 2)]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(2), nn.Flatten()), 128


TRUNKS: dict[str, Callable[[], tuple[nn.Module, int]]] = {
    "resnet50": _resnet50,
    "resnet18": _resnet18,
    "resnet50-cifar": _cifar_stem(_resnet50_alone),
    "resnet18-cifar": _cifar_stem(_resnet18),
    "small": _small,
    "tiny": _tiny,
}


def backbone(name: str, *, out_dim: int, head: bool = False, weights: str = "none") -> Encoder:
    """An encoder by name: one of TRUNKS, or ``timm:<model>`` for any timm model.

    Args:
        weights: "none", "imagenet" (torchvision's or timm's, downloaded once), "moco-v2" (ResNet-50, 800 epochs;
            in the folder UNBRAID_DATA, or downloaded once) or a file: a MoCo v2 checkpoint, a torchvision
            ``state_dict``, or safetensors.

    Raises:
        UserError: If the name or the file is unknown, or the weights do not fit.
    """
    if name.startswith("timm:"):
        trunk, dim = _timm(name.removeprefix("timm:"), pretrained=weights == "imagenet")
    elif name in TRUNKS:
        trunk, dim = TRUNKS[name]()
    else:
        raise UserError(f"unknown backbone {name!r}.{did_you_mean(name, [*TRUNKS, 'timm:<model>'])}")
    if weights == "moco-v2":
        load_trunk(trunk, read_state(_moco()), source="MoCo v2")
    elif weights not in ("none", "imagenet"):
        load_trunk(trunk, read_state(Path(weights)), source=weights)
    elif weights == "imagenet" and not name.startswith("timm:"):
        load_trunk(trunk, _imagenet(name), source=f"ImageNet weights of {name}")
    return Encoder(trunk, dim, out_dim, head=head)


def read_state(path: Path) -> dict[str, Tensor]:
    """The tensors of a ``state_dict`` file (safetensors, or a torch file read without executing pickle code).

    Raises:
        UserError: If there is no such file or it holds no tensors.
    """
    if not path.is_file():
        raise UserError(f"no weights at {path}")
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch and safetensors raise many types on a damaged file
        raise UserError(f"{path} is not a file of weights ({str(error).splitlines()[0]})") from None
    state = state.get("state_dict", state) if isinstance(state, dict) else {}
    return {name: value for name, value in state.items() if isinstance(value, Tensor)}


def load_trunk(trunk: nn.Module, state: dict[str, Tensor], *, source: str) -> None:
    """Copy foreign weights into a trunk; classifiers and MoCo's last projector layer are dropped, nothing else.

    Raises:
        UserError: If a tensor of the trunk is missing or of another shape.
    """
    if any(name.startswith("module.encoder_q.") for name in state):  # MoCo: {"module.encoder_q.<resnet key>"}
        prefix = "module.encoder_q."
        state = {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}
    own = trunk.state_dict()
    missing = [name for name in own if name not in state and not name.startswith("fc.")]
    different = [name for name in own if name in state and own[name].shape != state[name].shape]
    if missing or different:
        first = (missing + different)[0]
        raise UserError(f"{source} does not fit this backbone: {len(missing)} missing, {len(different)} of another "
                        f"shape, first {first}")  # fmt: skip
    trunk.load_state_dict({name: value for name, value in state.items() if name in own}, strict=False)


def _moco() -> Path:
    """The published file, under either of its names."""
    names = ("moco_v2_800ep_pretrain.pth.tar", "moco_v2_800ep_pretrain.pth")
    folders = [Path(os.environ.get("UNBRAID_DATA", ".")), Path(torch.hub.get_dir()) / "checkpoints"]
    if found := [folder / name for folder in folders for name in names if (folder / name).is_file()]:
        return found[0]
    try:
        (path := folders[1]).mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(_MOCO, str(path / names[0]))
    except OSError as error:
        reason = getattr(error, "reason", error)
        raise UserError(
            f"cannot download the MoCo v2 weights ({reason}); put {names[0]} into the folder UNBRAID_DATA, "
            "or give a file or 'none' as weights"
        ) from None
    return path / names[0]


_MOCO = "https://dl.fbaipublicfiles.com/moco/moco_checkpoints/moco_v2_800ep/moco_v2_800ep_pretrain.pth.tar"


def _imagenet(name: Literal["resnet18", "resnet50"] | str) -> dict[str, Tensor]:
    weights = {"resnet18": tv.ResNet18_Weights.DEFAULT, "resnet50": tv.ResNet50_Weights.DEFAULT}
    if name not in weights:
        raise UserError(f"there are no ImageNet weights for backbone {name!r}; use {' or '.join(weights)}")
    try:
        return dict(weights[name].get_state_dict(progress=True, check_hash=True))
    except OSError as error:
        raise UserError(f"cannot download ImageNet weights ({error}); give a file instead of 'imagenet'") from None


def _timm(name: str, *, pretrained: bool) -> tuple[nn.Module, int]:
    try:
        import timm
    except ImportError:
        raise UserError("backbones 'timm:...' need timm: pip install 'unbraid[timm]'") from None
    try:
        trunk = timm.create_model(name, pretrained=pretrained, num_classes=0)
    except RuntimeError as error:
        raise UserError(f"timm has no model {name!r} ({error}).{did_you_mean(name, timm.list_models())}") from None
    return trunk, trunk.num_features
