"""Self-supervised losses of any part of a batch: what partition invariance can be built on beside SimCLR."""

from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from unbraid.losses import predictive, redundancy


@runtime_checkable
class Objective(Protocol):
    """A loss of what a network gives for two views of the same images, of all of them or of a subset."""

    def __call__(
        self, first: Float[Tensor, "b d"], second: Float[Tensor, "b d"], weight: Float[Tensor, " b"]
    ) -> Float[Tensor, ""]:
        """The loss in which every mean over images is one with these weights.

        Weights of 0 and 1 give the plain loss of the images that weigh 1. Differentiable in the weights, and without
        branches on values, so that ``torch.vmap`` gives the losses of many subsets at once.
        """


def losses_of_subsets(
    objective: Objective, first: Float[Tensor, "b d"], second: Float[Tensor, "b d"], weight: Float[Tensor, "b s"]
) -> Float[Tensor, " s"]:
    """The loss of each of several subsets, whose weights are the columns."""
    return torch.vmap(objective, in_dims=(None, None, 1))(first, second, weight)


def simsiam(
    first: Float[Tensor, "b d"], second: Float[Tensor, "b d"], weight: Float[Tensor, " b"]
) -> Float[Tensor, ""]:
    """Each view's prediction and projection stand side by side."""
    (predicted1, z1), (predicted2, z2) = (view.chunk(2, dim=1) for view in (first, second))
    total = weight.sum().clamp_min(torch.finfo(weight.dtype).tiny)
    return weight @ predictive.simsiam(predicted1, predicted2, z1, z2) / total


def barlow_twins(
    first: Float[Tensor, "b d"], second: Float[Tensor, "b d"], weight: Float[Tensor, " b"]
) -> Float[Tensor, ""]:
    """With the paper's weight."""
    diagonal, rest = redundancy.barlow_twins(first, second, weight)
    return diagonal + 0.005 * rest


def vicreg(first: Float[Tensor, "b d"], second: Float[Tensor, "b d"], weight: Float[Tensor, " b"]) -> Float[Tensor, ""]:
    """With the paper's weights."""
    invariance, variance, covariance = redundancy.vicreg(first, second, weight)
    return 25 * invariance + 25 * variance + covariance
