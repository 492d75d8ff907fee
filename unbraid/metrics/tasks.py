"""Columns as tasks: what is to be predicted from codes, from which rows, and what the answers are worth."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Num

from unbraid.metrics import Metric
from unbraid.metrics.intervals import bootstrap_mean, share, within
from unbraid.records import Score
from unbraid.tables import Codes


@dataclass(frozen=True)
class Task:
    """One column to be predicted, on the rows where it is known."""

    name: str
    x: Float[np.ndarray, "n d"]
    y: Num[np.ndarray, " n"]
    x_test: Float[np.ndarray, "m d"]
    y_test: Num[np.ndarray, " m"]
    known: Bool[np.ndarray, " t"]  # which rows of the test split these m are
    problem: str  # why it cannot be predicted; empty if it can

    @property
    def note(self) -> str:
        unseen = int(np.sum(~np.isin(self.y_test, self.y)))
        return f"{unseen} test rows have a value that no train row has" if unseen else ""

    @property
    def constant(self) -> float:
        """Accuracy of the answer that is right most often in the train rows."""
        values, counts = np.unique(self.y, return_counts=True)
        return float(np.mean(self.y_test == values[counts.argmax()]))


def tasks(codes: Codes, columns: Sequence[str]) -> list[Task]:
    """A task for each column, categorical or real-valued."""
    train, test = codes.rows("train"), codes.rows("test")
    found = []
    for name in columns:
        seen, asked, known = train.known(name), test.known(name), test.is_known(name)
        why = problem(seen, asked, name)
        found.append(Task(name, seen.z, seen.columns[name], asked.z, asked.columns[name], known, why))
    return found


def problem(train: Codes, test: Codes, column: str) -> str:
    """Why a column cannot be predicted; empty if it can. The rows are those in which it is known."""
    known, truth, size = train.columns[column], test.columns[column], train.spec.sizes.get(column)
    if not len(train) or not len(test):
        return f"no rows in the {'test' if len(train) else 'train'} split, or its values are missing there"
    if np.ptp(known) == 0:
        return "one value only in the train split"
    if size is None:
        return "one value only in the test split" if np.ptp(truth) == 0 else ""
    if size > len(known):
        return f"{size} values, but only {len(known)} train rows"
    return "" if np.isin(truth, known).any() else "no test row has a value that occurs in the train split"


def scores_of_rows(
    metric: Metric,
    found: Sequence[Task],
    rows: Mapping[str, np.ndarray],
    chance: Mapping[str, float],
    rng: np.random.Generator,
    variant: str,
) -> list[Score]:
    """A score for each task, the mean of its ``rows``, and the mean over tasks.

    Args:
        rows: Task -> a number, at most 1, for each of its test rows; bool if it is a hit or none, for Wilson's interval
            in place of the bootstrap. A task without rows is answered by its problem.
    """
    scores, reach = [], []  # the intervals of the tasks
    table = np.full((len(found[0].known) if found else 0, len(rows)), np.nan)
    for task in found:
        if task.name not in rows:
            scores.append(metric.score(None, column=task.name, variant=variant, note=task.problem))
            continue
        values = rows[task.name].astype(float)
        table[task.known, list(rows).index(task.name)] = values
        hits = rows[task.name].dtype == bool
        ends = share(rows[task.name])[1:] if hits else bootstrap_mean(values, rng)
        low, high = within(values.mean(), ends)
        reach.append((low, high))
        facts = {"column": task.name, "variant": variant, "chance": chance[task.name], "num": len(values)}
        scores.append(metric.score(float(values.mean()), low=low, high=high, note=task.note, **facts))
    if rows:
        value, low, high = mean_over_columns(table, rng)
        if low == high:  # all rows agree: no wider than where the tasks are right and wrong together
            low, high = (None if None in ends else float(np.mean(ends)) for ends in zip(*reach))
        facts = {"variant": variant, "over": tuple(rows), "chance": float(np.mean(list(chance.values())))}
        num = int(np.sum(~np.isnan(table).all(axis=1)))
        scores.append(metric.score(value, low=low, high=high, num=num, **facts))
    return scores


def mean_over_columns(
    table: Float[np.ndarray, "n g"], rng: np.random.Generator
) -> tuple[float, float | None, float | None]:
    """The mean of the columns' means with its interval over rows; NaN where a row does not have a column.

    Each row counts with its influence on the value, which is its own mean where nothing is missing.
    """
    means, share = np.nanmean(table, axis=0), np.mean(~np.isnan(table), axis=0)
    influence = np.nan_to_num((table - means) / share).mean(axis=1)
    return float(means.mean()), *within(means.mean(), bootstrap_mean(means.mean() + influence, rng))
