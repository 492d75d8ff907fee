"""Which moment of training is reported: the last, the best on validation, or the best on test, side by side.

The published debiasing numbers are the best test accuracy of a whole training: a choice made by looking at the answer.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int64

from unbraid.metrics.intervals import least_share, sum_of_shares, within
from unbraid.records import Score

SOURCE = "accuracy by group: Nam et al. 2020, arXiv:2007.02561; rules of selection: Lee et al. 2021, arXiv:2107.01372"
RULES = ("best on validation", "last", "best on test (oracle)")  # the honest one first


@dataclass(frozen=True)
class Accuracy:
    """A sum of the shares of right answers of S strata, each times its weight; without weights the least share."""

    rows: Int64[np.ndarray, " s"]
    right: Int64[np.ndarray, " s"]
    weights: Float[np.ndarray, " s"] | None

    @property
    def value(self) -> float:
        shares = self.right / self.rows
        return float(shares.min() if self.weights is None else np.sum(self.weights * shares))

    def with_interval(self) -> tuple[float, float, float]:
        """The value and both ends of its 95 % interval, as those of the score ``accuracy``."""
        if self.weights is None:
            return least_share(self.right, self.rows)
        return sum_of_shares(self.right, self.rows, self.weights)


def selected(
    lines: Iterable[Mapping[str, Any]],
    label: str,
    aligned: Bool[np.ndarray, "k a"] | None,
    by: str = "unbiased",
    bias: str = "",
) -> list[Score]:
    """Test accuracies at the moments that the three rules choose.

    Args:
        lines: Those of ``accuracy.jsonl``: step, split, and per cell of label and bias value rows and right answers.
        aligned: Which cells are bias-aligned, none of a label value where that is a tie; None where the data name no
            bias.
        by: The accuracy that "best" refers to; the plain one where there is no bias.
        bias: The column of the bias: accuracies that ask for it can be compared only where it is the same.
    """
    by = by if aligned is not None else "plain"
    measured: dict[str, dict[int, dict[str, Accuracy]]] = {"validation": {}, "test": {}}
    for line in lines:
        measured[line["split"]][line["step"]] = accuracies(np.array(line["rows"]), np.array(line["right"]), aligned)
    test = measured["test"]
    if not test:
        return []
    scores = []
    for rule, other in zip(RULES, ("validation", "", "test")):
        if other and not measured[other]:
            continue
        step = max(measured[other], key=lambda step: (_value(measured[other][step], by), -step)) if other else max(test)
        note = f"step {step} of {max(test)}" + (f", chosen by the {by} accuracy" if other else "")
        for name, accuracy in test[step].items():
            value, *reach = accuracy.with_interval()
            low, high = within(value, (reach[0], reach[1]), least=-1.0 if name == "gap" else 0.0)
            scores.append(
                Score(
                    metric="selected-accuracy",
                    column=label,
                    over=(label, bias) if bias and name not in ("plain", "balanced") else (),
                    variant=f"{name}, {rule}",
                    value=value,
                    low=low,
                    high=high,
                    higher_is_better=name != "gap",
                    num=int(accuracy.rows.sum()),
                    source=SOURCE,
                    note=note,
                )
            )
    return scores


def _value(found: Mapping[str, Accuracy], name: str) -> float:
    return found[name].value if name in found else -1.0


def accuracies(
    rows: Int64[np.ndarray, "k a"], right: Int64[np.ndarray, "k a"], aligned: Bool[np.ndarray, "k a"] | None
) -> dict[str, Accuracy]:
    """By name. Cells without rows are left out."""
    filled = rows > 0
    found = {
        "plain": Accuracy(rows.sum(keepdims=True)[0], right.sum(keepdims=True)[0], np.ones(1)),
        "balanced": _mean(rows.sum(axis=1), right.sum(axis=1)),
    }
    if aligned is None:
        return found
    found["unbiased"] = _mean(rows[filled], right[filled])
    found["worst group"] = Accuracy(rows[filled], right[filled], None)
    if not aligned.any(axis=1).all():  # a tie: neither is defined
        return found
    sides = np.stack([aligned, ~aligned])
    num, hits = (sides * rows).sum(axis=(1, 2)), (sides * right).sum(axis=(1, 2))
    for name, weights in _SIDES.items():
        counted = np.array(weights) != 0
        if num[counted].all():
            found[name] = Accuracy(num[counted], hits[counted], np.array(weights)[counted])
    return found


_SIDES = {"aligned": (1.0, 0.0), "conflicting": (0.0, 1.0), "gap": (1.0, -1.0)}


def _mean(rows: Int64[np.ndarray, " s"], right: Int64[np.ndarray, " s"]) -> Accuracy:
    rows, right = rows[rows > 0], right[rows > 0]
    return Accuracy(rows, right, np.full(len(rows), 1 / len(rows)))
