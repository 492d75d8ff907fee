"""Where a search gets its features from: embedded once, or anew in each turn."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from unbraid.partitions.problem import FeatureBatch
from unbraid.types import Batch, Passes

Embed = Callable[[Batch], FeatureBatch]


@dataclass(frozen=True)
class Stored:
    """Features of all images; each turn deals them into batches in another order."""

    first: Float[Tensor, "n d"]
    second: Float[Tensor, "n d"]
    share: Float[Tensor, " n"] | None  # of the image itself in its first view
    batch_size: int
    generator: torch.Generator  # on the CPU

    def __call__(self, turn: int) -> Iterator[FeatureBatch]:
        order = torch.randperm(len(self.first), generator=self.generator).to(self.first.device)
        for rows in order.split(self.batch_size):
            if self.share is None:
                yield FeatureBatch(rows, self.first[rows], self.second[rows])
            else:  # a partner may be in another batch
                itself = torch.arange(len(rows), device=rows.device)
                yield FeatureBatch(rows, self.first[rows], self.second[rows], itself, self.share[rows])


def store(batches: Iterable[Batch], embed: Embed, *, batch_size: int, generator: torch.Generator) -> Stored:
    """Embed each image once; the batches must be in order."""
    found = [embed(batch) for batch in batches]
    shares = [batch.share for batch in found if batch.share is not None]
    return Stored(
        torch.cat([batch.first for batch in found]),
        torch.cat([batch.second for batch in found]),
        torch.cat(shares) if shares else None,
        batch_size,
        generator,
    )


@dataclass(frozen=True)
class Online:
    """New views in each turn, all embedded with the network as it is."""

    passes: Passes
    embed: Embed
    batch_size: int

    def __call__(self, turn: int) -> Iterator[FeatureBatch]:
        for batch in self.passes.with_views(turn, batch_size=self.batch_size, shuffle=True):
            yield self.embed(batch)
