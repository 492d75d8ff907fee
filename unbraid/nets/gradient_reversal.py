"""Gradient reversal: the identity, whose gradient changes sign on its way back."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor


class _Reverse(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, strength: Tensor) -> Tensor:
        ctx.save_for_backward(strength)
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        (strength,) = ctx.saved_tensors
        return -strength * grad, None


def reverse_gradient(x: Float[Tensor, "..."], strength: Float[Tensor, ""]) -> Float[Tensor, "..."]:
    """``x`` unchanged; its gradient is multiplied by ``-strength``.

    Source: Ganin et al. 2016, arXiv:1505.07818, section 4.2.
    """
    return _Reverse.apply(x, strength)
