"""From what a probe answers on test rows to scores: accuracies and errors, their intervals, chance and controls."""

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int64

from unbraid.metrics import Metric
from unbraid.metrics.intervals import bootstrap, mean_of_repeats
from unbraid.records import Score
from unbraid.tables import Codes

_NUM_RESAMPLES, _BLOCK = 999, 111  # of the bootstrap, and as many as are held at a time


def same_rows(codes: Codes, columns: Iterable[str]) -> Iterator[tuple[list[str], Codes, Codes]]:
    """Groups of columns that are known in the same rows, with these train and test rows."""
    groups: dict[bytes, list[str]] = {}
    for name in columns:
        column = codes.columns[name]
        missing = column < 0 if name in codes.spec.sizes else np.isnan(column)
        groups.setdefault(missing.tobytes(), []).append(name)
    for names in groups.values():
        known = codes.known(*names)
        yield names, known.rows("train"), known.rows("test")


def problem(train: Codes, test: Codes, column: str) -> str:
    """Why a column cannot be probed; empty if it can. The rows are those in which it is known."""
    known, truth = train.columns[column], test.columns[column]
    if not len(train) or not len(test):
        return f"no rows in the {'test' if len(train) else 'train'} split, or its values are missing there"
    if np.ptp(known) == 0:
        return "one value only in the train split"
    if column in train.spec.targets:
        return "one value only in the test split" if np.ptp(truth) == 0 else ""
    if train.spec.sizes[column] > len(train):
        return f"{train.spec.sizes[column]} values, but only {len(train)} train rows"
    return "" if np.isin(truth, known).any() else "no test row has a value that occurs in the train split"


def accuracies(
    metric: Metric, train: Codes, test: Codes, column: str, variant: str, predicted: Int64[np.ndarray, "r m"]
) -> tuple[Score, Score]:
    """The accuracy of the first row of predictions, and of the others: what the probe says after shuffled labels.

    `chance` is that of the most frequent value of the train rows.
    """
    known, truth = train.columns[column], test.columns[column]
    (value, low, high), *shuffled = (share(row == truth) for row in predicted)
    unseen = int(np.sum(~np.isin(truth, known)))
    found = metric.score(
        value,
        column=column,
        variant=variant,
        low=low,
        high=high,
        chance=float(np.mean(truth == np.bincount(known).argmax())),
        num=len(test),
        note=f"{unseen} test rows have a value that no train row has" if unseen else "",
    )
    return found, _control(found, np.array([one[0] for one in shuffled]), shuffled[0][1:], (0.0, 1.0))


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
    centred, residual = truth - truth.mean(axis=1, keepdims=True), truth - predicted
    r2 = 1 - np.mean(residual**2, axis=2) / np.mean(centred**2, axis=1)  # (R, T)
    error = np.mean(np.abs(residual), axis=2)
    ends_r2, ends_error = _resampled(centred, residual[:2], rng)  # (2, 2, T) each: low and high, true and shuffled
    for place, name in enumerate(columns):
        constant = truth[place] - mean[place]
        facts = {"column": name, "num": len(test)}
        found = metric.score(
            float(r2[0, place]),
            variant=f"{variant}, R2",
            low=float(ends_r2[0, 0, place]),
            high=float(ends_r2[1, 0, place]),
            chance=float(1 - np.mean(constant**2) / np.mean(centred[place] ** 2)),
            **facts,
        )
        yield found
        yield _control(found, r2[1:, place], _pair(ends_r2[:, 1, place]), (-np.inf, 1.0))
        found = metric.score(
            float(error[0, place]),
            variant=f"{variant}, mean absolute error",
            higher_is_better=False,
            low=float(ends_error[0, 0, place]),
            high=float(ends_error[1, 0, place]),
            chance=float(np.mean(np.abs(constant))),
            **facts,
        )
        yield found
        yield _control(found, error[1:, place], _pair(ends_error[:, 1, place]), (0.0, np.inf))


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


def share(hits: Bool[np.ndarray, " m"]) -> tuple[float, float | None, float | None]:
    """The share of hits and both ends of its interval: what a percentile bootstrap over rows tends to."""
    from scipy import stats

    value, num = float(hits.mean()), len(hits)
    if num < 2:
        return value, None, None
    low, high = stats.binom.ppf((0.025, 0.975), num, value) / num
    return value, float(low), float(high)


def _control(
    found: Score,
    values: Float[np.ndarray, " s"],
    over_rows: tuple[float | None, float | None],
    limits: tuple[float, float],
) -> Score:
    """The score that goes beside another one: the same probe on shuffled labels, once for each value."""
    control = dataclasses.replace(found, variant=f"{found.variant}, shuffled labels")
    if len(values) == 1:
        note = "one shuffle; the interval is over test rows"
        return dataclasses.replace(control, value=float(values[0]), low=over_rows[0], high=over_rows[1], note=note)
    mean, low, high = mean_of_repeats(values)
    low, high = max(low, limits[0]), min(high, limits[1])
    return dataclasses.replace(control, value=mean, low=low, high=high, note=f"mean of {len(values)} shuffles")


def _resampled(
    centred: Float[np.ndarray, "t m"], residual: Float[np.ndarray, "r t m"], rng: np.random.Generator
) -> tuple[Float[np.ndarray, "2 r t"], Float[np.ndarray, "2 r t"]]:
    """Percentile bootstrap of R^2 and of the mean absolute error: the same resampled rows for all targets."""
    rows = np.concatenate([centred[None], centred[None] ** 2, residual**2, np.abs(residual)])  # (2 + 2R, T, M)
    num, flat = rows.shape[2], rows.reshape(-1, rows.shape[2]).T
    means = np.empty((_NUM_RESAMPLES, flat.shape[1]))
    for start in range(0, _NUM_RESAMPLES, _BLOCK):
        drawn = rng.integers(num, size=(len(means[start : start + _BLOCK]), num))
        counts = np.stack([np.bincount(one, minlength=num) for one in drawn])
        means[start : start + _BLOCK] = counts @ flat / num
    first, second, *others = np.moveaxis(means.reshape(_NUM_RESAMPLES, *rows.shape[:2]), 1, 0)  # (S, T) each
    squares, absolute = np.stack(others).reshape(2, len(residual), _NUM_RESAMPLES, -1)
    with np.errstate(divide="ignore", invalid="ignore"):  # a resample of one row only, many times
        r2 = 1 - squares / (second - first**2)
    return np.nanquantile(r2, (0.025, 0.975), axis=1), np.quantile(absolute, (0.025, 0.975), axis=1)


def _pair(ends: Float[np.ndarray, " 2"]) -> tuple[float, float]:
    return float(ends[0]), float(ends[1])
