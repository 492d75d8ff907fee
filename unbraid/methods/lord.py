"""LORD: a content code found per training image, which the domain's own embedding leaves nothing to say about.

Source
    Gabbay & Hoshen, Demystifying Inter-Class Disentanglement, ICLR 2020, arXiv:1906.11796, with the settings of its
    PyTorch version.
Objective
    First half of the epochs, no encoder: one content embedding per training image and one embedding per domain are
    optimised with a decoder, perceptual(decode(content + noise, domain), x) + decay * |content + noise|^2. A domain's
    images share its embedding, so what is common to them need not stand in the noisy, decayed content.
    Second half: encoders of content and of domain learn to give these embeddings, which no longer change, and a copy
    of the decoder goes on learning: perceptual + match_weight * (two mean squared errors). The code is the content
    encoder's output; before the second half that encoder is untrained, and so is the code.
Differences
    1. The two stages are one run of twice the published epochs.
    2. The cosine ends at the same share of every step size: 1e-5 for the decoder as published, but 1e-4 and not 1e-5
       for the embeddings.
    3. Grey images are repeated to three channels for the perceptual distance, which the published code cannot take.
    4. Stage one's decoder is kept beside its copy.
    5. DCoDR's paper compares against LORD without its settings; these are LORD's own, one set for every data set.
Logged
    latent/rec  latent/decay  amortized/rec  amortized/content  amortized/domain  (weighted, as optimised)
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.optim import Adam, Optimizer

from unbraid.hparams import choice, hp, log_uniform
from unbraid.nets import AdaINDecoder, perceptual_distance
from unbraid.nets.lord_encoder import LORDEncoder
from unbraid.tables import DataSpec
from unbraid.types import Batch, Method, Needs, Step


@dataclass(frozen=True, kw_only=True)
class Config:
    epochs: int = hp(400, least=2, doc="passes over the train split, the first half without encoders")
    batch_size: int = hp(128, least=1, search=choice(64, 128), doc="images in a batch")
    z_dim: int = hp(128, least=1, doc="width of the content code")
    domain_dim: int = hp(256, least=1, doc="width of the domain embedding")
    encoder_width: int = hp(64, least=1, doc="maps in the encoders' first convolution")
    decoder_width: int = hp(256, least=8, doc="maps in the decoder's convolutions")
    perceptual: str = hp("auto", doc='VGG-16 weights of the distance: "auto", "imagenet", a file, or "random"')
    noise: float = hp(1.0, doc="standard deviation of the noise on content embeddings")
    decay: float = hp(1e-4, search=log_uniform(1e-5, 1e-2), doc="weight of the noisy content's squared length")
    match_weight: float = hp(10.0, search=log_uniform(1.0, 100.0), doc="weight of the encoders' squared errors")
    latent_lr: float = hp(3e-3, doc="Adam step for the embeddings")
    decoder_lr: float = hp(3e-4, doc="Adam step for the decoder in the first half")
    amortized_lr: float = hp(1e-4, doc="Adam step for encoders and decoder in the second half")
    last_lr: float = hp(1e-5, doc="where the cosine of each half ends")


# Minutes on two cores at 32x32. Noise and latent step as published are for many more batches.
_CPU = {"epochs": 60, "encoder_width": 16, "decoder_width": 32, "perceptual": "random"}
_CPU |= {"noise": 0.1, "latent_lr": 3e-2, "decoder_lr": 1e-3, "amortized_lr": 1e-3}
_TINY = {"epochs": 2, "batch_size": 16, "z_dim": 8, "domain_dim": 8, "encoder_width": 4, "decoder_width": 16}


class LORD(Method):
    """Latent optimisation, then amortisation."""

    config_class = Config
    cfg: Config
    needs = Needs(labels=frozenset({"domain"}))
    presets = {
        "cpu": _CPU,
        "digits": _CPU,
        "sprites": _CPU,
        "coil100": _CPU,
        "yale-b": _CPU | {"epochs": 200},
        "cars3d": {},  # as published: one set of numbers for every data set of the paper
        "smallnorb": {},
        "celeba": {},
        "tiny": _TINY | {"perceptual": "random"},
    }

    def __init__(self, cfg: Config, spec: DataSpec) -> None:
        super().__init__(cfg, spec)
        assert spec.domain is not None
        self.content_embedding = _embedding(spec.num_train, cfg.z_dim)
        self.domain_embedding = _embedding(spec.sizes[spec.domain], cfg.domain_dim)
        self.latent_decoder, self.decoder = (
            AdaINDecoder(cfg.z_dim, cfg.domain_dim, spec.image_shape, width=cfg.decoder_width) for _ in range(2)
        )
        self.encoder = LORDEncoder(spec.image_shape, cfg.z_dim, width=cfg.encoder_width)
        self.domain_encoder = LORDEncoder(spec.image_shape, cfg.domain_dim, width=cfg.encoder_width)
        self.distance = perceptual_distance(cfg.perceptual)
        self.latent_epochs = cfg.epochs // 2
        self.amortizing = False

    def get_extra_state(self) -> Tensor:
        """The stage is part of a checkpoint, so that a run can resume within an epoch."""
        return torch.tensor(self.amortizing)

    def set_extra_state(self, state: Tensor) -> None:
        self.amortizing = bool(state)

    def encode(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d"]:
        """Content as ``decode`` takes it; its length means something, and scores that compare angles normalise it."""
        return self.encoder(x)  # type: ignore[no-any-return]

    def decode(self, z: Float[Tensor, "b d"], domain: Int[Tensor, " b"]) -> Float[Tensor, "b c h w"]:
        return self.decoder(z, self.domain_embedding(domain))  # type: ignore[no-any-return]

    def optimizers(self) -> dict[str, Optimizer]:
        cfg, betas = self.cfg, (0.5, 0.999)
        embeddings = [*self.content_embedding.parameters(), *self.domain_embedding.parameters()]
        latent = [
            {"params": embeddings, "lr": cfg.latent_lr},
            {"params": self.latent_decoder.parameters(), "lr": cfg.decoder_lr},
        ]
        parts = (self.encoder, self.domain_encoder, self.decoder)
        amortized = [param for part in parts for param in part.parameters()]
        return {
            "latent": Adam(latent, betas=betas, fused=True),
            "amortized": Adam(amortized, lr=cfg.amortized_lr, betas=betas, fused=True),
        }

    def lr_scale(self, epoch: float) -> float:
        done, length, first = epoch / self.latent_epochs, self.latent_epochs, self.cfg.decoder_lr
        if epoch >= self.latent_epochs:
            length, first = self.cfg.epochs - self.latent_epochs, self.cfg.amortized_lr
            done = (epoch - self.latent_epochs) / length
        last = self.cfg.last_lr / first
        return last + (1 - last) * (1 + math.cos(math.pi * done)) / 2

    def begin_epoch(self, epoch: int, loader: Iterable[Batch], step: Step) -> None:
        self.amortizing = epoch >= self.latent_epochs
        if epoch == self.latent_epochs:
            self.decoder.load_state_dict(self.latent_decoder.state_dict())

    def update(self, batch: Batch, step: Step) -> None:
        assert batch.domain is not None
        content, domain = self.content_embedding(batch.index), self.domain_embedding(batch.domain)
        if self.amortizing:
            self._amortize(batch.x, content.detach(), domain.detach(), step)
            return
        noisy = content + self.cfg.noise * torch.randn_like(content)
        rec = self.distance(self.latent_decoder(noisy, domain), batch.x)
        step("latent", {"rec": rec, "decay": self.cfg.decay * noisy.square().sum(1).mean()})

    def _amortize(
        self, x: Float[Tensor, "b c h w"], content: Float[Tensor, "b d"], domain: Float[Tensor, "b e"], step: Step
    ) -> None:
        z, seen = self.encoder(x), self.domain_encoder(x)
        weight = self.cfg.match_weight
        terms = {"rec": self.distance(self.decoder(z, seen), x)}
        terms |= {"content": weight * F.mse_loss(z, content), "domain": weight * F.mse_loss(seen, domain)}
        step("amortized", terms)


def _embedding(num: int, dim: int) -> nn.Embedding:
    embedding = nn.Embedding(num, dim)
    nn.init.uniform_(embedding.weight, -0.05, 0.05)
    return embedding
