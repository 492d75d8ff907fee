"""InfoNCE: over the whole batch, over two views, and within one domain. Codes are unit vectors; losses are in nats."""

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor


def domain_info_nce(
    z: Float[Tensor, "b d"],
    z_pos: Float[Tensor, "b v d"] | None,
    domain: Int[Tensor, " b"] | None,
    temperature: float,
    negatives: Int[Tensor, "b n"] | None = None,
) -> Float[Tensor, ""]:
    """InfoNCE in which only images of the anchor's own domain are negatives.

    Negatives are the other anchors, un-augmented; several positives are pooled inside the logarithm.

    Args:
        z: Anchors, unit length.
        z_pos: Augmented copies of each anchor, unit length. None: their similarity is the constant 1, which
            leaves uniformity within each domain alone.
        domain: None: every other anchor is a negative.
        negatives: Rows to use in place of all; a row named twice counts twice.

    Returns:
        Nats, averaged over the anchors. log(1 + n) when all vectors coincide.

    Source: Kahana & Hoshen 2022, arXiv:2203.11284, section 4.
    """
    similarity = z @ z.T / temperature  # (B, B)
    if negatives is not None:
        count = torch.zeros_like(similarity).scatter_add_(1, negatives, torch.ones_like(negatives, dtype=z.dtype))
        neg = similarity + count.log()  # log 0 = -inf leaves a row out
    else:
        other = ~torch.eye(len(z), dtype=torch.bool, device=z.device)
        if domain is not None:
            other &= domain[:, None] == domain[None, :]
        neg = similarity.masked_fill(~other, -torch.inf)
    if z_pos is None:
        pos = torch.full_like(similarity[:, :1], 1 / temperature)
    else:
        pos = torch.einsum("bd,bvd->bv", z, z_pos) / temperature  # (B, V)
    return (torch.logsumexp(torch.cat([neg, pos], dim=1), dim=1) - torch.logsumexp(pos, dim=1)).mean()


def draw_negatives(domain: Int[Tensor, " b"], most: int) -> Int[Tensor, "b n"]:
    """At most ``most`` negatives per anchor, by the published rule and torch's own random stream.

    The number is the same for every anchor: the mean domain size of the batch less one, capped. If some domain is
    too small for it, the draw is with replacement for every anchor.

    Args:
        domain: All equal: every other anchor is a candidate.

    Raises:
        ValueError: If no anchor would have a negative.

    Source: Kahana & Hoshen 2022, published code.
    """
    same = domain[:, None] == domain[None, :]  # (B, B)
    sizes = same.sum(1)
    num_domains = (1 / sizes).sum().round()
    num = min(int(len(domain) // num_domains) - 1, most)
    if num < 1:
        raise ValueError("no negatives: the batch needs at least two images of a domain")
    candidates = same.fill_diagonal_(False).float()
    return candidates.multinomial(num, replacement=bool(sizes.min() - 1 < num))


def nt_xent(
    z1: Float[Tensor, "b d"], z2: Float[Tensor, "b d"], temperature: float, tau_plus: float = 0.0
) -> Float[Tensor, ""]:
    """NT-Xent: each of the 2B views must find its twin among all others.

    Args:
        tau_plus: How likely a negative is of the anchor's own class: its share is taken off what the negatives weigh
            (debiased contrastive loss). 0: nothing is.

    Returns:
        Nats, averaged over the 2B views.

    Source: Chen et al. 2020, arXiv:2002.05709, equation 1; for tau_plus Chuang et al. 2020, arXiv:2007.00224,
        equations 7 and 8 with one positive.
    """
    z = torch.cat([z1, z2])  # (2B, D)
    twin = torch.arange(len(z), device=z.device).roll(len(z1))
    if not tau_plus:
        return F.cross_entropy((z @ z.T / temperature).fill_diagonal_(-torch.inf), twin)
    weights = ((z @ z.T - 1) / temperature).exp()  # at most 1
    log_pos, num = ((z * z[twin]).sum(1) - 1) / temperature, len(z) - 2
    pos, own = log_pos.exp(), torch.eye(len(z), dtype=torch.bool, device=z.device)
    neg = weights.masked_fill(own | own[twin], 0).sum(1)
    neg = ((neg - tau_plus * num * pos) / (1 - tau_plus)).clamp(min=num * math.exp(-2 / temperature))
    return ((pos + neg).log() - log_pos).mean()
