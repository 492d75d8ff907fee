"""Scores of what a code does while one factor is held and the others vary: beta-VAE score and FactorVAE score.

The published versions ask a generator for images that share a value of factor f. Here such rows are drawn from the
table: a value of f, as often as there are rows that have it, then rows that have it, with replacement. On a full grid
this is the published sampling. Which factors and values can be held is said in ``held_factors``.

Letters: N rows, D dimensions, G factors, P points to be classified, B rows or pairs in the batch of a point.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Float32, Int64

from unbraid.errors import UserError
from unbraid.metrics import Metric, metric
from unbraid.metrics.held_factors import (
    NUM_SHUFFLES,
    Rows,
    Table,
    draw_table,
    joined,
    moving,
    of_halves,
    score_of,
    undefined,
)
from unbraid.records import Score
from unbraid.tables import Codes

_CHANCE_POINTS = (1_000, 500)  # to train and to evaluate with shuffled codes
_CHUNK = 32  # points whose rows are held at a time: 1 MB for 64 rows of 128 dimensions stays in the cache

_TWO_FACTORS = "it needs two factors that can be held"
_LOCATELLO = "; settings of Locatello et al. 2019, arXiv:1811.12359"


class _Points(NamedTuple):
    """What a classifier is to read the factor from."""

    features: np.ndarray
    factor: Int64[np.ndarray, " p"]


Draw = Callable[[Rows, int], _Points]
Classify = Callable[[np.ndarray], Int64[np.ndarray, " p"]]  # features -> factor
Fit = Callable[[_Points], Classify]


@metric(needs={"content"}, higher_is_better=True, source="Higgins et al. 2017, beta-VAE, ICLR, section 3" + _LOCATELLO)
def beta_vae_score(
    codes: Codes, rng: np.random.Generator, *, batch_size: int = 64, num_train: int = 10_000, num_eval: int = 5_000
) -> list[Score]:
    """Can a linear classifier tell which factor the rows of each pair share, from how far apart their codes are?

    Points to train on are drawn from train rows, points to evaluate from test rows; the published score draws both from
    all images, which in a small table rewards memory. Features are standardised, so that the scale of a code does not
    matter; in disentanglement_lib they are not. Defaults are the published sizes. Interval: over halves of the test
    rows, with points of their own.

    Formula:
        a point: f uniform over the factors, 64 pairs of rows that agree in f, x_d = mean over pairs of |z_d - z'_d|;
        the score is the accuracy of a logistic regression from x to f
    Range:
        0 to 1, higher is better. Chance, from shuffled codes, is near 1 / number of factors; it is more where the
        values of one factor have so few rows that a pair is often the same row twice.
    Misleads:
        A factor spread over many dimensions is read as well as one with a dimension of its own. One factor may be
        missing from the code altogether: it is then the one that holds nothing still.
    Raises:
        UserError: If a size is too small.
    """
    _check("beta-vae-score", batch_size=(batch_size, 1), num_train=(num_train, 100), num_eval=(num_eval, 2))

    def draw(rows: Rows, num: int) -> _Points:
        held = rng.integers(rows.factors.shape[1], size=num)
        pairs = draw_sharing(rows.factors, np.repeat(held, batch_size), 2, rng)
        return _Points(mean_distances(rows.z, pairs.reshape(num, batch_size, 2)), held)

    table = draw_table(codes, f"batch {batch_size}", "train", "test")
    if len(table.over) < 2:
        return [undefined(beta_vae_score, table, _TWO_FACTORS)]
    return [_classified(beta_vae_score, table, draw, _logistic, (num_train, num_eval), rng)]


@metric(needs={"content"}, higher_is_better=True, source="Kim & Mnih 2018, arXiv:1802.05983, section 4" + _LOCATELLO)
def factor_vae_score(
    codes: Codes,
    rng: np.random.Generator,
    *,
    batch_size: int = 64,
    num_train: int = 10_000,
    num_eval: int = 5_000,
    threshold: float = 0.05,
) -> list[Score]:
    """Does the dimension that varies least in a batch tell which factor the batch shares?

    Votes to train on are drawn from train rows, votes to evaluate from test rows, as in `beta-vae-score`. A dimension
    is pruned if its standard deviation is below 0.05, as in the published studies (the default of disentanglement_lib
    itself is 0) or if it is constant. The note counts the dimensions that are left; disentanglement_lib reports all of
    them there. Variances are those of all train rows, published are those of 10,000 draws. The other defaults are the
    published sizes. Interval: over halves of the test rows, with votes of their own.

    Formula:
        a vote: f uniform over the factors, 64 rows that agree in f, d = argmin_d Var_batch(z_d) / Var(z_d);
        each d stands for the f of most train votes; the score is the share of the other votes for which that is so
    Range:
        0 to 1, higher is better. Chance, from shuffled codes, is near 1 / number of factors.
    Misleads:
        A dimension may mix factors and still vary least, and copies of a dimension cost nothing. The threshold is in
        the units of the code: it suits a VAE, and can prune all of a code of unit length.
    Raises:
        UserError: If a size is too small or the threshold is negative.
    """
    _check("factor-vae-score", batch_size=(batch_size, 2), num_train=(num_train, 100), num_eval=(num_eval, 2))
    if not threshold >= 0:
        raise UserError(f"factor-vae-score: threshold must be at least 0, not {threshold}")
    table = draw_table(codes, f"batch {batch_size}, threshold {threshold:g}", "train", "test")
    if len(table.over) < 2:
        return [undefined(factor_vae_score, table, _TWO_FACTORS)]
    train = table.parts[0].z
    scale = train.std(axis=0, ddof=1)
    active = (scale >= threshold) & moving(train)
    if not active.any():
        reason = (
            f"no dimension has a standard deviation of {threshold:g} or more: scale the code or lower the threshold"
        )
        return [undefined(factor_vae_score, table, reason)]

    def draw(rows: Rows, num: int) -> _Points:
        held = rng.integers(rows.factors.shape[1], size=num)
        batches = draw_sharing(rows.factors, held, batch_size, rng)
        return _Points(least_varying(rows.z[:, active] / scale[active], batches), held)

    fit = functools.partial(_majority, int(active.sum()))
    score = _classified(factor_vae_score, table, draw, fit, (num_train, num_eval), rng)
    return [
        dataclasses.replace(score, note=joined(f"{active.sum()} of {len(active)} dimensions are active", score.note))
    ]


def draw_sharing(
    factors: Int64[np.ndarray, "n g"], held: Int64[np.ndarray, " p"], size: int, rng: np.random.Generator
) -> Int64[np.ndarray, "p size"]:
    """For each of P times ``size`` row numbers, drawn with replacement, that agree in the factor that is held."""
    drawn = np.empty((len(held), size), dtype=np.int64)
    for place, values in enumerate(factors.T):
        order = np.argsort(values, kind="stable")
        _, start, count = np.unique(values[order], return_index=True, return_counts=True)
        start, count = start[count > 1], count[count > 1]
        mine = held == place
        group = rng.choice(len(count), size=int(mine.sum()), p=count / count.sum())
        drawn[mine] = order[rng.integers(start[group], (start + count)[group], size=(size, len(group))).T]
    return drawn


def mean_distances(z: Float32[np.ndarray, "n d"], pairs: Int64[np.ndarray, "p b 2"]) -> Float32[np.ndarray, "p d"]:
    """In each dimension the mean distance of the two codes of a pair, over the B pairs of a point."""
    means = np.empty((len(pairs), z.shape[1]), dtype=np.float32)
    for start in range(0, len(pairs), _CHUNK):
        part = slice(start, start + _CHUNK)
        distances = z[pairs[part, :, 0]]
        distances -= z[pairs[part, :, 1]]
        np.einsum("pbd->pd", np.abs(distances, out=distances), out=means[part])  # twice as fast as ``mean``
    return means / np.float32(pairs.shape[1])


def least_varying(z: Float32[np.ndarray, "n d"], batches: Int64[np.ndarray, "p b"]) -> Int64[np.ndarray, " p"]:
    """The dimension of least variance in each batch, the first of several."""
    least = np.empty(len(batches), dtype=np.int64)
    for start in range(0, len(batches), _CHUNK):
        part = slice(start, start + _CHUNK)
        away = z[batches[part]]
        away -= np.einsum("pbd->pd", away)[:, None] / np.float32(batches.shape[1])
        least[part] = np.einsum("pbd,pbd->pd", away, away).argmin(axis=1)
    return least


def _classified(
    metric: Metric, table: Table, draw: Draw, fit: Fit, sizes: tuple[int, int], rng: np.random.Generator
) -> Score:
    """Accuracy on points of test rows of a classifier of points of train rows; ``sizes`` counts both, train first."""
    train, test = table.parts

    def accuracy(classify: Classify, rows: Rows, num: int) -> float:
        points = draw(rows, num)
        return float(np.mean(classify(points.features) == points.factor))

    classify = fit(draw(train, sizes[0]))
    value = accuracy(classify, test, sizes[1])
    halves = of_halves(lambda half: accuracy(classify, half, sizes[1] // 2), test, rng)
    chance = []
    for _ in range(NUM_SHUFFLES):
        ignorant = fit(draw(train.shuffled(rng), _CHANCE_POINTS[0]))
        chance.append(accuracy(ignorant, test.shuffled(rng), _CHANCE_POINTS[1]))
    return score_of(metric, table, value, halves, chance)


def _logistic(points: _Points) -> Classify:
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    model = make_pipeline(StandardScaler(), LogisticRegression(tol=1e-3, max_iter=1_000))
    return model.fit(points.features, points.factor).predict


def _majority(num_dimensions: int, votes: _Points) -> Classify:
    """Each dimension stands for the factor that it was the vote for most often."""
    counts = np.zeros((votes.factor.max() + 1, num_dimensions))
    np.add.at(counts, (votes.factor, votes.features), 1)
    return counts.argmax(axis=0).__getitem__


def _check(name: str, **least: tuple[int, int]) -> None:
    for option, (value, minimum) in least.items():
        if value < minimum:
            raise UserError(f"{name}: {option} must be at least {minimum}, not {value}")
