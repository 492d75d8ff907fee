"""AnnealedVAE: a code whose information grows while training, one factor after another; it knows no domain.

Source
    Burgess et al., Understanding Disentangling in beta-VAE, 2018, arXiv:1804.03599; networks and settings of Locatello
    et al., ICML 2019, arXiv:1811.12359.
Objective
    Reconstruction + gamma * |KL - C|, where KL is the batch's mean and C grows evenly from 0 nats to ``capacity``. The
    code is the posterior's mean.
Differences
    1. Passes in place of 300,000 batches: as many as come nearest on each data set's train split.
Logged
    rec  capacity  (weighted)  kl  (nats per image)
"""

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.optim import Adam, Optimizer

from unbraid.hparams import choice, grid, hp, log_uniform
from unbraid.losses.group_evidence import kl_to_standard_normal
from unbraid.losses.variational import LIKELIHOODS, capacity
from unbraid.nets.conv_vae import VAE, Architecture
from unbraid.processes import gather
from unbraid.tables import DataSpec
from unbraid.types import Batch, Method, Step


@dataclass(frozen=True, kw_only=True)
class Config:
    epochs: int = hp(26, doc="passes over the train split")
    batch_size: int = hp(64, least=2, search=choice(64, 128, 256), doc="images in a batch")
    lr: float = hp(1e-4, search=log_uniform(1e-5, 1e-2), doc="Adam step")
    capacity: float = hp(25.0, search=grid(5.0, 10.0, 25.0, 50.0, 75.0, 100.0), doc="last C, in nats")
    growth_steps: int = hp(100_000, doc="steps until C has grown to that")
    gamma: float = hp(1000.0, doc="weight of the distance of the KL to C")
    z_dim: int = hp(10, least=1, doc="width of the code")
    likelihood: Literal["bernoulli", "gaussian"] = hp("bernoulli", doc="of a pixel; the gaussian has unit variance")
    architecture: Architecture = hp("dlib", doc="networks: dlib (disentanglement_lib) or published (batch norm)")


_CPU = {"epochs": 20, "lr": 1e-3, "growth_steps": 1000}  # minutes at 32x32


class AnnealedVAE(Method):
    """A variational autoencoder whose KL follows a schedule."""

    config_class = Config
    cfg: Config
    num_updates: Tensor
    presets = {
        "dsprites": {"epochs": 29},
        "shapes3d": {"epochs": 44},
        "cars3d": {"epochs": 1214},
        "smallnorb": {"epochs": 439},
        "cpu": _CPU,
        "digits": _CPU,
        "sprites": _CPU,
        "tiny": {"epochs": 2, "batch_size": 16, "z_dim": 4, "lr": 1e-3, "growth_steps": 20, "gamma": 10.0},
    }

    def __init__(self, cfg: Config, spec: DataSpec) -> None:
        super().__init__(cfg, spec)
        self.vae = VAE(cfg.architecture, spec.image_shape, cfg.z_dim)
        self.register_buffer("num_updates", torch.tensor(0))

    def posterior(self, x: Float[Tensor, "b c h w"]) -> tuple[Float[Tensor, "b d"], Float[Tensor, "b d"]]:
        return self.vae.posterior(x)

    def encode(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d"]:
        return self.posterior(x)[0]

    def decode(self, z: Float[Tensor, "b d"], domain: Int[Tensor, " b"]) -> Float[Tensor, "b c h w"]:
        return self.vae.decode(z)

    def optimizers(self) -> dict[str, Optimizer]:
        return {"main": Adam(self.parameters(), lr=self.cfg.lr, fused=True)}

    def update(self, batch: Batch, step: Step) -> None:
        draw = self.vae(batch.x)
        rec = LIKELIHOODS[self.cfg.likelihood](draw.logits, batch.x)
        kl = gather(kl_to_standard_normal(draw.mean, draw.log_var)).mean()
        wanted = capacity(int(self.num_updates), self.cfg.capacity, self.cfg.growth_steps)
        step("main", {"rec": rec.mean(), "capacity": self.cfg.gamma * (kl - wanted).abs()}, log={"kl": kl})
        self.num_updates += 1
