"""What networks last lost on each training image, and the greatest loss of each class."""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from unbraid.errors import UserError
from unbraid.processes import gather, num_processes

_FAN = 64  # rows, or nodes, below a node
_TOP = 1024  # nodes on the uppermost level, at most: so many are compared at once


class LossTable(nn.Module):
    """Moving averages of the losses of one or several networks (M) on every training image.

    The greatest average of each class is kept exact at a cost of O(B log N): above the rows stands a tree, whose nodes
    hold the greatest average of each class among the rows below them, and a batch renews the nodes above its own rows.
    A row that was never seen has average 0 and no class.
    """

    def __init__(self, num_networks: int, num_rows: int, num_classes: int, rate: float) -> None:
        super().__init__()
        if not 0 <= rate < 1:
            raise UserError(f"the share of the old average, {rate}, must be at least 0 and below 1")
        self.rate = rate
        size = _multiple(num_rows)
        self.averages = nn.Buffer(torch.zeros(num_networks, size))
        self.label = nn.Buffer(torch.full((size,), -1))
        self.sizes = [_multiple(size // _FAN)]  # nodes on each level of the tree
        while self.sizes[-1] > _TOP:
            self.sizes.append(_multiple(self.sizes[-1] // _FAN))
        self.tree = nn.Buffer(torch.zeros(num_networks, num_classes, sum(self.sizes)))

    @torch.no_grad()
    def update(self, losses: Float[Tensor, "m b"], index: Int[Tensor, " b"], label: Int[Tensor, " b"]) -> None:
        """Store a row's first loss as it is, and later ``rate`` * old average + (1 - ``rate``) * loss.

        Args:
            index: Rows of the train split, none twice.

        Source: Nam et al. 2020, arXiv:2007.02561, section 4, and its published code for the first loss.
        """
        losses, index, label = _of_all_processes(losses, index, label)
        seen = (self.label[index] >= 0).to(losses)
        self.averages[:, index] = self.rate * self.averages[:, index] + (1 - self.rate * seen) * losses
        self.label[index] = label
        node = index // _FAN
        below = self.averages.unflatten(1, (-1, _FAN)).index_select(1, node)  # (M, B, FAN)
        same = self.label.unflatten(0, (-1, _FAN)).index_select(0, node) == label[:, None]
        greatest = below.where(same, 0).amax(2)
        *lower, top = self.tree.split(self.sizes, dim=2)
        for level in lower:
            level[:, label, node] = greatest
            node = node // _FAN
            greatest = level.unflatten(2, (-1, _FAN))[:, label, node].amax(2)
        top[:, label, node] = greatest

    def relative(self, index: Int[Tensor, " b"], label: Int[Tensor, " b"]) -> Float[Tensor, "m b"]:
        """Averages divided by the greatest of the row's class; 0 where that is 0."""
        greatest = self.class_maximum()[:, label]
        return self.averages[:, index] / greatest.clamp_min(torch.finfo(greatest.dtype).tiny)

    def class_maximum(self) -> Float[Tensor, "m k"]:
        return self.tree[:, :, -self.sizes[-1] :].amax(2)


def _multiple(num: int) -> int:
    """The least multiple of the fan that is not below ``num``."""
    return _FAN * -(-num // _FAN)


def _of_all_processes(
    losses: Float[Tensor, "m b"], index: Int[Tensor, " b"], label: Int[Tensor, " b"]
) -> tuple[Float[Tensor, "m g"], Int[Tensor, " g"], Int[Tensor, " g"]]:
    """Each process keeps the whole table. Whole numbers travel as float64, exactly."""
    if num_processes() == 1:
        return losses, index, label
    *rows, every_index, every_label = gather(torch.stack([*losses, index, label], dim=1).double()).unbind(1)
    return torch.stack(rows).to(losses), every_index.long(), every_label.long()
