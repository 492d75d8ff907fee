"""Contrastive losses of many subsets of a batch, with the invariance penalty of each, from one similarity matrix.

An image belongs to a subset with a weight: 0 or 1 where a partition is given, anything between where it is sought. The
penalty is the squared derivative of the loss by a factor on its logits, at factor 1. Its closed form needs no nested
differentiation, and every sum over pairs is a product of a matrix of exponentials with the weights.
"""

import math
from typing import Literal, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

# What a factor of the penalty stands on: all logits of a subset (the paper); those of one key image (whatever the
# order of the batch); one column of the published code's layout, which holds the positive first, then the negatives in
# ascending order, so that a column mixes keys.
Scale = Literal["scalar", "key", "column"]


ABSENT = 1e-15  # a sum of weights whose square a reciprocal can still be taken of


class SubsetTerms(NamedTuple):
    """Of each subset."""

    loss: Float[Tensor, " s"]
    penalty: Float[Tensor, " s"]


def contrast_of_subsets(
    z1: Float[Tensor, "b d"],
    z2: Float[Tensor, "b d"],
    weight: Float[Tensor, "b s"],
    *,
    temperature: float,
    penalty_temperature: float | None = None,
    scale: Scale = "scalar",
    renormalize: bool = False,
    normalize_anchors: bool = True,
) -> SubsetTerms:
    """SimCLR's loss of each subset: an anchor's negatives are the views of the subset's other images.

    A subset without images, or with one, has loss and penalty 0.

    Args:
        z1: Unit length; differentiable, as are the weights.
        penalty_temperature: None: no penalty (zeros).
        renormalize: Multiply the weights of each anchor's negatives so that their mean is 1.
        normalize_anchors: Divide by the sum of the anchors' weights instead of by their number.

    Source: Wang et al. 2021, arXiv:2110.15255, equations 2 and 3, and its published code.
    """
    z, num = torch.cat([z1, z2]), len(z1)
    member = weight.T.repeat(1, 2)  # (S, 2B): subsets first, for a product with a few long rows is the fast one
    positive = (z1 * z2).sum(1).repeat(2)
    anchors = member.sum(1, keepdim=True) if normalize_anchors else member.new_tensor(2.0 * num)
    anchor = member / anchors.clamp_min(_tiny(member))
    factor: Tensor | float = 1.0
    if renormalize:
        factor = (num - 1) / (member[:, :num].sum(1, keepdim=True) - member).clamp_min(ABSENT)
    x, exponentials = _logits(z, temperature)
    total = ((positive - 1) / temperature).exp() + factor * (member @ exponentials)
    loss = (anchor * (total.log() - (positive - 1) / temperature)).sum(1)
    if (t := penalty_temperature) is None:
        return SubsetTerms(loss, torch.zeros_like(loss))
    if t != temperature:
        x, exponentials = _logits(z, t)
        total = ((positive - 1) / t).exp() + factor * (member @ exponentials)
    pull = anchor * (((positive - 1) / t).exp() / total - 1) * (positive / t)  # of each anchor's own logit
    push = factor * anchor / total
    weighted = exponentials * x if z.requires_grad else x.mul_(exponentials)  # in place: it is large, and symmetric
    if scale == "scalar":
        return SubsetTerms(loss, (pull + push * (member @ weighted)).sum(1).square())
    if scale == "key":
        return SubsetTerms(loss, (pull.roll(num, 1) + member * (push @ weighted)).square().sum(1))
    columns = _column_penalty(weighted, member, push, compact=not renormalize)
    return SubsetTerms(loss, pull.sum(1).square() + columns)


def _column_penalty(
    weighted: Float[Tensor, "r r"], member: Float[Tensor, "s r"], push: Float[Tensor, "s r"], *, compact: bool
) -> Float[Tensor, " s"]:
    """Squared sums over the published layout's columns of negatives.

    Anchors that stand before a key in the batch see it one column earlier than those behind it, for they leave
    themselves out. So a column holds a member's logits for the anchors behind it, and the next member's for those
    before that. ``compact``: only images of weight above 0 are members.
    """
    num = len(weighted) // 2
    before = torch.ones(num, num, dtype=weighted.dtype, device=weighted.device).triu(1)
    weighted = (weighted.view(2, num, 2, num) * before[:, None]).view(2 * num, 2 * num)  # anchor before key
    earlier = (member * (push @ weighted)).unflatten(1, (2, num))  # (S, 2, B)
    later = (member * (push @ weighted.T)).unflatten(1, (2, num))
    if compact:
        order = (member[:, :num] == 0).to(torch.uint8).argsort(dim=1, stable=True)  # members first
        order = order[:, None].expand(-1, 2, -1)
        earlier, later = earlier.gather(2, order), later.gather(2, order)
    return (later[..., :-1] + earlier[..., 1:]).square().sum((1, 2))


def _logits(z: Float[Tensor, "r d"], temperature: float) -> tuple[Float[Tensor, "r r"], Float[Tensor, "r r"]]:
    """Of an image's negatives, and exp(logit - 1 / temperature), at most 1; 0 for the views of the image itself."""
    num = len(z) // 2
    x = (z / temperature) @ z.T
    x.view(2, num, 2, num).diagonal(dim1=1, dim2=3).fill_(-1e6)
    return x, (x - 1 / temperature).exp_()


Constraint = Literal["none", "strict", "relaxed", "confident"]


def imbalance(membership: Float[Tensor, "... b k"], constraint: Constraint, *, published: bool) -> Float[Tensor, "..."]:
    """What an unbalanced partition costs. ``membership`` holds each image's shares in the K environments.

    Args:
        constraint: "strict": minus the entropy of the mean shares. "relaxed": what that entropy lacks of the entropy
            of a partition in which one environment is twice as large as each other. "confident": a fifth of the
            images' mean entropy less the entropy of the mean.
        published: "relaxed" has the threshold of two environments, whatever their number.

    Source: Wang et al. 2021's published code.
    """
    if constraint == "none":
        return membership.new_zeros(membership.shape[:-2])
    balance = _entropy(membership.mean(-2))
    if constraint == "strict":
        return -balance
    if constraint == "confident":
        return 0.2 * (_entropy(membership).mean(-1) - balance)
    num = membership.shape[-1]
    least = 0.6365 if published else math.log(num + 1) - 2 * math.log(2) / (num + 1)
    return (least - balance).clamp_min(0)


def _entropy(p: Float[Tensor, "... k"]) -> Float[Tensor, "..."]:
    """Nats."""
    return torch.special.entr(p).sum(-1)


def _tiny(x: Tensor) -> float:
    return torch.finfo(x.dtype).tiny
