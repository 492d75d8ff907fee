"""LORD's encoder: five convolutions without normalisation, then three linear layers."""

import itertools

from jaxtyping import Float
from torch import Tensor, nn

_LAYERS = 4  # halvings from the image to the last map


class LORDEncoder(nn.Module):
    """Images to vectors.

    Args (of the constructor):
        image_shape: (C, H, W); H and W at least 16.
        width: Maps after the first convolution; 64 as published.

    Source: Gabbay & Hoshen 2020, arXiv:1906.11796, appendix.
    """

    def __init__(self, image_shape: tuple[int, int, int], out_dim: int, *, width: int = 64) -> None:
        super().__init__()
        channels, height, image_width = image_shape
        layers: list[nn.Module] = [nn.Conv2d(channels, width, 7, padding=3), nn.LeakyReLU(0.01)]
        for fan_in, fan_out in itertools.pairwise([width, 2 * width, 4 * width, 4 * width, 4 * width]):
            layers += [nn.Conv2d(fan_in, fan_out, 4, 2, 1), nn.LeakyReLU(0.01)]
        layers.append(nn.Flatten())
        area = (height // 2**_LAYERS) * (image_width // 2**_LAYERS)
        for fan_in in (4 * width * area, 4 * width):
            layers += [nn.Linear(fan_in, 4 * width), nn.LeakyReLU(0.01)]
        self.layers = nn.Sequential(*layers, nn.Linear(4 * width, out_dim))

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d"]:
        return self.layers(x)  # type: ignore[no-any-return]
