"""Convolutional variational autoencoders with a Gaussian posterior: two published pairs of encoder and decoder.

Both halve the image until 4x4 is left. As published they take 64x64; larger and smaller squares whose side is a power
of two from 8 on get more or fewer of the layers next to the image. Any number of channels.
"""

import itertools
import math
from typing import Literal, NamedTuple

import torch
import torch.distributed as dist
from jaxtyping import Float
from torch import Tensor, nn

from unbraid.processes import num_processes

Architecture = Literal["published", "dlib"]

_ENCODER, _DECODER = (32, 32, 64, 64), (64, 64, 32, 32)  # maps after each layer, at 64x64
_HIDDEN = {"published": 512, "dlib": 256}


class Draw(NamedTuple):
    """What an autoencoder makes of a batch."""

    mean: Float[Tensor, "b d"]
    log_var: Float[Tensor, "b d"]
    z: Float[Tensor, "b d"]  # a sample of the posterior
    logits: Float[Tensor, "b c h w"]  # of the decoder at z


class VAE(nn.Module):
    """Encoder and decoder.

    Raises:
        ValueError: If the image is not a square whose side is a power of two, at least 8.
    """

    def __init__(self, architecture: Architecture, image_shape: tuple[int, int, int], z_dim: int) -> None:
        super().__init__()
        encoder, decoder = _PAIRS[architecture]
        num_halvings = _num_halvings(image_shape)
        self.encoder: nn.Module = encoder(image_shape[0], z_dim, num_halvings)
        self.decoder: nn.Module = decoder(image_shape[0], z_dim, num_halvings)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Draw:
        mean, log_var = (part.float() for part in self.encoder(x))
        z = mean + (0.5 * log_var).exp() * _noise(mean)
        return Draw(mean, log_var, z, self.decoder(z))

    def posterior(self, x: Float[Tensor, "b c h w"]) -> tuple[Float[Tensor, "b d"], Float[Tensor, "b d"]]:
        """Mean, and natural logarithm of the variance."""
        return self.encoder(x)  # type: ignore[no-any-return]

    def decode(self, z: Float[Tensor, "b d"]) -> Float[Tensor, "b c h w"]:
        return torch.sigmoid(self.decoder(z))


class VAEs(nn.ModuleList):
    """Autoencoders side by side on the same batch, one after the other.

    On a CPU that is faster than grouped convolutions or ``torch.vmap`` over stacked weights: see benchmarks/vae.py.
    """

    def forward(self, x: Float[Tensor, "b c h w"]) -> list[Draw]:
        return [vae(x) for vae in self]


class PublishedEncoder(nn.Sequential):
    """Convolutions with batch normalisation, the last as wide as its map.

    The last layer's channels are interleaved: 2k is the mean of dimension k, 2k + 1 the logarithm of its standard
    deviation.

    Source: Chen et al. 2018, arXiv:1802.04942; Estermann et al. 2020, arXiv:2010.13527, published code. Parameters have
    its names: ``conv1``, ``bn1``, ..., ``conv_z``.
    """

    def __init__(self, channels: int, z_dim: int, num_halvings: int) -> None:
        super().__init__()
        widths = [channels, *_encoder_widths(num_halvings)]
        convs: list[nn.Module] = [nn.Conv2d(*pair, 4, 2, 1) for pair in itertools.pairwise(widths)]
        _add_layers(self, [*convs, _ToVector(widths[-1], _HIDDEN["published"], 4)])
        self.add_module("conv_z", nn.Conv2d(_HIDDEN["published"], 2 * z_dim, 1))

    def forward(self, x: Float[Tensor, "b c h w"]) -> tuple[Float[Tensor, "b d"], Float[Tensor, "b d"]]:
        mean, log_sigma = super().forward(x).unflatten(1, (-1, 2)).flatten(2).unbind(2)
        return mean, 2 * log_sigma


class PublishedDecoder(nn.Sequential):
    """The encoder's mirror with transposed convolutions. Gives logits. Source: as the encoder's."""

    def __init__(self, channels: int, z_dim: int, num_halvings: int) -> None:
        super().__init__(nn.Unflatten(1, (z_dim, 1, 1)))
        hidden, widths = _HIDDEN["published"], _decoder_widths(num_halvings)
        convs: list[nn.Module] = [nn.ConvTranspose2d(*pair, 4, 2, 1) for pair in itertools.pairwise(widths)]
        _add_layers(self, [nn.ConvTranspose2d(z_dim, hidden, 1), _FromVector(hidden, widths[0], 4), *convs])
        self.add_module("conv_final", nn.ConvTranspose2d(widths[-1], channels, 4, 2, 1))


class DlibEncoder(nn.Sequential):
    """Convolutions, a hidden layer, and heads of means and of logarithms of the variance; no normalisation.

    Source: Locatello et al. 2019, arXiv:1811.12359, table 1, and disentanglement_lib, with its Glorot initialisation.
    """

    def __init__(self, channels: int, z_dim: int, num_halvings: int) -> None:
        layers: list[nn.Module] = []
        widths = [channels, *_encoder_widths(num_halvings)]
        for number, pair in enumerate(itertools.pairwise(widths)):
            last = number >= num_halvings - 2
            layers += [nn.Conv2d(*pair, 2, 2) if last else nn.Conv2d(*pair, 4, 2, 1), nn.ReLU(inplace=True)]
        layers += [nn.Flatten(), nn.Linear(widths[-1] * 16, _HIDDEN["dlib"]), nn.ReLU(inplace=True)]
        super().__init__(*layers, nn.Linear(_HIDDEN["dlib"], 2 * z_dim))
        _glorot(self)

    def forward(self, x: Float[Tensor, "b c h w"]) -> tuple[Float[Tensor, "b d"], Float[Tensor, "b d"]]:
        mean, log_var = super().forward(x).chunk(2, dim=1)
        return mean, log_var


class DlibDecoder(nn.Sequential):
    """Two hidden layers and transposed convolutions. Gives logits. Source: as the encoder's."""

    def __init__(self, channels: int, z_dim: int, num_halvings: int) -> None:
        widths = _decoder_widths(num_halvings)
        layers: list[nn.Module] = []
        for fan_in, fan_out in itertools.pairwise((z_dim, _HIDDEN["dlib"], widths[0] * 16)):
            layers += [nn.Linear(fan_in, fan_out), nn.ReLU(inplace=True)]
        layers.append(nn.Unflatten(1, (widths[0], 4, 4)))
        for pair in itertools.pairwise(widths):
            layers += [nn.ConvTranspose2d(*pair, 4, 2, 1), nn.ReLU(inplace=True)]
        super().__init__(*layers, nn.ConvTranspose2d(widths[-1], channels, 4, 2, 1))
        _glorot(self)


class Discriminator(nn.Sequential):
    """Two logits of a code: as encoded, or with permuted dimensions. Source: Kim & Mnih 2018, arXiv:1802.05983."""

    def __init__(self, z_dim: int, width: int = 1000) -> None:
        layers: list[nn.Module] = []
        for fan_in, fan_out in itertools.pairwise([z_dim, *[width] * 6]):
            layers += [nn.Linear(fan_in, fan_out), nn.LeakyReLU(0.2, inplace=True)]
        super().__init__(*layers, nn.Linear(width, 2))


class _ToVector(nn.Conv2d):
    """A convolution whose kernel is as large as its input, as one matrix product, which is several times faster."""

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d 1 1"]:
        return nn.functional.linear(x.flatten(1), self.weight.flatten(1), self.bias)[:, :, None, None]


class _FromVector(nn.ConvTranspose2d):
    """Its transpose, from a map of one pixel."""

    def forward(self, x: Float[Tensor, "b d 1 1"]) -> Float[Tensor, "b c h w"]:  # type: ignore[override]
        assert self.bias is not None
        product = x.flatten(1) @ self.weight.flatten(1)
        return product.unflatten(1, self.weight.shape[1:]) + self.bias[:, None, None]


def _add_layers(net: nn.Sequential, convs: list[nn.Module]) -> None:
    """Each convolution with batch normalisation and ReLU, numbered from 1."""
    for number, conv in enumerate(convs, start=1):
        width = conv.out_channels
        assert isinstance(width, int)
        net.add_module(f"conv{number}", conv)
        net.add_module(f"bn{number}", nn.BatchNorm2d(width))
        net.add_module(f"relu{number}", nn.ReLU(inplace=True))


def _glorot(net: nn.Sequential) -> None:
    for layer in net:
        if isinstance(layer, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
            nn.init.xavier_uniform_(layer.weight)
            assert layer.bias is not None
            nn.init.zeros_(layer.bias)


def _num_halvings(image_shape: tuple[int, int, int]) -> int:
    _, height, width = image_shape
    if height != width or height < 8 or height & (height - 1):
        raise ValueError(
            f"this network takes square images whose side is 8, 16, 32, 64 or a larger power of two, "
            f"not {height}x{width}; set the data set's size"
        )
    return int(math.log2(height)) - 2


def _encoder_widths(num_halvings: int) -> list[int]:
    return [32] * (num_halvings - 4) + list(_ENCODER[-num_halvings:])


def _decoder_widths(num_halvings: int) -> list[int]:
    """Of the maps before each of the last ``num_halvings`` layers."""
    return list(_DECODER[:num_halvings]) + [32] * (num_halvings - 4)


def _noise(like: Float[Tensor, "b d"]) -> Float[Tensor, "b d"]:
    """Standard normal, drawn for the rows of all processes, of which each takes its own."""
    rank = dist.get_rank() if num_processes() > 1 else 0
    noise = torch.randn(num_processes() * len(like), like.shape[1], dtype=like.dtype, device=like.device)
    return noise.chunk(num_processes())[rank]


_PAIRS: dict[str, tuple[type[nn.Module], type[nn.Module]]] = {
    "published": (PublishedEncoder, PublishedDecoder),
    "dlib": (DlibEncoder, DlibDecoder),
}
