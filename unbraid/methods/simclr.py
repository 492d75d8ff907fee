"""SimCLR: a code that tells every image from every other, whatever its domain.

Source
    Chen et al., A Simple Framework for Contrastive Learning of Visual Representations, ICML 2020, arXiv:2002.05709.
    With tau_plus: Chuang et al., Debiased Contrastive Learning, NeurIPS 2020, arXiv:2007.00224.
Objective
    NT-Xent between the projections of two augmented views; negatives are all other views of the batch. With tau_plus
    it is debiased: of what the negatives weigh, the share expected of the anchor's own class is taken off.
Differences
    1. The code is a linear map of the trunk's features to z_dim, normalised, so that methods are compared at one
       width; the projector on top is thrown away, as in the paper.
    2. Adam in place of LARS, which the paper needs for batches of thousands.
    3. The presets cifar10, cifar100 and stl10 have epochs, batch and step size of Wang et al. 2021 (arXiv:2110.15255).
       Their baselines as published, whose code is what the projector reads, are presets of ip-irm, such as
       cifar10-simclr and cifar10-dcl.
Logged
    contrast
"""

from dataclasses import dataclass

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor
from torch.optim import Adam, Optimizer

from unbraid.errors import UserError
from unbraid.hparams import choice, hp, log_uniform
from unbraid.losses import nt_xent
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
    projection_dim: int = hp(128, least=1, doc="width of the projection that the loss sees")
    temperature: float = hp(0.5, least=1e-3, search=log_uniform(0.05, 1.0), doc="NT-Xent temperature")
    tau_plus: float = hp(0.0, doc="share of negatives assumed to be of the anchor's class (debiased); 0: plain SimCLR")
    lr: float = hp(1e-3, search=log_uniform(1e-4, 3e-3), doc="Adam step")
    weight_decay: float = hp(1e-6, doc="L2 penalty")


_CPU = {"epochs": 20, "backbone": "small"}
_PUBLISHED = {"epochs": 400, "batch_size": 256, "backbone": "resnet50-cifar"}


class SimCLR(Method):
    """Two views of an image attract, all other views repel."""

    config_class = Config
    cfg: Config
    needs = Needs(views=2)
    presets = {
        "cifar10": _PUBLISHED,
        "cifar100": _PUBLISHED,
        "stl10": _PUBLISHED,
        "cpu": _CPU,
        "digits": _CPU | {"epochs": 8},
        "sprites": _CPU | {"epochs": 8},
        "coil100": _CPU,
        "yale-b": _CPU | {"epochs": 60},
        "tiny": {"epochs": 2, "batch_size": 16, "backbone": "tiny", "z_dim": 8, "projection_dim": 8},
    }
    views = "simclr"

    def __init__(self, cfg: Config, spec: DataSpec) -> None:
        super().__init__(cfg, spec)
        if cfg.tau_plus >= 1:
            raise UserError(f"simclr: tau_plus is a share below 1, not {cfg.tau_plus}")
        self.encoder = backbone(cfg.backbone, out_dim=cfg.z_dim, weights=cfg.weights)
        self.projector = mlp(cfg.z_dim, cfg.z_dim, cfg.projection_dim)

    def features(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d"]:
        return self.encoder(x)  # type: ignore[no-any-return]

    def encode(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d"]:
        return F.normalize(self.features(x), dim=-1)

    def optimizers(self) -> dict[str, Optimizer]:
        return {"main": Adam(self.parameters(), lr=self.cfg.lr, weight_decay=self.cfg.weight_decay, fused=True)}

    def update(self, batch: Batch, step: Step) -> None:
        first, second = (self.projector(self.encoder(view)) for view in batch.views.unbind(1))  # (B, P) each
        first, second = (gather(F.normalize(p, dim=-1)) for p in (first, second))
        step("main", {"contrast": nt_xent(first, second, self.cfg.temperature, self.cfg.tau_plus)})
