"""Semi-supervised beta-VAE: a code whose first dimensions follow the factors of a few labelled images, one each.

Source
    Locatello et al., Disentangling Factors of Variation Using Few Labels, ICLR 2020, arXiv:1905.01258.
Objective
    Reconstruction + beta * KL + supervised_weight * the distance of the first dimensions of the posterior's mean to the
    factors of labelled images, their values scaled to [0, 1). Labelled images are drawn with replacement, as many as a
    batch has. This is no part of the population-based methods, in which labels enter the fitness alone.
Differences
    1. The supervised term is a mean over labelled images; disentanglement_lib sums over its batch of 64, so its weight
       is a 64th of the one here.
    2. The labelled images are drawn from the train split, and all of this split is used without labels.
Logged
    rec  kl  supervised  (weighted, per image)
"""

from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor
from torch.optim import Adam, Optimizer

from unbraid.errors import UserError
from unbraid.hparams import choice, grid, hp, log_uniform
from unbraid.losses.group_evidence import kl_to_standard_normal
from unbraid.losses.variational import LIKELIHOODS
from unbraid.nets.conv_vae import VAE, Architecture
from unbraid.tables import DataSpec
from unbraid.types import Batch, Method, Needs, Passes, Step


@dataclass(frozen=True, kw_only=True)
class Config:
    epochs: int = hp(26, doc="passes over the train split")
    batch_size: int = hp(64, least=2, search=choice(64, 128, 256), doc="images in a batch, and labelled ones beside it")
    lr: float = hp(1e-4, search=log_uniform(1e-5, 1e-2), doc="Adam step")
    beta: float = hp(4.0, search=grid(1.0, 2.0, 4.0, 6.0, 8.0, 16.0), doc="weight of the KL")
    num_labels: int = hp(1000, least=1, doc="labelled images")
    supervised: Literal["xent", "l2"] = hp("xent", doc="cross-entropy, or squared error of the mean's sigmoid")
    supervised_weight: float = hp(64.0, search=log_uniform(1.0, 1000.0), doc="weight of the labelled images")
    z_dim: int = hp(10, least=1, doc="width of the code, at least the number of factors")
    likelihood: Literal["bernoulli", "gaussian"] = hp("bernoulli", doc="of a pixel; the gaussian has unit variance")
    architecture: Architecture = hp("dlib", doc="networks: dlib (disentanglement_lib) or published (batch norm)")


_CPU = {"epochs": 20, "lr": 1e-3}  # minutes at 32x32


class SemiBetaVAE(Method):
    """A variational autoencoder that sees a few labels."""

    config_class = Config
    cfg: Config
    needs = Needs(labels=frozenset({"factors"}))
    presets = {
        "dsprites": {"epochs": 29},
        "shapes3d": {"epochs": 44},
        "cars3d": {"epochs": 1214},
        "smallnorb": {"epochs": 439},
        "cpu": _CPU,
        "digits": _CPU,
        "sprites": _CPU,
        "tiny": {"epochs": 2, "batch_size": 16, "z_dim": 4, "lr": 1e-3, "num_labels": 20},
    }
    images: Tensor
    targets: Tensor

    def __init__(self, cfg: Config, spec: DataSpec) -> None:
        super().__init__(cfg, spec)
        self.sizes = [spec.sizes[name] for name in spec.factors]
        if cfg.z_dim < len(self.sizes):
            raise UserError(f"z_dim is {cfg.z_dim}; each of the {len(self.sizes)} factors needs a dimension")
        self.vae = VAE(cfg.architecture, spec.image_shape, cfg.z_dim)
        self.num_train, num = spec.num_train, min(cfg.num_labels, spec.num_train)
        self.register_buffer("images", torch.zeros(num, *spec.image_shape, dtype=torch.uint8))
        self.register_buffer("targets", torch.zeros(num, len(self.sizes)))

    def posterior(self, x: Float[Tensor, "b c h w"]) -> tuple[Float[Tensor, "b d"], Float[Tensor, "b d"]]:
        return self.vae.posterior(x)

    def encode(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d"]:
        return self.posterior(x)[0]

    def decode(self, z: Float[Tensor, "b d"], domain: Int[Tensor, " b"]) -> Float[Tensor, "b c h w"]:
        return self.vae.decode(z)

    def optimizers(self) -> dict[str, Optimizer]:
        return {"main": Adam(self.parameters(), lr=self.cfg.lr, fused=True)}

    def begin_epoch(self, epoch: int, loader: Passes, step: Step) -> None:
        """Draw the labelled images, once for all."""
        if epoch:
            return
        place = torch.full((self.num_train,), -1)
        place[torch.randperm(self.num_train)[: len(self.images)]] = torch.arange(len(self.images))
        for batch in loader:
            assert batch.factors is not None
            at = place.to(batch.index.device)[batch.index]
            drawn, at = at >= 0, at[at >= 0]
            factors = batch.factors[drawn].float()
            self.images[at] = (batch.x[drawn] * 255).round().byte()
            self.targets[at] = factors / factors.new_tensor(self.sizes)

    def update(self, batch: Batch, step: Step) -> None:
        draw = self.vae(batch.x)
        rec = LIKELIHOODS[self.cfg.likelihood](draw.logits, batch.x)
        kl = kl_to_standard_normal(draw.mean, draw.log_var)
        rows = torch.randint(len(self.images), (len(batch.x),), device=self.images.device)
        mean, _ = self.posterior(self.images[rows] / 255)
        supervised = factor_distance(mean, self.targets[rows], self.cfg.supervised)
        step(
            "main",
            {
                "rec": rec.mean(),
                "kl": self.cfg.beta * kl.mean(),
                "supervised": self.cfg.supervised_weight * supervised.mean(),
            },
        )


def factor_distance(
    mean: Float[Tensor, "b d"], target: Float[Tensor, "b g"], kind: Literal["xent", "l2"]
) -> Float[Tensor, " b"]:
    """Summed over the factors: from the sigmoid of the first g dimensions to targets in [0, 1].

    Source: Locatello et al. 2020, arXiv:1905.01258, section 4.
    """
    logits = mean[:, : target.shape[1]]
    if kind == "xent":
        return F.binary_cross_entropy_with_logits(logits, target, reduction="none").sum(1)
    return (torch.sigmoid(logits) - target).square().sum(1)
