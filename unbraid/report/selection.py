"""Which moment of training a classifier's accuracy is reported at: three rules side by side, the honest one first."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from unbraid.metrics.bias import aligned_values
from unbraid.report.tables import Table, Tradeoff, cell, clear_best, means, sentences, tables
from unbraid.selection import RULES
from unbraid.tables import SPLITS, Codes

METRIC = "selected-accuracy"
_CHOSEN = {  # rule -> when it looks
    RULES[0]: "at the step that was best on validation",
    RULES[1]: "at the last step",
    RULES[2]: "at the step that was best on test",
}
_WARNING = ", an oracle: it chooses by looking at the answer, as most published numbers do"


@dataclass(frozen=True)
class Selection:
    """The headline about the classifiers of one data set."""

    by: str  # which accuracy
    sentences: list[str]
    table: Table


def selection(rows: pd.DataFrame, data: str, validation: str) -> Selection | None:
    """
    Args:
        rows: As from ``score_rows``.
        validation: What ``validation_kind`` says of the data.

    Returns:
        None if no run of this data set measured its accuracy while training.
    """
    rows = rows[(rows["data"] == data) & (rows["metric"] == METRIC)]
    words = rows["variant"].str.split(", ", n=1)
    unbiased = words.str[0] == "unbiased"
    by = "unbiased" if rows.loc[unbiased, "over"].nunique() == 1 else "plain"  # of another bias it is another accuracy
    rows = rows[words.str[0] == by]
    if rows.empty:
        return None
    (table,) = tables(rows.sort_values("variant", key=lambda names: names.map(_place), kind="stable"))
    found = {rule: _of_rule(rows, f"{by}, {rule}") for rule in table.columns}
    title = f"{by.capitalize()} accuracy on test rows"
    table = replace(table, title=title, notes=[_steps(rule, found[rule]) for rule in table.columns if rule != RULES[1]])
    return Selection(by, [*_sentences(found, by), *filter(None, [validation])], table)


def _place(variant: str) -> int:
    return RULES.index(variant.partition(", ")[2])


def _of_rule(rows: pd.DataFrame, variant: str) -> dict[str, Mapping[Any, Any]]:
    """Method -> its row of ``means``, the best first."""
    scores = means(rows[rows["variant"] == variant]).to_dict("records")
    return {score["method"]: score for score in sorted(scores, key=lambda score: -score["mean"])}


def _steps(rule: str, scores: Mapping[str, Mapping[Any, Any]]) -> str:
    """When the rule was met: each note begins with the step."""
    steps = (
        f"{method} at {' and '.join(note.partition(',')[0] for note in score['note'].split('; '))}"
        for method, score in scores.items()
    )
    return f"{rule}: {', '.join(steps)}"


def _sentences(found: Mapping[str, Mapping[str, Mapping[Any, Any]]], by: str) -> list[str]:
    rule = next(rule for rule in RULES if rule in found)
    scores = found[rule]
    first, *others = scores
    if not others:
        rank = f"{first} has"
    elif clear_best(list(scores.values())) == first:
        rank = f"{first} is best, beyond the intervals of all others, with"
    else:
        rank = f"{first} is ahead, though not beyond the intervals of all others, with"
    what = "an unbiased test accuracy (mean over groups of label and bias)" if by == "unbiased" else "a test accuracy"
    said = [f"{rank} {what} of {cell(scores[first])} {_CHOSEN[rule]}."]
    said += [
        f"{first} {_CHOSEN[other]}: {cell(found[other][first])}{_WARNING if other == RULES[2] else ''}."
        for other in RULES
        if other != rule and first in found.get(other, {})
    ]
    if rule != RULES[0]:
        said.append("Nothing was measured on validation rows, so no step could be chosen honestly but the last.")
    return said


def validation_kind(codes: Codes) -> str:
    """Whether the validation rows are biased like the training rows or balanced; empty where that has no meaning."""
    spec = codes.spec
    if spec.label is None or spec.bias is None:
        return ""
    known = codes.is_known(spec.label) & codes.is_known(spec.bias)
    label, bias, split = codes.columns[spec.label][known], codes.columns[spec.bias][known], codes.split[known]
    train, validation = (split == SPLITS.index(name) for name in ("train", "validation"))
    if not train.any() or not validation.any():
        return ""
    own = aligned_values(label[train], bias[train], (spec.sizes[spec.label], spec.sizes[spec.bias]))
    if (own[label] < 0).any():
        return ""
    aligned = own[label] == bias
    like, there = aligned[validation].mean(), aligned[train].mean()
    balanced = 1 / len(np.unique(bias))
    kind = "balanced" if abs(like - balanced) < abs(like - there) else "biased like the training rows"
    return (
        f"The validation rows are {kind}: {like:.1%} of them have the bias value of their label, "
        f"of the training rows {there:.1%}."
    )


def headed(chosen: Selection | None, others: list[Table]) -> list[Table]:
    """The headline's table first, and not once more among the others."""
    if chosen is None:
        return others
    return [chosen.table, *(table for table in others if table.title != f"{METRIC}: {chosen.by}")]


def summary(chosen: Selection | None, found: Tradeoff | None) -> list[str]:
    """What is said of a data set before anything else."""
    said = [*(chosen.sentences if chosen else ()), *(sentences(found) if found else ())]
    return said or ["Leakage was not measured for these runs."]
