"""beta-VAE: a code under pressure to be short, which tends to give each factor a dimension; it knows no domain.

Source
    Higgins et al., beta-VAE, ICLR 2017; networks and settings of Locatello et al., Challenging Common Assumptions in
    the Unsupervised Learning of Disentangled Representations, ICML 2019, arXiv:1811.12359.
Objective
    Reconstruction + beta * KL of the posterior to the prior. The code is the posterior's mean.
Differences
    1. Passes in place of 300,000 batches: as many as come nearest on each data set's train split.
Logged
    rec  kl  (weighted, nats per image)
"""

from dataclasses import dataclass
from typing import Literal

from jaxtyping import Float, Int
from torch import Tensor
from torch.optim import Adam, Optimizer

from unbraid.hparams import choice, grid, hp, log_uniform
from unbraid.losses.group_evidence import kl_to_standard_normal
from unbraid.losses.variational import LIKELIHOODS
from unbraid.nets.conv_vae import VAE, Architecture
from unbraid.tables import DataSpec
from unbraid.types import Batch, Method, Step


@dataclass(frozen=True, kw_only=True)
class Config:
    epochs: int = hp(26, doc="passes over the train split")
    batch_size: int = hp(64, least=2, search=choice(64, 128, 256), doc="images in a batch")
    lr: float = hp(1e-4, search=log_uniform(1e-5, 1e-2), doc="Adam step")
    beta: float = hp(4.0, search=grid(1.0, 2.0, 4.0, 6.0, 8.0, 16.0), doc="weight of the KL")
    z_dim: int = hp(10, least=1, doc="width of the code")
    likelihood: Literal["bernoulli", "gaussian"] = hp("bernoulli", doc="of a pixel; the gaussian has unit variance")
    architecture: Architecture = hp("dlib", doc="networks: dlib (disentanglement_lib) or published (batch norm)")


_CPU = {"epochs": 20, "lr": 1e-3}  # minutes at 32x32


class BetaVAE(Method):
    """A variational autoencoder with a weight on the KL."""

    config_class = Config
    cfg: Config
    presets = {
        "dsprites": {"epochs": 29},
        "shapes3d": {"epochs": 44},
        "cars3d": {"epochs": 1214},
        "smallnorb": {"epochs": 439},
        "cpu": _CPU,
        "digits": _CPU,
        "sprites": _CPU,
        "tiny": {"epochs": 2, "batch_size": 16, "z_dim": 4, "lr": 1e-3},
    }

    def __init__(self, cfg: Config, spec: DataSpec) -> None:
        super().__init__(cfg, spec)
        self.vae = VAE(cfg.architecture, spec.image_shape, cfg.z_dim)

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
        kl = kl_to_standard_normal(draw.mean, draw.log_var)
        step("main", {"rec": rec.mean(), "kl": self.cfg.beta * kl.mean()})
