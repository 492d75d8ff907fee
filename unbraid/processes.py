"""What several processes must do together, differentiable where a loss needs it; nothing happens in a single one."""

from collections.abc import Iterable
from typing import Any

import torch
import torch.distributed as dist
from jaxtyping import Float
from torch import Tensor, nn


def num_processes() -> int:
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


class _Sum(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        total = x.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        grad = grad.clone()
        dist.all_reduce(grad)
        return grad


def total(x: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """The sum of every process's ``x``. Its gradient is the sum of every process's gradient."""
    return _Sum.apply(x) if num_processes() > 1 else x


def gather(x: Float[Tensor, "b ..."]) -> Float[Tensor, "g ..."]:
    """The rows of all processes, in order of rank, with gradients to each. All must have equally many.

    Every process must then compute the same loss: the average of their gradients is its gradient.
    """
    if num_processes() == 1:
        return x
    everyone = x.new_zeros(num_processes(), *x.shape)
    everyone[dist.get_rank()] = x
    return total(everyone).flatten(0, 1)


def any_process(flag: bool, device: torch.device) -> bool:
    """Whether the flag is up in one of the processes."""
    if num_processes() == 1:
        return flag
    flags = torch.tensor(int(flag), device=device)
    dist.all_reduce(flags)
    return bool(flags)


def average_gradients(params: Iterable[nn.Parameter]) -> None:
    """Replace each gradient by its mean over the processes."""
    if num_processes() == 1:
        return
    grads = [param.grad for param in params if param.grad is not None]
    flat = torch.cat([grad.flatten() for grad in grads])
    dist.all_reduce(flat)
    for grad, mean in zip(grads, flat.div_(num_processes()).split([grad.numel() for grad in grads]), strict=True):
        grad.copy_(mean.view_as(grad))
