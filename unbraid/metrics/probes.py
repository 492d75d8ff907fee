"""Probes: predictors trained on frozen codes. `leakage` reads the domain, `informativeness` what should be kept.

All probes are trained on the rows of the train split and scored on those of the test split. `chance` is what the
constant answer gets there: the most frequent value of the train rows, or their mean for a real-valued target.
"""

import dataclasses
import warnings
from typing import Any

import numpy as np
from jaxtyping import Float, Float32, Int64

from unbraid.metrics import Metric, metric
from unbraid.metrics.intervals import bootstrap, bootstrap_mean, mean_of_repeats
from unbraid.records import Score
from unbraid.tables import Codes

_DCODR = "Kahana & Hoshen 2022, arXiv:2203.11284, evaluation by probes"
_NUM_SHUFFLES = 5  # of the control
_FEW_ROWS = 700  # below, the six-layer probe has under five batches an epoch and can stop before batch norm settles


@metric(needs={"domain"}, higher_is_better=False, source=_DCODR)
def leakage(codes: Codes, rng: np.random.Generator) -> list[Score]:
    """Accuracy with which a linear probe reads the domain from the code; a code that hides it scores at chance.

    Interval: percentile bootstrap over test rows. The second score is a control, the mean of five such probes trained
    on shuffled labels: what it scores above chance is the capacity of the probe, not knowledge in the code. Its
    interval is over the shuffles. Where codes lie in a few clusters the probe answers each with one value, so that one
    shuffle can hit all or nothing, and the rows of a cluster are no independent witnesses.
    """
    assert codes.spec.domain is not None
    return _linear(leakage, codes, (codes.spec.domain,), rng)


@metric(needs={"content"}, higher_is_better=True, source=_DCODR)
def informativeness(codes: Codes, rng: np.random.Generator) -> list[Score]:
    """What a linear probe reads of each content factor (accuracy) and each target (R^2 and mean absolute error).

    Intervals and controls as in `leakage`.
    """
    return _linear(informativeness, codes, codes.spec.content, rng) + _ridge(codes, rng)


@metric(higher_is_better=True, source=_DCODR + "; its published code for layers, steps and stopping")
def six_layer_probe(codes: Codes, rng: np.random.Generator) -> list[Score]:
    """`leakage` and `informativeness` again, with the network of DCoDR's protocol in place of a linear probe.

    It finds what is not linearly readable; codes are scaled to unit length first, so it does not see their norm.
    """
    from unbraid.metrics.network_probe import fit

    train, test = codes.rows("train"), codes.rows("test")
    domain = () if codes.spec.domain is None else (codes.spec.domain,)
    metrics = dict.fromkeys(codes.spec.content, informativeness) | dict.fromkeys(domain, leakage)
    problems = {name: _problem(train, test, name) for name in metrics}
    names = [name for name in metrics if not problems[name]]
    scores = [
        metrics[name].score(None, column=name, variant="six-layer", note=note)
        for name, note in problems.items()
        if note
    ]
    if names:
        labels = np.stack([train.columns[name] for name in names])  # (F, N)
        sizes = [codes.spec.sizes[name] for name in names]
        predicted = fit(train.z, labels, sizes, seed=int(rng.integers(2**62))).predict(test.z)  # (F, M)
        for name, column in zip(names, predicted, strict=True):
            scores.append(_accuracy(metrics[name], train, test, name, column, "six-layer", rng))
    if len(train) < _FEW_ROWS:
        few = f"{len(train)} train rows are few for this probe, it may stop too early"
        scores = [dataclasses.replace(score, note="; ".join(filter(None, (score.note, few)))) for score in scores]
    return scores


def _linear(metric: Metric, codes: Codes, columns: tuple[str, ...], rng: np.random.Generator) -> list[Score]:
    train, test = codes.rows("train"), codes.rows("test")
    scores = []
    for name in columns:
        if note := _problem(train, test, name):
            scores.append(metric.score(None, column=name, variant="linear", note=note))
            continue
        labels = train.columns[name]
        predicted = _classify(train.z, labels, test.z)
        hits = [
            np.mean(_classify(train.z, rng.permutation(labels), test.z) == test.columns[name])
            for _ in range(_NUM_SHUFFLES)
        ]
        scores.append(_accuracy(metric, train, test, name, predicted, "linear", rng))
        scores.append(_control(scores[-1], np.array(hits), limits=(0.0, 1.0)))
    return scores


def _classify(
    z: Float32[np.ndarray, "n d"], labels: Int64[np.ndarray, " n"], test: Float32[np.ndarray, "m d"]
) -> Int64[np.ndarray, " m"]:
    """Multinomial logistic regression. The loose tolerance halves the time and moved no accuracy by a percent."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    probe = make_pipeline(StandardScaler(), LogisticRegression(tol=1e-3, max_iter=300))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # labels without a pattern need not be fitted to the end
        return probe.fit(z, labels).predict(test)


def _accuracy(
    metric: Metric,
    train: Codes,
    test: Codes,
    column: str,
    predicted: Int64[np.ndarray, " m"],
    variant: str,
    rng: np.random.Generator,
) -> Score:
    known, truth = train.columns[column], test.columns[column]
    correct = (predicted == truth).astype(float)
    low, high = bootstrap_mean(correct, rng)
    unseen = int(np.sum(~np.isin(truth, known)))
    return metric.score(
        float(correct.mean()),
        column=column,
        variant=variant,
        low=low,
        high=high,
        chance=float(np.mean(truth == np.bincount(known).argmax())),
        num=len(test),
        note=f"{unseen} test rows have a value that no train row has" if unseen else "",
    )


def _problem(train: Codes, test: Codes, column: str) -> str:
    """Why a column cannot be probed; empty if it can."""
    known, truth = train.columns[column], test.columns[column]
    if not len(train) or not len(test):
        return f"no rows in the {'test' if len(train) else 'train'} split"
    if np.ptp(known) == 0:
        return "one value only in the train split"
    if column in train.spec.targets:
        return "one value only in the test split" if np.ptp(truth) == 0 else ""
    if train.spec.sizes[column] > len(train):
        return f"{train.spec.sizes[column]} values, but only {len(train)} train rows"
    return "" if np.isin(truth, known).any() else "no test row has a value that occurs in the train split"


def _ridge(codes: Codes, rng: np.random.Generator) -> list[Score]:
    """R^2 and mean absolute error of each target, with true and with shuffled train rows."""
    from sklearn.linear_model import Ridge
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    train, test = codes.rows("train"), codes.rows("test")
    problems = {name: _problem(train, test, name) for name in codes.spec.targets}
    scores = [
        informativeness.score(None, column=name, variant="linear, R2", note=note)
        for name, note in problems.items()
        if note
    ]
    names = [name for name in problems if not problems[name]]
    if not names:
        return scores
    known = np.stack([train.columns[name] for name in names], axis=1).astype(float)  # (N, T)
    truth = np.stack([test.columns[name] for name in names], axis=1).astype(float)  # (M, T)

    def residuals(labels: Float[np.ndarray, "n t"]) -> Float[np.ndarray, "m t"]:
        probe = make_pipeline(StandardScaler(), Ridge()).fit(train.z, labels)
        return truth - probe.predict(test.z).reshape(truth.shape)

    found, shuffled = residuals(known), np.stack([residuals(rng.permutation(known)) for _ in range(_NUM_SHUFFLES)])
    for place, name in enumerate(names):
        constant = truth[:, place] - known[:, place].mean()
        scores += _errors(name, truth[:, place], found[:, place], shuffled[:, :, place], constant, rng)
    return scores


def _errors(
    column: str,
    truth: Float[np.ndarray, " m"],
    residual: Float[np.ndarray, " m"],
    shuffled: Float[np.ndarray, "r m"],
    constant: Float[np.ndarray, " m"],
    rng: np.random.Generator,
) -> list[Score]:
    """R^2 and mean absolute error, each with its control; ``constant`` is what the mean of the train rows leaves."""
    low, high = bootstrap(_r2, residual**2, truth, rng=rng)
    r2 = informativeness.score(
        float(_r2(residual**2, truth)),
        column=column,
        variant="linear, R2",
        low=low,
        high=high,
        chance=float(_r2(constant**2, truth)),
        num=len(truth),
    )
    low, high = bootstrap_mean(np.abs(residual), rng)
    error = informativeness.score(
        float(np.abs(residual).mean()),
        column=column,
        variant="linear, mean absolute error",
        higher_is_better=False,
        low=low,
        high=high,
        chance=float(np.abs(constant).mean()),
        num=len(truth),
    )
    return [
        r2,
        _control(r2, _r2(shuffled**2, truth), limits=(-np.inf, 1.0)),
        error,
        _control(error, np.abs(shuffled).mean(axis=1), limits=(0.0, np.inf)),
    ]


def _control(score: Score, values: Float[np.ndarray, " r"], limits: tuple[float, float]) -> Score:
    """The score that goes beside another one: the same probe on shuffled labels, once for each value."""
    mean, low, high = mean_of_repeats(values)
    return dataclasses.replace(
        score,
        variant=f"{score.variant}, shuffled labels",
        value=mean,
        low=max(low, limits[0]),
        high=min(high, limits[1]),
        note=f"mean of {len(values)} shuffles",
    )


def _r2(square: np.ndarray, truth: np.ndarray, axis: int = -1) -> Any:
    return 1 - np.mean(square, axis=axis) / np.var(truth, axis=axis)
