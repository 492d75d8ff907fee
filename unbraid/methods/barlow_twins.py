"""Barlow Twins: a code whose projections agree between two views, each dimension saying something of its own.

Source
    Zbontar et al., Barlow Twins: Self-Supervised Learning via Redundancy Reduction, ICML 2021, arXiv:2103.03230.
Objective
    The cross-correlation over the batch, between the dimensions of two views' projections, is drawn to the identity:
    sum (1 - C_ii)^2 + redundancy_weight * sum of C_ij^2 off the diagonal.
Differences
    1. The code is a linear map of the trunk's features to z_dim, normalised, so that methods are compared at one
       width; the projector on top is thrown away, as in the paper.
    2. Adam in place of LARS, and a projector of two layers in place of three.
    3. The presets cifar10 and stl10 are the settings of Tsai et al. 2021 (arXiv:2104.13712), who brought the method to
       small images: Adam, a projection 128 wide, redundancy_weight 1 / 128.
Logged
    invariance  redundancy  (weighted, as optimised)
"""

from dataclasses import dataclass

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor
from torch.optim import Adam, Optimizer

from unbraid.hparams import choice, hp, log_uniform
from unbraid.losses.redundancy import barlow_twins
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
    hidden_dim: int = hp(512, least=1, doc="width of the projector's hidden layer")
    projection_dim: int = hp(128, least=1, doc="width of the projection that the loss sees")
    redundancy_weight: float = hp(5e-3, search=log_uniform(1e-3, 0.1), doc="weight of what is off the diagonal")
    lr: float = hp(1e-3, search=log_uniform(1e-4, 3e-3), doc="Adam step")
    weight_decay: float = hp(1e-6, doc="L2 penalty")


_SMALL_IMAGES = {"batch_size": 512, "backbone": "resnet50-cifar", "redundancy_weight": 1 / 128, "epochs": 1000}
_CPU = {"epochs": 20, "backbone": "small", "redundancy_weight": 1 / 128}


class BarlowTwins(Method):
    """Two views correlate dimension by dimension, and no dimension with another."""

    config_class = Config
    cfg: Config
    needs = Needs(views=2)
    presets = {
        "cifar10": _SMALL_IMAGES,
        "stl10": _SMALL_IMAGES,
        "cpu": _CPU,
        "digits": _CPU | {"epochs": 8},
        "sprites": _CPU | {"epochs": 8},
        "coil100": _CPU,
        "yale-b": _CPU | {"epochs": 60},
        "tiny": {"epochs": 2, "batch_size": 16, "backbone": "tiny", "z_dim": 8, "hidden_dim": 16, "projection_dim": 8},
    }
    views = "simclr"

    def __init__(self, cfg: Config, spec: DataSpec) -> None:
        super().__init__(cfg, spec)
        self.encoder = backbone(cfg.backbone, out_dim=cfg.z_dim, weights=cfg.weights)
        self.projector = mlp(cfg.z_dim, cfg.hidden_dim, cfg.projection_dim, batch_norm=True)

    def features(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d"]:
        return self.encoder(x)  # type: ignore[no-any-return]

    def encode(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d"]:
        return F.normalize(self.features(x), dim=-1)

    def optimizers(self) -> dict[str, Optimizer]:
        return {"main": Adam(self.parameters(), lr=self.cfg.lr, weight_decay=self.cfg.weight_decay, fused=True)}

    def update(self, batch: Batch, step: Step) -> None:
        first, second = (gather(self.projector(self.encoder(view))) for view in batch.views.unbind(1))  # (B, P) each
        invariance, redundancy = barlow_twins(first, second)
        step("main", {"invariance": invariance, "redundancy": self.cfg.redundancy_weight * redundancy})
