"""Autoencoder: a code that suffices to draw the image again, trained on nothing else; it knows no domain.

Source
    Kahana & Hoshen 2022, arXiv:2203.11284, supplement: the autoencoder whose invariance to augmentations is measured.
Objective
    The squared error between an image and its reconstruction from a narrow code.
Differences
    1. The supplement gives the objective and no architecture. Here: LORD's encoder to a code of 128, and DCoDR's
       generator with batch normalisation in the place of AdaIN, whose published code has that as an unused option.
    2. Step size, betas, epochs and batch are those of the paper's generators. The error is a mean over pixels where the
       paper writes a sum; Adam does not see the factor.
    3. The code is evaluated as it is, not normalised.
Logged
    rec
"""

from dataclasses import dataclass

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn
from torch.optim import Adam, Optimizer

from unbraid.hparams import choice, hp, log_uniform
from unbraid.nets.lord_encoder import LORDEncoder
from unbraid.tables import DataSpec
from unbraid.types import Batch, Method, Step


@dataclass(frozen=True, kw_only=True)
class Config:
    epochs: int = hp(200, doc="passes over the train split")
    batch_size: int = hp(128, least=1, search=choice(64, 128, 256), doc="images in a batch")
    z_dim: int = hp(128, least=1, doc="width of the code")
    encoder_width: int = hp(64, least=1, doc="maps in the encoder's first convolution")
    decoder_width: int = hp(256, least=8, doc="maps in the decoder's convolutions")
    lr: float = hp(3e-4, search=log_uniform(1e-4, 3e-3), doc="Adam step")


_CPU = {"epochs": 20, "encoder_width": 16, "decoder_width": 32, "lr": 1e-3}  # minutes at 32x32


class Autoencoder(Method):
    """Convolutions to a code and back."""

    config_class = Config
    cfg: Config
    presets = {
        "cpu": _CPU,
        "digits": _CPU | {"epochs": 8},
        "sprites": _CPU | {"epochs": 8},
        "coil100": _CPU,
        "yale-b": _CPU | {"epochs": 60},
        "tiny": {"epochs": 2, "batch_size": 16, "z_dim": 8, "encoder_width": 4, "decoder_width": 16},
    }

    def __init__(self, cfg: Config, spec: DataSpec) -> None:
        super().__init__(cfg, spec)
        self.encoder = LORDEncoder(spec.image_shape, cfg.z_dim, width=cfg.encoder_width)
        self.decoder = _decoder(cfg.z_dim, spec.image_shape, cfg.decoder_width)

    def encode(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d"]:
        return self.encoder(x)  # type: ignore[no-any-return]

    def reconstruct(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        return self.decoder(self.encoder(x))  # type: ignore[no-any-return]

    def optimizers(self) -> dict[str, Optimizer]:
        return {"main": Adam(self.parameters(), lr=self.cfg.lr, betas=(0.5, 0.999), fused=True)}

    def update(self, batch: Batch, step: Step) -> None:
        step("main", {"rec": F.mse_loss(self.reconstruct(batch.x), batch.x)})


def _decoder(z_dim: int, image_shape: tuple[int, int, int], width: int) -> nn.Sequential:
    """DCoDR's generator without conditions. Raises: ValueError if height or width is not a multiple of 16."""
    channels, height, image_width = image_shape
    if height % 16 or image_width % 16:
        raise ValueError(f"the decoder draws images whose sides are multiples of 16, not {height}x{image_width}")
    first = (width, height // 16, image_width // 16)
    area = first[1] * first[2]
    layers: list[nn.Module] = []
    for fan_in, fan_out in ((z_dim, area * width // 8), (area * width // 8, area * width // 4)):
        layers += [nn.Linear(fan_in, fan_out), nn.LeakyReLU(0.01)]
    layers += [nn.Linear(area * width // 4, area * width), nn.LeakyReLU(0.01), nn.Unflatten(1, first)]
    for _ in range(4):
        conv = nn.Conv2d(width, width, 3, padding=1)
        layers += [nn.Upsample(scale_factor=2), conv, nn.LeakyReLU(0.01), nn.BatchNorm2d(width)]
    layers += [nn.Conv2d(width, width // 4, 5, padding=2), nn.LeakyReLU(0.01)]
    return nn.Sequential(*layers, nn.Conv2d(width // 4, channels, 7, padding=3), nn.Sigmoid())
