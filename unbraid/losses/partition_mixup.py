"""Contrastive losses of subsets of mixed images: a query is a mixture of two images, both of whose keys are right."""

from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from unbraid.losses.partition import ABSENT, Scale, SubsetTerms


def mixing(num: int, alpha: float) -> tuple[Int[Tensor, " b"], Float[Tensor, " b"]]:
    """A partner for each of ``num`` images, and the share of the image itself in the mixture, at least one half.

    Drawn from torch's own random stream.

    Source: Wang et al. 2021's published code: Beta(alpha, alpha), folded at one half.
    """
    partner = torch.randperm(num)
    share = torch.distributions.Beta(alpha, alpha).sample((num,))
    return partner, torch.maximum(share, 1 - share)


def mixed(
    x: Float[Tensor, "b c h w"], partner: Int[Tensor, " b"], share: Float[Tensor, " b"]
) -> Float[Tensor, "b c h w"]:
    """Each image, and its partner in what the share leaves."""
    share = share.to(x).view(-1, 1, 1, 1)
    return share * x + (1 - share) * x[partner]


def mixed_contrast_of_subsets(
    query: Float[Tensor, "b d"],
    key: Float[Tensor, "b d"],
    partner: Int[Tensor, " b"],
    own: Float[Tensor, "b s"],
    other: Float[Tensor, "b s"],
    weight: Float[Tensor, "b s"],
    *,
    temperature: float,
    penalty: bool = True,
    scale: Scale = "scalar",
    renormalize: bool = False,
) -> SubsetTerms:
    """InfoNCE of mixed images: the keys of both of an image's sources are right, in the shares of the mixture.

    Args:
        query: Of mixed images, unit length.
        key: Of the images as they were.
        partner: Row of the second source.
        own: Weight of the term that asks for the first source.
        other: The same of the second.
        weight: Of each key among the subset's keys; that of an anchor's own key is always 1.
        renormalize: Multiply the weights of an anchor's other keys so that their mean is 1, and let the partner's
            probability include its weight, as published.

    Source: Lee et al. 2021 (i-Mix), arXiv:2010.08887; Wang et al. 2021's published code.
    """
    x = query @ key.T / temperature
    rows, tiny = torch.arange(len(x), device=x.device), torch.finfo(x.dtype).tiny
    x_own, x_other = x[rows, rows][:, None], x[rows, partner][:, None]
    exponentials = (x - 1 / temperature).exp()
    others = exponentials * (1 - torch.eye(len(x), dtype=x.dtype, device=x.device))
    factor = (len(x) - 1) / (weight.sum(0) - weight).clamp_min(ABSENT) if renormalize else 1.0
    total = exponentials.diagonal()[:, None] + factor * (others @ weight)
    log_total = total.log() + 1 / temperature
    loss = own * (log_total - x_own) + other * (log_total - x_other)
    if renormalize:
        of_partner = torch.where((partner == rows)[:, None], 1.0, factor * weight[partner])
        loss = loss - other * of_partner.clamp_min(tiny).log()
    loss = loss.sum(0)
    if not penalty:
        return SubsetTerms(loss, torch.zeros_like(loss))
    push = (own + other) / total  # (B, S)
    weighted = others * x
    at_own = push * (exponentials.diagonal()[:, None] * x_own) - own * x_own
    if scale == "scalar":
        slope = at_own + factor * push * (weighted @ weight) - other * x_other
        return SubsetTerms(loss, slope.sum(0).square())
    slope = at_own + weight * (weighted.T @ (factor * push))
    slope = slope.index_add(0, partner, other * x_other, alpha=-1)
    return SubsetTerms(loss, slope.square().sum(0))


# How a mixture belongs to a subset that is sought: as much as both its sources do, so that sharp subsets are those
# trained on; or as published, where online the anchors do not count, and offline the second source is not asked for.
Membership = Literal["both", "published-online", "published-offline"]


def mixture_weights(
    weight: Float[Tensor, "b s"],
    partner: Int[Tensor, " b"],
    share: Float[Tensor, " b"],
    membership: Membership,
    *,
    normalize_anchors: bool = True,
) -> tuple[Float[Tensor, "b s"], Float[Tensor, "b s"]]:
    """``own`` and ``other`` of ``mixed_contrast_of_subsets`` while subsets are sought.

    Args:
        share: Of the image itself in its mixture.
        normalize_anchors: Divide by the sum of the anchors' weights instead of by their number.

    Source: Wang et al. 2021's published code.
    """
    anchor = weight
    if membership == "both":
        anchor = weight * weight[partner]
    if membership == "published-online":
        anchor = weight.mean(0).expand_as(weight)
    anchor = anchor / (anchor.sum(0).clamp_min(torch.finfo(weight.dtype).tiny) if normalize_anchors else len(weight))
    own, other = share[:, None] * anchor, (1 - share[:, None]) * anchor
    return own, torch.zeros_like(other) if membership == "published-offline" else other
