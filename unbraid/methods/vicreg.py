"""VICReg: a code whose projections agree between two views, and keep their variance without repeating themselves.

Source
    Bardes, Ponce & LeCun, VICReg: Variance-Invariance-Covariance Regularization for Self-Supervised Learning,
    ICLR 2022, arXiv:2105.04906.
Objective
    Mean squared distance of two views' projections, a hinge that keeps each dimension's standard deviation over the
    batch at 1 or more, and the squared covariances of different dimensions; weighted 25, 25 and 1.
Differences
    1. The code is a linear map of the trunk's features to z_dim, normalised, so that methods are compared at one
       width; the expander on top is thrown away, as in the paper.
    2. Adam in place of LARS, and an expander of two layers in place of three.
    3. Variance and covariance are sums over the two views, as in the paper; its published code halves the variance.
    4. The presets cifar10 and cifar100 have solo-learn's widths, batch size, weights and epochs, with Adam.
Logged
    invariance  variance  covariance  (weighted, as optimised)
"""

from dataclasses import dataclass

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor
from torch.optim import Adam, Optimizer

from unbraid.hparams import choice, hp, log_uniform
from unbraid.losses.redundancy import vicreg
from unbraid.nets import backbone, mlp
from unbraid.processes import gather
from unbraid.tables import DataSpec
from unbraid.types import Batch, Method, Needs, Step


@dataclass(frozen=True, kw_only=True)
class Config:
    epochs: int = hp(200, doc="passes over the train split")
    batch_size: int = hp(128, least=2, search=choice(128, 256, 512), doc="images in a batch")
    backbone: str = hp("resnet50", doc="encoder: resnet50, resnet18, resnet18-cifar, small, tiny or timm:<model>")
    weights: str = hp("none", doc='initial weights: "none", "imagenet", or a file (MoCo v2, torchvision)')
    z_dim: int = hp(128, least=1, doc="width of the code")
    projection_dim: int = hp(2048, least=1, doc="width of the expander's layers, which the loss sees")
    invariance_weight: float = hp(25.0, search=log_uniform(1.0, 100.0), doc="weight of the distance of the views")
    variance_weight: float = hp(25.0, search=log_uniform(1.0, 100.0), doc="weight of the hinge on the variance")
    covariance_weight: float = hp(1.0, search=log_uniform(0.1, 10.0), doc="weight of the covariances")
    lr: float = hp(1e-3, search=log_uniform(1e-4, 3e-3), doc="Adam step")
    weight_decay: float = hp(1e-6, doc="L2 penalty")


_CIFAR = {"epochs": 1000, "batch_size": 256, "backbone": "resnet18-cifar", "weight_decay": 1e-4}
_CPU = {"epochs": 20, "backbone": "small", "projection_dim": 512}


class VICReg(Method):
    """Invariance, variance and covariance of two views' projections."""

    config_class = Config
    cfg: Config
    needs = Needs(views=2)
    presets = {
        "cifar10": _CIFAR,
        "cifar100": _CIFAR,
        "cpu": _CPU,
        "digits": _CPU | {"epochs": 8},
        "sprites": _CPU | {"epochs": 8},
        "coil100": _CPU,
        "yale-b": _CPU | {"epochs": 60},
        "tiny": {"epochs": 2, "batch_size": 16, "backbone": "tiny", "z_dim": 8, "projection_dim": 16},
    }
    views = "simclr"

    def __init__(self, cfg: Config, spec: DataSpec) -> None:
        super().__init__(cfg, spec)
        self.encoder = backbone(cfg.backbone, out_dim=cfg.z_dim, weights=cfg.weights)
        self.expander = mlp(cfg.z_dim, cfg.projection_dim, cfg.projection_dim, batch_norm=True)

    def features(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d"]:
        return self.encoder(x)  # type: ignore[no-any-return]

    def encode(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d"]:
        return F.normalize(self.features(x), dim=-1)

    def optimizers(self) -> dict[str, Optimizer]:
        return {"main": Adam(self.parameters(), lr=self.cfg.lr, weight_decay=self.cfg.weight_decay, fused=True)}

    def update(self, batch: Batch, step: Step) -> None:
        cfg = self.cfg
        first, second = (gather(self.expander(self.encoder(view))) for view in batch.views.unbind(1))  # (B, P) each
        invariance, variance, covariance = vicreg(first, second)
        terms = {
            "invariance": cfg.invariance_weight * invariance,
            "variance": cfg.variance_weight * variance,
            "covariance": cfg.covariance_weight * covariance,
        }
        step("main", terms)
