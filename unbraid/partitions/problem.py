"""What a partition is sought for: that the encoder, asked to do well in each environment, does badly."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from unbraid.losses.partition import SubsetTerms


@dataclass(frozen=True)
class FeatureBatch:
    """What the network gives for two views of some images; of mixed images, with what."""

    index: Int[Tensor, " b"]  # rows of the train split
    first: Float[Tensor, "b d"]
    second: Float[Tensor, "b d"]
    partner: Int[Tensor, " b"] | None = None  # the first view is a mixture with that row's
    share: Float[Tensor, " b"] | None = None  # of the image itself in the mixture


@dataclass(frozen=True)
class Problem:
    """Letters: N images, K environments, R partitions that are weighed at once, S subsets."""

    num_images: int
    num_environments: int
    batches: Callable[[int], Iterable[FeatureBatch]]  # those of a turn; none twice in it, perhaps not all images
    terms: Callable[[FeatureBatch, Float[Tensor, "b s"]], SubsetTerms]
    constraint: Callable[[Float[Tensor, "r b k"]], Float[Tensor, " r"]]
    penalty: Callable[[SubsetTerms, Float[Tensor, "r k"]], Float[Tensor, " r"]]  # of environments of these sizes
    penalty_weight: float

    def objective(self, batch: FeatureBatch, membership: Float[Tensor, "r b k"]) -> Float[Tensor, " r"]:
        """How badly the encoder does: the mean loss of the environments, and their penalty."""
        shape = len(membership), self.num_environments
        terms = SubsetTerms(*(part.view(shape) for part in self.terms(batch, membership.transpose(0, 1).flatten(1))))
        return terms.loss.mean(1) + self.penalty_weight * self.penalty(terms, membership.sum(1))

    def risk(self, batch: FeatureBatch, membership: Float[Tensor, "r b k"]) -> Float[Tensor, " r"]:
        """What a finder makes small."""
        return self.constraint(membership) - self.objective(batch, membership)

    @torch.no_grad()
    def values(self, environments: Int[Tensor, "r n"], turn: int = 0) -> Float[Tensor, " r"]:
        """The objective of whole partitions, averaged over the batches of a turn."""
        each = []
        for batch in self.batches(turn):
            sharp = F.one_hot(environments[:, batch.index], self.num_environments).to(batch.first)
            each.append(self.objective(batch, sharp))
        return torch.stack(each).mean(0)

    def best(self, environments: Int[Tensor, "r n"], values: Float[Tensor, " r"]) -> int:
        """The partition of least risk, its balance included; one without a value is the last choice."""
        sharp = F.one_hot(environments, self.num_environments).to(values)
        return int((self.constraint(sharp) - values).nan_to_num(nan=torch.inf).argmin())

    def features(self) -> Float[Tensor, "n d"]:
        """One for each image: the mean of its views, at unit length."""
        every: Tensor | None = None
        for batch in self.batches(0):
            if every is None:
                every = batch.first.new_zeros(self.num_images, batch.first.shape[1])
            every[batch.index] = F.normalize(batch.first + batch.second, dim=1)
        assert every is not None
        return every


def mean_penalty(terms: SubsetTerms, size: Float[Tensor, "r k"]) -> Float[Tensor, " r"]:
    """Of the environments."""
    return terms.penalty.mean(1)


def variance(terms: SubsetTerms, size: Float[Tensor, "r k"]) -> Float[Tensor, " r"]:
    """The unbiased variance of the losses.

    Source: Krueger et al. 2021 (V-REx), arXiv:2003.00688, equation 8.
    """
    return terms.loss.var(1)


def weighed_variance(terms: SubsetTerms, size: Float[Tensor, "r k"]) -> Float[Tensor, " r"]:
    """The same where all environments have as many images; otherwise each loss counts by them.

    Fewer images have fewer negatives and a smaller loss: where all counted alike, an empty environment would be the
    most unlike the others. Those of less than two images are left out.
    """
    size = size * (size >= 2)
    share = size / size.sum(1, keepdim=True).clamp_min(1)
    mean = (share * terms.loss).sum(1, keepdim=True)
    num = (size > 0).sum(1)
    return (share * (terms.loss - mean).square()).sum(1) * num / (num - 1).clamp_min(1)


@dataclass(frozen=True)
class Found:
    """A partition."""

    logits: Float[Tensor, "n k"]  # the greatest names the environment
    last: Float[Tensor, "n k"]  # those of the search's last turn, which need not be its best
    value: float  # the objective
    turns: int  # passes over the features

    @property
    def environments(self) -> Int[Tensor, " n"]:
        return self.logits.argmax(1)
