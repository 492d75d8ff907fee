"""Group DRO: a classifier that is good in its worst group, a value of the label with a value of the bias.

Source
    Sagawa et al., Distributionally Robust Neural Networks for Group Shifts, ICLR 2020, arXiv:1911.08731, algorithm 1.
Objective
    Sum over groups of q_g * mean cross-entropy of group g. At each batch q_g is multiplied by exp(group_step * that
    mean), then all are divided by their sum. With group_step=0 every group counts the same: group reweighting. The bias
    of each training image must be known. The code is what the last layer reads.
Differences
    1. The paper draws groups evenly. Here batches are drawn from all images, and each image is divided by the share of
       its group, so that a group's mean loss is right on average but, for a rare group, of high variance.
    2. Adam, as the methods it is compared with; the paper has SGD.
    3. Not published for cmnist, cifar10c and bffhq: these presets are `vanilla`'s.
Logged
    risk  greatest_weight  (the greatest q)
"""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn
from torch.optim import Adam, Optimizer

from unbraid.hparams import choice, hp, log_uniform
from unbraid.nets.classifier import feature_extractor
from unbraid.nets.group_sizes import GroupSizes
from unbraid.processes import num_processes, total
from unbraid.tables import DataSpec
from unbraid.types import Batch, Method, Needs, Step


@dataclass(frozen=True, kw_only=True)
class Config:
    epochs: int = hp(100, doc="passes over the train split")
    batch_size: int = hp(256, least=2, search=choice(64, 128, 256), doc="images in a batch")
    backbone: str = hp("resnet18", doc="mlp, mlp-wide, resnet18, resnet18-cifar, resnet50, small, tiny or timm:<model>")
    weights: str = hp("none", doc='initial weights: "none", "imagenet", or a file (MoCo v2, torchvision)')
    augment: bool = hp(False, doc="train on a random crop and flip of each image, or other --views")
    group_step: float = hp(0.01, search=log_uniform(1e-3, 1e-1), doc="step of the groups' weights; 0: all alike")
    adjustment: float = hp(0.0, doc="C of the paper's group adjustment: C / sqrt(size) is added to a group's mean loss")
    lr: float = hp(1e-3, search=log_uniform(1e-4, 1e-2), doc="Adam step")
    weight_decay: float = hp(0.0, search=log_uniform(1e-4, 1.0), doc="L2 penalty, in the paper large")
    unit_pixels: bool = hp(False, doc="mlp: see pixels in [0, 1]; published: divided by 255 a second time")


_CMNIST = {"epochs": 234, "backbone": "mlp", "lr": 1e-2}
_CIFAR10C = {"epochs": 286, "augment": True}
_BFFHQ = {"epochs": 167, "batch_size": 64, "augment": True, "lr": 1e-4}
_CPU = {"epochs": 20, "backbone": "small", "batch_size": 128}
_DIGITS = {"epochs": 20, "backbone": "mlp", "batch_size": 128, "unit_pixels": True, "lr": 1e-2}  # seconds
_NEEDS = frozenset({"label", "bias"})


class GroupDRO(Method):
    """A classifier and a distribution over groups that plays against it."""

    config_class = Config
    cfg: Config
    needs = Needs(labels=_NEEDS)
    presets = {
        "cmnist": _CMNIST,
        "cifar10c": _CIFAR10C,
        "bffhq": _BFFHQ,
        "cpu": _CPU,
        "digits": _DIGITS,
        "digits-biased": _DIGITS,
        "tiny": {"epochs": 2, "batch_size": 16, "backbone": "tiny"},
    }
    views = "crop-flip"

    def __init__(self, cfg: Config, spec: DataSpec) -> None:
        super().__init__(cfg, spec)
        assert spec.label is not None
        self.needs = Needs(views=int(cfg.augment), labels=_NEEDS)
        self.encoder, width = feature_extractor(
            cfg.backbone, spec.image_shape, weights=cfg.weights, unit_pixels=cfg.unit_pixels
        )
        self.head = nn.Linear(width, spec.sizes[spec.label])
        self.groups = GroupSizes(spec)
        self.log_weights = nn.Buffer(torch.zeros_like(self.groups.sizes))  # log q, up to a constant

    def encode(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d"]:
        return self.encoder(x)  # type: ignore[no-any-return]

    def predict(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b k"]:
        return self.head(self.encoder(x))  # type: ignore[no-any-return]

    def optimizers(self) -> dict[str, Optimizer]:
        return {"main": Adam(self.parameters(), lr=self.cfg.lr, weight_decay=self.cfg.weight_decay, fused=True)}

    def begin_epoch(self, epoch: int, loader: Iterable[Batch], step: Step) -> None:
        if epoch == 0:
            self.groups.count(loader)

    def update(self, batch: Batch, step: Step) -> None:
        assert batch.label is not None
        x = batch.views[:, 0] if self.cfg.augment else batch.x
        losses = F.cross_entropy(self.predict(x), batch.label, reduction="none")  # (B,)
        means = self.groups.mean_losses(losses, self.groups(batch))  # (S,)
        weights = self._reweigh(means.detach())
        step("main", {"risk": (weights * means).sum()}, log={"greatest_weight": weights.max()})

    def _reweigh(self, means: Float[Tensor, " s"]) -> Float[Tensor, " s"]:
        """The weights q, after one step towards the groups with great loss. A group without images has none."""
        sizes = self.groups.sizes
        means = total(means) / num_processes() + self.cfg.adjustment / sizes.clamp_min(1).sqrt()
        self.log_weights.add_(self.cfg.group_step * means)
        return self.log_weights.masked_fill(sizes == 0, -torch.inf).softmax(0)
