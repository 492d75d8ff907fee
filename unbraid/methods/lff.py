"""LfF: a classifier that attends to the images which a deliberately biased classifier finds hard.

Source
    Nam et al., Learning from Failure: Training Debiased Classifier from Biased Classifier, NeurIPS 2020,
    arXiv:2007.02561, and its published code.
Objective
    Two networks at once. The biased one: generalised cross-entropy, which feeds on what is already easy. The other:
    cross-entropy, each image times W = B / (B + D), where B and D are the two networks' cross-entropies on it,
    averaged over its visits and divided by the greatest such average of its class. The code is what the last layer of
    the second network reads.
Differences
    1. The published generalised cross-entropy has another value and gce_power times the gradient of the true one; it
       is kept, and exact_gce=true mends it.
    2. The mean of W scales the second network's steps; normalized_weights=true divides by that mean.
    3. Where the greatest average of a class is 0, as published W is NaN, here 0.
    4. Presets cmnist, cifar10c and bffhq have the network, batch, step size and 50,000 batches (in whole epochs) that
       Lee et al. 2021 (arXiv:2107.01372) give their own; those of their LfF are not published. nam-cmnist is LfF's own.
    5. LfF's own batches include the short one at the end of an epoch; here it is left out.
Logged
    bias  debiased  (weighted, as optimised)  weight  (the mean of W)
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.optim import Adam, Optimizer

from unbraid.hparams import choice, hp, log_uniform, uniform
from unbraid.losses.generalized_cross_entropy import generalized_cross_entropy, relative_difficulty
from unbraid.nets.classifier import feature_extractor
from unbraid.nets.loss_table import LossTable
from unbraid.tables import DataSpec
from unbraid.types import Batch, Method, Needs, Step


@dataclass(frozen=True, kw_only=True)
class Config:
    epochs: int = hp(100, doc="passes over the train split")
    batch_size: int = hp(256, least=2, search=choice(64, 128, 256), doc="images in a batch")
    backbone: str = hp("resnet18", doc="mlp, mlp-wide, resnet18, resnet18-cifar, resnet50, small, tiny or timm:<model>")
    weights: str = hp("none", doc='initial weights: "none", "imagenet", or a file (MoCo v2, torchvision)')
    augment: bool = hp(False, doc="train on a random crop and flip of each image, or other --views")
    gce_power: float = hp(0.7, least=1e-3, search=uniform(0.3, 1.0), doc="generalised cross-entropy's q")
    ema_rate: float = hp(
        0.7, most=1, search=uniform(0.3, 0.95), doc="share of the old average in an image's tracked loss"
    )
    lr: float = hp(1e-3, search=log_uniform(1e-4, 1e-2), doc="Adam step")
    weight_decay: float = hp(0.0, doc="L2 penalty")
    exact_gce: bool = hp(False, doc="the true generalised cross-entropy")
    normalized_weights: bool = hp(False, doc="weights of mean 1 in each batch")
    unit_pixels: bool = hp(False, doc="mlp: see pixels in [0, 1]; published: divided by 255 a second time")


_SHARES = ("0.5pct", "1pct", "2pct", "5pct")  # of conflicting images; published is one setting for all
_CMNIST = {"epochs": 234, "backbone": "mlp", "lr": 1e-2}
_CIFAR10C = {"epochs": 286, "augment": True}
_BFFHQ = {"epochs": 167, "batch_size": 64, "augment": True, "lr": 1e-4}
_CPU = {"epochs": 20, "backbone": "small", "batch_size": 128}
_DIGITS = {"epochs": 20, "backbone": "mlp", "batch_size": 128, "unit_pixels": True, "lr": 1e-2}  # seconds


class LfF(Method):
    """A biased network, and one that learns from its failures."""

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
        "nam-cmnist": {"epochs": 100, "backbone": "mlp-wide"},
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
        self.encoder, width = self._features(spec)
        self.head = nn.Linear(width, spec.sizes[spec.label])
        self.bias_encoder, _ = self._features(spec)
        self.bias_head = nn.Linear(width, spec.sizes[spec.label])
        self.table = LossTable(2, spec.num_train, spec.sizes[spec.label], cfg.ema_rate)

    def _features(self, spec: DataSpec) -> tuple[nn.Module, int]:
        cfg = self.cfg
        return feature_extractor(cfg.backbone, spec.image_shape, weights=cfg.weights, unit_pixels=cfg.unit_pixels)

    def encode(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d"]:
        return self.encoder(x)  # type: ignore[no-any-return]

    def predict(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b k"]:
        return self.head(self.encoder(x))  # type: ignore[no-any-return]

    def bias_predict(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b k"]:
        return self.bias_head(self.bias_encoder(x))  # type: ignore[no-any-return]

    def bias_weight(self, index: Int[Tensor, " b"], label: Int[Tensor, " b"]) -> Float[Tensor, " b"]:
        weight = relative_difficulty(*self.table.relative(index, label))
        return weight.masked_fill(self.table.label[index] < 0, torch.nan)

    def optimizers(self) -> dict[str, Optimizer]:
        return {"main": Adam(self.parameters(), lr=self.cfg.lr, weight_decay=self.cfg.weight_decay, fused=True)}

    def update(self, batch: Batch, step: Step) -> None:
        assert batch.label is not None
        x = batch.views[:, 0] if self.cfg.augment else batch.x
        bias_loss = F.cross_entropy(self.bias_predict(x), batch.label, reduction="none")  # (B,)
        loss = F.cross_entropy(self.predict(x), batch.label, reduction="none")
        self.table.update(torch.stack([bias_loss, loss]).detach(), batch.index, batch.label)
        weight = relative_difficulty(*self.table.relative(batch.index, batch.label))
        mean = weight.mean()
        if self.cfg.normalized_weights:
            weight = weight / mean.clamp_min(1e-8)
        gce = generalized_cross_entropy(bias_loss, self.cfg.gce_power, exact=self.cfg.exact_gce)
        step("main", {"bias": gce.mean(), "debiased": (weight * loss).mean()}, log={"weight": mean})
