"""SimSiam: a code from which one view of an image predicts another, with no image repelled.

Source
    Chen & He, Exploring Simple Siamese Representation Learning, CVPR 2021, arXiv:2011.10566.
Objective
    Minus the cosine similarity between a predictor's output for one view and the projection of the other, which gets no
    gradient; the mean over both directions.
Differences
    1. The code is a linear map of the trunk's features to z_dim, normalised, so that methods are compared at one
       width; projector and predictor are thrown away, as in the paper.
    2. The projector has two layers, as the paper's for CIFAR-10; that for ImageNet has three.
    3. The predictor's step size falls with the others; the paper's best keeps it.
    4. The preset cifar10 is the paper's (appendix D): a step size of 0.03 per 256 images, at batches of 512.
Logged
    similarity  (minus it, as optimised)
    std  (of the normalised projection's dimensions, times the root of their number: 1 when spread, 0 when collapsed)
"""

import math
from dataclasses import dataclass

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn
from torch.optim import SGD, Optimizer

from unbraid.hparams import choice, hp, log_uniform
from unbraid.losses.predictive import simsiam
from unbraid.nets import backbone, mlp
from unbraid.tables import DataSpec
from unbraid.types import Batch, Method, Needs, Step


@dataclass(frozen=True, kw_only=True)
class Config:
    epochs: int = hp(200, doc="passes over the train split")
    batch_size: int = hp(128, least=2, search=choice(128, 256, 512), doc="images in a batch")
    backbone: str = hp("resnet50", doc="encoder: resnet50, resnet18, resnet18-cifar, small, tiny or timm:<model>")
    weights: str = hp("none", doc='initial weights: "none", "imagenet", or a file (MoCo v2, torchvision)')
    z_dim: int = hp(128, least=1, doc="width of the code")
    projection_dim: int = hp(2048, least=1, doc="width of the projector's layers, which the loss sees")
    predictor_dim: int = hp(512, least=1, doc="width of the predictor's hidden layer")
    lr: float = hp(0.03, search=log_uniform(3e-3, 0.3), doc="first step size of SGD; it falls to 0 along a cosine")
    momentum: float = hp(0.9, doc="of SGD")
    weight_decay: float = hp(5e-4, doc="L2 penalty")


_CPU = {"epochs": 20, "backbone": "small", "projection_dim": 512, "predictor_dim": 128}


class SimSiam(Method):
    """Two views of an image attract through a predictor; what they are drawn to is held fixed."""

    config_class = Config
    cfg: Config
    needs = Needs(views=2)
    presets = {
        "cifar10": {"epochs": 800, "batch_size": 512, "backbone": "resnet18-cifar", "lr": 0.06},
        "cpu": _CPU,
        "digits": _CPU | {"epochs": 8},
        "sprites": _CPU | {"epochs": 8},
        "coil100": _CPU,
        "yale-b": _CPU | {"epochs": 60},
        "tiny": {
            "epochs": 2, "batch_size": 16, "backbone": "tiny", "z_dim": 8, "projection_dim": 16, "predictor_dim": 8
        },
    }  # fmt: skip
    views = "simclr"

    def __init__(self, cfg: Config, spec: DataSpec) -> None:
        super().__init__(cfg, spec)
        self.encoder = backbone(cfg.backbone, out_dim=cfg.z_dim, weights=cfg.weights)
        width = cfg.projection_dim
        hidden = mlp(cfg.z_dim, width, width, batch_norm=True)
        self.projector = nn.Sequential(hidden, nn.BatchNorm1d(width, affine=False))
        self.predictor = mlp(width, cfg.predictor_dim, width, batch_norm=True)

    def features(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d"]:
        return self.encoder(x)  # type: ignore[no-any-return]

    def encode(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d"]:
        return F.normalize(self.features(x), dim=-1)

    def optimizers(self) -> dict[str, Optimizer]:
        cfg = self.cfg
        return {"main": SGD(self.parameters(), cfg.lr, momentum=cfg.momentum, weight_decay=cfg.weight_decay)}

    def lr_scale(self, epoch: float) -> float:
        return (1 + math.cos(math.pi * epoch / self.cfg.epochs)) / 2

    def update(self, batch: Batch, step: Step) -> None:
        z1, z2 = (self.projector(self.encoder(view)) for view in batch.views.unbind(1))  # (B, P) each
        similarity = simsiam(self.predictor(z1), self.predictor(z2), z1, z2).mean()
        std = F.normalize(z1.detach(), dim=-1).std(dim=0).mean() * z1.shape[1] ** 0.5
        step("main", {"similarity": similarity}, log={"std": std})
