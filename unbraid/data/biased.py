"""Biased data sets by recipe: which rows conflict, which bias value they wear, and what the result is called.

A label value's own bias value is the one of its number. In the train and the validation split a small share of the rows
conflicts, that is, wears another value, each of the others equally likely; in the test split the rows of each label
value wear every bias value equally often.
"""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Int64, UInt8

from unbraid.data.splits import TEST, TRAIN, VALIDATION
from unbraid.seeds import stream
from unbraid.tables import DataSpec


def published_share(bias: float, published: dict[float, float], usual: float) -> float:
    """Share of conflicting rows: as published for a published degree of bias, else ``usual`` times what bias leaves."""
    return published.get(bias, usual * (1 - bias))


def assign_bias(
    label: Int64[np.ndarray, " n"],
    split: UInt8[np.ndarray, " n"],
    *,
    share: float,
    num_values: int,
    seed: int,
    name: str,
) -> Int64[np.ndarray, " n"]:
    """The bias value of each row. The test split's depends on the seed alone, so it is the same at every share."""
    bias = label.copy()
    for part, word in ((TRAIN, "train"), (VALIDATION, "validation")):
        rng = stream(seed, name, "bias", word)
        rows = rng.permutation(np.flatnonzero(split == part))
        rows = rows[: round(share * len(rows))]
        bias[rows] = (label[rows] + rng.integers(1, num_values, size=len(rows))) % num_values
    rng = stream(seed, name, "bias", "test")
    for value in np.unique(label):
        rows = np.flatnonzero((split == TEST) & (label == value))
        bias[rows] = rng.permutation(np.arange(len(rows)) % num_values)
    return bias


def hold_out(num_train: int, num_test: int, *, fraction: float, seed: int, name: str) -> UInt8[np.ndarray, " n"]:
    """The split of a training file's rows, of which a fraction at random is for validation, and a test file's."""
    split = np.repeat(np.array([TRAIN, TEST], dtype=np.uint8), [num_train, num_test])
    split[stream(seed, name, "validation").permutation(num_train)[: round(fraction * num_train)]] = VALIDATION
    return split


def biased_spec(
    name: str, image_shape: tuple[int, int, int], split: UInt8[np.ndarray, " n"], values: Mapping[str, tuple[str, ...]]
) -> DataSpec:
    """``values`` names the label's values, then the bias's. Both columns are factors; the bias is also the domain."""
    label, bias = values
    return DataSpec(
        name=name,
        image_shape=image_shape,
        num_train=int(np.sum(split == TRAIN)),
        sizes={column: len(names) for column, names in values.items()},
        values=values,
        factors=(label, bias),
        domain=bias,
        label=label,
        bias=bias,
    )
