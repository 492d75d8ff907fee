"""Any data set with two categorical columns becomes a biased one: fewer train rows, nearly all of them aligned."""

import dataclasses
import itertools
from typing import Literal

import numpy as np
from jaxtyping import Bool, Int64

from unbraid.data.splits import TEST, TRAIN, VALIDATION
from unbraid.errors import UserError
from unbraid.seeds import stream
from unbraid.tables import Dataset, DataSpec

Pairing = Literal["frequent", "modular"]
HeldOut = Literal["balanced", "as-is"]
Counts = Int64[np.ndarray, "labels biases"]
Rows = Int64[np.ndarray, "..."]
_HELD = 10  # one train row in so many, where there is no validation split


def rebias(
    dataset: Dataset,
    ratio: float,
    *,
    pairing: Pairing = "frequent",
    held_out: HeldOut = "balanced",
    seed: int = 0,
) -> Dataset:
    """The train rows of which, for each value of the label, a share ``ratio`` wears the label value's own bias value.

    As many rows as allow this are kept, drawn at random; rows in which one of the two is missing are left out. Where
    there is no validation split, a tenth of the train rows of each pair of values (rounded down) is one from then on.

    Args:
        pairing: Which bias value is a label value's own: ``frequent``, those that make the most train rows aligned,
            each taken by one label value where there are enough of them; ``modular``, that of its number.
        held_out: Validation and test rows: ``balanced`` keeps equally many of each pair of values, and moves no more
            train rows than that: a tenth of the rarest pair's, of each pair.

    Raises:
        UserError: If there is no label or no bias, or the rows do not allow the ratio or the balance.
    """
    spec = dataset.spec
    if spec.label is None or spec.bias is None or spec.label == spec.bias:
        raise UserError(f"{spec.name}: say which column is the label and which the bias; give --label and --bias")
    if not 0 < ratio <= 1:
        raise UserError(f"ratio={ratio}, the aligned share of the train rows, must be above 0 and at most 1")
    label, bias = dataset.columns[spec.label], dataset.columns[spec.bias]
    known, rng = (label >= 0) & (bias >= 0), stream(seed, "rebias")
    dataset = _with_validation(dataset, label, bias, known, held_out, seed)
    train = known & (dataset.split == TRAIN)
    count = np.zeros((spec.sizes[spec.label], spec.sizes[spec.bias]), dtype=np.int64)
    np.add.at(count, (label[train], bias[train]), 1)
    own = _pair(count, pairing)
    kept = []
    for value in np.unique(label[train]).tolist():
        aligned = np.flatnonzero(train & (label == value) & (bias == own[value]))
        conflicting = np.flatnonzero(train & (label == value) & (bias != own[value]))
        num = _largest(len(aligned), len(conflicting), ratio)
        if sum(num) == 0:
            names = _name(spec, spec.label, value), _name(spec, spec.bias, int(own[value]))
            raise UserError(
                f"{spec.name}: of the train rows with {names[0]}, {len(aligned)} have {names[1]} and "
                f"{len(conflicting)} have not, too few for a ratio of {ratio}; choose another ratio or pairing"
            )
        kept += [rng.permutation(rows)[:size] for rows, size in zip((aligned, conflicting), num)]
    for part in (VALIDATION, TEST):
        rows = np.flatnonzero(known & (dataset.split == part))
        kept.append(rows if held_out == "as-is" or not len(rows) else _balanced(label, bias, spec, rows, rng))
    result = dataset.take(np.sort(np.concatenate(kept)))
    return dataclasses.replace(result, spec=dataclasses.replace(result.spec, name=f"{spec.name}-biased"))


def _with_validation(
    dataset: Dataset,
    label: Int64[np.ndarray, " n"],
    bias: Int64[np.ndarray, " n"],
    known: Bool[np.ndarray, " n"],
    held_out: HeldOut,
    seed: int,
) -> Dataset:
    if np.any(dataset.split == VALIDATION):
        return dataset
    split, rng = dataset.split.copy(), stream(seed, "rebias", "validation")
    rows = rng.permutation(np.flatnonzero(known & (split == TRAIN)))
    cells = _cells(label, bias, dataset.spec, rows)
    least = min(map(len, cells))
    for cell in cells:
        split[cell[: (least if held_out == "balanced" else len(cell)) // _HELD]] = VALIDATION
    return dataclasses.replace(dataset, split=split)


def _pair(count: Counts, pairing: Pairing) -> Int64[np.ndarray, " labels"]:
    """Each label value's own bias value."""
    from scipy.optimize import linear_sum_assignment

    labels, biases = count.shape
    if pairing == "modular":
        return np.arange(labels) % biases
    copies = -(-labels // biases)  # of each bias value, where there are more label values
    return linear_sum_assignment(np.tile(count, copies), maximize=True)[1] % biases


def _largest(aligned: int, conflicting: int, ratio: float) -> tuple[int, int]:
    """How many rows of each can be kept."""
    total = int(min(aligned / ratio, conflicting / (1 - ratio) if ratio < 1 else np.inf) + 1e-9)
    kept = min(round(ratio * total), aligned)
    return kept, min(total - kept, conflicting)


def _balanced(
    label: Int64[np.ndarray, " n"], bias: Int64[np.ndarray, " n"], spec: DataSpec, rows: Rows, rng: np.random.Generator
) -> Rows:
    cells = _cells(label, bias, spec, rows)
    least = min(map(len, cells))
    if least == 0:
        raise UserError(
            f"{spec.name}: some pair of {spec.label} and {spec.bias} is not among the held-out rows, which cannot be "
            "balanced then; say --held-out as-is"
        )
    return np.concatenate([rng.permutation(cell)[:least] for cell in cells])


def _cells(label: Int64[np.ndarray, " n"], bias: Int64[np.ndarray, " n"], spec: DataSpec, rows: Rows) -> list[Rows]:
    """These rows by their pair of values, of each pair that there could be."""
    pairs = itertools.product(range(spec.sizes[spec.label or ""]), range(spec.sizes[spec.bias or ""]))
    return [rows[(label[rows] == one) & (bias[rows] == other)] for one, other in pairs]


def _name(spec: DataSpec, column: str, value: int) -> str:
    return f"{column}={spec.names_of(column)[value]}"
