"""Generalised cross-entropy: it learns what is easy, and soon little from what it still gets wrong."""

from jaxtyping import Float
from torch import Tensor


def generalized_cross_entropy(
    cross_entropy: Float[Tensor, " b"], power: float, *, exact: bool = False
) -> Float[Tensor, " b"]:
    """(1 - p^q) / q of each row if ``exact``, where p = exp(-cross_entropy) is the probability of its label.

    As published it is q p^q cross_entropy with q p^q held fixed: another value, and q times the gradient.

    Source: Zhang & Sabuncu 2018, arXiv:1805.07836, equation 6; as published, Nam et al. 2020, arXiv:2007.02561.
    """
    if exact:
        return -(-power * cross_entropy).expm1() / power
    return power * (-power * cross_entropy.detach()).exp() * cross_entropy


def relative_difficulty(biased: Float[Tensor, " b"], debiased: Float[Tensor, " b"]) -> Float[Tensor, " b"]:
    """The share of the biased network's loss in the sum of both: near 1 where a row conflicts with the bias.

    Source: Nam et al. 2020, arXiv:2007.02561, equation 5.
    """
    return biased / (biased + debiased + 1e-8)
