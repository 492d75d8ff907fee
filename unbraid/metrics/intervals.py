"""95 % intervals: over the rows a score was computed on, or over repetitions of what made it random."""

from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import Float

_NUM_RESAMPLES = 999
_MANY = 20_000
NUM_GROUPS = 20  # of rows, each left out once by the jackknife
_BATCH_BYTES = 64 * 2**20  # of the resampled rows that are held at a time


def bootstrap(
    statistic: Callable[..., Any], *rows: Float[np.ndarray, " n"], rng: np.random.Generator
) -> tuple[float | None, float | None]:
    """Both ends of the interval of ``statistic(*rows, axis)``, or None twice for fewer than two rows.

    ``scipy.stats.bootstrap``, percentile method, 999 resamples; several arrays are resampled together, row by row.
    For scores that are 0 or 1 in each row these are quantiles of a binomial: if all rows agree, the ends coincide.
    """
    from scipy import stats

    if len(rows[0]) < 2:
        return None, None
    interval = stats.bootstrap(
        rows,
        statistic,
        n_resamples=_NUM_RESAMPLES,
        batch=max(1, _BATCH_BYTES // (8 * len(rows[0]))),
        vectorized=True,
        paired=len(rows) > 1,
        method="percentile",
        rng=rng,
    ).confidence_interval
    return float(interval.low), float(interval.high)


def bootstrap_mean(values: Float[np.ndarray, " n"], rng: np.random.Generator) -> tuple[float | None, float | None]:
    """The interval of the mean; of so many rows that the bootstrap would take seconds, its limit, the normal one."""
    if len(values) <= _MANY:
        return bootstrap(np.mean, values, rng=rng)
    mean, half = float(values.mean()), 1.96 * float(values.std()) / len(values) ** 0.5
    return mean - half, mean + half


def mean_of_repeats(values: Float[np.ndarray, " r"]) -> tuple[float, float, float]:
    """Mean of a few independent repetitions and both ends of its Student t interval."""
    from scipy import stats

    mean = float(values.mean())
    half = float(stats.t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / len(values) ** 0.5)
    return mean, mean - half, mean + half


def jackknife(value: float, without: Float[np.ndarray, " r"]) -> tuple[float, float]:
    """Both ends around ``value``, from its r values with one of r groups of rows left out (delete-a-group jackknife).

    For scores that resampling with replacement would bias: a repeated row looks like knowledge to a plug-in mutual
    information, and like a neighbour to a retrieval.
    """
    from scipy import stats

    error = np.sqrt((len(without) - 1) * np.var(without))
    half = float(stats.t.ppf(0.975, len(without) - 1) * error)
    return value - half, value + half
