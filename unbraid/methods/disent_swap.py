"""DisEnt: a code of what a label means, beside one of what it is merely found with; the second is swapped at random.

Source
    Lee, Kim et al., Learning Debiased Representation via Disentangled Feature Augmentation, NeurIPS 2021,
    arXiv:2107.01372, with the settings of its published code. Also called DFA and LDD.
Objective
    Two networks, intrinsic and bias, each with a last layer of its own that reads the features of both. Intrinsic:
    cross-entropy, each image times W as in LfF. Bias: align_weight * generalised cross-entropy. No gradient crosses
    from one to the other. When swap_start of the training is over, the step sizes begin to fall, and the same two
    losses are added once more, times swap_weight, on features whose bias half is that of another image; the bias
    network's label is then that image's, and its loss is weighted by swap_align_weight.
    The code is the intrinsic features, since they are what the bias is to leave. A prediction reads both halves.
Differences
    1. The published generalised cross-entropy has another value and gce_power times the gradient of the true one; it
       is kept, and exact_gce=true mends it.
    2. The paper's W compares the two losses of the batch; published, and here, are losses averaged over an image's
       visits and divided by the greatest such average of its class. paper_weights=true is the paper's.
    3. The mean of W scales the intrinsic network's steps; normalized_weights=true divides by that mean.
    4. The published mlp divides its pixels, already in [0, 1], by 255; unit_pixels=true does not.
    5. Where the greatest average of a class is 0, as published W is NaN, here 0.
    6. 50,000 batches are the next whole number of epochs; swap and decay are shares of the training.
    7. Several processes swap each among its own images.
Logged
    conflict  align  swap_conflict  swap_align  (weighted, as optimised)  weight  (the mean of W)
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
    align_weight: float = hp(1.0, search=log_uniform(0.3, 30.0), doc="weight of the bias network's loss")
    swap_weight: float = hp(1.0, search=log_uniform(0.05, 3.0), doc="weight of both losses on swapped features")
    swap_align_weight: float = hp(1.0, search=log_uniform(0.3, 30.0), doc="in these, weight of the bias network's")
    swap_start: float = hp(0.2, most=1, search=uniform(0.0, 0.5), doc="share of the training without swapped features")
    lr: float = hp(1e-3, search=log_uniform(1e-4, 1e-2), doc="Adam step")
    lr_decay: float = hp(0.5, least=1e-6, doc="factor on the step size, from swap_start on, at each ...")
    lr_decay_every: float = hp(0.2, least=1e-3, doc="... such share of the training")
    weight_decay: float = hp(0.0, doc="L2 penalty")
    exact_gce: bool = hp(False, doc="the true generalised cross-entropy")
    normalized_weights: bool = hp(False, doc="weights W of mean 1 in each batch")
    paper_weights: bool = hp(False, doc="weights W from the losses of the batch alone")
    unit_pixels: bool = hp(False, doc="mlp: see pixels in [0, 1]; published: divided by 255 a second time")


# The published training scripts: 50,000 batches, swap and decay each 10,000.
_CMNIST = {"epochs": 234, "backbone": "mlp", "lr": 1e-2, "align_weight": 10.0, "swap_align_weight": 10.0}
_CIFAR10C = {"epochs": 286, "augment": True}
_CIFAR10C_MIDDLE = _CIFAR10C | {"align_weight": 5.0, "swap_align_weight": 5.0}
_BFFHQ = {"epochs": 167, "batch_size": 64, "augment": True, "lr": 1e-4, "lr_decay": 0.1}
_BFFHQ |= {"align_weight": 2.0, "swap_align_weight": 2.0, "swap_weight": 0.1}
_CPU = {"epochs": 20, "backbone": "small", "batch_size": 128}
_DIGITS = {"epochs": 20, "backbone": "mlp", "batch_size": 128, "unit_pixels": True, "lr": 1e-2}  # seconds


class DisEntSwap(Method):
    """Two networks, two last layers that read both, and swapped features."""

    config_class = Config
    cfg: Config
    needs = Needs(labels=frozenset({"label"}))
    presets = {
        "cmnist": _CMNIST,
        "cmnist-0.5pct": _CMNIST,
        "cmnist-1pct": _CMNIST,
        "cmnist-2pct": _CMNIST,
        "cmnist-5pct": _CMNIST,
        "cifar10c": _CIFAR10C,
        "cifar10c-0.5pct": _CIFAR10C | {"lr": 5e-4},
        "cifar10c-1pct": _CIFAR10C_MIDDLE,
        "cifar10c-2pct": _CIFAR10C_MIDDLE,
        "cifar10c-5pct": _CIFAR10C,
        "bffhq": _BFFHQ,
        "bffhq-0.5pct": _BFFHQ,
        "bffhq-1pct": _BFFHQ,  # this and the next two: the authors' later BiasEnsemble, AAAI 2023
        "bffhq-2pct": _BFFHQ,
        "bffhq-5pct": _BFFHQ,
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
        num_labels = spec.sizes[spec.label]
        self.encoder, width = self._features(spec)
        self.bias_encoder, _ = self._features(spec)
        self.head, self.bias_head = (nn.Linear(2 * width, num_labels) for _ in range(2))
        self.table = LossTable(2, spec.num_train, num_labels, cfg.ema_rate)
        self.num_batches = max(1, spec.num_train // cfg.batch_size)  # in an epoch
        self.swap_start = round(cfg.swap_start * cfg.epochs * self.num_batches)
        self.decay_every = max(1, round(cfg.lr_decay_every * cfg.epochs * self.num_batches))
        self.done = 0  # updates

    def _features(self, spec: DataSpec) -> tuple[nn.Module, int]:
        cfg = self.cfg
        return feature_extractor(cfg.backbone, spec.image_shape, weights=cfg.weights, unit_pixels=cfg.unit_pixels)

    def get_extra_state(self) -> Tensor:
        """The number of updates is part of a checkpoint; on the host, where it decides what is computed."""
        return torch.tensor(self.done)

    def set_extra_state(self, state: Tensor) -> None:
        self.done = int(state)

    def encode(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d"]:
        return self.encoder(x)  # type: ignore[no-any-return]

    def predict(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b k"]:
        return self.head(torch.cat([self.encoder(x), self.bias_encoder(x)], dim=1))  # type: ignore[no-any-return]

    def bias_predict(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b k"]:
        return self.swap_predict(x, x)[1]

    def swap_predict(
        self, x: Float[Tensor, "b c h w"], bias_x: Float[Tensor, "b c h w"]
    ) -> tuple[Float[Tensor, "b k"], Float[Tensor, "b k"]]:
        both = torch.cat([self.encoder(x), self.bias_encoder(bias_x)], dim=1)
        return self.head(both), self.bias_head(both)

    def bias_weight(self, index: Int[Tensor, " b"], label: Int[Tensor, " b"]) -> Float[Tensor, " b"]:
        losses = self.table.averages[:, index] if self.cfg.paper_weights else self.table.relative(index, label)
        return relative_difficulty(*losses).masked_fill(self.table.label[index] < 0, torch.nan)

    def optimizers(self) -> dict[str, Optimizer]:
        return {"main": Adam(self.parameters(), lr=self.cfg.lr, weight_decay=self.cfg.weight_decay, fused=True)}

    def lr_scale(self, epoch: float) -> float:
        after = max(0, round(epoch * self.num_batches) - self.swap_start)
        return self.cfg.lr_decay ** (after // self.decay_every)

    def update(self, batch: Batch, step: Step) -> None:
        assert batch.label is not None
        cfg, label = self.cfg, batch.label
        x = batch.views[:, 0] if cfg.augment else batch.x
        z, bias_z = self.encoder(x), self.bias_encoder(x)  # (B, D) each
        loss, bias_loss = self._losses(z, bias_z, label, label)
        weight = self._weight(bias_loss.detach(), loss.detach(), batch)
        terms = {"conflict": (weight * loss).mean(), "align": cfg.align_weight * self._gce(bias_loss).mean()}
        if self.done > self.swap_start:
            donor = torch.randperm(len(label), device=label.device)
            loss, bias_loss = self._losses(z, bias_z[donor], label, label[donor])
            terms["swap_conflict"] = cfg.swap_weight * (weight * loss).mean()
            terms["swap_align"] = cfg.swap_weight * cfg.swap_align_weight * self._gce(bias_loss).mean()
        self.done += 1
        step("main", terms, log={"weight": weight.mean()})

    def _losses(
        self,
        z: Float[Tensor, "b d"],
        bias_z: Float[Tensor, "b d"],
        label: Int[Tensor, " b"],
        bias_label: Int[Tensor, " b"],
    ) -> tuple[Float[Tensor, " b"], Float[Tensor, " b"]]:
        """Cross-entropy of each last layer on each row. Neither's gradient reaches the other's network."""
        logits = self.head(torch.cat([z, bias_z.detach()], dim=1))
        bias_logits = self.bias_head(torch.cat([z.detach(), bias_z], dim=1))
        loss = F.cross_entropy(logits, label, reduction="none")
        return loss, F.cross_entropy(bias_logits, bias_label, reduction="none")

    def _gce(self, cross_entropy: Float[Tensor, " b"]) -> Float[Tensor, " b"]:
        return generalized_cross_entropy(cross_entropy, self.cfg.gce_power, exact=self.cfg.exact_gce)

    def _weight(self, bias_loss: Float[Tensor, " b"], loss: Float[Tensor, " b"], batch: Batch) -> Float[Tensor, " b"]:
        """W of each row: near 1 where only the bias network finds it hard."""
        assert batch.label is not None
        losses = torch.stack([bias_loss, loss])
        self.table.update(losses, batch.index, batch.label)
        if not self.cfg.paper_weights:
            losses = self.table.relative(batch.index, batch.label)
        weight = relative_difficulty(*losses)
        return weight / weight.mean().clamp_min(1e-8) if self.cfg.normalized_weights else weight
