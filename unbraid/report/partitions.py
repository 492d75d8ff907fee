"""The partitions that a run found, each with a name if it has one, and how stable they are; from ``partitions.npz``."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Integer, UInt8

from unbraid.metrics.association import from_arrays, name_of
from unbraid.report import plots
from unbraid.report.bias import line, value_name
from unbraid.report.tables import number
from unbraid.tables import Codes

_SHOWN = 4  # partitions with images, the newest
_NAMED = 8  # values listed beside a side


@dataclass(frozen=True)
class PartitionSide:
    """One environment: how many images it has, which values have most of their images in it, and some images."""

    size: str
    values: str
    images: list[str]


@dataclass(frozen=True, kw_only=True)
class Partition:
    """One partition of the training images."""

    epoch: str
    objective: str
    sizes: str
    balance: str
    match: str
    agreement: list[str]  # adjusted Rand index with each partition of the run
    sides: list[PartitionSide]  # empty for those that are not shown
    associations: list[tuple[str, ...]]


@dataclass(frozen=True, kw_only=True)
class PartitionsView:
    """What the page shows of one run's partitions."""

    sentences: list[str]
    partitions: list[Partition]  # oldest first
    newest: UInt8[np.ndarray, " n"]


def partitions_view(arrays: Mapping[str, np.ndarray], codes: Codes, *, images: bool) -> PartitionsView:
    """
    Args:
        codes: Of the same run, for its columns and their names.
        images: Draw them, too.
    """
    environments = arrays["environments"]
    agreement = rand_indices(environments)
    train = codes.rows("train")
    found = [
        _partition(arrays, place, train, agreement[place], images and place >= len(environments) - _SHOWN)
        for place in range(len(environments))
    ]
    return PartitionsView(sentences=sentences(arrays), partitions=found, newest=environments[-1])


def rand_indices(environments: Integer[np.ndarray, "p n"]) -> np.ndarray:
    """The adjusted Rand index of each pair of partitions: 1 if they are the same, 0 on average by chance.

    Source: Hubert & Arabie 1985, Journal of Classification 2.
    """
    from sklearn.metrics import adjusted_rand_score

    found = np.eye(len(environments))
    for one, other in itertools.combinations(range(len(environments)), 2):
        found[one, other] = found[other, one] = adjusted_rand_score(environments[one], environments[other])
    return found


def across_seeds(views: Sequence[PartitionsView]) -> str:
    """How far the newest partitions of runs that differ in their seed agree; empty for one run."""
    newest = [view.newest for view in views]
    if len(newest) < 2:
        return ""
    if len({len(one) for one in newest}) > 1:
        return "These runs trained on different images, so that their partitions cannot be compared."
    pairs = rand_indices(np.stack(newest))[np.triu_indices(len(newest), 1)]
    return (
        f"The newest partitions of {len(newest)} seeds agree at an adjusted Rand index of {number(pairs.mean())} "
        f"(pairs from {number(pairs.min())} to {number(pairs.max())}; 1: the same, 0: chance)."
    )


def _partition(
    arrays: Mapping[str, np.ndarray], place: int, train: Codes, agreement: np.ndarray, images: bool
) -> Partition:
    sides = arrays["environments"][place]
    counts = np.bincount(sides, minlength=int(arrays["num_environments"]))
    found = from_arrays(_own(arrays, place))
    column = name_of(found)
    return Partition(
        epoch=str(arrays["epochs"][place]),
        objective=f"{arrays['objective'][place]:.4g}",
        sizes=" / ".join(map(str, counts)),
        balance=number(_balance(counts)),
        match="none" if column is None else f"{column}, {number(found[column].normalised)}",
        agreement=[number(one) for one in agreement],
        sides=[_side(arrays, place, side, train, column) for side in range(len(counts))] if images else [],
        associations=[line(name, one) for name, one in found.items()],
    )


def _own(arrays: Mapping[str, np.ndarray], place: int) -> dict[str, np.ndarray]:
    prefix = f"{place}:"
    return {name.removeprefix(prefix): values for name, values in arrays.items() if name.startswith(prefix)}


def _balance(counts: Integer[np.ndarray, " k"]) -> float:
    """Entropy of the sizes over its greatest possible value: 1 if all sides have as many images."""
    share = counts[counts > 0] / counts.sum()
    return float(-np.sum(share * np.log(share)) / np.log(len(counts)))


def _side(arrays: Mapping[str, np.ndarray], place: int, side: int, train: Codes, column: str | None) -> PartitionSide:
    sides = arrays["environments"][place]
    own = (arrays["gallery_partition"] == place) & (arrays["gallery_environment"] == side)
    num = int(np.sum(sides == side))
    return PartitionSide(
        size=f"{num} images, {num / len(sides):.0%}",
        values=_values(sides, side, train, column),
        images=[plots.thumb_uri(image) for image in arrays["gallery_images"][own]],
    )


def _values(sides: UInt8[np.ndarray, " n"], side: int, train: Codes, column: str | None) -> str:
    """The values of the matching column that have more of their images on this side than on any other."""
    if column is None or column not in train.spec.sizes:
        return ""
    values, known = train.columns[column], train.is_known(column)
    table = np.zeros((train.spec.sizes[column], int(sides.max()) + 1), dtype=int)
    np.add.at(table, (values[known], sides[known]), 1)
    mostly = [value for value in range(len(table)) if table[value].any() and table[value].argmax() == side]
    mostly.sort(key=lambda value: -table[value, side] / table[value].sum())
    said = [
        f"{value_name(train.spec, column, value)} ({table[value, side] / table[value].sum():.0%})" for value in mostly
    ]
    more = f" and {len(said) - _NAMED} more" if len(said) > _NAMED else ""
    return f"{column}: {', '.join(said[:_NAMED])}{more}" if said else ""


def sentences(arrays: Mapping[str, np.ndarray]) -> list[str]:
    """The newest partition, and how far each agrees with the one before, in words."""
    last = len(arrays["environments"]) - 1
    found = from_arrays(_own(arrays, last))
    column = name_of(found)
    epoch: Any = arrays["epochs"][last]
    if column is None:
        said = [f"The newest partition (epoch {epoch}) goes with no column of the data: it has no name here."]
    else:
        one = found[column]
        said = [
            f"The newest partition (epoch {epoch}) goes with {column} most "
            f"(normalised mutual information {number(one.normalised)}, p = {number(one.p_value)})."
        ]
    if last:
        pairs = itertools.pairwise(arrays["environments"])
        steps = np.array([rand_indices(np.stack(pair))[0, 1] for pair in pairs])
        said.append(
            f"From one maximisation to the next the adjusted Rand index is {number(steps.mean())} on average "
            f"(least {number(steps.min())}, most {number(steps.max())})."
        )
    return said
