"""The perceptual distance: images compared by their pixels and by the features of a frozen network."""

import itertools
import logging
from pathlib import Path
from typing import Any

import torch
import torchvision.models as tv
from jaxtyping import Float
from torch import Tensor, nn

from unbraid.errors import UserError
from unbraid.nets.backbones import read_state

# relu1_2, relu2_2, relu3_2, relu4_3, pool5: the published code reads the convolutions at 2, 7, 12, 21, but the in-place
# ReLU that follows each has overwritten them by then.
_TAPS = (3, 8, 13, 22, 30)


class PerceptualDistance(nn.Module):
    """Mean absolute difference of pixels plus that of five feature maps of VGG-16, averaged over images.

    Images are in [0, 1] and not normalised further, as published. Every weight is frozen, and the target's features
    are computed without a graph.

    Source: Kahana & Hoshen 2022, arXiv:2203.11284, equation for L_rec; Gabbay & Hoshen 2020, arXiv:1906.11796.
    """

    def __init__(self, features: nn.Sequential, kind: str) -> None:
        super().__init__()
        self.kind = kind  # "vgg16", or the name of what stands in for it
        self.stages = nn.ModuleList(features[a:b] for a, b in itertools.pairwise((0, *(tap + 1 for tap in _TAPS))))
        for module in self.modules():
            if isinstance(module, nn.ReLU):
                module.inplace = True
        self.requires_grad_(False)
        self.register_load_state_dict_post_hook(_ignore_missing)

    def state_dict(self, *args: Any, destination: Any = None, **kwargs: Any) -> Any:
        """Empty: frozen weights have no place in a checkpoint."""
        return {} if destination is None else destination

    def forward(self, x: Float[Tensor, "b c h w"], target: Float[Tensor, "b c h w"]) -> Float[Tensor, ""]:
        return self.per_image(x, target).mean()

    def per_image(self, x: Float[Tensor, "b c h w"], target: Float[Tensor, "b c h w"]) -> Float[Tensor, " b"]:
        """The distance of each pair; the gradient flows to ``x`` alone."""
        x, target = (i.expand(-1, 3, -1, -1) for i in (x, target))
        distance = _mean_absolute(x, target)
        for stage in self.stages:
            with torch.no_grad():
                target = stage(target)
            x = stage(x)
            distance = distance + _mean_absolute(x, target)
        return distance


def perceptual_distance(weights: str = "auto") -> PerceptualDistance:
    """The distance with VGG-16's ImageNet weights, or with what can be had in their place.

    Args:
        weights: "imagenet": torchvision's, downloaded once (528 MB). A path: a torchvision ``vgg16`` state_dict.
            "random": a thin VGG-16 with seeded random filters, which needs no download. "auto": ImageNet, and random
            with a warning when it cannot be had.

    Raises:
        UserError: If the file does not hold VGG-16's convolutions, or the download fails.
    """
    if weights == "random":
        return PerceptualDistance(_random_features(), kind="pixels + seeded random features (not VGG-16)")
    if weights not in ("auto", "imagenet"):
        return PerceptualDistance(_vgg16(read_state(Path(weights)), weights), kind="vgg16")
    try:
        state = tv.VGG16_Weights.IMAGENET1K_V1.get_state_dict(progress=True, check_hash=True)
    except OSError as error:
        if weights == "imagenet":
            raise UserError(f"cannot download VGG-16 ({error}); give a file, or 'random'") from None
        logging.getLogger("unbraid").warning(
            "VGG-16 weights cannot be had (%s): reconstruction is judged by pixels and seeded random features instead. "
            "Give a file of weights for the published distance.",
            error,
        )
        return perceptual_distance("random")
    return PerceptualDistance(_vgg16(dict(state), "torchvision"), kind="vgg16")


def _ignore_missing(module: nn.Module, keys: Any) -> None:
    own = tuple(name for name, _ in module.named_parameters())
    keys.missing_keys[:] = [key for key in keys.missing_keys if not key.endswith(own)]


def _mean_absolute(a: Float[Tensor, "b c h w"], b: Float[Tensor, "b c h w"]) -> Float[Tensor, " b"]:
    return (a.float() - b.float()).abs().flatten(1).mean(dim=1)


def _vgg16(state: dict[str, Tensor], source: str) -> nn.Sequential:
    features: nn.Sequential = tv.vgg.make_layers(tv.vgg.cfgs["D"])  # tv.vgg16 without its 120 M classifier weights
    state = {
        name.removeprefix("features."): value for name, value in state.items() if not name.startswith("classifier.")
    }
    try:
        features.load_state_dict(state)
    except RuntimeError as error:
        raise UserError(
            f"{source} does not hold the convolutions of VGG-16 ({str(error).splitlines()[-1].strip()})"
        ) from None
    return features


def _random_features() -> nn.Sequential:
    """VGG-16's layout with an eighth of its maps; each layer keeps the scale of its input (He et al. 2015)."""
    generator = torch.Generator().manual_seed(0)
    widths = [width if width == "M" else int(width) // 8 for width in tv.vgg.cfgs["D"]]
    features: nn.Sequential = tv.vgg.make_layers(widths)
    for layer in features:
        if isinstance(layer, nn.Conv2d):
            std = (2 / layer.weight[0].numel()) ** 0.5
            layer.weight.data.normal_(0, std, generator=generator)
            layer.bias.data.zero_()  # type: ignore[union-attr]
    return features
