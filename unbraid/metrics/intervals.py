"""95 % intervals: over the rows a score was computed on, or over repetitions of what made it random.

Shares of rows that are right have Wilson's interval, which has a width also where all rows agree; other means over rows
are resampled; what resampling with replacement would bias leaves out groups or halves of the rows.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int, Int64

Ends = tuple[float | None, float | None]  # of an interval; None where there is none

NUM_RESAMPLES = 999
_MANY = 20_000
_BLOCK = 111  # resamples that are held at a time
_LEAST_VARIANCE = 1e-9  # of a resample, as a share of that of all rows; what rounding leaves of none is less
NUM_GROUPS = 20  # of rows, each left out once by the jackknife
_BATCH_BYTES = 64 * 2**20  # of the resampled rows that are held at a time


def bootstrap(statistic: Callable[..., Any], *rows: Float[np.ndarray, " n"], rng: np.random.Generator) -> Ends:
    """Both ends of the interval of ``statistic(*rows, axis)``, or None twice for fewer than two rows.

    ``scipy.stats.bootstrap``, percentile method, 999 resamples; several arrays are resampled together, row by row.
    If all rows agree the ends coincide; for rows that are 0 or 1 there is ``share``.
    """
    from scipy import stats

    if len(rows[0]) < 2:
        return None, None
    interval = stats.bootstrap(
        rows,
        statistic,
        n_resamples=NUM_RESAMPLES,
        batch=max(1, _BATCH_BYTES // (8 * len(rows[0]))),
        vectorized=True,
        paired=len(rows) > 1,
        method="percentile",
        rng=rng,
    ).confidence_interval
    return float(interval.low), float(interval.high)


def bootstrap_mean(values: Float[np.ndarray, " n"], rng: np.random.Generator) -> Ends:
    """The interval of the mean; of so many rows that the bootstrap would take seconds, its limit, the normal one."""
    if len(values) <= _MANY:
        return bootstrap(np.mean, values, rng=rng)
    mean, half = float(values.mean()), 1.96 * float(values.std()) / len(values) ** 0.5
    return mean - half, mean + half


def bootstrap_errors(
    truth: Float[np.ndarray, "t n"], residual: Float[np.ndarray, "r t n"], rng: np.random.Generator
) -> tuple[Float[np.ndarray, "2 r t"], Float[np.ndarray, "2 r t"]]:
    """Percentile bootstrap of R^2 and of the mean absolute error: the same resampled rows for all T targets.

    A resample in which (nearly) all rows have the same truth has no R^2 and does not count. Where these are more than
    5 % the ends are NaN: what is left would be no picture of the rows.
    """
    centred = truth - truth.mean(axis=1, keepdims=True)
    rows = np.concatenate([centred[None], centred[None] ** 2, residual**2, np.abs(residual)])  # (2 + 2R, T, N)
    num, flat = rows.shape[2], rows.reshape(-1, rows.shape[2]).T
    means = np.empty((NUM_RESAMPLES, flat.shape[1]))
    for start in range(0, NUM_RESAMPLES, _BLOCK):
        drawn = rng.integers(num, size=(len(means[start : start + _BLOCK]), num))
        counts = np.stack([np.bincount(one, minlength=num) for one in drawn])
        means[start : start + _BLOCK] = counts @ flat / num
    first, second, *others = np.moveaxis(means.reshape(NUM_RESAMPLES, *rows.shape[:2]), 1, 0)  # (S, T) each
    squares, absolute = np.stack(others).reshape(2, len(residual), NUM_RESAMPLES, -1)
    variance = second - first**2
    varies = variance > _LEAST_VARIANCE * np.mean(centred**2, axis=1)
    r2 = np.where(varies, 1 - squares / np.where(varies, variance, 1.0), np.nan)
    r2[:, :, np.mean(varies, axis=0) < 0.95] = 0  # of no use, and ``nanquantile`` warns of columns without a number
    ends = np.nanquantile(r2, (0.025, 0.975), axis=1)
    ends[:, :, np.mean(varies, axis=0) < 0.95] = np.nan
    return ends, np.quantile(absolute, (0.025, 0.975), axis=1)


def share(hits: Bool[np.ndarray, " n"]) -> tuple[float, float, float]:
    """The share of hits and both ends of its interval, Wilson's."""
    return sum_of_shares(np.array([hits.sum()]), np.array([len(hits)]), np.ones(1))


def mean_share(hits: Bool[np.ndarray, " n"], strata: Int64[np.ndarray, " n"]) -> tuple[float, float, float]:
    """The unweighted mean of the strata's shares of hits and both ends of its interval."""
    strata = np.unique(strata, return_inverse=True)[1]
    counts = np.bincount(strata)
    return sum_of_shares(np.bincount(strata[hits], minlength=len(counts)), counts, np.ones(len(counts)) / len(counts))


def sum_of_shares(
    num_hits: Int[np.ndarray, " s"], counts: Int[np.ndarray, " s"], weights: Float[np.ndarray, " s"]
) -> tuple[float, float, float]:
    """A weighted sum of the shares of S strata and both ends of its interval, of Wilson's of each stratum.

    How far the strata reach to a side is squared and added (Newcombe 1998, Statistics in Medicine 17, method 10; Zou &
    Donner 2008, Statistics in Medicine 27). Of a single stratum of weight 1 it is Wilson's interval itself.
    """
    from scipy import stats

    found = [
        stats.binomtest(int(k), int(n)).proportion_ci(method="wilson") for k, n in zip(num_hits, counts, strict=True)
    ]
    shares = num_hits / counts
    ends = np.array([(one.low, one.high) for one in found]).T * weights - shares * weights  # (2, S)
    value, reach = float(np.sum(weights * shares)), np.sqrt(np.sum(np.stack([ends.min(0), ends.max(0)]) ** 2, axis=1))
    return value, value - float(reach[0]), value + float(reach[1])


def least_share(num_hits: Int[np.ndarray, " s"], counts: Int[np.ndarray, " s"]) -> tuple[float, float, float]:
    """The least of the shares of S strata and both ends of an interval about that of the truly worst stratum.

    Clopper and Pearson's ends, so far out that those of all strata hold together in 95 % (Sidak).
    """
    from scipy import stats

    tail = 1 - 0.975 ** (1 / len(counts))
    low = np.where(num_hits > 0, stats.beta.ppf(tail, np.maximum(num_hits, 1), counts - num_hits + 1), 0.0)
    high = np.where(num_hits < counts, stats.beta.ppf(1 - tail, num_hits + 1, np.maximum(counts - num_hits, 1)), 1.0)
    return float((num_hits / counts).min()), float(low.min()), float(high.min())


def within(value: float, ends: Ends, least: float = -np.inf, most: float = 1.0) -> Ends:
    """The same ends, but inside what is possible, and for rounding not on the wrong side of the value."""
    low, high = ends
    return (
        None if low is None else min(float(value), max(least, float(low))),
        None if high is None else max(float(value), min(most, float(high))),
    )


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


def half_sampling(value: float, halves: Float[np.ndarray, " r"]) -> Ends:
    """Both ends around ``value``, from its r values on random halves of the rows; None twice for fewer than two.

    A half drawn without replacement strays from the whole as the whole from the truth. It suits a statistic that is
    not smooth, such as a maximum (Shao & Wu 1989, Annals of Statistics 17, with d = n / 2).
    """
    from scipy import stats

    if len(halves) < 2:
        return None, None
    reach = float(stats.t.ppf(0.975, len(halves) - 1) * np.std(halves, ddof=1))
    return value - reach, value + reach
