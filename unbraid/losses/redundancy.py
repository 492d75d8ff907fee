"""Two views agree while the dimensions of a projection stay apart: Barlow Twins and VICReg.

With ``weight`` every mean over rows is a weighted one: weights of 0 and 1 give the loss of the rows that weigh 1. With
fewer than two of these it says nothing, but stays finite.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

Scalar = Float[Tensor, ""]
Weight = Float[Tensor, " b"] | None


def barlow_twins(z1: Float[Tensor, "b d"], z2: Float[Tensor, "b d"], weight: Weight = None) -> tuple[Scalar, Scalar]:
    """How far the cross-correlation of two views is from the identity: on its diagonal, and off it.

    The objective is the first plus a small weight (0.005) times the second; both are sums. To a variance, over b rows,
    1e-5 is added, as batch norm does.

    Source: Zbontar et al. 2021, arXiv:2103.03230, equations 1 and 2.
    """
    share = _share(z1, weight)
    first, second = (_centred(z, share) for z in (z1, z2))
    first, second = (z * (share * z.square()).sum(0).add(1e-5).rsqrt() for z in (first, second))
    correlation = first.T @ (share * second)  # (D, D)
    diagonal = correlation.diagonal()
    return (1 - diagonal).square().sum(), correlation.square().sum() - diagonal.square().sum()


def vicreg(z1: Float[Tensor, "b d"], z2: Float[Tensor, "b d"], weight: Weight = None) -> tuple[Scalar, Scalar, Scalar]:
    """Invariance, variance and covariance; the objective weights them 25, 25 and 1.

    Invariance is a mean over rows and dimensions. The others are sums over the two views: the mean shortfall of the
    dimensions' standard deviations from 1, and the squared covariances of different dimensions over their number.

    Source: Bardes et al. 2022, arXiv:2105.04906, algorithm 1 with gamma 1 and epsilon 1e-4.
    """
    share = _share(z1, weight)
    covariances = [_covariance(z, share) for z in (z1, z2)]
    deviations = [(covariance.diagonal() + 1e-4).sqrt() for covariance in covariances]
    first, second = (F.relu(1 - deviation).mean() for deviation in deviations)
    repeated = [(c.square().sum() - c.diagonal().square().sum()) / len(c) for c in covariances]
    return (share * (z1 - z2).square()).sum() / z1.shape[1], first + second, repeated[0] + repeated[1]


def _share(z: Float[Tensor, "b d"], weight: Weight) -> Float[Tensor, "b 1"]:
    weight = z.new_ones(len(z)) if weight is None else weight
    return (weight / weight.sum().clamp(min=torch.finfo(z.dtype).tiny))[:, None]


def _centred(z: Float[Tensor, "b d"], share: Float[Tensor, "b 1"]) -> Float[Tensor, "b d"]:
    return z - (share * z).sum(0)


def _covariance(z: Float[Tensor, "b d"], share: Float[Tensor, "b 1"]) -> Float[Tensor, "d d"]:
    """Unbiased, that is over n - 1 for n rows of equal weight."""
    z = _centred(z, share)
    return z.T @ (share * z) / (1 - share.square().sum()).clamp(min=1e-6)
