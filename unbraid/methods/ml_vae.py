"""ML-VAE: a variational code of each image, beside one latent that all images of its domain in the batch share.

Source
    Bouchacourt et al., Multi-Level Variational Autoencoder, AAAI 2018, arXiv:1705.08841, and its published code.
Objective
    The negative ELBO: reconstruction + KL(style || N(0, I)) summed over images, + KL(group || N(0, I)) summed over the
    domains of the batch, all divided by the number of these domains. A domain's posterior is the product of its
    images' Gaussians. The code is the mean of an image's style.
Differences
    1. LORD's encoder and decoder in place of two linear layers, which are for MNIST: style is the decoder's input, the
       domain's latent modulates its layers.
    2. Reconstruction is rec_weight * squared error summed over pixels: 0.5 is a Gaussian of unit variance. "perceptual"
       replaces the mean squared error by the perceptual distance.
    3. An image is drawn in a domain with the latent that this had in the last batch that held it.
    4. DCoDR's paper compares against ML-VAE without its settings; these are of the published code for MNIST (step
       size) and of the other methods here (widths, batch), with presets for small machines only.
Logged
    rec  kl_style  kl_domain  (nats per domain in the batch)
"""

from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor
from torch.optim import Adam, Optimizer

from unbraid.hparams import choice, hp, log_uniform
from unbraid.losses.group_evidence import group_evidence, group_noise, group_shares, kl_to_standard_normal
from unbraid.nets import AdaINDecoder, PerceptualDistance, perceptual_distance
from unbraid.nets.domain_memory import DomainMemory
from unbraid.nets.lord_encoder import LORDEncoder
from unbraid.tables import DataSpec
from unbraid.types import Batch, Method, Needs, Step


@dataclass(frozen=True, kw_only=True)
class Config:
    epochs: int = hp(200, doc="passes over the train split")
    batch_size: int = hp(128, least=1, search=choice(64, 128, 256), doc="images in a batch, equally many per domain")
    domains_per_batch: int = hp(4, least=1, doc="domains in a batch; with fewer in the data, the batch shrinks")
    z_dim: int = hp(128, least=1, doc="width of the code, the style")
    domain_dim: int = hp(256, least=1, doc="width of the domain's latent")
    encoder_width: int = hp(64, least=1, doc="maps in the encoder's first convolution")
    decoder_width: int = hp(256, least=8, doc="maps in the decoder's convolutions")
    reconstruction: Literal["squared", "perceptual"] = hp("squared", doc="how a drawn image is compared")
    perceptual: str = hp("auto", doc='VGG-16 weights of that distance: "auto", "imagenet", a file, or "random"')
    rec_weight: float = hp(0.5, search=log_uniform(0.1, 50.0), doc="weight of the reconstruction, per pixel")
    lr: float = hp(1e-3, search=log_uniform(1e-4, 3e-3), doc="Adam step")


_CPU = {"epochs": 20, "encoder_width": 16, "decoder_width": 32, "perceptual": "random"}  # minutes at 32x32
_TINY = {"epochs": 2, "batch_size": 16, "domains_per_batch": 2, "z_dim": 8, "domain_dim": 8, "perceptual": "random"}


class MLVAE(Method):
    """A variational autoencoder with a latent per image and one per domain."""

    config_class = Config
    cfg: Config
    needs = Needs(labels=frozenset({"domain"}), sampler="domain_balanced")
    presets = {
        "cpu": _CPU,
        "digits": _CPU,
        "sprites": _CPU,
        "coil100": _CPU,
        "yale-b": _CPU | {"epochs": 60},
        "tiny": _TINY | {"encoder_width": 4, "decoder_width": 16},
    }

    def __init__(self, cfg: Config, spec: DataSpec) -> None:
        super().__init__(cfg, spec)
        assert spec.domain is not None
        self.widths = [cfg.z_dim, cfg.z_dim, cfg.domain_dim, cfg.domain_dim]  # means and log variances
        self.encoder = LORDEncoder(spec.image_shape, sum(self.widths), width=cfg.encoder_width)
        self.decoder = AdaINDecoder(cfg.z_dim, cfg.domain_dim, spec.image_shape, width=cfg.decoder_width)
        self.memory = DomainMemory(spec.sizes[spec.domain], cfg.domain_dim)
        self.distance: PerceptualDistance | None = None
        if cfg.reconstruction == "perceptual":
            self.distance = perceptual_distance(cfg.perceptual)

    def encode(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d"]:
        return self.encoder(x)[:, : self.cfg.z_dim]  # type: ignore[no-any-return]

    def decode(self, z: Float[Tensor, "b d"], domain: Int[Tensor, " b"]) -> Float[Tensor, "b c h w"]:
        return self.decoder(z, self.memory(domain))  # type: ignore[no-any-return]

    def optimizers(self) -> dict[str, Optimizer]:
        trained = [param for param in self.parameters() if param.requires_grad]
        return {"main": Adam(trained, lr=self.cfg.lr, fused=True)}

    def update(self, batch: Batch, step: Step) -> None:
        assert batch.domain is not None
        style, style_log_var, mean, log_var = self.encoder(batch.x).split(self.widths, dim=1)
        mean, log_var = group_evidence(mean, log_var, batch.domain)  # (B, E), the same for a domain's images
        self.memory.store(mean.detach(), batch.domain)
        z = style + (style_log_var / 2).exp() * torch.randn_like(style)
        domain = mean + (log_var / 2).exp() * group_noise(mean, batch.domain)
        drawn = self.decoder(z, domain)
        distance = (self.distance or F.mse_loss)(drawn, batch.x)
        share = group_shares(batch.domain)
        num_domains = share.sum()
        terms = {
            "rec": self.cfg.rec_weight * distance * batch.x.numel() / num_domains,
            "kl_style": kl_to_standard_normal(style, style_log_var).sum() / num_domains,
            "kl_domain": (share * kl_to_standard_normal(mean, log_var)).sum() / num_domains,
        }
        step("main", terms)
