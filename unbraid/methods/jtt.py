"""JTT: a classifier that counts the images more which a first, briefly trained classifier got wrong.

Source
    Liu et al., Just Train Twice: Improving Group Robustness without Training Group Information, ICML 2021,
    arXiv:2107.09044.
Objective
    For identification_epochs, cross-entropy of a first network. Then its errors among the training images are noted,
    and a second network is trained from the start: cross-entropy, each of these images times upweight, all divided by
    the mean of these factors. The code is what the last layer of the second network reads; before its turn it is
    untrained, and so is the code.
Differences
    1. The paper's upsampling is its own upweighting in expectation: an image weighs upweight instead of being drawn so
       many times as often.
    2. epochs counts both stages.
    3. Adam, as the methods it is compared with; the paper has SGD.
    4. Not published for cmnist, cifar10c and bffhq: these presets are `vanilla`'s, with the first stage on top.
Logged
    first/cross_entropy  second/cross_entropy  (weighted, as optimised)  second/errors  (their share in the batch)
"""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.optim import Adam, Optimizer

from unbraid.errors import UserError
from unbraid.hparams import choice, grid, hp, log_uniform
from unbraid.nets.classifier import feature_extractor
from unbraid.tables import DataSpec
from unbraid.types import Batch, Method, Needs, Step


@dataclass(frozen=True, kw_only=True)
class Config:
    epochs: int = hp(100, least=2, doc="passes over the train split, in both stages together")
    identification_epochs: int = hp(1, least=1, doc="of these, in the first stage")
    upweight: float = hp(50.0, least=1.0, search=grid(5.0, 20.0, 50.0, 100.0), doc="weight of the first one's errors")
    batch_size: int = hp(256, least=2, search=choice(64, 128, 256), doc="images in a batch")
    backbone: str = hp("resnet18", doc="mlp, mlp-wide, resnet18, resnet18-cifar, resnet50, small, tiny or timm:<model>")
    weights: str = hp("none", doc='initial weights: "none", "imagenet", or a file (MoCo v2, torchvision)')
    augment: bool = hp(False, doc="train on a random crop and flip of each image, or other --views")
    lr: float = hp(1e-3, search=log_uniform(1e-4, 1e-2), doc="Adam step")
    weight_decay: float = hp(0.0, doc="L2 penalty")
    unit_pixels: bool = hp(False, doc="mlp: see pixels in [0, 1]; published: divided by 255 a second time")


_CMNIST = {"epochs": 235, "backbone": "mlp", "lr": 1e-2}
_CIFAR10C = {"epochs": 287, "augment": True}
_BFFHQ = {"epochs": 168, "batch_size": 64, "augment": True, "lr": 1e-4}
_CPU = {"epochs": 21, "backbone": "small", "batch_size": 128}
_DIGITS = {"epochs": 21, "backbone": "mlp", "batch_size": 128, "unit_pixels": True, "lr": 1e-2}  # seconds


class JTT(Method):
    """Two classifiers, one after the other."""

    config_class = Config
    cfg: Config
    needs = Needs(labels=frozenset({"label"}))
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
        if cfg.identification_epochs >= cfg.epochs:
            raise UserError(
                f"jtt: with {cfg.identification_epochs} of {cfg.epochs} epochs in the first stage none is left for the "
                "second network, which is the result; give more epochs"
            )
        self.needs = Needs(views=int(cfg.augment), labels=frozenset({"label"}))
        self.first_encoder, width = self._features(spec)
        self.first_head = nn.Linear(width, spec.sizes[spec.label])
        self.encoder, _ = self._features(spec)
        self.head = nn.Linear(width, spec.sizes[spec.label])
        self.errors = nn.Buffer(torch.zeros(spec.num_train))  # of the first network: 1, else 0
        self.identifying = True

    def _features(self, spec: DataSpec) -> tuple[nn.Module, int]:
        cfg = self.cfg
        return feature_extractor(cfg.backbone, spec.image_shape, weights=cfg.weights, unit_pixels=cfg.unit_pixels)

    def get_extra_state(self) -> Tensor:
        """The stage is part of a checkpoint, so that a run can resume within an epoch."""
        return torch.tensor(self.identifying)

    def set_extra_state(self, state: Tensor) -> None:
        self.identifying = bool(state)

    def encode(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d"]:
        return self.encoder(x)  # type: ignore[no-any-return]

    def predict(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b k"]:
        return self.head(self.encoder(x))  # type: ignore[no-any-return]

    def bias_predict(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b k"]:
        return self.first_head(self.first_encoder(x))  # type: ignore[no-any-return]

    def bias_weight(self, index: Int[Tensor, " b"], label: Int[Tensor, " b"]) -> Float[Tensor, " b"]:
        return self.errors[index]

    def optimizers(self) -> dict[str, Optimizer]:
        parts = {"first": (self.first_encoder, self.first_head), "second": (self.encoder, self.head)}
        return {
            name: Adam(
                [param for module in modules for param in module.parameters()],
                lr=self.cfg.lr,
                weight_decay=self.cfg.weight_decay,
                fused=True,
            )
            for name, modules in parts.items()
        }

    def begin_epoch(self, epoch: int, loader: Iterable[Batch], step: Step) -> None:
        self.identifying = epoch < self.cfg.identification_epochs
        if epoch == self.cfg.identification_epochs:
            self._note_errors(loader)

    @torch.no_grad()
    def _note_errors(self, batches: Iterable[Batch]) -> None:
        self.eval()
        for batch in batches:
            assert batch.label is not None
            answers = self.bias_predict(batch.x).argmax(1)
            self.errors[batch.index] = (answers != batch.label).float()
        self.train()

    def update(self, batch: Batch, step: Step) -> None:
        assert batch.label is not None
        x = batch.views[:, 0] if self.cfg.augment else batch.x
        if self.identifying:
            step("first", {"cross_entropy": F.cross_entropy(self.bias_predict(x), batch.label)})
            return
        losses = F.cross_entropy(self.predict(x), batch.label, reduction="none")  # (B,)
        extra, errors = self.cfg.upweight - 1, self.errors[batch.index]
        weight = (1 + extra * errors) / (1 + extra * self.errors.mean())
        step("second", {"cross_entropy": (weight * losses).mean()}, log={"errors": errors.mean()})
