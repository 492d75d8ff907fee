"""The label files of rPU-VAE's published code, ``3dshapes_labels.npz`` and ``dsprites_labels.npz``.

``labels`` holds whole numbers, a column for each factor, a row for each image of the whole grid. That of Shapes3D has
scale 4 as 3, so that every score on it sees seven scales. Here such values become one, named after both.

Source
    Estermann, Marks & Yanik, NeurIPS 2020, arXiv:2010.13527, and its published data.
"""

import dataclasses
import logging
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from jaxtyping import Int64

from unbraid.data.arrays import read_arrays
from unbraid.errors import DataError
from unbraid.tables import Dataset

_log = logging.getLogger("unbraid")


def with_published_labels(
    dataset: Dataset, path: Path, grid: Mapping[str, int], levels: Mapping[str, Int64[np.ndarray, " n"]]
) -> Dataset:
    """The same images with the file's labels; values that it does not tell apart are logged.

    Args:
        grid: The whole grid's factors, the last the fastest, with the number of their values.
        levels: Where in the whole grid each row stands.

    Raises:
        DataError: If the file is missing or damaged, or holds labels of other images or in another order.
    """
    labels = read_arrays(path, required=("labels",))["labels"]
    shape = tuple(grid.values())
    if labels.dtype.kind not in "iu" or labels.shape != (np.prod(shape), len(shape)):
        found = f"{labels.dtype} {labels.shape}"
        raise DataError(f"{path}: labels are {found}, expected whole numbers {(int(np.prod(shape)), len(shape))}")
    rows = np.ravel_multi_index([levels[name] for name in grid], shape)
    columns, values = dict(dataset.columns), dict(dataset.spec.values)
    for name, column in zip(grid, labels[rows].T):
        merged = _merged(dataset.columns[name], column)
        if merged is None:
            raise DataError(f"{path}: {name} does not follow the images; is it of another set, or in another order?")
        columns[name] = np.unique(column, return_inverse=True)[1]
        values[name] = tuple(_name([values[name][own] for own in owns]) for owns in merged)
        for owns in merged:
            if len(owns) > 1:
                _log.warning("%s: column %s has its values %s merged", path, name, " and ".join(map(str, owns)))
    sizes = {name: len(names) for name, names in values.items()}
    return dataclasses.replace(
        dataset, spec=dataclasses.replace(dataset.spec, sizes=sizes, values=values), columns=columns
    )


def _merged(own: Int64[np.ndarray, " n"], given: np.ndarray) -> list[list[int]] | None:
    """For each of the given values, in ascending order, the own values it stands for; None if one has several."""
    pairs = np.unique(np.stack([given, own]), axis=1)
    if len(np.unique(pairs[1])) < pairs.shape[1]:
        return None
    return [pairs[1, pairs[0] == value].tolist() for value in np.unique(pairs[0])]


def _name(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{' and '.join(names)} merged"
