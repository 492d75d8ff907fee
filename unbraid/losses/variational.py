"""Variational autoencoders: likelihoods of an image, and the penalties that ask a posterior to disentangle."""

import math
from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor


def bernoulli_nll(
    logits: Float[Tensor, "b c h w"], x: Float[Tensor, "b c h w"], *, published: bool = False
) -> Float[Tensor, " b"]:
    """Binary cross-entropy of each image in nats, summed over its pixels, which may lie between 0 and 1.

    Args:
        published: With a probability kept from 0 and 1 by 1e-8, as the published population-based training has it: at
            most 18.4 nats per pixel, and no gradient where the sigmoid saturates.

    Source: Estermann et al. 2020, arXiv:2010.13527, published code.
    """
    if not published:
        return F.binary_cross_entropy_with_logits(logits, x, reduction="none").flatten(1).sum(1)
    eps = 1e-8
    p = (torch.sigmoid(logits) + eps) * (1 - 2 * eps)
    return -(x * torch.log(p + eps) + (1 - x) * torch.log(1 - p + eps)).flatten(1).sum(1)


def gaussian_nll(logits: Float[Tensor, "b c h w"], x: Float[Tensor, "b c h w"]) -> Float[Tensor, " b"]:
    """Nats of each image under unit variance around sigmoid(logits): half the squared error, and a constant."""
    constant = 0.5 * math.log(2 * math.pi) * x[0].numel()
    return 0.5 * (torch.sigmoid(logits) - x).square().flatten(1).sum(1) + constant


LIKELIHOODS: Mapping[str, Callable[..., Tensor]] = {"bernoulli": bernoulli_nll, "gaussian": gaussian_nll}


def capacity(step: int, last: float, num_steps: int) -> float:
    """The KL in nats that is asked for at a step: from 0 to ``last`` in so many steps, then constant.

    Source: Burgess et al. 2018, arXiv:1804.03599, section 5.
    """
    return last * min(1.0, step / num_steps) if num_steps else last


def dip_penalty(
    mean: Float[Tensor, "b d"], log_var: Float[Tensor, "b d"] | None, *, off_diagonal: float, diagonal: float
) -> Float[Tensor, ""]:
    """Weighted squared distance of a covariance to the identity.

    Args:
        log_var: None: of the covariance of the means (DIP-VAE-I). Otherwise the posteriors' mean variance is added,
            which gives the covariance of the aggregate posterior (DIP-VAE-II).

    Source: Kumar et al. 2018, arXiv:1711.00848, equations 4 to 6.
    """
    covariance = torch.cov(mean.T, correction=0)
    if log_var is not None:
        covariance = covariance + torch.diag(log_var.exp().mean(0))
    on = covariance.diagonal()
    off = covariance.square().sum() - on.square().sum()
    return off_diagonal * off + diagonal * (on - 1).square().sum()
