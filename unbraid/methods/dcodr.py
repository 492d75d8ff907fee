"""DCoDR: a code that carries everything about an image except its domain.

Source
    Kahana & Hoshen, A Contrastive Objective for Learning Disentangled Representations, ECCV 2022, arXiv:2203.11284.
Objective
    InfoNCE whose negatives are the other images of the anchor's own domain; DCoDR adds
    rec_weight * perceptual(decode(z, domain), x). Each domain is spread evenly over the same sphere, so the domains'
    codes coincide and the domain cannot be read from them.
Differences
    1. Negatives are all same-domain images of the batch. The published code draws at most 64 of them
       (max_negatives=64), which is the same set at its 32 images per domain; above 65 per domain, or with domains of
       unequal size in a batch, it draws a subset, in the latter case with replacement.
    2. The code is normalised to unit length inside encode(); the published code normalises at each use.
    3. An epoch has at least one batch; the published sampler yields none when the batch is the whole data set.
    4. The ablation that the publication calls "no negatives" has negatives, of all domains: negatives=all_domains,
       in plain shuffled batches (of 64 as published). Its "no positives" is positives=0; the published code still
       encodes one view there, which moves batch normalisation's running statistics and nothing else.
    5. Presets named after the five published data sets are the published scripts' values. They begin from MoCo v2,
       which is looked for, then downloaded; --weights none is the ablation without pretraining.
Logged
    contrast  rec  (weighted, as optimised)
"""

from dataclasses import dataclass
from typing import Literal

import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.optim import Adam, Optimizer

from unbraid.hparams import choice, hp, log_uniform
from unbraid.losses import domain_info_nce, draw_negatives
from unbraid.nets import AdaINDecoder, backbone, perceptual_distance
from unbraid.processes import gather
from unbraid.tables import DataSpec
from unbraid.types import Batch, Method, Needs, Step


@dataclass(frozen=True, kw_only=True)
class Config:
    epochs: int = hp(200, doc="passes over the train split")
    batch_size: int = hp(128, least=1, search=choice(64, 128, 256), doc="images in a batch, equally many per domain")
    domains_per_batch: int = hp(4, least=1, doc="domains in a batch; with fewer in the data, the batch shrinks")
    backbone: str = hp("resnet50", doc="encoder: resnet50, resnet18, resnet18-cifar, small, tiny or timm:<model>")
    weights: str = hp("none", doc='initial weights: "none", "moco-v2", "imagenet", or a file (MoCo v2, torchvision)')
    head: bool = hp(False, doc="three-layer head on top of the encoder")
    z_dim: int = hp(128, least=1, doc="width of the code")
    temperature: float = hp(0.2, least=1e-3, search=log_uniform(0.05, 1.0), doc="InfoNCE temperature")
    positives: int = hp(1, least=0, doc="augmented copies of an anchor, pooled in one logarithm; 0: uniformity alone")
    negatives: Literal["same_domain", "all_domains"] = hp("same_domain", doc="which anchors of the batch repel")
    max_negatives: int = hp(0, least=0, doc="draw at most so many for each anchor; 0: take every one")
    encoder_lr: float = hp(1e-4, search=log_uniform(1e-5, 1e-3), doc="Adam step for the encoder")
    lr_decay: float = hp(0.33, doc="factor on every step size after each 30 of 200 epochs, or the same share of fewer")


@dataclass(frozen=True, kw_only=True)
class ReconstructionConfig(Config):
    domain_dim: int = hp(256, least=1, doc="width of the domain embedding that the decoder sees")
    decoder_width: int = hp(256, least=4, doc="maps in the decoder's convolutions")
    perceptual: str = hp("auto", doc='VGG-16 weights of the distance: "auto", "imagenet", a file, or "random"')
    rec_weight: float = hp(0.3, search=log_uniform(0.03, 3.0), doc="weight of the reconstruction term")
    decoder_lr: float = hp(3e-4, doc="Adam step for the decoder")
    domain_lr: float = hp(3e-3, doc="Adam step for the domain embedding")


# The published training scripts (supplement, and the code where they differ).
_PUBLISHED = {"weights": "moco-v2", "max_negatives": 64}
_COOL = _PUBLISHED | {"temperature": 0.1}
_CPU = {"epochs": 20, "backbone": "small", "encoder_lr": 1e-3, "lr_decay": 0.7}  # minutes on two cores at 32x32
_TINY = {"epochs": 2, "batch_size": 16, "domains_per_batch": 2, "backbone": "tiny", "z_dim": 8}
_CPU_REC = _CPU | {"decoder_width": 32, "perceptual": "random", "decoder_lr": 1e-3}
_TINY_REC = _TINY | {"domain_dim": 8, "decoder_width": 16, "perceptual": "random"}


class DCoDRNoRec(Method):
    """The contrastive half: encoder only."""

    config_class = Config
    needs = Needs(views=1, labels=frozenset({"domain"}), sampler="domain_balanced")
    cfg: Config
    presets = {
        "cars3d": _PUBLISHED,
        "smallnorb": _PUBLISHED,
        "shapes3d": _COOL,
        "celeba": _PUBLISHED,
        "edges2shoes": _COOL,
        "cpu": _CPU,
        "digits": _CPU | {"epochs": 8},
        "sprites": _CPU | {"epochs": 8},
        "coil100": _CPU,
        "yale-b": _CPU | {"epochs": 60},
        "tiny": _TINY,
    }
    views = "dcodr"

    def __init__(self, cfg: Config, spec: DataSpec) -> None:
        super().__init__(cfg, spec)
        self.needs = Needs(
            views=cfg.positives,
            labels=frozenset({"domain"}),
            sampler="domain_balanced" if cfg.negatives == "same_domain" else "shuffle",
        )
        self.encoder = backbone(cfg.backbone, out_dim=cfg.z_dim, head=cfg.head, weights=cfg.weights)

    def encode(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d"]:
        return F.normalize(self.encoder(x), dim=-1)

    def optimizers(self) -> dict[str, Optimizer]:
        return {"main": Adam(self.encoder.parameters(), lr=self.cfg.encoder_lr, betas=(0.5, 0.999), fused=True)}

    def lr_scale(self, epoch: float) -> float:
        return self.cfg.lr_decay ** (int(epoch * 200 / self.cfg.epochs) // 30)

    def terms(self, batch: Batch, z: Float[Tensor, "b d"]) -> dict[str, Tensor]:
        assert batch.domain is not None
        z_pos = None
        if self.cfg.positives:
            # Anchors have been encoded before positives: batch statistics depend on the order.
            z_pos = self.encode(batch.views.flatten(0, 1)).unflatten(0, batch.views.shape[:2])  # (B, V, D)
        domain = batch.domain
        if self.cfg.negatives == "all_domains":  # a process of several sees whole domains, but not all of them
            z, z_pos = gather(z), None if z_pos is None else gather(z_pos)
            domain = domain.new_zeros(len(z))
        drawn = draw_negatives(domain, self.cfg.max_negatives) if self.cfg.max_negatives else None
        return {"contrast": domain_info_nce(z, z_pos, domain, self.cfg.temperature, drawn)}

    def update(self, batch: Batch, step: Step) -> None:
        step("main", self.terms(batch, self.encode(batch.x)))


class DCoDR(DCoDRNoRec):
    """Both halves: the code must also suffice, with the domain, to draw the image again."""

    config_class = ReconstructionConfig
    presets = {
        "cars3d": _PUBLISHED,
        "smallnorb": _PUBLISHED | {"head": True, "encoder_lr": 3e-4},
        "shapes3d": _COOL,
        "celeba": _PUBLISHED | {"encoder_lr": 1e-3, "decoder_lr": 1e-3},
        "edges2shoes": _COOL | {"encoder_lr": 1e-3, "decoder_lr": 1e-3},
        "cpu": _CPU_REC,
        "digits": _CPU_REC | {"epochs": 8},
        "sprites": _CPU_REC | {"epochs": 8},
        "coil100": _CPU_REC,
        "yale-b": _CPU_REC | {"epochs": 60},
        "tiny": _TINY_REC,
    }
    cfg: ReconstructionConfig

    def __init__(self, cfg: ReconstructionConfig, spec: DataSpec) -> None:
        super().__init__(cfg, spec)
        assert spec.domain is not None
        self.decoder = AdaINDecoder(cfg.z_dim, cfg.domain_dim, spec.image_shape, width=cfg.decoder_width)
        self.domain_embedding = nn.Embedding(spec.sizes[spec.domain], cfg.domain_dim)
        nn.init.uniform_(self.domain_embedding.weight, -0.05, 0.05)
        self.distance = perceptual_distance(cfg.perceptual)

    def decode(self, z: Float[Tensor, "b d"], domain: Int[Tensor, " b"]) -> Float[Tensor, "b c h w"]:
        return self.decoder(z, self.domain_embedding(domain))  # type: ignore[no-any-return]

    def optimizers(self) -> dict[str, Optimizer]:
        groups = [
            {"params": self.encoder.parameters(), "lr": self.cfg.encoder_lr},
            {"params": self.decoder.parameters(), "lr": self.cfg.decoder_lr},
            {"params": self.domain_embedding.parameters(), "lr": self.cfg.domain_lr},
        ]
        return {"main": Adam(groups, betas=(0.5, 0.999), fused=True)}

    def update(self, batch: Batch, step: Step) -> None:
        assert batch.domain is not None
        z = self.encode(batch.x)
        rec = self.distance(self.decode(z, batch.domain), batch.x)
        step("main", self.terms(batch, z) | {"rec": self.cfg.rec_weight * rec})
