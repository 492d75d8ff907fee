"""From what a probe answers on test rows to scores: accuracies and errors, their intervals, chance and controls."""

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Int64

from unbraid.metrics import Metric
from unbraid.metrics.estimators import Probe
from unbraid.metrics.intervals import bootstrap, bootstrap_errors, mean_of_repeats, mean_share, within
from unbraid.records import Score
from unbraid.tables import Codes


def same_rows(codes: Codes, columns: Iterable[str]) -> Iterator[tuple[list[str], Codes, Codes]]:
    """Groups of columns that are known in the same rows, with these train and test rows."""
    groups: dict[bytes, list[str]] = {}
    for name in columns:
        groups.setdefault(codes.is_known(name).tobytes(), []).append(name)
    for names in groups.values():
        known = codes.known(*names)
        yield names, known.rows("train"), known.rows("test")


def accuracies(
    metric: Metric, train: Codes, test: Codes, column: str, probe: Probe, predicted: Int64[np.ndarray, "r m"]
) -> tuple[Score, Score]:
    """The accuracy of the first row of predictions, and of the others: what the probe says after shuffled labels.

    `chance` is that of the most frequent value of the train rows, or of any value for balanced accuracy.
    """
    known, truth = train.columns[column], test.columns[column]
    strata = truth if probe.balanced else np.zeros_like(truth)
    (value, low, high), *shuffled = (mean_share(row == truth, strata) for row in predicted)
    constant = truth == np.bincount(known).argmax()
    unseen = int(np.sum(~np.isin(truth, known)))
    found = metric.score(
        value,
        column=column,
        variant=probe.variant,
        low=low,
        high=high,
        chance=1 / len(np.unique(truth)) if probe.balanced else float(constant.mean()),
        num=len(test),
        note=f"{unseen} test rows have a value that no train row has" if unseen else "",
    )
    over_rows = {"low": shuffled[0][1], "high": shuffled[0][2]}
    return found, _control(found, np.array([one[0] for one in shuffled]), over_rows, (0.0, 1.0))


def errors(
    metric: Metric,
    train: Codes,
    test: Codes,
    columns: Sequence[str],
    variant: str,
    predicted: Float[np.ndarray, "r t m"],
    rng: np.random.Generator,
) -> Iterator[Score]:
    """R^2 and mean absolute error of each target, each with its control, as in ``accuracies``.

    `chance` is what the mean of the train rows leaves.
    """
    truth = np.stack([test.columns[name] for name in columns]).astype(float)  # (T, M)
    mean = np.stack([train.columns[name] for name in columns]).mean(axis=1, dtype=float)  # (T,)
    residual = truth - predicted
    r2 = 1 - np.mean(residual**2, axis=2) / truth.var(axis=1)  # (R, T)
    error = np.mean(np.abs(residual), axis=2)
    ends_r2, ends_error = bootstrap_errors(truth, residual[:2], rng)  # (2, 2, T): low and high, true and shuffled
    for place, name in enumerate(columns):
        constant = truth[place] - mean[place]
        facts = {"column": name, "num": len(test)}
        found = metric.score(
            float(r2[0, place]),
            variant=f"{variant}, R2",
            chance=float(1 - np.mean(constant**2) / truth[place].var()),
            **facts,
            **r2_ends(r2[0, place], ends_r2[:, 0, place]),
        )
        yield found
        yield _control(found, r2[1:, place], r2_ends(r2[1, place], ends_r2[:, 1, place]), (-np.inf, 1.0))
        low, high = within(error[0, place], (ends_error[0, 0, place], ends_error[1, 0, place]), 0.0, np.inf)
        found = metric.score(
            float(error[0, place]),
            variant=f"{variant}, mean absolute error",
            higher_is_better=False,
            low=low,
            high=high,
            chance=float(np.mean(np.abs(constant))),
            **facts,
        )
        yield found
        low, high = within(error[1, place], (ends_error[0, 1, place], ends_error[1, 1, place]), 0.0, np.inf)
        yield _control(found, error[1:, place], {"low": low, "high": high}, (0.0, np.inf))


def r2_ends(value: float, ends: Float[np.ndarray, " 2"]) -> dict[str, Any]:
    """The interval of an R^2 from ``bootstrap_errors`` as fields of a score, or the reason why it has none."""
    if np.isnan(ends).any():
        return {"note": "no interval: too many resamples of the test rows have one value only"}
    low, high = within(value, (ends[0], ends[1]))
    return {"low": low, "high": high}


def batch_error(
    metric: Metric,
    train: Codes,
    test: Codes,
    columns: Sequence[str],
    variant: str,
    predicted: Float[np.ndarray, "t m"],
    batch_size: int,
    rng: np.random.Generator,
) -> Score:
    """Mean absolute error over all these targets as a mean over batches of test rows, the last of them smaller."""
    truth = np.stack([test.columns[name] for name in columns]).astype(float)  # (T, M)
    mean = np.stack([train.columns[name] for name in columns]).mean(axis=1, dtype=float, keepdims=True)
    batch = np.arange(len(test)) // batch_size
    weight = 1 / (np.bincount(batch)[batch] * (batch[-1] + 1))  # (M,), sums to 1

    def statistic(rows: Float[np.ndarray, "*s m"], axis: int = -1) -> Any:
        return np.sum(rows * weight, axis=axis)

    each = np.abs(truth - predicted).mean(axis=0)
    low, high = bootstrap(statistic, each, rng=rng)
    return metric.score(
        float(statistic(each)),
        over=tuple(columns),
        variant=variant,
        higher_is_better=False,
        low=low,
        high=high,
        chance=float(statistic(np.abs(truth - mean).mean(axis=0))),
        num=len(test),
        note=f"as published: a mean over batches of {batch_size} test rows",
    )


def _control(
    found: Score,
    values: Float[np.ndarray, " s"],
    over_rows: Mapping[str, Any],
    limits: tuple[float, float],
) -> Score:
    """The score that goes beside another one: the same probe on shuffled labels, once for each value.

    Args:
        over_rows: Fields of a score: the interval over test rows, which that of a single shuffle is.
    """
    control = dataclasses.replace(found, variant=f"{found.variant}, shuffled labels")
    if len(values) == 1:
        facts = {"low": None, "high": None, "note": "one shuffle; the interval is over test rows", **over_rows}
        return dataclasses.replace(control, value=float(values[0]), **facts)
    mean, *ends = mean_of_repeats(values)
    low, high = within(mean, (ends[0], ends[1]), *limits)
    return dataclasses.replace(control, value=mean, low=low, high=high, note=f"mean of {len(values)} shuffles")
