"""Scores that need no label: do the dimensions of a code depend on each other?

They see the dependence between dimensions and not what these carry: noise scores as well as factors do. Test rows,
constant dimensions left out. Intervals: jackknife over 20 groups of rows. `chance` is what the code gets with each
dimension shuffled on its own: the best that can be had from so many rows. Letters: D dimensions, b bins.
"""

from collections.abc import Iterator, Sequence

import numpy as np
from jaxtyping import Float, Float32, Int64

from unbraid.metrics import Metric, metric
from unbraid.metrics.information import bin_codes, contingency, few_rows, mutual_information
from unbraid.metrics.intervals import NUM_GROUPS, jackknife
from unbraid.records import Score
from unbraid.tables import Codes

_SOURCE = "Locatello et al. 2019, arXiv:1811.12359, unsupervised scores, as in disentanglement_lib"
_NUM_SHUFFLES = 5
_SINGULAR = 1e-10  # eigenvalue of a correlation matrix that codes in float32 do not tell from 0


def covariances(z: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "k d d"]:
    """Covariance of all rows, then without each of NUM_GROUPS groups; rows next to each other are in one group."""
    centred = z.astype(np.float64) - z.mean(axis=0, dtype=np.float64)
    parts = np.array_split(centred, NUM_GROUPS)
    sums, squares = np.stack([part.sum(axis=0) for part in parts]), np.stack([part.T @ part for part in parts])
    num = len(z) - np.array([0, *map(len, parts)])[:, None]
    mean = _without(sums) / num
    return (_without(squares) - num[..., None] * mean[:, :, None] * mean[:, None, :]) / (num[..., None] - 1)


def _without(groups: np.ndarray) -> np.ndarray:
    """The sum of all groups, then without each."""
    total = groups.sum(axis=0)
    return np.concatenate([total[None], total - groups])


def total_correlation(covariance: Float[np.ndarray, "*k d d"]) -> Float[np.ndarray, "*k"]:
    """Of normal variables, in nats: (sum_i log S_ii - log det S) / 2. Infinite where the covariance is singular."""
    scale = np.sqrt(np.diagonal(covariance, axis1=-2, axis2=-1))
    eigenvalues = np.linalg.eigvalsh(covariance / scale[..., :, None] / scale[..., None, :])
    singular = eigenvalues[..., 0] < _SINGULAR
    return np.where(singular, np.inf, -0.5 * np.log(np.maximum(eigenvalues, _SINGULAR)).sum(axis=-1))


def wasserstein(covariance: Float[np.ndarray, "*k d d"]) -> Float[np.ndarray, "*k"]:
    """Squared 2-Wasserstein distance of N(0, S) and N(0, diag S): 2 tr S - 2 tr (diag(S)^1/2 S diag(S)^1/2)^1/2.

    The published root is of diag(S) S, which is similar to this matrix and has the same trace; this one is symmetric,
    so that its root exists and is real also where S is singular.
    """
    scale = np.sqrt(np.diagonal(covariance, axis1=-2, axis2=-1))
    eigenvalues = np.linalg.eigvalsh(scale[..., :, None] * covariance * scale[..., None, :])
    return 2 * (scale**2).sum(axis=-1) - 2 * np.sqrt(np.maximum(eigenvalues, 0.0)).sum(axis=-1)


def pairwise_information(binned: Int64[np.ndarray, "d n"], bins: int, num_groups: int = 1) -> Float[np.ndarray, " k"]:
    """Mean mutual information of two dimensions, in nats: of all rows, then, of several groups, without each.

    Rows next to each other are in one group.
    """
    num_dimensions, num_rows = binned.shape
    groups = np.arange(num_rows) * num_groups // num_rows
    total = np.zeros(1 + num_groups if num_groups > 1 else 1)
    for place in range(1, num_dimensions):
        counts = contingency(binned[:place], groups * bins + binned[place], bins, num_groups * bins)
        counts = np.moveaxis(counts.reshape(place, bins, num_groups, bins), 2, 0)  # (r, d, b, b)
        tables = _without(counts) if num_groups > 1 else counts
        total += mutual_information(tables.reshape(-1, bins, bins)).reshape(len(total), place).sum(axis=1)
    return total / (num_dimensions * (num_dimensions - 1) / 2)


@metric(higher_is_better=False, source=_SOURCE)
def gaussian_total_correlation(codes: Codes, rng: np.random.Generator) -> list[Score]:
    """Total correlation of the dimensions as if the code were normal: how far it is from independent dimensions.

    Formula:
        (sum_i log S_ii - log det S) / 2 in nats, S the covariance
    Range:
        0 (uncorrelated) and up, without limit; lower is better. Chance, the best to be had, is near D (D - 1) / (4 N).
    Misleads:
        It sees linear dependence only, grows with the number of dimensions, and is lowest for noise. Where dimensions
        repeat each other or lie in a subspace it is infinite and is not given.
    """

    def replicate(z: Float32[np.ndarray, "n d"]) -> Float[np.ndarray, " k"]:
        return total_correlation(covariances(z))

    z, note, reason = _varying(codes, rng)
    if not reason and len(z) * (NUM_GROUPS - 1) // NUM_GROUPS <= z.shape[1]:
        reason = f"{len(z)} test rows are too few for {z.shape[1]} dimensions"
    if not reason and not np.isfinite(values := replicate(z)).all():
        reason = "infinite, for a dimension is a linear combination of others"
    if reason:
        return [gaussian_total_correlation.score(None, note=reason)]
    return [_score(gaussian_total_correlation, values, [replicate(other) for other in _shuffled(z, rng)], len(z), note)]


@metric(higher_is_better=False, source=_SOURCE)
def gaussian_wasserstein(codes: Codes, rng: np.random.Generator) -> list[Score]:
    """Distance of the code, as if it were normal, from the one with the same variances and independent dimensions.

    The published matrix root is of diag(S) S; the symmetric one here has the same trace and does not fail where S is
    singular.

    Formula:
        W = 2 tr S - 2 tr (diag(S)^1/2 S diag(S)^1/2)^1/2, S the covariance; "normalised" is W / tr S
    Range:
        0 (uncorrelated) and up; lower is better. Normalised it stays below 2.
        Chance, the best to be had, is above 0 by what few rows correlate by accident.
    Misleads:
        It sees linear dependence only and is lowest for noise. "raw" is in squared units of the code: scaling the code
        changes it, so that it cannot be compared between encoders; "normalised" is ruled by the widest dimensions.
    """

    def replicate(z: Float32[np.ndarray, "n d"]) -> Float[np.ndarray, "k v"]:
        covariance = covariances(z)
        raw = wasserstein(covariance)
        return np.stack([raw, raw / np.trace(covariance, axis1=1, axis2=2)], axis=1)

    variants = ("raw", "normalised")
    z, note, reason = _varying(codes, rng)
    if reason:
        return [gaussian_wasserstein.score(None, variant=variant, note=reason) for variant in variants]
    values, shuffled = replicate(z), np.stack([replicate(other) for other in _shuffled(z, rng)])
    return [
        _score(gaussian_wasserstein, values[:, place], shuffled[:, :, place], len(z), note, variant=variant)
        for place, variant in enumerate(variants)
    ]


@metric(higher_is_better=False, source=_SOURCE)
def code_mutual_information(codes: Codes, rng: np.random.Generator, *, bins: int = 20) -> list[Score]:
    """Mutual information of two dimensions, mean over all pairs: dependence of any form, linear or not.

    Each dimension is cut into 20 equal-width bins, as published.

    Formula:
        mean over i < j of I(z_i; z_j), plug-in, in nats
    Range:
        0 (independent) to log(bins); lower is better. Chance, the best to be had, is near (bins - 1)^2 / (2 N), which
        is 0.02 for 10,000 rows and 0.75 for 240.
    Misleads:
        Read it beside its chance: few rows look like dependence. A mean over pairs hides two dimensions that are the
        same among many that are not. Lowest for noise.
    """
    z, note, reason = _varying(codes, rng)
    if reason:
        return [code_mutual_information.score(None, variant=f"{bins} bins", note=reason)]
    binned = bin_codes(z, bins)
    values = pairwise_information(binned, bins, NUM_GROUPS)
    shuffled = [pairwise_information(rng.permuted(binned, axis=1), bins)]  # one will do: it is a mean over pairs
    return [_score(code_mutual_information, values, shuffled, len(z), note, variant=f"{bins} bins")]


def _varying(codes: Codes, rng: np.random.Generator) -> tuple[Float32[np.ndarray, "n d"], str, str]:
    """The test rows in random order, in the dimensions that vary whichever group is left out.

    With a note on the dimensions that do not, and the reason if nothing can be scored.
    """
    z = rng.permutation(codes.rows("test").z)
    if reason := few_rows(z):
        return z, "", reason
    parts = np.array_split(z, NUM_GROUPS)
    least, most = np.stack([part.min(axis=0) for part in parts]), np.stack([part.max(axis=0) for part in parts])
    others = ~np.eye(NUM_GROUPS, dtype=bool)
    varies = np.all([least[rows].min(axis=0) < most[rows].max(axis=0) for rows in others], axis=0)
    note = "" if varies.all() else f"{np.sum(~varies)} dimensions that do not vary are left out"
    return z[:, varies], note, "" if varies.sum() > 1 else "fewer than two dimensions vary"


def _shuffled(z: Float32[np.ndarray, "n d"], rng: np.random.Generator) -> Iterator[Float32[np.ndarray, "n d"]]:
    return (rng.permuted(z, axis=0) for _ in range(_NUM_SHUFFLES))


def _score(
    metric: Metric,
    values: Float[np.ndarray, " k"],
    shuffled: Sequence[Float[np.ndarray, " r"]] | Float[np.ndarray, "s k"],
    num: int,
    note: str,
    variant: str = "",
) -> Score:
    """From the replicates of the code and of its shuffles; all of it is 0 or above."""
    value = max(0.0, float(values[0]))
    low, high = jackknife(value, values[1:])
    chance = float(np.mean([replicates[0] for replicates in shuffled]))
    return metric.score(value, low=max(0.0, low), high=high, chance=chance, num=num, note=note, variant=variant)
