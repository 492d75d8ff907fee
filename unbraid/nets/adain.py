"""The AdaIN decoder of LORD and DCoDR: the code gives the layout, the domain gives each layer's scale and bias."""

import itertools
import math

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

_LAYERS = 4  # upsamplings from the first map to the image


def adain(
    x: Float[Tensor, "b c h w"], scale: Float[Tensor, "b c"], bias: Float[Tensor, "b c"], eps: float = 1e-5
) -> Float[Tensor, "b c h w"]:
    """Normalise each map of each image (biased variance), then scale and shift it."""
    return F.instance_norm(x, eps=eps) * scale[:, :, None, None] + bias[:, :, None, None]


class Modulation(nn.Module):
    """A domain vector to the bias and scale of every AdaIN layer."""

    def __init__(self, domain_dim: int, num_layers: int, width: int) -> None:
        super().__init__()
        self.width = width
        self.layers = nn.ModuleList(nn.Linear(domain_dim, 2 * width) for _ in range(num_layers))

    def forward(self, domain: Float[Tensor, "b e"]) -> list[Float[Tensor, "b m 2"]]:
        """One (B, M, 2) per layer, M maps; the last axis is (bias, scale), interleaved as in the published weights."""
        return [layer(domain).unflatten(1, (self.width, 2)) for layer in self.layers]


class AdaINDecoder(nn.Module):
    """Code and domain vector to an image in [0, 1].

    Args (of the constructor):
        image_shape: (C, H, W); H and W multiples of 16.
        width: Maps in the convolutions; 256 as published.

    Raises:
        ValueError: If H or W is not a multiple of 16.

    Source: Kahana & Hoshen 2022 (supplement); Gabbay & Hoshen 2020, arXiv:1906.11796, appendix.
    """

    def __init__(self, z_dim: int, domain_dim: int, image_shape: tuple[int, int, int], *, width: int = 256) -> None:
        super().__init__()
        channels, height, image_width = image_shape
        shrink = 2**_LAYERS
        if height % shrink or image_width % shrink:
            raise ValueError(
                f"the decoder draws images whose sides are multiples of {shrink}, not {height}x{image_width}"
            )
        self.first = (width, height // shrink, image_width // shrink)
        area = math.prod(self.first[1:])
        sizes = [z_dim, area * width // 8, area * width // 4, area * width]
        self.fc = nn.ModuleList(nn.Linear(a, b) for a, b in itertools.pairwise(sizes))
        self.convs = nn.ModuleList(nn.Conv2d(width, width, 3, padding=1) for _ in range(_LAYERS))
        last = [nn.Conv2d(width, width // 4, 5, padding=2), nn.LeakyReLU(0.01)]
        if image_width == 128:
            last += [nn.Conv2d(width // 4, width // 4, 5, padding=2), nn.LeakyReLU(0.01)]
        self.last = nn.Sequential(*last, nn.Conv2d(width // 4, channels, 7, padding=3), nn.Sigmoid())
        self.modulation = Modulation(domain_dim, _LAYERS, width)

    def forward(self, z: Float[Tensor, "b d"], domain: Float[Tensor, "b e"]) -> Float[Tensor, "b c h w"]:
        return self.draw(z, self.modulation(domain))

    def draw(self, z: Float[Tensor, "b d"], styles: list[Float[Tensor, "b m 2"]]) -> Float[Tensor, "b c h w"]:
        """The generator alone, from given biases and scales."""
        for layer in self.fc:
            z = F.leaky_relu(layer(z), 0.01)
        x = z.unflatten(1, self.first)  # (B, width, H/16, W/16)
        for conv, style in zip(self.convs, styles, strict=True):
            x = F.leaky_relu(conv(F.interpolate(x, scale_factor=2.0, mode="nearest")), 0.01)
            x = adain(x, scale=style[..., 1], bias=style[..., 0])
        return self.last(x)  # type: ignore[no-any-return]
