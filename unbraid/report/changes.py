"""What is new since an earlier page or earlier runs: score by score, and only as far as the intervals allow."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from unbraid.errors import UserError
from unbraid.records import find
from unbraid.report.runs import Run, open_runs, rows_of
from unbraid.report.tables import CONTROL, KEYS, UNDEFINED, interval, means, number

HEADERS = ["method", "score", "verdict", "difference", "before", "now"]
NUMBERS = [False, False, False, True, True, True]
_APART = {"better": "better", "worse": "worse", "differs": "in controls"}  # verdicts of intervals apart, counted as
_VALUE = ["mean", "low", "high"]
_COLUMNS = [*KEYS, *_VALUE, "higher_is_better"]
_SCRIPT = re.compile(r'<script type="application/json" id="unbraid-scores">(.*?)</script>', re.DOTALL)


@dataclass(frozen=True)
class Scores:
    """What a page carries of its numbers: its runs as (data, method, seed), and its scores over seeds."""

    runs: list[tuple[str, str, int]]
    means: pd.DataFrame

    def as_json(self) -> dict[str, Any]:
        rows = self.means[_COLUMNS].astype(object)
        rows = rows.where(self.means[_COLUMNS].replace([np.inf, -np.inf], np.nan).notna(), None)
        return {"runs": self.runs, "columns": _COLUMNS, "scores": rows.to_numpy().tolist()}

    @classmethod
    def from_json(cls, values: Any) -> "Scores":
        """Raises: KeyError, TypeError or ValueError if these are not what ``as_json`` gives."""
        scores = pd.DataFrame(values["scores"], columns=values["columns"])[_COLUMNS]
        scores[_VALUE] = scores[_VALUE].astype(float)
        runs = [(str(data), str(method), int(seed)) for data, method, seed in values["runs"]]
        return cls(runs, scores.astype(dict.fromkeys(KEYS, str)))


@dataclass(frozen=True, kw_only=True)
class DataChanges:
    """One data set; the rows stand under ``HEADERS``."""

    data: str
    sentences: list[str]
    apart: list[list[str]]  # scores whose intervals do not touch, the largest difference first
    others: list[list[str]]


@dataclass(frozen=True)
class Changes:
    since: str
    parts: list[DataChanges]


def scores_of(runs: Sequence[Run], rows: pd.DataFrame) -> Scores:
    """
    Args:
        rows: As of `rows_of`.
    """
    return Scores([(run.data, run.label, run.seed) for run in runs], means(rows))


def read_scores(path: Path) -> Scores:
    """The scores of an earlier page, or of the runs in a folder.

    Raises:
        UserError: If there is nothing, or it is no page that carries its scores.
    """
    if path.is_dir():
        runs = open_runs([run for run in find([path]).runs if run.is_done()])
        return scores_of(runs, rows_of(runs))
    try:
        found = _SCRIPT.search(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        found = None
    if found is None:
        raise UserError(
            f"{path} is no page of `unbraid report`, or of a version that did not keep its scores; "
            "name the folder of its runs instead"
        )
    try:
        return Scores.from_json(json.loads(found[1]))
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{path} is damaged or of another version of unbraid ({error})") from None


def changes_since(old: Path | str, new: Scores) -> Changes:
    """Raises: UserError as ``read_scores``."""
    before = read_scores(Path(old))
    names = dict.fromkeys(data for data, _, _ in [*new.runs, *before.runs])
    return Changes(str(old), [_of_data(data, before, new) for data in names])


def _of_data(data: str, old: Scores, new: Scores) -> DataChanges:
    before, now = (scores.means[scores.means["data"] == data] for scores in (old, new))
    both = now.merge(before, on=KEYS, suffixes=("", "_before")).to_dict("records")
    both.sort(key=lambda score: -np.nan_to_num(abs(score["mean"] - score["mean_before"])))
    verdicts = [_verdict(score) for score in both]
    rows = [_row(score, verdict) for score, verdict in zip(both, verdicts)]
    apart = [verdict in _APART for verdict in verdicts]
    return DataChanges(
        data=data,
        sentences=[_counts(verdicts), *_one_sided(data, old, new, len(before) - len(both), len(now) - len(both))],
        apart=[row for row, is_apart in zip(rows, apart) if is_apart],
        others=[row for row, is_apart in zip(rows, apart) if not is_apart],
    )


def _verdict(score: Mapping[Any, Any]) -> str:
    before, now = score["mean_before"], score["mean"]
    if before == now or np.isnan([before, now]).all():
        return "the same"
    ends = [score[name] for name in ("low", "high", "low_before", "high_before")]
    if not np.isfinite([before, now, *ends]).all():
        return "no interval"
    low, high, low_before, high_before = ends
    if low <= high_before and low_before <= high:
        return "intervals touch"
    better = (now > before) == score["higher_is_better"]
    return "differs" if score["variant"].endswith(CONTROL) else "better" if better else "worse"


def _row(score: Mapping[Any, Any], verdict: str) -> list[str]:
    of = f" of {score['column']}" if score["column"] else ""
    variant = f", {score['variant']}" if score["variant"] else ""
    difference = score["mean"] - score["mean_before"]
    return [
        score["method"],
        f"{score['metric']}{of}{variant}",
        verdict,
        "" if np.isnan(difference) else f"{'+' * (difference > 0)}{number(difference)}",
        _value(*(score[f"{name}_before"] for name in _VALUE)),
        _value(*(score[name] for name in _VALUE)),
    ]


def _value(mean: float, low: float, high: float) -> str:
    return UNDEFINED if np.isnan(mean) else f"{number(mean)} {interval(low, high)}"


def _counts(verdicts: Sequence[str]) -> str:
    if not verdicts:
        return "No score stands on both sides."
    if set(verdicts) == {"the same"}:
        return f"All {len(verdicts)} scores are exactly the same."
    counts = {word: verdicts.count(verdict) for verdict, word in _APART.items()}
    said = ", ".join(f"{num} {word}" for word, num in counts.items() if num)
    total = sum(counts.values())
    return f"{total} of {len(verdicts)} scores differ beyond the intervals{f': {said}' if said else ''}."


def _one_sided(data: str, old: Scores, new: Scores, only_before: int, only_now: int) -> list[str]:
    """Runs and scores that only one side has."""
    before, now = ({(method, seed) for name, method, seed in side.runs if name == data} for side in (old, new))
    said = []
    for word, runs in (("Added", now - before), ("Missing", before - now)):
        if runs:
            said.append(f"{word} runs: {'; '.join(f'{method}, seed {seed}' for method, seed in sorted(runs))}.")
    for word, num in (("now", only_now), ("before", only_before)):
        if num:
            said.append(f"{num} score{'s' if num > 1 else ''} only {word}.")
    return said
