"""DANN: a code that tells every image from every other, with an adversary that takes the domain out of it.

Source
    Ganin et al., Domain-Adversarial Training of Neural Networks, JMLR 2016, arXiv:1505.07818; the task that keeps the
    content is that of Chen et al., SimCLR, ICML 2020, arXiv:2002.05709.
Objective
    NT-Xent between the projections of two augmented views, + cross-entropy of a classifier that reads the domain from
    the code. On its way from classifier to encoder the gradient changes sign, so one learns to read the domain and the
    other to hide it; it is scaled by 2 / (1 + exp(-10 p)) - 1, where p goes from 0 to 1 over the training.
Differences
    1. The paper's task is to classify a label. No label of the content is assumed here, so the code keeps what the
       contrastive task makes it keep: this is adversarial removal on top of `simclr`, and comparable with it.
    2. The code is normalised before the classifier, as it is evaluated.
    3. Adam at a constant step size in place of SGD with the paper's annealing.
    4. The classifier has the two hidden layers of 1,024 of the paper's larger networks, and any number of domains.
Logged
    contrast  domain  (weighted, as optimised)  reversal  (the factor on the reversed gradient)
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn
from torch.optim import Adam, Optimizer

from unbraid.hparams import choice, hp, log_uniform
from unbraid.losses import nt_xent
from unbraid.nets import backbone, mlp
from unbraid.nets.gradient_reversal import reverse_gradient
from unbraid.processes import gather
from unbraid.tables import DataSpec
from unbraid.types import Batch, Method, Needs, Step


@dataclass(frozen=True, kw_only=True)
class Config:
    epochs: int = hp(200, doc="passes over the train split")
    batch_size: int = hp(128, least=1, search=choice(128, 256, 512), doc="images in a batch")
    backbone: str = hp("resnet50", doc="encoder: resnet50, resnet18, resnet18-cifar, small, tiny or timm:<model>")
    weights: str = hp("none", doc='initial weights: "none", "imagenet", or a file (MoCo v2, torchvision)')
    z_dim: int = hp(128, least=1, doc="width of the code")
    projection_dim: int = hp(128, least=1, doc="width of the projection that the contrastive loss sees")
    classifier_width: int = hp(1024, least=1, doc="width of the domain classifier's two hidden layers")
    temperature: float = hp(0.5, least=1e-3, search=log_uniform(0.05, 1.0), doc="NT-Xent temperature")
    domain_weight: float = hp(1.0, search=log_uniform(0.1, 10.0), doc="weight of the domain classifier's loss")
    lr: float = hp(1e-3, search=log_uniform(1e-4, 3e-3), doc="Adam step")
    weight_decay: float = hp(1e-6, doc="L2 penalty")


_CPU = {"epochs": 20, "backbone": "small", "classifier_width": 256}
_TINY = {"epochs": 2, "batch_size": 16, "backbone": "tiny", "z_dim": 8, "projection_dim": 8, "classifier_width": 16}


class DANN(Method):
    """SimCLR's task and a domain classifier behind a gradient reversal."""

    config_class = Config
    cfg: Config
    needs = Needs(views=2, labels=frozenset({"domain"}))
    presets = {
        "cpu": _CPU,
        "digits": _CPU | {"epochs": 8},
        "sprites": _CPU | {"epochs": 8},
        "coil100": _CPU,
        "yale-b": _CPU | {"epochs": 60},
        "tiny": _TINY,
    }
    views = "simclr"

    def __init__(self, cfg: Config, spec: DataSpec) -> None:
        super().__init__(cfg, spec)
        assert spec.domain is not None
        self.encoder = backbone(cfg.backbone, out_dim=cfg.z_dim, weights=cfg.weights)
        self.projector = mlp(cfg.z_dim, cfg.z_dim, cfg.projection_dim)
        hidden = cfg.classifier_width
        self.classifier = mlp(cfg.z_dim, hidden, hidden, spec.sizes[spec.domain])
        self.num_updates = cfg.epochs * max(1, spec.num_train // cfg.batch_size)
        self.done = nn.Buffer(torch.zeros(()))  # updates; on the device, and part of a checkpoint

    def encode(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d"]:
        return F.normalize(self.encoder(x), dim=-1)

    def optimizers(self) -> dict[str, Optimizer]:
        return {"main": Adam(self.parameters(), lr=self.cfg.lr, weight_decay=self.cfg.weight_decay, fused=True)}

    def update(self, batch: Batch, step: Step) -> None:
        assert batch.domain is not None
        z = [self.encoder(view) for view in batch.views.unbind(1)]  # two of (B, D)
        first, second = (gather(F.normalize(self.projector(one), dim=-1)) for one in z)
        strength = self.reversal()
        self.done.add_(1)
        logits = self.classifier(reverse_gradient(F.normalize(torch.cat(z), dim=-1), strength))  # (2B, K)
        terms = {
            "contrast": nt_xent(first, second, self.cfg.temperature),
            "domain": self.cfg.domain_weight * F.cross_entropy(logits, batch.domain.repeat(2)),
        }
        step("main", terms, log={"reversal": strength})

    def reversal(self) -> Float[Tensor, ""]:
        """The factor on the reversed gradient, from 0 to almost 1 (section 5.2 of the paper)."""
        progress = (self.done / self.num_updates).clamp(max=1)
        return 2 / (1 + torch.exp(-10 * progress)) - 1
