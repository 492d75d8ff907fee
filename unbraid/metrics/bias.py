"""Scores of a classifier of the label: its accuracy, also apart from what the bias is worth to it, and its calibration.

Letters: N rows, K values of the label, S groups of rows. Hits: which rows are answered rightly, by the classifier and
by the constant answer.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int64

from unbraid.errors import DataError
from unbraid.metrics import metric
from unbraid.metrics.estimators import LINEAR
from unbraid.metrics.intervals import NUM_GROUPS, bootstrap_mean, jackknife, least_share, sum_of_shares, within
from unbraid.metrics.tasks import problem
from unbraid.records import Score
from unbraid.tables import Codes

_NUM_SHUFFLES = 99  # of the answers, for the chance level of the worst group
_NUM_BINS = 15  # of confidence


@metric(
    needs={"label"},
    higher_is_better=True,
    source="Nam et al. 2020, arXiv:2007.02561; worst group: Sagawa et al. 2020, arXiv:1911.08731",
)
def accuracy(codes: Codes, rng: np.random.Generator) -> list[Score]:
    """Accuracy of a classifier of the label on the test rows and, where a bias is named, apart from the bias.

    The classifier is the model's own where the codes bring logits, and otherwise a linear probe trained on the codes of
    the train rows. A group is a cell of label value and bias value that holds test rows; empty cells are left out. A
    row is aligned if its bias value is the most frequent one among the train rows of its label value ("target equals
    bias" in sets such as Colored MNIST), and else conflicting; where that is a tie, neither is defined.

    Chance is the constant answer, the most frequent label value of the train rows. In the worst group that is 0; chance
    is there the worst group of the same answers shuffled over the rows. Intervals are Wilson's; where several shares
    are summed, how far each reaches to a side is squared and added (Zou & Donner 2008). That of the worst group is
    about the group that is truly the worst, not the one that looks so: of Clopper-Pearson intervals that hold for all
    groups together (Sidak) the least lower and the least upper end.

    Formula:
        plain: share of rows answered rightly; aligned, conflicting: that share among these rows
        balanced: unweighted mean of that share over the label values; unbiased: over the groups
        worst group: the least share of a group; gap: aligned - conflicting
    Range:
        0 to 1, higher is better. The gap: -1 to 1, lower is better, at 0 the bias is no help.
    Misleads:
        Where the test rows have the bias of the train rows, the plain accuracy rewards it. The worst of many small
        groups is low by luck: compare with its chance. A classifier that is always wrong has no gap.
    """
    label, bias = codes.spec.label, codes.spec.bias
    assert label is not None
    known = codes.known(label)
    train, test = known.rows("train"), known.rows("test")
    if reason := _unanswerable(train, test, label):
        found = {"plain": _undefined(reason)}
    else:
        answers, truth = _answers(train, test, label, rng), test.columns[label]
        constant = np.bincount((train if len(train) else test).columns[label]).argmax()
        hits = np.stack([answers == truth, constant == truth])
        found = {"plain": _mean(hits, np.zeros_like(truth)), "balanced": _mean(hits, truth)}
        if bias is not None:
            found |= _by_bias(train, test, answers, hits, label, bias, rng)
    how = "linear probe" if codes.logits is None else "the model's own"
    return [accuracy.score(column=label, variant=f"{name}, {how}", **facts) for name, facts in found.items()]


@metric(
    needs={"label"},
    higher_is_better=False,
    source="Guo et al. 2017, arXiv:1706.04599; Brier 1950, Monthly Weather Review 78",
)
def calibration_error(codes: Codes, rng: np.random.Generator) -> list[Score]:
    """Does the model's confidence in its answer say how often it is right? Needs logits; test rows.

    The second score, Brier's, asks for the probabilities to be sharp as well. Intervals: jackknife over 20 groups of
    rows for the first, bootstrap over rows for the second, whose chance is the frequencies of the train rows; a model
    that always answers these is calibrated, so that the first has no chance level.

    Formula:
        expected calibration error: sum_b n_b / N |accuracy_b - confidence_b| over 15 equal-width bins of the greatest
        softmax probability; Brier score: mean over rows of sum_k (p_k - [label = k])^2
    Range:
        0 to 1 and 0 to 2, lower is better.
    Misleads:
        A model that knows nothing and says so is calibrated. With few rows in a bin the error of a calibrated model is
        above 0 by luck. Only the confidence in the answer counts, and errors within a bin cancel.
    """
    label = codes.spec.label
    assert label is not None
    known = codes.known(label)
    train, test = known.rows("train"), known.rows("test")
    reason = "the codes bring no logits" if codes.logits is None else _unanswerable(train, test, label)
    if reason:
        return [calibration_error.score(None, column=label, variant=f"{_NUM_BINS} bins", note=reason)]
    probability, truth = _probabilities(test, label), test.columns[label]
    facts = {"column": label, "num": len(test)}
    error, low, high = expected_calibration_error(probability, truth, rng)
    scores = [calibration_error.score(error, low=low, high=high, variant=f"{_NUM_BINS} bins", **facts)]
    squares = _brier(probability, truth)
    low, high = bootstrap_mean(squares, rng)
    chance = None
    if len(train):
        frequency = np.bincount(train.columns[label], minlength=probability.shape[1]) / len(train)
        chance = float(_brier(np.broadcast_to(frequency, probability.shape), truth).mean())
    brier = calibration_error.score(
        float(squares.mean()), low=low, high=high, chance=chance, variant="Brier score", **facts
    )
    return [*scores, brier]


def expected_calibration_error(
    probability: Float[np.ndarray, "n k"], truth: Int64[np.ndarray, " n"], rng: np.random.Generator
) -> tuple[float, float | None, float | None]:
    """The error and both ends of its interval. A confidence between two bins belongs to the lower, as published."""
    confidence = probability.max(axis=1)
    surplus = (probability.argmax(axis=1) == truth) - confidence
    cell = np.clip(np.ceil(confidence * _NUM_BINS).astype(int) - 1, 0, _NUM_BINS - 1)
    group = rng.permutation(len(truth)) % min(NUM_GROUPS, len(truth))
    sums = np.zeros((group.max() + 1, _NUM_BINS))  # by group and bin
    np.add.at(sums, (group, cell), surplus)
    error = float(np.abs(sums.sum(axis=0)).sum() / len(truth))
    if len(sums) < 2:
        return error, None, None
    without = np.abs(sums.sum(axis=0) - sums).sum(axis=1) / (len(truth) - np.bincount(group))
    return error, *within(error, jackknife(error, without), 0.0)


def _brier(probability: Float[np.ndarray, "n k"], truth: Int64[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    return ((probability - np.eye(probability.shape[1])[truth]) ** 2).sum(axis=1)


def _unanswerable(train: Codes, test: Codes, label: str) -> str:
    """Why there are no answers to score; empty if there are."""
    if label not in train.spec.sizes:
        return "the label is real-valued; it takes a categorical one"
    if test.logits is None:
        return problem(train, test, label)
    return "" if len(test) else "no rows in the test split"


def _answers(train: Codes, test: Codes, label: str, rng: np.random.Generator) -> Int64[np.ndarray, " n"]:
    if test.logits is None:
        return LINEAR.classify(train.z, train.columns[label][None], [train.spec.sizes[label]], test.z, rng)[0]
    return _probabilities(test, label).argmax(axis=1)


def _probabilities(codes: Codes, label: str) -> Float[np.ndarray, "n k"]:
    """Softmax of the logits.

    Raises:
        DataError: If they do not fit the label or are not finite.
    """
    from scipy.special import softmax

    assert codes.logits is not None
    if codes.logits.shape[1] != codes.spec.sizes[label]:
        sizes = f"{codes.logits.shape[1]} columns, but {label!r} has {codes.spec.sizes[label]} values"
        raise DataError(f"the logits have {sizes}; name the label that they are of")
    if not np.isfinite(codes.logits).all():
        raise DataError("the logits hold NaN or infinity; remove these rows or find out where the model diverged")
    return softmax(codes.logits.astype(np.float64), axis=1)


def _by_bias(
    train: Codes,
    test: Codes,
    answers: Int64[np.ndarray, " n"],
    hits: Bool[np.ndarray, "2 n"],
    label: str,
    bias: str,
    rng: np.random.Generator,
) -> dict[str, dict[str, Any]]:
    """The scores for which the bias must be known, by name."""
    names = ("unbiased", "worst group", "aligned", "conflicting", "gap")
    known = test.columns[bias] >= 0 if bias in test.spec.sizes else np.zeros(len(test), dtype=bool)
    if not known.any():
        reason = "no test row has a value of the bias" if bias in test.spec.sizes else "the bias is real-valued"
        return {name: _undefined(reason) | {"over": (label, bias)} for name in names}
    test, answers, hits = test.take(np.flatnonzero(known)), answers[known], hits[:, known]
    sizes = test.spec.sizes[label], test.spec.sizes[bias]
    cells = np.ravel_multi_index((test.columns[label], test.columns[bias]), sizes)
    empty = sizes[0] * sizes[1] - len(np.unique(cells))
    note = f"{empty} of {sizes[0] * sizes[1]} groups hold no test rows and are left out" if empty else ""
    found = {
        "unbiased": _mean(hits, cells) | {"note": note},
        "worst group": _worst(test, answers, cells, (label, bias), rng),
        **_by_alignment(train.known(bias), test, hits, label, bias),
    }
    return {name: facts | {"over": (label, bias)} for name, facts in found.items()}


def aligned_values(
    label: Int64[np.ndarray, " n"], bias: Int64[np.ndarray, " n"], shape: tuple[int, int]
) -> Int64[np.ndarray, " k"]:
    """The bias value that most train rows of each label value have; -1 where that is a tie."""
    counts = np.zeros(shape, dtype=int)
    np.add.at(counts, (label, bias), 1)
    tied = (counts == counts.max(axis=1, keepdims=True)).sum(axis=1) > 1
    return np.where(tied, -1, counts.argmax(axis=1))


def _by_alignment(
    train: Codes, test: Codes, hits: Bool[np.ndarray, "2 n"], label: str, bias: str
) -> dict[str, dict[str, Any]]:
    shape = train.spec.sizes[label], train.spec.sizes[bias]
    aligned = aligned_values(train.columns[label], train.columns[bias], shape)
    truth = test.columns[label]
    tied = np.unique(truth[aligned[truth] < 0])
    if len(tied):
        reason = (
            f"no value of {bias!r} is the most frequent one of the train rows with {_named(train, label, int(tied[0]))}"
        )
        return dict.fromkeys(("aligned", "conflicting", "gap"), _undefined(reason))
    conflicting = aligned[truth] != test.columns[bias]
    found = {
        name: _mean(hits[:, rows], np.zeros(rows.sum(), dtype=int)) if rows.any() else _undefined("no such test row")
        for name, rows in (("aligned", ~conflicting), ("conflicting", conflicting))
    }
    both = conflicting.any() and not conflicting.all()
    gap = _mean(hits, conflicting.astype(int), weights=(1.0, -1.0)) if both else _undefined("it needs rows of both")
    return found | {"gap": gap | {"higher_is_better": False}}


def _mean(
    hits: Bool[np.ndarray, "2 n"],
    strata: Int64[np.ndarray, " n"],
    weights: Sequence[float] | None = None,
) -> dict[str, Any]:
    """The mean of the strata's accuracies, or another weighted sum of them."""
    strata = np.unique(strata, return_inverse=True)[1]
    counts = np.bincount(strata)
    hit, constant = (np.bincount(strata[right], minlength=len(counts)) for right in hits)
    factor = np.full(len(counts), 1 / len(counts)) if weights is None else np.array(weights)
    value, low, high = sum_of_shares(hit, counts, factor)
    chance = float(np.sum(constant / counts * factor))
    return {"value": value, "low": low, "high": high, "chance": chance, "num": len(strata)}


def _worst(
    test: Codes,
    answers: Int64[np.ndarray, " n"],
    cells: Int64[np.ndarray, " n"],
    columns: tuple[str, str],
    rng: np.random.Generator,
) -> dict[str, Any]:
    truth = test.columns[columns[0]]
    groups, strata, counts = np.unique(cells, return_inverse=True, return_counts=True)

    def right(answers: Int64[np.ndarray, " n"]) -> Int64[np.ndarray, " s"]:
        return np.bincount(strata[answers == truth], minlength=len(groups))

    hits = right(answers)
    worst = int(np.argmin(hits / counts))
    value, low, high = least_share(hits, counts)
    chance = [(right(rng.permutation(answers)) / counts).min() for _ in range(_NUM_SHUFFLES)]
    row = np.argmax(strata == worst)
    where = ", ".join(_named(test, name, int(test.columns[name][row])) for name in columns)
    return {
        "value": value,
        "low": low,
        "high": high,
        "chance": float(np.mean(chance)),
        "num": len(strata),
        "note": f"{where}: {counts[worst]} rows, of {len(groups)} groups; the interval is about the truly worst one",
    }


def _named(codes: Codes, column: str, value: int) -> str:
    return f"{column}={codes.spec.names_of(column)[value]}"


def _undefined(reason: str) -> dict[str, Any]:
    return {"value": None, "note": reason}
