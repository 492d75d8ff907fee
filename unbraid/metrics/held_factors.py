"""Rows of a table with the factors that can be held while the others vary, and what is measured on them.

A value that only one row has is never held. Factors are the content and the targets, these in 20 equal-width bins; rows
in which one of them is missing are left out.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float32, Int64

from unbraid.metrics import Metric
from unbraid.metrics.information import bin_codes
from unbraid.metrics.intervals import half_sampling, within
from unbraid.records import Score
from unbraid.tables import SPLITS, Codes

BINS = 20
NUM_SHUFFLES = 3  # for the chance level
_NUM_HALVES = 8  # of the test rows, for the interval


class Rows(NamedTuple):
    """Codes and factors of some rows."""

    z: Float32[np.ndarray, "n d"]
    factors: Int64[np.ndarray, "n g"]

    def take(self, rows: Int64[np.ndarray, " m"]) -> "Rows":
        return Rows(self.z[rows], self.factors[rows])

    def shuffled(self, rng: np.random.Generator) -> "Rows":
        """The same with codes that know nothing."""
        return Rows(rng.permutation(self.z), self.factors)


class Table(NamedTuple):
    """The rows of one or two splits, and which factors can be held in each of them."""

    parts: tuple[Rows, ...]
    over: tuple[str, ...]
    variant: str
    note: str  # the other factors, each with the reason


def draw_table(codes: Codes, variant: str, *splits: str) -> Table:
    names = (*codes.spec.content, *codes.spec.targets)
    rows = codes.known(*names).rows(*splits)
    parts = {split: rows.split == SPLITS.index(split) for split in splits}
    columns = [_values(rows, name) for name in names]
    reasons = {
        name: [
            f"{problem} in the {split} split" for split, part in parts.items() if (problem := _problem(values[part]))
        ]
        for name, values in zip(names, columns)
    }
    held = [place for place, name in enumerate(names) if not reasons[name]]
    factors = np.stack(columns, axis=1)[:, held]
    return Table(
        parts=tuple(Rows(rows.z[part], factors[part]) for part in parts.values()),
        over=tuple(names[place] for place in held),
        variant=f"{variant}, targets in {BINS} bins" if codes.spec.targets else variant,
        note="; ".join(f"{name!r} is left out: {found[0]}" for name, found in reasons.items() if found),
    )


def _values(codes: Codes, name: str) -> Int64[np.ndarray, " n"]:
    column = codes.columns[name]
    if name in codes.spec.sizes:
        return column
    return bin_codes(column[:, None], BINS)[0] if len(codes) else np.zeros(0, dtype=np.int64)


def _problem(values: Int64[np.ndarray, " n"]) -> str:
    """Why a factor cannot be held; empty if it can."""
    if not len(values):
        return "no rows"
    counts = np.unique(values, return_counts=True)[1]
    if len(counts) == 1:
        return "one value only"
    return "" if counts.max() > 1 else "no value that two rows have"


def score_of(metric: Metric, table: Table, value: float, halves: list[float], chance: list[float]) -> Score:
    """A score with its interval from its values on halves of the rows, if it has any."""
    low, high = within(value, half_sampling(value, np.array(halves)), 0.0)
    return metric.score(
        value,
        over=table.over,
        variant=table.variant,
        low=low,
        high=high,
        chance=float(np.mean(chance)),
        num=len(table.parts[-1].z),
        note=joined(table.note, "" if halves else "too few rows for an interval"),
    )


def of_halves(statistic: Callable[[Rows], float], rows: Rows, rng: np.random.Generator) -> list[float]:
    """The statistic of random halves of the rows; nothing if it is not defined for one of them."""
    halves = [rows.take(rng.permutation(len(rows.z))[: len(rows.z) // 2]) for _ in range(_NUM_HALVES)]
    if any(not moving(half.z).any() or any(map(_problem, half.factors.T)) for half in halves):
        return []
    return [statistic(half) for half in halves]


def undefined(metric: Metric, table: Table, reason: str) -> Score:
    return metric.score(None, over=table.over, variant=table.variant, note=joined(table.note, reason))


def moving(z: Float32[np.ndarray, "n d"]) -> Bool[np.ndarray, " d"]:
    return np.ptp(z, axis=0) > 0


def joined(*notes: str) -> str:
    return "; ".join(filter(None, notes))
