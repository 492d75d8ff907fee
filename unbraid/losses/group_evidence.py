"""Gaussian posteriors of single images and of groups of images, without a loop over groups."""

import torch
from jaxtyping import Float, Int
from torch import Tensor


def group_evidence(
    mean: Float[Tensor, "b e"], log_var: Float[Tensor, "b e"], group: Int[Tensor, " b"]
) -> tuple[Float[Tensor, "b e"], Float[Tensor, "b e"]]:
    """The product of the Gaussians of each group, as (mean, log variance) of every row's own group.

    The precision is the sum of the images' precisions, the mean their precision-weighted mean.

    Source: Bouchacourt et al. 2018, arXiv:1705.08841, section 3 (accumulating group evidence).
    """
    same = (group[:, None] == group[None, :]).to(mean.dtype)  # (B, B)
    precision = torch.exp(-log_var)
    total = same @ precision
    return (same @ (precision * mean)) / total, -torch.log(total)


def group_noise(x: Float[Tensor, "b e"], group: Int[Tensor, " b"]) -> Float[Tensor, "b e"]:
    """Standard normal noise of the shape of ``x``, the same for all rows of a group."""
    rows = torch.arange(len(group), device=group.device)
    first = torch.where(group[:, None] == group[None, :], rows, len(group)).amin(1)  # the group's first row
    return torch.randn_like(x)[first]


def group_shares(group: Int[Tensor, " b"]) -> Float[Tensor, " b"]:
    """One over the size of each row's group: a sum with these weights counts each group once."""
    return 1 / (group[:, None] == group[None, :]).sum(1)


def kl_to_standard_normal(mean: Float[Tensor, "b e"], log_var: Float[Tensor, "b e"]) -> Float[Tensor, " b"]:
    """KL(N(mean, diag exp(log_var)) || N(0, I)) of each row, in nats."""
    return 0.5 * (mean.square() + log_var.exp() - 1 - log_var).sum(1)
