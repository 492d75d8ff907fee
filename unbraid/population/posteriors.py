"""What the networks of a method say of images: means and log-variances, and which dimensions they use."""

from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32
from torch import Tensor

from unbraid.encode import to_tensor
from unbraid.errors import UserError
from unbraid.metrics.udr import gaussian_kl, surrogate_kl
from unbraid.population.intervals import Fidelity
from unbraid.types import Ensemble, Method, Posterior

LEARNED = 1.0  # nats; a dimension above has learned a factor, with a standard deviation of some 0.3 or less
_ACTIVE = 0.01  # least variance of the means; Burda et al. 2016, arXiv:1509.00519, section 5
_BATCH = 256
_LABEL_BATCH = 32  # over which the published KL is averaged

Pair = tuple[Tensor, Tensor]


def posterior(method: Method, images: np.ndarray) -> tuple[Float32[np.ndarray, "n d"], Float32[np.ndarray, "n d"]]:
    """Mean and log-variance of each image under the network that ``encode`` uses.

    Raises:
        UserError: If the codes of the method have no variance.
    """
    if not isinstance(method, Posterior):
        raise UserError(f"{type(method).__name__} gives no variance of its codes; take a VAE, for example beta-tcvae")
    return _apply(method.posterior, method, images)


def posteriors(method: Method, images: np.ndarray) -> tuple[Float32[np.ndarray, "m n d"], Float32[np.ndarray, "m n d"]]:
    """The same of each network.

    Raises:
        UserError: If the method trains one network only.
    """
    check_several(method)
    assert isinstance(method, Ensemble)
    return _apply(method.posteriors, method, images)


def check_several(method: Method) -> int:
    """How many networks the method trains. Raises: UserError if it is one."""
    if not isinstance(method, Ensemble) or method.num_models < 2:
        raise UserError("UDR compares several networks of one setting, which only beta-tcvae trains: give num_models=5")
    return method.num_models


def _apply(network: Callable[[Tensor], Pair], method: Method, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    device = next(method.parameters()).device
    with torch.inference_mode():
        parts = [network(to_tensor(images[start : start + _BATCH], device)) for start in range(0, len(images), _BATCH)]
    means, log_variances = (torch.cat(one, dim=-2).float().cpu().numpy() for one in zip(*parts))
    return means, log_variances


def learned(
    means: Float[np.ndarray, "n d"], log_variances: Float[np.ndarray, "n d"], fidelity: Fidelity = "published"
) -> Bool[np.ndarray, " d"]:
    """The dimensions whose KL to the prior is above ``LEARNED``.

    Published: what that code takes for the KL, over batches of 32, the last and smaller one with the weight of a whole
    one. Fixed: the KL; and the means must differ from image to image.
    """
    if fidelity == "fixed":
        return (gaussian_kl(means, log_variances) > LEARNED) & (means.var(axis=0, dtype=np.float64) > _ACTIVE)
    starts = range(0, len(means), _LABEL_BATCH)
    batches = [(means[i : i + _LABEL_BATCH], log_variances[i : i + _LABEL_BATCH] / 2) for i in starts]
    return np.mean([surrogate_kl(mean, log_sigma, len(mean)) for mean, log_sigma in batches], axis=0) > LEARNED
