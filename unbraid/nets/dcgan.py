"""DCGAN's encoder and decoder, as DrNet uses them."""

import itertools
from typing import TypeVar

from jaxtyping import Float
from torch import Tensor, nn

_LAYERS = 4  # halvings from the image to the last map
Model = TypeVar("Model", bound=nn.Module)


class DCGANEncoder(nn.Module):
    """Images to vectors in (-1, 1). Each layer is a convolution, batch normalisation and LeakyReLU; the last a tanh.

    Args (of the constructor):
        image_shape: (C, H, W); H and W multiples of 16.
        width: Maps after the first convolution; 64 as published, doubled by each of the next three.

    Raises:
        ValueError: If H or W is not a multiple of 16.

    Source: Radford et al. 2016, arXiv:1511.06434; Denton & Birodkar 2017, arXiv:1705.10915.
    """

    def __init__(self, image_shape: tuple[int, int, int], out_dim: int, *, width: int = 64) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for fan_in, fan_out in itertools.pairwise(_widths(image_shape[0], width)):
            layers += [nn.Conv2d(fan_in, fan_out, 4, 2, 1), nn.BatchNorm2d(fan_out), nn.LeakyReLU(0.2, inplace=True)]
        layers += [nn.Conv2d(8 * width, out_dim, _last_map(image_shape)), nn.BatchNorm2d(out_dim), nn.Tanh()]
        self.layers = dcgan_init(nn.Sequential(*layers, nn.Flatten()))

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d"]:
        return self.layers(x)  # type: ignore[no-any-return]


class DCGANDecoder(nn.Module):
    """Vectors to images in [0, 1]: the encoder's mirror, with transposed convolutions and a sigmoid."""

    def __init__(self, in_dim: int, image_shape: tuple[int, int, int], *, width: int = 64) -> None:
        super().__init__()
        first = nn.ConvTranspose2d(in_dim, 8 * width, _last_map(image_shape))
        layers: list[nn.Module] = [nn.Unflatten(1, (in_dim, 1, 1)), first]
        for fan_in, fan_out in itertools.pairwise(reversed(_widths(image_shape[0], width))):
            layers += [nn.BatchNorm2d(fan_in), nn.LeakyReLU(0.2, inplace=True)]
            layers += [nn.ConvTranspose2d(fan_in, fan_out, 4, 2, 1)]
        self.layers = dcgan_init(nn.Sequential(*layers, nn.Sigmoid()))

    def forward(self, z: Float[Tensor, "b d"]) -> Float[Tensor, "b c h w"]:
        return self.layers(z)  # type: ignore[no-any-return]


def dcgan_init(model: Model) -> Model:
    """Weights from N(0, 0.02), those of batch normalisation from N(1, 0.02), biases 0; changes and returns it."""
    for name, param in model.named_parameters():
        if name.endswith("bias"):
            nn.init.zeros_(param)
        else:
            nn.init.normal_(param, mean=0.0 if param.dim() > 1 else 1.0, std=0.02)
    return model


def _widths(channels: int, width: int) -> list[int]:
    return [channels, width, 2 * width, 4 * width, 8 * width]


def _last_map(image_shape: tuple[int, int, int]) -> tuple[int, int]:
    _, height, width = image_shape
    shrink = 2**_LAYERS
    if height % shrink or width % shrink:
        raise ValueError(f"this network takes images whose sides are multiples of {shrink}, not {height}x{width}")
    return height // shrink, width // shrink
