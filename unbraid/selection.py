"""Which moment of training is reported: the last, the best on validation, or the best on test, side by side.

The published debiasing numbers are the best test accuracy of a whole training: a choice made by looking at the answer.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from unbraid.records import Score

SOURCE = "accuracy by group: Nam et al. 2020, arXiv:2007.02561; rules of selection: Lee et al. 2021, arXiv:2107.01372"
RULES = ("best on validation", "last", "best on test (oracle)")  # the honest one first


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
    measured: dict[str, dict[int, dict[str, tuple[float, float, int]]]] = {"validation": {}, "test": {}}
    for line in lines:
        rows, right = np.array(line["rows"], dtype=float), np.array(line["right"], dtype=float)
        measured[line["split"]][line["step"]] = accuracies(rows, right, aligned)
    test = measured["test"]
    if not test:
        return []
    scores = []
    for rule, other in zip(RULES, ("validation", "", "test")):
        if other and not measured[other]:
            continue
        step = max(measured[other], key=lambda step: (_value(measured[other][step], by), -step)) if other else max(test)
        note = f"step {step} of {max(test)}" + (f", chosen by the {by} accuracy" if other else "")
        for name, (value, half, num) in test[step].items():
            scores.append(
                Score(
                    metric="selected-accuracy",
                    column=label,
                    over=(label, bias) if bias and name not in ("plain", "balanced") else (),
                    variant=f"{name}, {rule}",
                    value=value,
                    low=max(-1.0 if name == "gap" else 0.0, value - half),
                    high=min(1.0, value + half),
                    higher_is_better=name != "gap",
                    num=num,
                    source=SOURCE,
                    note=note,
                )
            )
    return scores


def _value(found: Mapping[str, tuple[float, float, int]], name: str) -> float:
    return found[name][0] if name in found else -1.0


def accuracies(
    rows: Float[np.ndarray, "k a"], right: Float[np.ndarray, "k a"], aligned: Bool[np.ndarray, "k a"] | None
) -> dict[str, tuple[float, float, int]]:
    """Accuracy name -> value, half its normal 95 % interval, rows. Cells without rows are left out."""
    found = {"plain": _share(rows, right)}
    by_label = _mean_of_cells(rows.sum(axis=1), right.sum(axis=1))
    found["balanced"] = by_label
    if aligned is None:
        return found
    found["unbiased"] = _mean_of_cells(rows.ravel(), right.ravel())
    filled = rows > 0
    worst = np.argmin(np.where(filled, right / np.maximum(rows, 1), np.inf))
    found["worst group"] = _share(rows.ravel()[[worst]], right.ravel()[[worst]])
    tied = not aligned.any(axis=1).all()
    for name, cells in (("aligned", aligned & filled), ("conflicting", ~aligned & filled)):
        if cells.any() and not tied:
            found[name] = _share(rows[cells], right[cells])
    if "aligned" in found and "conflicting" in found:
        (first, half, num), (second, other, more) = found["aligned"], found["conflicting"]
        found["gap"] = (first - second, float(np.hypot(half, other)), num + more)
    return found


def _share(rows: np.ndarray, right: np.ndarray) -> tuple[float, float, int]:
    num = rows.sum()
    value = right.sum() / num
    return float(value), float(1.96 * np.sqrt(value * (1 - value) / num)), int(num)


def _mean_of_cells(rows: np.ndarray, right: np.ndarray) -> tuple[float, float, int]:
    rows, right = rows[rows > 0], right[rows > 0]
    values = right / rows
    error = np.sqrt(np.sum(values * (1 - values) / rows)) / len(rows)
    return float(values.mean()), float(1.96 * error), int(rows.sum())
