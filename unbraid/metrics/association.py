"""How far what a model says of each row goes with each column of the data: a name for a bias that nobody has named.

Letters: N rows, C columns.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields

import numpy as np
from jaxtyping import Float, Integer

from unbraid.tables import Column

NUM_BINS = 10
_ROUNDING = 1e-12  # permutations that differ by less have the same information


@dataclass(frozen=True)
class Association:
    """Of one column with the values asked about, within the strata."""

    information: float  # mutual information, nats
    normalised: float  # divided by the mean of both entropies, after chance was taken off each: chance 0, the same 1
    p_value: float  # share of permutations, the rows as they are among them, with at least this information
    num: int  # rows in which the column is known


_FIELDS = tuple(one.name for one in fields(Association))


def associations(
    values: Integer[np.ndarray, " n"],
    columns: Mapping[str, Column],
    rng: np.random.Generator,
    strata: Integer[np.ndarray, " n"] | None = None,
) -> dict[str, Association]:
    """The association of ``values`` with each column, most first; a real-valued one is cut into equally filled bins.

    There are enough permutations for a p-value to survive a correction for the number of columns (Bonferroni).

    Args:
        strata: What is held fixed. A biased classifier's confidence, say, is asked about within each label: in a biased
            set the label itself goes with everything.
    """
    num_permutations = max(999, 40 * len(columns))
    strata = np.zeros(len(values), dtype=np.int64) if strata is None else strata
    known = {name: ~np.isnan(one) if one.dtype.kind == "f" else one >= 0 for name, one in columns.items()}
    found: dict[str, Association] = {}
    for rows in {mask.tobytes(): mask for mask in known.values()}.values():  # columns known in the same rows at once
        names = [name for name, mask in known.items() if np.array_equal(mask, rows)]
        labels = [one if one.dtype.kind != "f" else equally_filled(one) for one in (columns[n][rows] for n in names)]
        found |= zip(names, associate(values[rows], np.stack(labels), strata[rows], rng, num_permutations))
    return dict(sorted(found.items(), key=lambda item: -item[1].normalised))


def associate(
    values: Integer[np.ndarray, " n"],
    columns: Integer[np.ndarray, "c n"],
    strata: Integer[np.ndarray, " n"],
    rng: np.random.Generator,
    num_permutations: int = 999,
) -> list[Association]:
    """Plug-in I(values; column | strata) of each column, and the same with ``values`` permuted within the strata.

    Source: adjustment for chance as in Vinh, Epps & Bailey 2010, JMLR 11, with the arithmetic mean of the entropies
    and, for the expectation, the mean over permutations.
    """
    from scipy.special import xlogy

    num = len(values)
    if num == 0:
        return [Association(0.0, 0.0, 1.0, 0)] * len(columns)
    order = np.argsort(strata, kind="stable")
    strata, values = _dense(strata[order]), _dense(values[order])
    pairs = [_dense(strata * (column.max() + 1) + column) for column in columns[:, order]]
    num_values, logs = int(values.max()) + 1, xlogy(np.arange(num + 1), np.arange(num + 1))

    def entropy(cells: Integer[np.ndarray, " n"]) -> float:
        return float(np.log(num) - logs[np.bincount(cells)].sum() / num)  # counts are small whole numbers: a table

    def joint() -> list[float]:
        return [entropy(cells * num_values + values) for cells in pairs]

    fixed = entropy(strata)
    of_values, of_pairs = entropy(strata * num_values + values) - fixed, np.array([entropy(one) for one in pairs])
    information = of_values + of_pairs - np.array(joint())
    parts = np.split(values, np.flatnonzero(np.diff(strata)) + 1)  # views: shuffling them shuffles ``values``
    permuted = np.empty((num_permutations, len(pairs)))
    for row in permuted:
        for part in parts:
            rng.shuffle(part)
        row[:] = of_values + of_pairs - np.array(joint())
    expected = permuted.mean(axis=0)
    room = (of_values + of_pairs - fixed) / 2 - expected
    normalised = np.divide(information - expected, room, out=np.zeros_like(room), where=room > _ROUNDING)
    p_value = (1 + np.sum(permuted >= information - _ROUNDING, axis=0)) / (1 + num_permutations)
    return [
        Association(float(max(nats, 0.0)), float(share), float(p), num)
        for nats, share, p in zip(information, normalised, p_value)
    ]


def _dense(cells: Integer[np.ndarray, " n"]) -> Integer[np.ndarray, " n"]:
    """The same classes, numbered 0, 1, 2, ..."""
    return np.unique(cells, return_inverse=True)[1]


def equally_filled(values: Float[np.ndarray, " n"], bins: int = NUM_BINS) -> Integer[np.ndarray, " n"]:
    """The bin, 0 .. bins-1, that each value falls in, edges at its quantiles; equal values share a bin."""
    edges = np.quantile(values, np.linspace(0, 1, bins + 1)[1:-1]) if len(values) else np.empty(0)
    return np.searchsorted(edges, values, side="right")


def equally_wide(share: Float[np.ndarray, " n"], bins: int = NUM_BINS) -> Integer[np.ndarray, " n"]:
    """The bin, 0 .. bins-1, of values from 0 to 1, edges evenly apart."""
    return np.minimum((share * bins).astype(np.int64), bins - 1)


def name_of(found: Mapping[str, Association]) -> str | None:
    """The column that goes with the values most, if that is more than chance: p at most 0.05 over all columns."""
    sure = {name: one for name, one in found.items() if one.p_value * len(found) <= 0.05 and one.normalised > 0}
    return max(sure, key=lambda name: sure[name].normalised) if sure else None


def as_arrays(found: Mapping[str, Association]) -> dict[str, np.ndarray]:
    """For an .npz file."""
    numbers = {f"association_{field}": np.array([getattr(one, field) for one in found.values()]) for field in _FIELDS}
    return {"association_column": np.array(list(found), dtype=str)} | numbers


def from_arrays(arrays: Mapping[str, np.ndarray]) -> dict[str, Association]:
    """The inverse of ``as_arrays``."""
    lines = zip(*(arrays[f"association_{field}"].tolist() for field in _FIELDS))
    return {str(name): Association(*line) for name, line in zip(arrays["association_column"], lines)}
