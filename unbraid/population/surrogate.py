"""Surrogate labels: the means of the dimensions that a VAE has learned, and how well another model's code fits them.

A leaf run labels the whole data set, then a part in which all learned factors are fixed, then a part of that: each
time a block of rows with labels, together a bundle. A model is judged on each block by what it was learned from.

Source
    Estermann, Marks & Yanik 2020, arXiv:2010.13527, and the behaviour of its published code.
"""

import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Float64, Int64

from unbraid.atomic import atomic_file
from unbraid.errors import DataError
from unbraid.metrics.information import bin_codes, information_gap, information_matrix
from unbraid.population.intervals import Fidelity
from unbraid.population.posteriors import learned, posterior
from unbraid.types import Method

BINS = 20


@dataclass(frozen=True, kw_only=True)
class Labels:
    """Surrogate labels of some images."""

    values: Float64[np.ndarray, "n a"]
    dimensions: Int64[np.ndarray, " a"]  # of the code, where they come from

    def save(self, path: Path) -> None:
        with atomic_file(path) as temporary, temporary.open("wb") as file:
            np.savez_compressed(file, values=self.values, dimensions=self.dimensions)

    @classmethod
    def load(cls, path: Path) -> "Labels":
        """Raises: DataError if the file is missing or damaged."""
        with _naming(path), np.load(path, allow_pickle=False) as file:
            return cls(values=file["values"], dimensions=file["dimensions"])


def surrogate_labels(method: Method, images: np.ndarray, fidelity: Fidelity = "published") -> Labels:
    """The means of the learned dimensions; there may be none.

    Raises:
        UserError: If the codes of the method have no variance.
    """
    means, log_variances = posterior(method, images)
    dimensions = np.flatnonzero(learned(means, log_variances, fidelity))
    return Labels(values=means[:, dimensions].astype(np.float64), dimensions=dimensions)


@dataclass(frozen=True)
class Block:
    """Rows of the whole data set and their surrogate labels."""

    rows: Int64[np.ndarray, " n"]
    labels: Float64[np.ndarray, "n a"]


@dataclass(frozen=True)
class Bundle:
    """What one leaf run has learned, or what several have after they were merged."""

    blocks: tuple[Block, ...]

    def save(self, path: Path) -> None:
        """As ``labels_0``, ``rows_0``, ``labels_1``, ..."""
        arrays: dict[str, Any] = {
            f"{name}_{number}": array
            for number, block in enumerate(self.blocks)
            for name, array in (("labels", block.labels), ("rows", block.rows))
        }
        with atomic_file(path) as temporary, temporary.open("wb") as file:
            np.savez_compressed(file, **arrays)

    @classmethod
    def load(cls, path: Path) -> "Bundle":
        """A file of ours, or a published one, whose ``indices_j`` pick the rows of block j+1 out of those of block j.

        Raises:
            DataError: If the file is missing or damaged, or holds no labels.
        """
        with _naming(path), np.load(path, allow_pickle=False) as file:
            return cls(_blocks({key: file[key] for key in file.files}))


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise DataError(f"no surrogate labels at {path}") from None
    except (KeyError, ValueError, IndexError, TypeError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise DataError(f"{path} holds no surrogate labels, or is damaged ({error})") from None


def _blocks(arrays: dict[str, np.ndarray]) -> tuple[Block, ...]:
    blocks: list[Block] = []
    rows = np.arange(len(arrays["labels_0"]))
    while (key := f"labels_{len(blocks)}") in arrays:
        number = len(blocks)
        if f"rows_{number}" in arrays:
            rows = arrays[f"rows_{number}"]
        elif number:
            rows = rows[arrays[f"indices_{number - 1}"]]
        if arrays[key].ndim != 2 or rows.shape != arrays[key].shape[:1]:
            raise ValueError(f"{key} is {arrays[key].shape} for {len(rows)} rows")
        blocks.append(Block(rows.astype(np.int64), arrays[key].astype(np.float64)))
    return tuple(blocks)


def draw(bundle: Bundle, num: int, seed: int) -> Bundle:
    """At most ``num`` rows of each block, without replacement; the published draws."""
    random = np.random.RandomState(seed)
    chosen = [random.choice(len(block.rows), min(num, len(block.rows)), replace=False) for block in bundle.blocks]
    return Bundle(tuple(Block(one.rows[pick], one.labels[pick]) for one, pick in zip(bundle.blocks, chosen)))


def leaf_information(
    codes: Sequence[Float[np.ndarray, "_ d"]], labels: Sequence[Float64[np.ndarray, "_ _"]]
) -> tuple[Float[np.ndarray, "d a"], Float[np.ndarray, " a"]]:
    """Mutual information of each dimension with each label of each block, and the labels' entropies, in nats.

    Codes and labels of a block are cut into 20 bins of equal width.
    """
    found = [information_matrix(bin_codes(z, BINS), bin_codes(some, BINS).T, BINS) for z, some in zip(codes, labels)]
    information, entropies = zip(*found)
    return np.concatenate(information, axis=1), np.concatenate(entropies)


def leaf_mig(encode: Callable[[np.ndarray], np.ndarray], bundles: Sequence[Bundle]) -> float:
    """MIG against surrogate labels: the mean over the labels of a bundle, the median over bundles.

    Args:
        encode: Row numbers to codes (n, d); it is asked for each row once.
    """
    rows = np.unique(np.concatenate([block.rows for bundle in bundles for block in bundle.blocks]))
    z = encode(rows)
    scores = []
    for bundle in bundles:
        codes = [z[np.searchsorted(rows, block.rows)] for block in bundle.blocks]
        gaps = information_gap(*leaf_information(codes, [block.labels for block in bundle.blocks]))
        scores.append(gaps.mean())
    return float(np.median(scores))
