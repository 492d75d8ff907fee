"""Untrained: the code of an encoder at its initial weights, the floor that a trained one must beat.

Source
    Saxe et al., On Random Weights and Unsupervised Feature Learning, ICML 2011; customary as a control.
Objective
    None. With weights="imagenet" or a file it is that pretrained network as it comes, behind a random linear map.
Differences
    1. The code is a seeded random linear map of the trunk's features to z_dim, normalised, as wide as the others'.
Logged
    nothing
"""

from dataclasses import dataclass

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor
from torch.optim import Optimizer

from unbraid.hparams import hp
from unbraid.nets import backbone
from unbraid.tables import DataSpec
from unbraid.types import Batch, Method, Step


@dataclass(frozen=True, kw_only=True)
class Config:
    epochs: int = hp(0, doc="there is nothing to train")
    batch_size: int = hp(128, least=1, doc="images encoded at once")
    backbone: str = hp("resnet50", doc="encoder: resnet50, resnet18, resnet18-cifar, small, tiny or timm:<model>")
    weights: str = hp("none", doc='initial weights: "none", "imagenet", or a file (MoCo v2, torchvision)')
    z_dim: int = hp(128, least=1, doc="width of the code")


_CPU = {"backbone": "small"}


class Untrained(Method):
    """An encoder nobody trained."""

    config_class = Config
    cfg: Config
    presets = {
        "cpu": _CPU,
        "digits": _CPU,
        "sprites": _CPU,
        "coil100": _CPU,
        "yale-b": _CPU,
        "tiny": {"batch_size": 16, "backbone": "tiny", "z_dim": 8},
    }

    def __init__(self, cfg: Config, spec: DataSpec) -> None:
        super().__init__(cfg, spec)
        self.encoder = backbone(cfg.backbone, out_dim=cfg.z_dim, weights=cfg.weights)

    def encode(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d"]:
        return F.normalize(self.encoder(x), dim=-1)

    def optimizers(self) -> dict[str, Optimizer]:
        return {}

    def update(self, batch: Batch, step: Step) -> None:
        """Nothing to do."""
