"""Feature extractors of classifiers: a network without its last layer."""

import math
from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor, nn

from unbraid.errors import UserError
from unbraid.nets.backbones import backbone
from unbraid.nets.mlp import mlp

# Hidden widths of the networks that see an image as a row of numbers; the last is the features'.
FLAT: Mapping[str, tuple[int, ...]] = {
    "mlp": (100, 100, 16),  # Lee et al. 2021, for Colored MNIST
    "mlp-wide": (100, 100, 100),  # Nam et al. 2020
}
# Per channel, of CIFAR-10. The published classifiers use these for every data set.
_MEAN, _STD = (0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)


class FlatEncoder(nn.Module):
    """Fully connected layers, each with a ReLU.

    Args:
        unit_pixels: Let it see pixels in [0, 1]. As published they are divided by 255 a second time.
    """

    def __init__(self, image_shape: tuple[int, int, int], widths: tuple[int, ...], *, unit_pixels: bool) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Flatten(), *mlp(math.prod(image_shape), *widths), nn.ReLU())
        self.divisor = 1 if unit_pixels else 255
        self.size = tuple(image_shape[1:])

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d"]:
        """Raises: UserError if views are of another size than the images, which every other network allows."""
        if tuple(x.shape[2:]) != self.size:
            views, images = (" x ".join(map(str, size)) for size in (x.shape[2:], self.size))
            raise UserError(
                f"an mlp sees images of one size, and the views are of {views} pixels, the images of {images}; "
                "choose another --backbone, or other --views"
            )
        return self.layers(x / self.divisor)  # type: ignore[no-any-return]


class NormalizedEncoder(nn.Module):
    """A convolutional network behind a fixed normalisation of the pixels."""

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder
        self.mean = nn.Buffer(torch.tensor(_MEAN)[:, None, None], persistent=False)
        self.std = nn.Buffer(torch.tensor(_STD)[:, None, None], persistent=False)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d"]:
        return self.encoder((x - self.mean) / self.std)  # type: ignore[no-any-return]


def feature_extractor(
    name: str, image_shape: tuple[int, int, int], *, weights: str = "none", unit_pixels: bool = False
) -> tuple[nn.Module, int]:
    """A network by name, one of FLAT or as in ``backbone``, and the width of its features.

    Raises:
        UserError: If the name is unknown, or the weights do not fit.
    """
    if name in FLAT:
        return FlatEncoder(image_shape, FLAT[name], unit_pixels=unit_pixels), FLAT[name][-1]
    encoder = backbone(name, out_dim=1, weights=weights)
    width = encoder.projection.in_features
    encoder.add_module("projection", nn.Identity())
    return NormalizedEncoder(encoder), width
