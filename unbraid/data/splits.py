"""Rows to train, validation and test: at random, in equal shares per stratum, whole groups at a time."""

import numpy as np
from jaxtyping import Bool, Int, UInt8

from unbraid.errors import UserError
from unbraid.tables import SPLITS

TRAIN, VALIDATION, TEST = range(len(SPLITS))


def split_rows(
    num_rows: int,
    rng: np.random.Generator,
    *,
    test: float = 0.2,
    validation: float = 0.0,
    strata: Int[np.ndarray, " n"] | None = None,
    groups: Int[np.ndarray, " n"] | None = None,
) -> UInt8[np.ndarray, " n"]:
    """Deal rows to splits.

    A stratum of m rows gives m times the fraction, rounded up or down, to a split; strata of a single row count as one
    stratum. With groups, what is dealt are the groups, each in the stratum of its first row.

    Raises:
        UserError: If the fractions leave a split without rows.
    """
    if not (0 < test < 1 and 0 <= validation < 1 and test + validation < 1):
        raise UserError(f"test fraction {test} and validation fraction {validation}: both below 1, as is their sum")
    if groups is not None:
        _, first, member = np.unique(groups, return_index=True, return_inverse=True)
        if len(first) < 2 + (validation > 0):
            raise UserError(f"{len(first)} group(s) cannot be dealt to the splits; choose another --group")
        per_group = None if strata is None else strata[first]
        return split_rows(len(first), rng, test=test, validation=validation, strata=per_group)[member]
    if num_rows < 2 + (validation > 0):
        raise UserError(f"{num_rows} row(s) cannot be dealt to the splits; add images")
    order = rng.permutation(num_rows)
    if strata is not None:
        order = order[np.argsort(_pool_single_rows(strata)[order], kind="stable")]
    split = np.full(num_rows, TRAIN, dtype=np.uint8)
    held_out = order[_every(len(order), test + validation, rng)]
    split[held_out] = VALIDATION
    split[held_out[_every(len(held_out), test / (test + validation), rng)]] = TEST
    return split


def _pool_single_rows(strata: Int[np.ndarray, " n"]) -> Int[np.ndarray, " n"]:
    _, stratum, count = np.unique(strata, return_inverse=True, return_counts=True)
    return np.where(count[stratum] == 1, -1, stratum)


def _every(num: int, fraction: float, rng: np.random.Generator) -> Bool[np.ndarray, " n"]:
    """Mark every (1 / fraction)-th of ``num`` places from a random start, and at least one."""
    start = rng.uniform(max(0.0, 1 - num * fraction), 1)
    return np.diff(np.floor(np.arange(num + 1) * fraction + start)) > 0
