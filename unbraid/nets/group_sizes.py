"""Groups of training images, and how many each holds."""

from collections.abc import Iterable

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from unbraid.tables import DataSpec
from unbraid.types import Batch


class GroupSizes(nn.Module):
    """A group is a value of the label with a value of the bias. Before ``count`` all are taken to be alike."""

    def __init__(self, spec: DataSpec) -> None:
        super().__init__()
        assert spec.label is not None
        assert spec.bias is not None
        self.num_biases = spec.sizes[spec.bias]
        self.sizes = nn.Buffer(torch.ones(spec.sizes[spec.label] * self.num_biases))

    def forward(self, batch: Batch) -> Int[Tensor, " b"]:
        """The group of each row."""
        assert batch.label is not None
        assert batch.bias is not None
        return batch.label * self.num_biases + batch.bias

    def count(self, batches: Iterable[Batch]) -> None:
        """Set the sizes to those of one pass over the train split."""
        self.sizes.zero_()
        for batch in batches:
            self.sizes.add_(torch.bincount(self(batch), minlength=len(self.sizes)))

    def mean_losses(self, losses: Float[Tensor, " b"], group: Int[Tensor, " b"]) -> Float[Tensor, " s"]:
        """An unbiased estimate of each group's mean loss from a batch drawn at random: 0 where it has no row of it."""
        share = self.sizes / self.sizes.sum()
        return torch.zeros_like(share).index_add(0, group, losses / share[group]) / len(losses)
