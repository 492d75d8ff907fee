"""beta-TCVAE: a code whose dimensions are independent, each to stand for one factor; it knows no domain.

Source
    Chen et al., Isolating Sources of Disentanglement in Variational Autoencoders, NeurIPS 2018, arXiv:1802.04942;
    numerics and networks of the individuals of Estermann et al., Robust Disentanglement of a Few Factors at a Time,
    NeurIPS 2020, arXiv:2010.13527, and its published code.
Objective
    Reconstruction + alpha * mutual information + beta * total correlation + gamma * dimension-wise KL, of which the
    last three make up the KL to the prior and are estimated within the batch. (alpha, beta, gamma) is (1, beta, 1) as
    published; (0, beta, 1) penalises no mutual information; (beta, beta, beta) is beta-VAE.
Differences
    1. The cross-entropy is computed from logits. numerics="published" takes the published form, which keeps
       probabilities from 0 and 1 by 1e-8, and for "mss" its published weights, which stand in the wrong places.
    2. The published code draws an image from each reconstruction and does not use it. Here none is drawn, so noise
       after the first draw of a step (of several networks) is another.
    3. A batch is never cut short, where the published code cuts an epoch's last one to its budget of images.
    4. Presets named after data sets train as disentanglement_lib does: 300,000 batches of 64 at a step of 1e-4. The
       population instead searches beta, batch_size and lr on the published grids, one pass a generation.
Logged
    rec  mutual_information  total_correlation  dimension_wise  (weighted, nats per image; sums over the networks)
"""

from dataclasses import dataclass
from typing import Literal, cast

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.optim import Adam, Optimizer

from unbraid.hparams import grid, hp
from unbraid.losses.total_correlation import Estimator, decompose
from unbraid.losses.variational import bernoulli_nll, gaussian_nll
from unbraid.nets.conv_vae import VAE, Architecture, Draw, VAEs
from unbraid.processes import gather
from unbraid.tables import DataSpec
from unbraid.types import Batch, Method, Step

_BETAS = (1, 2, 3, 4, 5, 6, 8, 10, 13, 17, 22, 28, 37, 47, 60, 77, 99, 127, 163, 208, 267, 342, 437)
_LRS = tuple(10 ** (-5 + 5 * place / 29) for place in range(30))


@dataclass(frozen=True, kw_only=True)
class Config:
    epochs: int = hp(26, doc="passes over the train split")
    batch_size: int = hp(64, least=2, search=grid(8, 16, 32, 64, 128, 256, 512, 1024), doc="images in a batch")
    lr: float = hp(1e-4, search=grid(*_LRS), doc="Adam step")
    beta: float = hp(6.0, search=grid(*map(float, _BETAS)), doc="weight of the total correlation")
    alpha: float = hp(1.0, doc="weight of the mutual information of code and image")
    gamma: float = hp(1.0, doc="weight of the dimension-wise KL to the prior")
    z_dim: int = hp(10, least=1, doc="width of the code")
    estimator: Estimator = hp("mws", doc="minibatch-weighted or minibatch-stratified sampling")
    numerics: Literal["fixed", "published"] = hp("fixed", doc="published: its cross-entropy and its weights of mss")
    likelihood: Literal["bernoulli", "gaussian"] = hp("bernoulli", doc="of a pixel; the gaussian has unit variance")
    architecture: Architecture = hp("published", doc="networks: published (batch norm) or dlib (disentanglement_lib)")
    num_models: int = hp(1, least=1, doc="networks trained side by side on the same batches; published: 1, or 5")


_CPU = {"epochs": 20, "lr": 1e-3}  # minutes at 32x32


class BetaTCVAE(Method):
    """One or several variational autoencoders."""

    config_class = Config
    cfg: Config
    chosen: Tensor
    presets = {
        "dsprites": {"epochs": 29},
        "shapes3d": {"epochs": 44},
        "cars3d": {"epochs": 1214},
        "smallnorb": {"epochs": 439},
        "cpu": _CPU,
        "digits": _CPU,
        "sprites": _CPU,
        "tiny": {"epochs": 2, "batch_size": 16, "z_dim": 4, "lr": 1e-3, "num_models": 2},
    }

    def __init__(self, cfg: Config, spec: DataSpec) -> None:
        super().__init__(cfg, spec)
        self.num_data, self.num_models = spec.num_train, cfg.num_models
        self.vaes = VAEs(VAE(cfg.architecture, spec.image_shape, cfg.z_dim) for _ in range(cfg.num_models))
        self.register_buffer("chosen", torch.tensor(0))
        self._index = 0  # the same number for the host
        self.register_load_state_dict_post_hook(_read_chosen)

    def posterior(self, x: Float[Tensor, "b c h w"]) -> tuple[Float[Tensor, "b d"], Float[Tensor, "b d"]]:
        return self._vae.posterior(x)

    def posteriors(self, x: Float[Tensor, "b c h w"]) -> tuple[Float[Tensor, "m b d"], Float[Tensor, "m b d"]]:
        means, log_vars = zip(*(vae.posterior(x) for vae in self._every), strict=True)
        return torch.stack(means), torch.stack(log_vars)

    def choose(self, model: int) -> None:
        self.chosen.fill_(model)
        self._index = model

    def encode(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d"]:
        return self.posterior(x)[0]

    def decode(self, z: Float[Tensor, "b d"], domain: Int[Tensor, " b"]) -> Float[Tensor, "b c h w"]:
        return self._vae.decode(z)

    def optimizers(self) -> dict[str, Optimizer]:
        return {"main": Adam(self.parameters(), lr=self.cfg.lr, fused=True)}

    def update(self, batch: Batch, step: Step) -> None:
        every = [self._terms(batch.x, draw) for draw in self.vaes(batch.x)]
        step("main", {name: torch.stack([terms[name] for terms in every]).sum() for name in every[0]})

    def _terms(self, x: Float[Tensor, "b c h w"], draw: Draw) -> dict[str, Tensor]:
        cfg, published = self.cfg, self.cfg.numerics == "published"
        if cfg.likelihood == "bernoulli":
            rec = bernoulli_nll(draw.logits, x, published=published)
        else:
            rec = gaussian_nll(draw.logits, x)
        codes = (gather(draw.z), gather(draw.mean), gather(draw.log_var))  # of every process's images
        parts = decompose(*codes, self.num_data, estimator=cfg.estimator, published=published)
        weights = (cfg.alpha, cfg.beta, cfg.gamma)
        weighted = {name: weight * part.mean() for name, weight, part in zip(parts._fields, weights, parts)}
        return {"rec": rec.mean()} | weighted

    @property
    def _every(self) -> list[VAE]:
        return cast(list[VAE], list(self.vaes))

    @property
    def _vae(self) -> VAE:
        return self._every[self._index]


def _read_chosen(method: nn.Module, _: object) -> None:
    assert isinstance(method, BetaTCVAE)
    method._index = int(method.chosen)
