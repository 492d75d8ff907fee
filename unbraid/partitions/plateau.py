"""Whether training has come to rest, as part of a checkpoint."""

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn


class Plateau(nn.Module):
    """How many epochs have passed since the mean loss of one was lower by a share than that of any before it."""

    def __init__(self, share: float = 0.01) -> None:
        super().__init__()
        self.share = share
        self.sums = nn.Buffer(torch.zeros(2))  # this epoch's losses, and their number
        self.least = nn.Buffer(torch.tensor(math.inf))
        self.waited = nn.Buffer(torch.tensor(0))

    def add(self, loss: Float[Tensor, ""]) -> None:
        self.sums.add_(torch.stack([loss.detach(), torch.ones_like(loss)]))

    def end_epoch(self) -> None:
        total, num = self.sums.tolist()
        least = float(self.least)
        better = num > 0 and (least == math.inf or total / num < least - self.share * abs(least))
        self.least.fill_(total / num if better else least)
        self.waited.copy_(torch.tensor(0) if better else self.waited + 1)
        self.sums.zero_()

    def reset(self) -> None:
        """Forget all epochs."""
        for buffer, value in ((self.sums, 0), (self.least, math.inf), (self.waited, 0)):
            buffer.fill_(value)
