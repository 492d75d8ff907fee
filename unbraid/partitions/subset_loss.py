"""Loss and penalty of subsets, of given ones in training and of sought ones in a search."""

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from unbraid.losses.objectives import Objective, barlow_twins, losses_of_subsets, simsiam, vicreg
from unbraid.losses.partition import Scale, SubsetTerms, contrast_of_subsets
from unbraid.losses.partition_mixup import Membership, mixed_contrast_of_subsets, mixture_weights
from unbraid.partitions.problem import FeatureBatch

OBJECTIVES: dict[str, Objective] = {"simsiam": simsiam, "vicreg": vicreg, "barlow-twins": barlow_twins}
Penalty = Literal["irm", "irm-key", "v-rex"]


@dataclass(frozen=True, kw_only=True)
class SubsetLoss:
    """What ``ip-irm`` is told about its loss. Letters: B images, D width of an output, S subsets."""

    objective: str  # "simclr", or one of OBJECTIVES, which have no penalty
    temperature: float
    penalty: Penalty
    penalty_temperature: float
    scalar: bool  # irm: one factor per subset; as published one per column, or with mixup one per key
    same: bool  # sought subsets have the loss of given ones; as published another
    normalize_anchors: bool  # of sought subsets
    online: bool  # features are embedded anew in each turn of a search

    def given(
        self, first: Float[Tensor, "b d"], second: Float[Tensor, "b d"], weight: Float[Tensor, "b s"]
    ) -> SubsetTerms:
        return self._plain(first, second, weight, renormalize=False, normalize_anchors=True)

    def sought(self, batch: FeatureBatch, weight: Float[Tensor, "b s"]) -> SubsetTerms:
        if batch.partner is None or batch.share is None:
            options = {"renormalize": not self.same, "normalize_anchors": self.normalize_anchors}
            return self._plain(batch.first, batch.second, weight, **options)
        form: Membership = "published-online" if self.online else "published-offline"
        form = "both" if self.same else form
        own, other = mixture_weights(weight, batch.partner, batch.share, form, normalize_anchors=self.normalize_anchors)
        return self._mixed(batch.first, batch.second, batch.partner, own, other, weight, renormalize=not self.same)

    def given_mixed(
        self,
        query: Float[Tensor, "b d"],
        key: Float[Tensor, "b d"],
        partner: Int[Tensor, " b"],
        share: Float[Tensor, "b s"],
        weight: Float[Tensor, "b s"],
    ) -> SubsetTerms:
        """Of mixtures of two images of the same subset; ``share`` is that of the image itself."""
        anchor = weight / weight.sum(0).clamp_min(1)
        return self._mixed(query, key, partner, anchor * share, anchor * (1 - share), weight, renormalize=False)

    def _plain(
        self, first: Tensor, second: Tensor, weight: Tensor, *, renormalize: bool, normalize_anchors: bool
    ) -> SubsetTerms:
        if self.objective != "simclr":
            loss = losses_of_subsets(OBJECTIVES[self.objective], first, second, weight)
            return SubsetTerms(loss, torch.zeros_like(loss))
        return contrast_of_subsets(
            first,
            second,
            weight,
            temperature=self.temperature,
            penalty_temperature=None if self.penalty == "v-rex" else self.penalty_temperature,
            scale=self._scale("column"),
            renormalize=renormalize,
            normalize_anchors=normalize_anchors,
        )

    def _mixed(self, *features: Tensor, renormalize: bool) -> SubsetTerms:
        return mixed_contrast_of_subsets(
            *features,
            temperature=self.temperature,
            penalty=self.penalty != "v-rex",
            scale=self._scale("key"),
            renormalize=renormalize,
        )

    def _scale(self, published: Scale) -> Scale:
        if self.penalty == "irm-key":
            return "key"
        return "scalar" if self.scalar else published
