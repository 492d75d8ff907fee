"""Dataset, sampler and views to batches. A step's batch depends on the seed and the step's number alone."""

import dataclasses
import itertools
from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, Int64, UInt8
from torch import Tensor

from unbraid.augment.recipes import Recipe
from unbraid.errors import UserError
from unbraid.seeds import integer, stream
from unbraid.tables import Dataset
from unbraid.types import Batch, Needs

Rows = Int64[np.ndarray, " _"]


@runtime_checkable
class BatchConfig(Protocol):
    """The fields of a method's configuration that decide what a batch is."""

    epochs: int
    batch_size: int


def shuffled(num: int, batch_size: int, rng: np.random.Generator, parts: int = 1) -> Iterator[list[Rows]]:
    """Batches without end: each epoch a new order, its short tail left out; each batch in ``parts`` equal pieces."""
    size = min(batch_size, num) // parts * parts
    while True:
        order = rng.permutation(num)
        for start in range(0, num - size + 1, size):
            yield np.split(order[start : start + size], parts)


def domain_balanced(
    domain: Int64[np.ndarray, " n"],
    domains_per_batch: int,
    images_per_domain: int,
    rng: np.random.Generator | np.random.RandomState,
) -> Iterator[list[Rows]]:
    """Batches without end, each of some domains drawn evenly and the next images of each of these.

    A domain's images come in a shuffled order, shuffled again when fewer than asked are left; one smaller than asked
    gives all it has.

    Source: Kahana & Hoshen 2022, supplement; the same draws as the published sampler when ``rng`` is a RandomState.
    """
    names = np.unique(domain)
    pools = {name: np.flatnonzero(domain == name) for name in names}
    for pool in pools.values():
        rng.shuffle(pool)
    cursor = dict.fromkeys(names, 0)
    while True:
        groups = []
        for name in rng.choice(names, min(domains_per_batch, len(names)), replace=False):
            pool = pools[name]
            groups.append(pool[cursor[name] : cursor[name] + images_per_domain].copy())
            cursor[name] += images_per_domain
            if cursor[name] + images_per_domain > len(pool):
                rng.shuffle(pool)
                cursor[name] = 0
        yield groups


class _Share(NamedTuple):
    """One process's part of a batch."""

    rows: Rows
    images: UInt8[np.ndarray, "b h w c"]
    before: int  # rows of the batch that stand before these
    total: int  # rows of the whole batch


class Loader:
    """Batches of the train split for one of several processes.

    Rows are read from the memory map in a thread, ahead of need; views are made on the device.

    Raises:
        UserError: If the data has no such label, or the batch cannot be dealt to the processes.
    """

    def __init__(
        self,
        dataset: Dataset,
        needs: Needs,
        cfg: BatchConfig,
        recipe: Recipe,
        *,
        seed: int,
        device: torch.device,
        memory_format: torch.memory_format = torch.contiguous_format,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        self.dataset, self.needs, self.cfg, self.recipe = dataset, needs, cfg, recipe
        self.seed, self.device, self.memory_format = seed, device, memory_format
        self.rank, self.world = rank, world
        self.train_rows = dataset.rows("train")
        if not len(self.train_rows):
            raise UserError(f"{dataset.spec.name} has no row in its train split")
        self.labels = {name: self._column(name) for name in sorted(needs.labels)}
        self.num_batches = max(1, len(self.train_rows) // self._batch_size())

    def _column(self, role: str) -> np.ndarray:
        spec = self.dataset.spec
        names = spec.factors if role == "factors" else (getattr(spec, role),)
        if not names or None in names:
            raise UserError(f"the method needs a {role} column, and {spec.name} names none; give one with --{role}")
        columns = np.stack([self.dataset.columns[name][self.train_rows] for name in names], axis=1)
        if missing := int(np.sum((columns < 0).any(axis=1))):
            raise UserError(
                f"the method needs the {role} of each row, and {missing} train rows have none; leave these out"
            )
        return columns if role == "factors" else columns[:, 0]

    def _group_sizes(self) -> tuple[int, int]:
        """(domains in a batch, images of each)."""
        most: int = self.cfg.domains_per_batch  # type: ignore[attr-defined]
        if self.cfg.batch_size % most:
            raise UserError(f"batch_size {self.cfg.batch_size} is not a multiple of domains_per_batch {most}")
        if self.cfg.batch_size // most < 2:
            raise UserError(
                f"batch_size {self.cfg.batch_size} leaves one image to each of {most} domains; it needs two"
            )
        domains, sizes = np.unique(self.labels["domain"], return_counts=True)
        if len(alone := domains[sizes == 1]):
            raise UserError(f"domains with one training image: {len(alone)}, first number {alone[0]}; they need two")
        return min(most, len(np.unique(self.labels["domain"]))), self.cfg.batch_size // most

    def _batch_size(self) -> int:
        if self.needs.sampler == "domain_balanced":
            domains, images = self._group_sizes()
            return domains * images
        return min(self.cfg.batch_size, len(self.train_rows))

    def _sampler(self) -> Iterator[list[Rows]]:
        rng = stream(self.seed, "sampler")
        if self.needs.sampler == "shuffle":
            if self.cfg.batch_size % self.world:
                raise UserError(f"batch_size {self.cfg.batch_size} cannot be dealt to {self.world} processes")
            return shuffled(len(self.train_rows), self.cfg.batch_size, rng, parts=self.world)
        domains, images = self._group_sizes()
        if domains % self.world:
            raise UserError(f"{domains} domains in a batch cannot be dealt to {self.world} processes")
        return domain_balanced(self.labels["domain"], domains, images, rng)

    def batches(self, start: int = 0) -> Generator[Batch, None, None]:
        """Batches without end, from the given step on."""
        sampler = itertools.islice(self._sampler(), start, None)
        with ThreadPoolExecutor(1, thread_name_prefix="rows") as reader:
            ahead = reader.submit(self._read, next(sampler))
            for step in itertools.count(start):
                share = ahead.result()
                ahead = reader.submit(self._read, next(sampler))
                yield self._batch(step, share)

    def in_order(self, batch_size: int, epoch: int = 0) -> "InOrder":
        """The train split between two epochs, for ``Method.begin_epoch``."""
        return InOrder(self, batch_size, epoch)

    def whole(self, index: Rows, num_views: int = 0, *name: str | int) -> Batch:
        """These rows of the train split, the same in every process; ``name`` is that of the stream of their views."""
        share = _Share(index, self.dataset.images[self.train_rows[index]], 0, len(index))
        return self._make(share, num_views, *name)

    def _read(self, groups: list[Rows]) -> "_Share":
        each = len(groups) // self.world
        first = self.rank * each
        index = np.concatenate(groups[first : first + each])
        before, total = sum(map(len, groups[:first])), sum(map(len, groups))
        return _Share(index, self.dataset.images[self.train_rows[index]], before, total)

    def _pixels(self, images: UInt8[np.ndarray, "b h w c"]) -> Float[Tensor, "b c h w"]:
        x = torch.from_numpy(images).to(self.device, non_blocking=True).permute(0, 3, 1, 2)
        return x.to(torch.float32, memory_format=self.memory_format).div_(255)

    def _batch(self, step: int, share: "_Share") -> Batch:
        batch = self._make(share, self.needs.views, "views", step)
        return dataclasses.replace(batch, weight=len(batch.x) * self.world / share.total)

    def _make(self, share: "_Share", num_views: int, *name: str | int) -> Batch:
        """A batch from pixels. Views are drawn for all its shares, so that several processes see what one would."""
        x, index = self._pixels(share.images), share.rows
        views = x.new_zeros(len(x), 0, *x.shape[1:])
        if num_views:
            generator = torch.Generator().manual_seed(integer(self.seed, *name))
            draws = self.recipe.draw(share.total, num_views, generator)
            views = self.recipe.apply(x, draws[share.before : share.before + len(x)])
        labels: dict[str, Any] = {
            name: torch.from_numpy(column[index]).to(self.device, non_blocking=True)
            for name, column in self.labels.items()
        }
        rows = torch.from_numpy(index).to(self.device, non_blocking=True)
        return Batch(index=rows, x=x, views=views, **labels)


class InOrder:
    """The train split between two epochs, as often as it is asked for: see ``types.Passes``."""

    def __init__(self, loader: Loader, batch_size: int, epoch: int) -> None:
        self.loader, self.batch_size, self.epoch = loader, batch_size, epoch

    def __iter__(self) -> Iterator[Batch]:
        for start in range(0, num := len(self.loader.train_rows), self.batch_size):
            yield self.loader.whole(np.arange(start, min(start + self.batch_size, num)))

    def with_views(self, turn: int = 0, *, batch_size: int | None = None, shuffle: bool = False) -> Iterator[Batch]:
        size, num = batch_size or self.batch_size, len(self.loader.train_rows)
        order, stop = np.arange(num), num
        if shuffle:
            size = min(size, num)
            order = stream(self.loader.seed, "pass", self.epoch, turn).permutation(num)
            stop = num // size * size
        for start in range(0, stop, size):
            name = ("pass", self.epoch, turn, start)
            yield self.loader.whole(order[start : min(start + size, num)], self.loader.needs.views, *name)
