"""Scores of what a code does while one factor is held and the others vary: beta-VAE score, FactorVAE score and IRS.

The published versions ask a generator for images that share a value of factor f. Here such rows are drawn from the
table: a value of f, as often as there are rows that have it, then rows that have it, with replacement. On a full grid
this is the published sampling. A value that only one row has is never held. Factors are the content and the targets,
these in 20 equal-width bins; rows in which one of them is missing are left out.

Letters: N rows, D dimensions, G factors, P points to be classified, B rows or pairs in the batch of a point.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Float32, Int64

from unbraid.errors import UserError
from unbraid.metrics import Metric, metric
from unbraid.metrics.information import bin_codes
from unbraid.records import Score
from unbraid.tables import SPLITS, Codes

_BINS = 20
_NUM_HALVES = 8  # of the test rows, for the interval
_NUM_SHUFFLES = 3  # for the chance level
_CHANCE_POINTS = (1_000, 500)  # to train and to evaluate with shuffled codes
_CHUNK = 32  # points whose rows are held at a time: 1 MB for 64 rows of 128 dimensions stays in the cache

_TWO_FACTORS = "it needs two factors that can be held"
_LOCATELLO = "; settings of Locatello et al. 2019, arXiv:1811.12359"


class _Rows(NamedTuple):
    """Codes and factors of some rows."""

    z: Float32[np.ndarray, "n d"]
    factors: Int64[np.ndarray, "n g"]

    def take(self, rows: Int64[np.ndarray, " m"]) -> "_Rows":
        return _Rows(self.z[rows], self.factors[rows])

    def shuffled(self, rng: np.random.Generator) -> "_Rows":
        """The same with codes that know nothing."""
        return _Rows(rng.permutation(self.z), self.factors)


class _Table(NamedTuple):
    """The rows of one or two splits, and which factors can be held in each of them."""

    parts: tuple[_Rows, ...]
    over: tuple[str, ...]
    variant: str
    note: str  # the other factors, each with the reason


class _Points(NamedTuple):
    """What a classifier is to read the factor from."""

    features: np.ndarray
    factor: Int64[np.ndarray, " p"]


Draw = Callable[[_Rows, int], _Points]
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

    def draw(rows: _Rows, num: int) -> _Points:
        held = rng.integers(rows.factors.shape[1], size=num)
        pairs = draw_sharing(rows.factors, np.repeat(held, batch_size), 2, rng)
        return _Points(mean_distances(rows.z, pairs.reshape(num, batch_size, 2)), held)

    table = _table(codes, f"batch {batch_size}", "train", "test")
    if len(table.over) < 2:
        return [_undefined(beta_vae_score, table, _TWO_FACTORS)]
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
    table = _table(codes, f"batch {batch_size}, threshold {threshold:g}", "train", "test")
    if len(table.over) < 2:
        return [_undefined(factor_vae_score, table, _TWO_FACTORS)]
    train = table.parts[0].z
    scale = train.std(axis=0, ddof=1)
    active = (scale >= threshold) & _moving(train)
    if not active.any():
        reason = (
            f"no dimension has a standard deviation of {threshold:g} or more: scale the code or lower the threshold"
        )
        return [_undefined(factor_vae_score, table, reason)]

    def draw(rows: _Rows, num: int) -> _Points:
        held = rng.integers(rows.factors.shape[1], size=num)
        batches = draw_sharing(rows.factors, held, batch_size, rng)
        return _Points(least_varying(rows.z[:, active] / scale[active], batches), held)

    fit = functools.partial(_majority, int(active.sum()))
    score = _classified(factor_vae_score, table, draw, fit, (num_train, num_eval), rng)
    return [
        dataclasses.replace(score, note=_joined(f"{active.sum()} of {len(active)} dimensions are active", score.note))
    ]


@metric(needs={"content"}, higher_is_better=True, source="Suter et al. 2019, arXiv:1811.00007" + _LOCATELLO)
def irs(codes: Codes, rng: np.random.Generator, *, quantile: float = 0.99) -> list[Score]:
    """Interventional Robustness Score: does each dimension stay where it is while all factors but one change?

    Test rows; published are 10,000 draws. Constant dimensions are left out, and values that only one row has. Interval:
    over halves of the test rows. disentanglement_lib puts every factor into 20 equal-width bins, which joins values
    where there are more than 20, whether or not they are neighbours; for such data that version is a second score.

    Args:
        quantile: Of the deviations of a value's rows; 1 is the maximum of the paper's definition.

    Formula:
        R_df = 1 - mean_v q_dv / m_d, with q_dv the 0.99 quantile of |z_d - mean_v(z_d)| over the rows where f = v and
        m_d = max |z_d - mean(z_d)| over all rows; the score is the mean over d of max_f R_df, weighted by m_d
    Range:
        At most 1, higher is better; below 0 only just. Chance, from shuffled codes, can lie far above 0.
    Misleads:
        One outlier makes m_d large and the dimension seem robust. Values of few rows seem robust too: read it beside
        its chance. It does not ask whether every factor has a dimension.
    Raises:
        UserError: If the quantile is not between 0 and 1.
    """
    if not 0 < quantile <= 1:
        raise UserError(f"irs: quantile must be above 0 and at most 1, not {quantile}")
    table = _table(codes, f"quantile {quantile:g}", "test")
    (rows,) = table.parts
    if not table.over:
        return [_undefined(irs, table, "it needs a factor that can be held")]
    if not _moving(rows.z).any():
        return [_undefined(irs, table, "the code is the same for every test row")]
    scores = [_robust(table, quantile, rng)]
    if any(len(np.unique(values)) > _BINS for values in rows.factors.T):
        binned = bin_codes(rows.factors.astype(np.float64), _BINS).T
        published = table._replace(parts=(_Rows(rows.z, binned),), variant=f"{table.variant}, factors in {_BINS} bins")
        scores.append(_robust(published, quantile, rng))
    return scores


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


def robustness(
    z: Float32[np.ndarray, "n d"], factors: Int64[np.ndarray, "n g"], quantile: float
) -> tuple[Float[np.ndarray, "d g"], Float[np.ndarray, " d"]]:
    """R_df and the weights m_d of ``irs``, for dimensions that are not constant."""
    columns = np.ascontiguousarray(z.T)
    farthest = np.abs(columns - columns.mean(axis=1, keepdims=True)).max(axis=1)
    deviations = np.zeros((len(columns), factors.shape[1]))
    for place, values in enumerate(factors.T):
        order = np.argsort(values, kind="stable")
        groups = np.split(order, np.flatnonzero(np.diff(values[order])) + 1)
        groups = [rows for rows in groups if len(rows) > 1]
        for rows in groups:
            group = columns[:, rows]
            away = np.abs(group - group.mean(axis=1, keepdims=True))
            deviations[:, place] += np.quantile(away, quantile, axis=1, overwrite_input=True) / len(groups)
    return 1 - deviations / farthest[:, None], farthest


def _robust(table: _Table, quantile: float, rng: np.random.Generator) -> Score:
    def average(rows: _Rows) -> float:
        matrix, weights = robustness(rows.z[:, _moving(rows.z)], rows.factors, quantile)
        return float(np.average(matrix.max(axis=1), weights=weights))

    (rows,) = table.parts
    chance = [average(rows.shuffled(rng)) for _ in range(_NUM_SHUFFLES)]
    return _score(irs, table, average(rows), _halves(average, rows, rng), chance)


def _classified(
    metric: Metric, table: _Table, draw: Draw, fit: Fit, sizes: tuple[int, int], rng: np.random.Generator
) -> Score:
    """Accuracy on points of test rows of a classifier of points of train rows; ``sizes`` counts both, train first."""
    train, test = table.parts

    def accuracy(classify: Classify, rows: _Rows, num: int) -> float:
        points = draw(rows, num)
        return float(np.mean(classify(points.features) == points.factor))

    classify = fit(draw(train, sizes[0]))
    value = accuracy(classify, test, sizes[1])
    halves = _halves(lambda half: accuracy(classify, half, sizes[1] // 2), test, rng)
    chance = []
    for _ in range(_NUM_SHUFFLES):
        ignorant = fit(draw(train.shuffled(rng), _CHANCE_POINTS[0]))
        chance.append(accuracy(ignorant, test.shuffled(rng), _CHANCE_POINTS[1]))
    return _score(metric, table, value, halves, chance)


def _score(metric: Metric, table: _Table, value: float, halves: list[float], chance: list[float]) -> Score:
    """Interval: value +- t times the standard deviation of the halves, as is due where half of n rows were left out.

    Leaving out half changes a mean by as much as n new rows would, and it suits a statistic that is not smooth, such as
    a maximum (Shao & Wu 1989, Annals of Statistics 17, with d = n / 2).
    """
    from scipy import stats

    low, high, note = None, None, "too few rows for an interval"
    if halves:
        error = float(stats.t.ppf(0.975, len(halves) - 1) * np.std(halves, ddof=1))
        low, high, note = max(min(value, 0.0), value - error), min(1.0, value + error), ""
    return metric.score(
        value,
        over=table.over,
        variant=table.variant,
        low=low,
        high=high,
        chance=float(np.mean(chance)),
        num=len(table.parts[-1].z),
        note=_joined(table.note, note),
    )


def _halves(statistic: Callable[[_Rows], float], rows: _Rows, rng: np.random.Generator) -> list[float]:
    """The statistic of random halves of the rows; nothing if it is not defined for one of them."""
    halves = [rows.take(rng.permutation(len(rows.z))[: len(rows.z) // 2]) for _ in range(_NUM_HALVES)]
    if any(not _moving(half.z).any() or any(map(_problem, half.factors.T)) for half in halves):
        return []
    return [statistic(half) for half in halves]


def _undefined(metric: Metric, table: _Table, reason: str) -> Score:
    return metric.score(None, over=table.over, variant=table.variant, note=_joined(table.note, reason))


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


def _moving(z: Float32[np.ndarray, "n d"]) -> Bool[np.ndarray, " d"]:
    return np.ptp(z, axis=0) > 0


def _table(codes: Codes, variant: str, *splits: str) -> _Table:
    names = (*codes.spec.content, *codes.spec.targets)
    rows = codes.known(*names).rows(*splits)
    parts = {split: rows.split == SPLITS.index(split) for split in splits}
    columns = [_values(rows, name) for name in names]
    reasons = {
        name: [
            f"{problem} in the {split} split" for split, part in parts.items() if (problem := _problem(values[part]))
        ]
        for name, values in zip(names, columns)
    }
    held = [place for place, name in enumerate(names) if not reasons[name]]
    factors = np.stack(columns, axis=1)[:, held]
    return _Table(
        parts=tuple(_Rows(rows.z[part], factors[part]) for part in parts.values()),
        over=tuple(names[place] for place in held),
        variant=f"{variant}, targets in {_BINS} bins" if codes.spec.targets else variant,
        note="; ".join(f"{name!r} is left out: {found[0]}" for name, found in reasons.items() if found),
    )


def _values(codes: Codes, name: str) -> Int64[np.ndarray, " n"]:
    column = codes.columns[name]
    if name in codes.spec.sizes:
        return column
    return bin_codes(column[:, None], _BINS)[0] if len(codes) else np.zeros(0, dtype=np.int64)


def _problem(values: Int64[np.ndarray, " n"]) -> str:
    """Why a factor cannot be held; empty if it can."""
    if not len(values):
        return "no rows"
    counts = np.unique(values, return_counts=True)[1]
    if len(counts) == 1:
        return "one value only"
    return "" if counts.max() > 1 else "no value that two rows have"


def _check(name: str, **least: tuple[int, int]) -> None:
    for option, (value, minimum) in least.items():
        if value < minimum:
            raise UserError(f"{name}: {option} must be at least {minimum}, not {value}")


def _joined(*notes: str) -> str:
    return "; ".join(filter(None, notes))
