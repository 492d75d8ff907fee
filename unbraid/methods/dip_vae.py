"""DIP-VAE: a code whose covariance is pushed to the identity; it knows no domain.

Source
    Kumar et al., Variational Inference of Disentangled Latent Concepts from Unlabeled Observations, ICLR 2018,
    arXiv:1711.00848; networks and settings of Locatello et al., ICML 2019, arXiv:1811.12359.
Objective
    The negative ELBO + off_diagonal * (sum of squared covariances + ratio * sum of squared distances of variances to
    1). Variant "i" takes the covariance of the means and a ratio of 10, "ii" that of the aggregate posterior and 1. The
    code is the posterior's mean.
Differences
    1. Passes in place of 300,000 batches: as many as come nearest on each data set's train split.
Logged
    rec  kl  dip  (weighted)
"""

from dataclasses import dataclass
from typing import Literal

from jaxtyping import Float, Int
from torch import Tensor
from torch.optim import Adam, Optimizer

from unbraid.hparams import choice, grid, hp, log_uniform
from unbraid.losses.group_evidence import kl_to_standard_normal
from unbraid.losses.variational import LIKELIHOODS, dip_penalty
from unbraid.nets.conv_vae import VAE, Architecture
from unbraid.processes import gather
from unbraid.tables import DataSpec
from unbraid.types import Batch, Method, Step


@dataclass(frozen=True, kw_only=True)
class Config:
    epochs: int = hp(26, doc="passes over the train split")
    batch_size: int = hp(64, least=2, search=choice(64, 128, 256), doc="images in a batch")
    lr: float = hp(1e-4, search=log_uniform(1e-5, 1e-2), doc="Adam step")
    variant: Literal["i", "ii"] = hp("i", doc="covariance of the means, or of the aggregate posterior")
    off_diagonal: float = hp(10.0, search=grid(1.0, 2.0, 5.0, 10.0, 20.0, 50.0), doc="weight of the covariances")
    z_dim: int = hp(10, least=1, doc="width of the code")
    likelihood: Literal["bernoulli", "gaussian"] = hp("bernoulli", doc="of a pixel; the gaussian has unit variance")
    architecture: Architecture = hp("dlib", doc="networks: dlib (disentanglement_lib) or published (batch norm)")


_CPU = {"epochs": 20, "lr": 1e-3}  # minutes at 32x32


class DIPVAE(Method):
    """A variational autoencoder with a penalty on the covariance of its code."""

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
        cfg = self.cfg
        draw = self.vae(batch.x)
        rec = LIKELIHOODS[cfg.likelihood](draw.logits, batch.x)
        kl = kl_to_standard_normal(draw.mean, draw.log_var)
        log_var = gather(draw.log_var) if cfg.variant == "ii" else None
        diagonal = cfg.off_diagonal * (10 if cfg.variant == "i" else 1)
        dip = dip_penalty(gather(draw.mean), log_var, off_diagonal=cfg.off_diagonal, diagonal=diagonal)
        step("main", {"rec": rec.mean(), "kl": kl.mean(), "dip": dip})
