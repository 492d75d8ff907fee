"""DrNet's adversary: are two poses of the same domain? And its confusion."""

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor


def draw_partner(allowed: Bool[Tensor, "b b"]) -> Int[Tensor, " b"]:
    """For each row one of the columns that are allowed, all equally likely. A row that allows none gets any."""
    return torch.rand(allowed.shape, device=allowed.device).masked_fill(~allowed, -1).argmax(1)


def same_domain_loss(same: Float[Tensor, " b"], different: Float[Tensor, " b"]) -> Float[Tensor, ""]:
    """Binary cross-entropy of the adversary's logits. As published, pairs of *different* domains are marked 1.

    Source: Denton & Birodkar 2017, arXiv:1705.10915, section 3, and the published code for the marks.
    """
    logits = torch.cat([same, different])
    marks = torch.cat([torch.zeros_like(same), torch.ones_like(different)])
    return F.binary_cross_entropy_with_logits(logits, marks)


def confusion_loss(logits: Float[Tensor, " b"]) -> Float[Tensor, ""]:
    """Binary cross-entropy against one half: least, log 2, where the adversary cannot tell.

    Source: Denton & Birodkar 2017, arXiv:1705.10915, section 3.
    """
    return F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, 0.5))
