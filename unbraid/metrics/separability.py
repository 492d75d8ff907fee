"""Separability: is a factor read from one dimension, by a linear classifier, from few labels?

Predictors are trained on the rows of the train split and scored on those of the test split. A factor's score is a mean
over its test rows, or is linearised to one, so that its interval is over test rows; the total is the mean
over factors. Rows in which a factor is missing are left out of that factor's score alone.
"""

import dataclasses
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int64, Num

from unbraid.metrics import Metric, metric
from unbraid.metrics.intervals import NUM_GROUPS, jackknife, mean_of_repeats, within
from unbraid.metrics.one_dimensional_svm import svm_answers, svm_hits
from unbraid.metrics.tasks import Task, scores_of_rows, tasks
from unbraid.records import Score
from unbraid.tables import Codes, DataSpec

_LOCATELLO = "Locatello et al. 2019, arXiv:1811.12359"
_EFFICIENCY = f"{_LOCATELLO}; van Steenkiste et al. 2019, arXiv:1905.12506"
_NUM_SHUFFLES = 5  # of the test rows, for the chance level of SAP; unshuffled clusters are hit all or not at all
_NUM_DRAWS = 5  # of the few labels
_FEW_LABELS = (10, 100, 1000)
_EFFICIENT = 100  # labels in the numerator of the efficiency

Predict = Callable[[Float[np.ndarray, "n d"], Int64[np.ndarray, " n"], Float[np.ndarray, "m d"]], np.ndarray]


@metric(higher_is_better=True, needs={"content"}, source=f"Kumar et al. 2018, arXiv:1711.00848; settings: {_LOCATELLO}")
def sap(codes: Codes, rng: np.random.Generator) -> list[Score]:
    """SAP: how much better the best single dimension predicts a factor than the second best.

    Variant "linear SVM" is the published score of discrete factors, "squared correlation" that of continuous ones, here
    also computed for factors (the published `continuous_factors=True`) and for real-valued targets. Interval: over
    test rows, with the two dimensions held fixed (bootstrap; jackknife of 20 groups for correlations). Chance: the same
    from shuffled train rows, the mean of five shuffles of the test rows. Correlations need numbers:
    factors whose values are names have none.

    Formula:
        SAP = mean over factors f of (max over dimensions k of S_kf - the second largest S_kf).
        Linear SVM: S_kf is the test accuracy of one-against-rest support vector machines of squared hinge loss,
        C = 0.01, classes weighted, the bias regularised, on z_k as it stands. They are solved exactly, by Newton's
        method on sorted rows for all dimensions and values at once, where the published code runs liblinear.
        Squared correlation: S_kf = cov(z_k, f)^2 / (var z_k var f) on test rows (published: on train rows); 0 if the
        variance of z_k is at most 1e-12.
    Range:
        0 to 1, higher is better; about 0 by chance. With linear SVMs a perfect code has at most 1 less the accuracy of
        an answer that knows nothing, and less where a factor has over three values in a row: what lies in the middle
        cannot be told from the rest by a threshold.
    Misleads:
        A factor in two dimensions scores 0, be each perfect. The SVM depends on the scale of the code, correlation on
        the order of the values: it means little for circular factors.
    """
    if codes.z.shape[1] < 2:
        return [sap.score(None, note="a code of one dimension has no second best")]
    return _sap_svm(codes, rng) + _sap_correlation(codes, rng)


def _sap_svm(codes: Codes, rng: np.random.Generator) -> list[Score]:
    found, gaps, chance = tasks(codes, codes.spec.content), {}, {}
    for task in found:
        if not task.problem:
            gaps[task.name] = _gap(svm_hits(task.x, task.y, task.x_test, task.y_test))
            answers = svm_answers(rng.permutation(task.x), task.y, task.x_test)
            shuffles = [_gap(answers == rng.permutation(task.y_test)) for _ in range(_NUM_SHUFFLES)]
            chance[task.name] = float(np.mean(shuffles))
    return scores_of_rows(sap, found, gaps, chance, rng, "linear SVM")


def _gap(hits: Bool[np.ndarray, "d m"]) -> Float[np.ndarray, " m"]:
    """Of the two dimensions that are right most often, the hits of the better one less those of the other."""
    second, best = np.argsort(hits.mean(axis=1), kind="stable")[-2:]
    return hits[best].astype(float) - hits[second]


def _sap_correlation(codes: Codes, rng: np.random.Generator) -> list[Score]:
    """Columns are scored on their own rows of the test split; a group of the jackknife is left out of all of them."""
    test = codes.rows("test")
    group = rng.permutation(len(test)) % NUM_GROUPS
    scores, kept = [], []
    for task in tasks(codes, (*codes.spec.content, *codes.spec.targets)):
        facts = {"column": task.name, "variant": "squared correlation"}
        y = _numbers(codes.spec, task.name, task.y_test)
        if y is None or len(y) < NUM_GROUPS or np.ptp(y) == 0:
            reason = "the values are names" if y is None else _too_few(y)
            scores.append(sap.score(None, note=reason, **facts))
            continue
        x = task.x_test
        second, best = np.argsort(squared_correlations(x, y), kind="stable")[-2:]
        pair, groups = x[:, [best, second]], group[task.known]
        value, *without = (
            -float(np.diff(squared_correlations(pair[groups != left], y[groups != left]))[0])
            for left in range(-1, NUM_GROUPS)
        )
        shuffles = (np.sort(squared_correlations(rng.permutation(x), y)) for _ in range(_NUM_SHUFFLES))
        chance = float(np.mean([one[-1] - one[-2] for one in shuffles]))
        low, high = within(value, jackknife(value, np.array(without)), -1.0)
        scores.append(sap.score(value, low=low, high=high, chance=chance, num=len(y), **facts))
        kept.append((task.name, value, without, chance))
    if kept:
        over, values, left_out, chances = zip(*kept)
        value, chance = float(np.mean(values)), float(np.mean(chances))
        low, high = within(value, jackknife(value, np.mean(left_out, axis=0)), -1.0)
        total = sap.score(value, over=over, low=low, high=high, chance=chance, num=len(test))
        scores.append(dataclasses.replace(total, variant="squared correlation"))
    return scores


def _numbers(spec: DataSpec, column: str, y: Num[np.ndarray, " n"]) -> Float[np.ndarray, " n"] | None:
    """The column as numbers: its values as they are named, or counted where they have no names. None: they are names"""
    try:
        values = np.array([float(value) for value in spec.values.get(column, ())])
    except ValueError:
        return None
    if not np.isfinite(values).all():
        return None
    return values[y] if len(values) else y.astype(float)


def _too_few(y: Float[np.ndarray, " n"]) -> str:
    if not len(y):
        return "no rows in the test split, or its values are missing there"
    return f"{len(y)} test rows are too few" if len(y) < NUM_GROUPS else "one value only in the test split"


def squared_correlations(x: Float[np.ndarray, "n d"], y: Float[np.ndarray, " n"]) -> Float[np.ndarray, " d"]:
    """Squared correlation of each dimension with the column; 0 where a variance is at most 1e-12."""
    x, y = x - x.mean(axis=0, dtype=float), y - y.mean()
    variance = np.mean(x**2, axis=0)
    square = (y @ x / len(y)) ** 2 / np.maximum(variance * np.mean(y**2), 1e-300)
    return np.where(variance > 1e-12, square, 0.0)


@metric(
    needs={"content"}, higher_is_better=True, source=f"Ridgeway & Mozer 2018, arXiv:1802.05312; settings: {_LOCATELLO}"
)
def explicitness(codes: Codes, rng: np.random.Generator) -> list[Score]:
    """Explicitness: how well a linear classifier ranks the rows of each value of a factor above all others.

    Interval: bootstrap over test rows of the linearised score, which agrees with DeLong's variance of the area.

    Formula:
        Explicitness of a factor = mean over its values c of the area under the ROC curve of p(c | z), c against the
        rest; p is multinomial logistic regression (L2, C = 1) on codes scaled by mean and deviation of the train rows.
        The total is the mean over factors. Values that no test row has are left out.
    Range:
        0 to 1, higher is better; 0.5 by chance.
    Misleads:
        The area depends on the order within a value alone: 0.95 can go with an accuracy near chance when a factor has
        many values. Scaling cannot tell a faint dimension from a strong one.
    """
    found, rows = [], {}
    for task in tasks(codes, codes.spec.content):
        if not task.problem and np.ptp(task.y_test) == 0:
            task = dataclasses.replace(task, problem="one value only in the test split")
        found.append(task)
        if not task.problem:
            rows[task.name] = area_rows(
                _logistic(task.x, task.y).predict_proba(task.x_test), task.y_test, np.unique(task.y)
            )
    return scores_of_rows(explicitness, found, rows, dict.fromkeys(rows, 0.5), rng, "logistic regression")


def area_rows(
    probability: Float[np.ndarray, "m k"], y: Int64[np.ndarray, " m"], values: Int64[np.ndarray, " k"]
) -> Float[np.ndarray, " m"]:
    """One number for each row: their mean is the macro average area, their spread that of its linearisation.

    Source: DeLong et al. 1988 (the shares of rows of the other kind that a row is ranked beyond).
    """
    from scipy.stats import rankdata

    rows = []
    for c, value in enumerate(values):
        inside, p = y == value, probability[:, c]
        if inside.all() or not inside.any():
            continue
        rank, share = rankdata(p), np.empty(len(y))
        share[inside] = (rank[inside] - rankdata(p[inside])) / np.sum(~inside)
        share[~inside] = 1 - (rank[~inside] - rankdata(p[~inside])) / np.sum(inside)
        area = share[inside].mean()
        rows.append(area + (share - area) * np.where(inside, 1 / np.mean(inside), 1 / np.mean(~inside)))
    return np.mean(rows, axis=0)


def _logistic(x: Float[np.ndarray, "n d"], y: Int64[np.ndarray, " n"]) -> Any:
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # labels without a pattern need not be fitted to the end
        return make_pipeline(StandardScaler(), LogisticRegression(max_iter=300)).fit(x, y)


@metric(needs={"content"}, higher_is_better=True, source=_EFFICIENCY)
def downstream_efficiency(codes: Codes, rng: np.random.Generator) -> list[Score]:
    """Accuracy of logistic regression with 10, 100, 1000 and all labels, and how much of it is there with 100.

    Each small number of labels is drawn five times from the train rows: mean and interval are over draws. The interval
    of "all labels" is over test rows. The published code draws once and sets the penalty by cross-validation; here it
    is fixed (C = 1). Numbers of labels that the train split does not exceed are left out.

    Formula:
        accuracy(n) = share of test rows predicted by a model fitted to n train rows.
        efficiency = accuracy(100) / accuracy(all); its total is the ratio of the two means over factors.
    Range:
        Accuracy 0 to 1, chance is that of the commonest value among the labels; efficiency 0 to about 1; higher is
        better.
    Misleads:
        A code that knows nothing is efficient, for it is as bad with 100 labels as with all: read it beside the
        accuracy. Ten labels do not even show each value of a factor of ten.
    """
    return _downstream(downstream_efficiency, codes, rng, lambda x, y, test: _logistic(x, y).predict(test))


@metric(needs={"content"}, higher_is_better=True, slow=True, source=_EFFICIENCY)
def downstream_efficiency_gbt(codes: Codes, rng: np.random.Generator) -> list[Score]:
    """`downstream-efficiency` with gradient-boosted trees, which also read what is not linear.

    scikit-learn's `GradientBoostingClassifier` as it comes: 100 trees of depth 3 per value. It takes minutes.

    Formula:
        As `downstream-efficiency`.
    Range:
        As `downstream-efficiency`.
    Misleads:
        As `downstream-efficiency`.
    """
    from sklearn.ensemble import GradientBoostingClassifier

    seed = int(rng.integers(2**31))
    return _downstream(
        downstream_efficiency_gbt,
        codes,
        rng,
        lambda x, y, test: GradientBoostingClassifier(random_state=seed).fit(x, y).predict(test),
    )


def _downstream(metric: Metric, codes: Codes, rng: np.random.Generator, predict: Predict) -> list[Score]:
    found = tasks(codes, codes.spec.content)
    able = [task for task in found if not task.problem]
    hits = {task.name: predict(task.x, task.y, task.x_test) == task.y_test for task in able}
    constant = {task.name: task.constant for task in able}
    scores = scores_of_rows(metric, found, hits, constant, rng, "all labels")
    least = min((len(task.y) for task in able), default=0)
    if left_out := [str(size) for size in _FEW_LABELS if 0 < least <= size]:
        note = f"{least} train rows: {' and '.join(left_out)} labels are left out"
        scores = [dataclasses.replace(one, note="; ".join(filter(None, (one.note, note)))) for one in scores]
    for size in _FEW_LABELS:
        if least <= size:
            continue
        few = np.stack([_few_labels(task, size, rng, predict) for task in able])  # (G, 2, R)
        full = np.array([[hits[task.name].mean(), constant[task.name]] for task in able])  # (G, 2)
        scores += _of_draws(metric, able, few, np.ones_like(full), f"{size} labels")
        if size == _EFFICIENT:
            scores += _of_draws(metric, able, few, full, f"{size} labels / all labels")
    return scores


def _few_labels(task: Task, size: int, rng: np.random.Generator, predict: Predict) -> Float[np.ndarray, "2 r"]:
    """Accuracy from so many labels, and of their commonest value, for each draw."""
    accuracy = np.empty((2, _NUM_DRAWS))
    for draw in range(_NUM_DRAWS):
        rows = rng.permutation(len(task.y))[:size]
        few = dataclasses.replace(task, x=task.x[rows], y=task.y[rows])
        alone = np.ptp(few.y) == 0
        predicted = few.y[:1] if alone else predict(few.x, few.y, few.x_test)
        accuracy[:, draw] = np.mean(predicted == few.y_test), few.constant
    return accuracy


def _of_draws(
    metric: Metric, found: Sequence[Task], few: Float[np.ndarray, "g 2 r"], full: Float[np.ndarray, "g 2"], variant: str
) -> list[Score]:
    """Accuracies as shares of ``full``, for each task and for the mean over tasks."""
    few, full = np.concatenate([few, few.mean(axis=0)[None]]), np.concatenate([full, full.mean(axis=0)[None]])
    scores = []
    for place, (accuracy, whole) in enumerate(zip(few, full, strict=True)):
        one = found[place] if place < len(found) else None
        facts = {"column": one.name} if one else {"over": tuple(task.name for task in found)}
        if not whole.all():
            scores.append(metric.score(None, variant=variant, note="no test row is right with all labels", **facts))
            continue
        value, low, high = mean_of_repeats(accuracy[0] / whole[0])
        scores.append(
            metric.score(
                value,
                variant=variant,
                low=max(0.0, low),
                high=high,
                chance=float(accuracy[1].mean() / whole[1]),
                num=max(len(task.y_test) for task in ([one] if one else found)),
                note=f"mean and interval over {_NUM_DRAWS} draws of the labels",
                **facts,
            )
        )
    return scores
