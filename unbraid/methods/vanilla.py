"""Vanilla: a plain classifier, whose code carries whatever predicts the label best, a bias included.

Source
    Customary as a control; the settings are those of Lee, Kim et al., NeurIPS 2021, arXiv:2107.01372.
Objective
    Cross-entropy of the label. The code is what the last layer reads.
Differences
    1. The published 50,000 batches are the next whole number of epochs.
    2. With augment the image is one view of it, made by --views.
Logged
    cross_entropy
"""

from dataclasses import dataclass

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn
from torch.optim import Adam, Optimizer

from unbraid.hparams import choice, hp, log_uniform
from unbraid.nets.classifier import feature_extractor
from unbraid.tables import DataSpec
from unbraid.types import Batch, Method, Needs, Step


@dataclass(frozen=True, kw_only=True)
class Config:
    epochs: int = hp(100, doc="passes over the train split")
    batch_size: int = hp(256, least=2, search=choice(64, 128, 256), doc="images in a batch")
    backbone: str = hp("resnet18", doc="mlp, mlp-wide, resnet18, resnet18-cifar, resnet50, small, tiny or timm:<model>")
    weights: str = hp("none", doc='initial weights: "none", "imagenet", or a file (MoCo v2, torchvision)')
    augment: bool = hp(False, doc="train on a random crop and flip of each image, or other --views")
    lr: float = hp(1e-3, search=log_uniform(1e-4, 1e-2), doc="Adam step")
    weight_decay: float = hp(0.0, doc="L2 penalty")
    unit_pixels: bool = hp(False, doc="mlp: see pixels in [0, 1]; published: divided by 255 a second time")


_SHARES = ("0.5pct", "1pct", "2pct", "5pct")  # of conflicting images; published is one setting for all
_CMNIST = {"epochs": 234, "backbone": "mlp", "lr": 1e-2}
_CIFAR10C = {"epochs": 286, "augment": True}
_BFFHQ = {"epochs": 167, "batch_size": 64, "augment": True, "lr": 1e-4}
_CPU = {"epochs": 20, "backbone": "small", "batch_size": 128}
_DIGITS = {"epochs": 20, "backbone": "mlp", "batch_size": 128, "unit_pixels": True, "lr": 1e-2}  # seconds


class Vanilla(Method):
    """A network and its last layer."""

    config_class = Config
    cfg: Config
    needs = Needs(labels=frozenset({"label"}))
    presets = {
        "cmnist": _CMNIST,
        "cifar10c": _CIFAR10C,
        "bffhq": _BFFHQ,
        **{f"cmnist-{share}": _CMNIST for share in _SHARES},
        **{f"cifar10c-{share}": _CIFAR10C for share in _SHARES},
        **{f"bffhq-{share}": _BFFHQ for share in _SHARES},
        "cpu": _CPU,
        "digits": _DIGITS,
        "digits-biased": _DIGITS,
        "tiny": {"epochs": 2, "batch_size": 16, "backbone": "tiny"},
    }
    views = "crop-flip"

    def __init__(self, cfg: Config, spec: DataSpec) -> None:
        super().__init__(cfg, spec)
        assert spec.label is not None
        self.needs = Needs(views=int(cfg.augment), labels=frozenset({"label"}))
        self.encoder, width = feature_extractor(
            cfg.backbone, spec.image_shape, weights=cfg.weights, unit_pixels=cfg.unit_pixels
        )
        self.head = nn.Linear(width, spec.sizes[spec.label])

    def encode(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d"]:
        return self.encoder(x)  # type: ignore[no-any-return]

    def predict(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b k"]:
        return self.head(self.encoder(x))  # type: ignore[no-any-return]

    def optimizers(self) -> dict[str, Optimizer]:
        return {"main": Adam(self.parameters(), lr=self.cfg.lr, weight_decay=self.cfg.weight_decay, fused=True)}

    def update(self, batch: Batch, step: Step) -> None:
        assert batch.label is not None
        x = batch.views[:, 0] if self.cfg.augment else batch.x
        step("main", {"cross_entropy": F.cross_entropy(self.predict(x), batch.label)})
