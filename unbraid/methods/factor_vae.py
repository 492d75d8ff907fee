"""FactorVAE: a code whose dimensions are independent, as a discriminator judges; it knows no domain.

Source
    Kim & Mnih, Disentangling by Factorising, ICML 2018, arXiv:1802.05983; networks and settings of Locatello et al.,
    ICML 2019, arXiv:1811.12359.
Objective
    The negative ELBO + gamma * total correlation, which is the mean log ratio of a discriminator that tells codes from
    codes whose dimensions have been permuted within the batch. The code is the posterior's mean.
Differences
    1. The discriminator learns from the batch that the autoencoder has just learnt from, as in disentanglement_lib;
       the paper draws another one.
    2. Passes in place of 300,000 batches: as many as come nearest on each data set's train split.
Logged
    main/rec  main/kl  main/total_correlation  discriminator/permuted  (weighted, nats per image)
"""

from dataclasses import dataclass
from typing import Literal

from jaxtyping import Float, Int
from torch import Tensor
from torch.optim import Adam, Optimizer

from unbraid.hparams import choice, grid, hp, log_uniform
from unbraid.losses.group_evidence import kl_to_standard_normal
from unbraid.losses.total_correlation import density_ratio, permutation_loss, permute_dims
from unbraid.losses.variational import LIKELIHOODS
from unbraid.nets.conv_vae import VAE, Architecture, Discriminator
from unbraid.tables import DataSpec
from unbraid.types import Batch, Method, Step


@dataclass(frozen=True, kw_only=True)
class Config:
    epochs: int = hp(26, doc="passes over the train split")
    batch_size: int = hp(64, least=2, search=choice(64, 128, 256), doc="images in a batch")
    lr: float = hp(1e-4, search=log_uniform(1e-5, 1e-2), doc="Adam step")
    gamma: float = hp(30.0, search=grid(10.0, 20.0, 30.0, 40.0, 50.0, 100.0), doc="weight of the total correlation")
    discriminator_lr: float = hp(1e-4, search=log_uniform(1e-5, 1e-3), doc="Adam step of the discriminator")
    discriminator_width: int = hp(1000, least=1, doc="units in each of the discriminator's six layers")
    z_dim: int = hp(10, least=1, doc="width of the code")
    likelihood: Literal["bernoulli", "gaussian"] = hp("bernoulli", doc="of a pixel; the gaussian has unit variance")
    architecture: Architecture = hp("dlib", doc="networks: dlib (disentanglement_lib) or published (batch norm)")


_CPU = {"epochs": 20, "lr": 1e-3, "discriminator_lr": 1e-3, "discriminator_width": 200}  # minutes at 32x32


class FactorVAE(Method):
    """A variational autoencoder and a discriminator of its codes."""

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
        "tiny": {"epochs": 2, "batch_size": 16, "z_dim": 4, "lr": 1e-3, "discriminator_width": 16},
    }

    def __init__(self, cfg: Config, spec: DataSpec) -> None:
        super().__init__(cfg, spec)
        self.vae = VAE(cfg.architecture, spec.image_shape, cfg.z_dim)
        self.discriminator = Discriminator(cfg.z_dim, cfg.discriminator_width)

    def posterior(self, x: Float[Tensor, "b c h w"]) -> tuple[Float[Tensor, "b d"], Float[Tensor, "b d"]]:
        return self.vae.posterior(x)

    def encode(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d"]:
        return self.posterior(x)[0]

    def decode(self, z: Float[Tensor, "b d"], domain: Int[Tensor, " b"]) -> Float[Tensor, "b c h w"]:
        return self.vae.decode(z)

    def optimizers(self) -> dict[str, Optimizer]:
        betas = (0.5, 0.9)
        return {
            "main": Adam(self.vae.parameters(), lr=self.cfg.lr, fused=True),
            "discriminator": Adam(
                self.discriminator.parameters(), lr=self.cfg.discriminator_lr, betas=betas, fused=True
            ),
        }

    def update(self, batch: Batch, step: Step) -> None:
        draw = self.vae(batch.x)
        rec = LIKELIHOODS[self.cfg.likelihood](draw.logits, batch.x)
        kl = kl_to_standard_normal(draw.mean, draw.log_var)
        correlation = density_ratio(self.discriminator(draw.z))
        terms = {"rec": rec.mean(), "kl": kl.mean(), "total_correlation": self.cfg.gamma * correlation}
        step("main", terms)
        z = draw.z.detach()
        step(
            "discriminator", {"permuted": permutation_loss(self.discriminator(z), self.discriminator(permute_dims(z)))}
        )
