"""DCI: disentanglement, completeness, informativeness, from how important each dimension of a code is to each factor.

An estimator is fitted to the train rows of each column; it says how important each dimension is and predicts the test
rows. Three estimators have three names: `dci` (trees grown at random, seconds), `dci-lasso` (linear, L1) and `dci-gbt`
(boosted trees, the published setting of disentanglement_lib, minutes).
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int64, Num

from unbraid.errors import UserError
from unbraid.metrics import Metric, metric
from unbraid.metrics.intervals import bootstrap, bootstrap_mean
from unbraid.records import Score
from unbraid.tables import Codes

_EASTWOOD = "Eastwood & Williams 2018, A framework for the quantitative evaluation of disentangled representations"
_NUM_HALVES = 10  # of the train rows, for intervals
_LEAF = 10  # rows, at least
_FALSE = 0.01  # chance that any dimension of pure noise gets a weight
_TOLERANCE = 0.1  # of the L1 penalty
_MAX_STEPS = 1000


class Learned(NamedTuple):
    """What an estimator says of one column."""

    importance: Float[np.ndarray, " d"]  # sums to 1, or is all 0
    halves: Float[np.ndarray, "r d"]  # the same from random halves of the train rows; none if that costs too much
    shuffled: Float[np.ndarray, " d"] | None  # the importance on shuffled rows; None if that costs too much
    predicted: Num[np.ndarray, " m"]


Learn = Callable[[np.ndarray, np.ndarray, np.ndarray, np.random.Generator], Learned]  # x, y, x_test, rng


@dataclass(frozen=True)
class Task:
    """One column to be predicted, on the rows where it is known."""

    name: str
    x: Float[np.ndarray, "n d"]
    y: Num[np.ndarray, " n"]
    x_test: Float[np.ndarray, "m d"]
    y_test: Num[np.ndarray, " m"]
    known: Bool[np.ndarray, " t"]  # which rows of the test split these m are
    problem: str  # why it cannot be predicted; empty if it can

    @property
    def note(self) -> str:
        unseen = int(np.sum(~np.isin(self.y_test, self.y)))
        return f"{unseen} test rows have a value that no train row has" if unseen else ""

    @property
    def constant(self) -> float:
        """Accuracy of the answer that is right most often in the train rows."""
        values, counts = np.unique(self.y, return_counts=True)
        return float(np.mean(self.y_test == values[counts.argmax()]))


def tasks(codes: Codes, columns: Sequence[str]) -> list[Task]:
    """A task for each column, categorical or real-valued."""
    train, test = codes.rows("train"), codes.rows("test")
    found = []
    for name in columns:
        seen, asked, column = train.known(name), test.known(name), test.columns[name]
        known = column >= 0 if name in codes.spec.sizes else ~np.isnan(column)
        problem = _problem(seen.columns[name], asked.columns[name], codes.spec.sizes.get(name))
        found.append(Task(name, seen.z, seen.columns[name], asked.z, asked.columns[name], known, problem))
    return found


def _problem(y: Num[np.ndarray, " n"], y_test: Num[np.ndarray, " m"], size: int | None) -> str:
    if not len(y) or not len(y_test):
        return f"no rows in the {'test' if len(y) else 'train'} split"
    if np.ptp(y) == 0:
        return "one value only in the train split"
    if size is None:
        return "one value only in the test split" if np.ptp(y_test) == 0 else ""
    if size > len(y):
        return f"{size} values, but only {len(y)} train rows"
    return "" if np.isin(y_test, y).any() else "no test row has a value that occurs in the train split"


def scores_of_rows(
    metric: Metric,
    found: Sequence[Task],
    rows: Mapping[str, np.ndarray],
    chance: Mapping[str, float],
    rng: np.random.Generator,
    variant: str,
) -> list[Score]:
    """A score for each task, the mean of its ``rows``, and the mean over tasks.

    Args:
        rows: Task -> a number, at most 1, for each of its test rows. A task without rows is answered by its problem.
    """
    scores, table = [], np.full((len(found[0].known) if found else 0, len(rows)), np.nan)
    for task in found:
        if task.name not in rows:
            scores.append(metric.score(None, column=task.name, variant=variant, note=task.problem))
            continue
        values = rows[task.name].astype(float)
        table[task.known, list(rows).index(task.name)] = values
        low, high = _around(values.mean(), bootstrap_mean(values, rng))
        facts = {"column": task.name, "variant": variant, "chance": chance[task.name], "num": len(values)}
        scores.append(metric.score(float(values.mean()), low=low, high=high, note=task.note, **facts))
    if rows:
        value, low, high = mean_over_columns(table, rng)
        facts = {"variant": variant, "over": tuple(rows), "chance": float(np.mean(list(chance.values())))}
        num = int(np.sum(~np.isnan(table).all(axis=1)))
        scores.append(metric.score(value, low=low, high=high, num=num, **facts))
    return scores


def mean_over_columns(
    table: Float[np.ndarray, "n g"], rng: np.random.Generator
) -> tuple[float, float | None, float | None]:
    """The mean of the columns' means with its interval over rows; NaN where a row does not have a column.

    Each row counts with its influence on the value, which is its own mean where nothing is missing.
    """
    means, share = np.nanmean(table, axis=0), np.mean(~np.isnan(table), axis=0)
    influence = np.nan_to_num((table - means) / share).mean(axis=1)
    return float(means.mean()), *_around(means.mean(), bootstrap_mean(means.mean() + influence, rng))


def _around(value: float, ends: tuple[float | None, float | None]) -> tuple[float | None, float | None]:
    """The same ends, but for rounding: not on the wrong side of the value, and not above 1."""
    low, high = ends
    return None if low is None else min(low, float(value)), None if high is None else min(1.0, max(high, float(value)))


def disentanglement(importance: Float[np.ndarray, "d g"]) -> float:
    """Does each dimension matter to one factor only? 1 - entropy over factors, dimensions weighted by importance.

    As published in code, 1e-11 is added before the entropy; if nothing is important all dimensions weigh the same.

    Raises:
        UserError: For fewer than two factors.
    """
    if importance.shape[1] < 2:
        raise UserError("disentanglement compares factors, and there is one only; completeness needs no second")
    return _weighted(importance)


def completeness(importance: Float[np.ndarray, "d g"]) -> float:
    """Does each factor stand in one dimension only? 1 - entropy over dimensions, factors weighted by importance.

    Raises:
        UserError: For a code of one dimension.
    """
    if len(importance) < 2:
        raise UserError("completeness compares dimensions, and the code has one only")
    return _weighted(importance.T)


def concentration(importance: Float[np.ndarray, "a b"]) -> Float[np.ndarray, " a"]:
    """1 - entropy of each row to the base of its length; of the transpose, the completeness of each factor."""
    share = importance + 1e-11
    share = share / share.sum(axis=1, keepdims=True)
    return np.maximum(0.0, 1 + np.sum(share * np.log(share), axis=1) / np.log(importance.shape[1]))


def _weighted(importance: Float[np.ndarray, "a b"]) -> float:
    weight = importance.sum(axis=1) if importance.any() else np.ones(len(importance))
    return float(concentration(importance) @ weight / weight.sum())


@metric(needs={"content"}, higher_is_better=True, source=_EASTWOOD)
def dci(codes: Codes, rng: np.random.Generator) -> list[Score]:
    """DCI: does a dimension tell of one factor (D), does a factor stand in one dimension (C), is it there at all (I)?

    The estimator is ten extremely randomised trees that look at all dimensions in every split (Geurts et al. 2006),
    with leaves of 10 rows or more. Chosen by measuring: at 10,000 x 128 a forest that looks at some dimensions only was
    slower, predicted worse and called dimensions important that know nothing. Regression trees for targets.
    Interval of D and C: from the ten random halves of the train rows that the trees are grown on. It holds the chance
    in single trees and is too wide, up to fourfold for some hundred rows. Of I: bootstrap over test rows. Chance: D and
    C of shuffled train rows; I of a constant.

    Formula:
        R_kf >= 0 is the importance of dimension k to factor f; here each column of R sums to 1.
        D = sum_k rho_k (1 - H(R_k. / sum_f R_kf)), rho_k = sum_f R_kf / sum R; H to the base of the number of factors.
        C = sum_f rho_f (1 - H(R_.f / sum_k R_kf)), and per factor; H to the base of the number of dimensions.
        I = accuracy on test rows; R^2 for real-valued targets. The total is the mean, of each kind apart.
    Range:
        0 to 1, higher is better.
    Misleads:
        D and C depend on the estimator and its settings more than on anything else; compare like with like only.
        Dimensions that know nothing still get some importance. D is high for a code that knows one factor per
        dimension badly: read it with I.
    """
    return _dci(dci, codes, rng, _trees)


@metric(needs={"content"}, higher_is_better=True, source=_EASTWOOD + ", Lasso")
def dci_lasso(codes: Codes, rng: np.random.Generator) -> list[Score]:
    """DCI from linear predictors with an L1 penalty: sparse weights, so that a dimension without use has none.

    The paper regresses every factor with the Lasso and tunes the penalty; here factors are classified (L1 multinomial
    logistic regression), real-valued targets regressed, and the penalty is fixed where a code of pure noise gets no
    weight 99 times in 100; chance is therefore 0. Interval of D and C: refits on ten random halves of the train rows.
    Of I: bootstrap over test rows. Chance of I: a constant.

    Formula:
        As `dci`, R_kf = |w_k| (mean over the values of f), divided by its sum over k.
        Logistic: min_w mean_i -log p(f_i | z_i) + sum_c t_c |w_c|, t_c = q sqrt(p_c (1 - p_c) / N), with q the normal
        quantile of 1 - 0.01 / 2DK. Lasso: min_w |f - z w|^2 / 2N + q / sqrt(N) |w|, q that of 1 - 0.01 / 2D.
        z and real-valued targets have mean 0 and deviation 1.
    Range:
        0 to 1, higher is better. Where no weight passes the penalty D and C are 0, as published.
    Misleads:
        What is not linear in the code is not there. Of two equal dimensions one may get all the weight, so that a
        duplicated code can look complete.
    """
    return _dci(dci_lasso, codes, rng, _linear)


@metric(needs={"content"}, higher_is_better=True, slow=True, source="Locatello et al. 2019, arXiv:1811.12359")
def dci_gbt(codes: Codes, rng: np.random.Generator) -> list[Score]:
    """DCI as disentanglement_lib computes it: gradient-boosted trees as scikit-learn has them by default.

    100 trees of depth 3 per value and a learning rate of 0.1; regression trees for real-valued targets. The published
    code leaves ties between splits to a random state that nobody set; here the seed of the audit sets it. D and C have
    no interval and no chance level: each would cost several fits more, and one takes minutes. Interval of I: bootstrap
    over test rows.

    Formula:
        As `dci`, R_kf = the decrease of impurity at the splits of dimension k.
    Range:
        0 to 1, higher is better.
    Misleads:
        As `dci`.
    """
    return _dci(dci_gbt, codes, rng, _boosting)


def _dci(metric: Metric, codes: Codes, rng: np.random.Generator, learn: Learn) -> list[Score]:
    found = tasks(codes, (*codes.spec.content, *codes.spec.targets))
    able = [task for task in found if not task.problem]
    learned = {task.name: learn(task.x, task.y, task.x_test, rng) for task in able}
    return [*_structure(metric, able, learned), *_informativeness(metric, codes, found, learned, rng)]


def _structure(metric: Metric, able: Sequence[Task], learned: Mapping[str, Learned]) -> Iterator[Score]:
    """Disentanglement and completeness, and the completeness of each column."""
    if not able:
        return
    over = tuple(learned)
    importance = np.stack([one.importance for one in learned.values()], axis=1)
    halves = [np.stack(half, axis=1) for half in zip(*(one.halves for one in learned.values()))]
    shuffled = [one.shuffled for one in learned.values() if one.shuffled is not None]
    parts: dict[tuple[str, str], Callable[[np.ndarray], float]] = {("disentanglement", ""): disentanglement}
    for place, name in enumerate(over):
        parts["completeness", name] = partial(_of_one, place=place)
    parts["completeness", ""] = completeness
    constant = all(np.ptp(task.x, axis=0).max() == 0 for task in able)
    for (variant, column), statistic in parts.items():
        facts = {"variant": variant, "column": column, "over": () if column else over}
        problem = "the code is constant" if constant else ""
        if variant == "disentanglement" and len(over) < 2:
            problem = "it compares factors, and there is one only"
        if variant == "completeness" and len(importance) < 2:
            problem = "it compares dimensions, and the code has one only"
        if problem:
            yield metric.score(None, note=problem, **facts)
            continue
        value = statistic(importance)
        low, high = _half_sampling(value, np.array([statistic(half) for half in halves]))
        yield metric.score(
            value,
            low=low,
            high=high,
            chance=statistic(np.stack(shuffled, axis=1)) if shuffled else None,
            split="train",
            num=max(len(task.y) for task in able if column in ("", task.name)),
            note=f"interval over {len(halves)} halves of the train rows" if halves else "no interval: it costs minutes",
            **facts,
        )


def _of_one(importance: Float[np.ndarray, "d g"], place: int) -> float:
    return float(concentration(importance.T)[place])


def _half_sampling(value: float, halves: Float[np.ndarray, " r"]) -> tuple[float | None, float | None]:
    """Both ends of the interval. A half drawn without replacement strays from the whole as the whole from the truth."""
    from scipy import stats

    if len(halves) < 2:
        return None, None
    reach = float(stats.t.ppf(0.975, len(halves) - 1) * np.std(halves, ddof=1))
    return max(0.0, value - reach), min(1.0, value + reach)


def _informativeness(
    metric: Metric, codes: Codes, found: Sequence[Task], learned: Mapping[str, Learned], rng: np.random.Generator
) -> Iterator[Score]:
    """Accuracy of factors and, apart from it, R^2 of targets."""
    factors = [task for task in found if task.name in codes.spec.content]
    hits = {task.name: learned[task.name].predicted == task.y_test for task in factors if not task.problem}
    chance = {task.name: task.constant for task in factors if not task.problem}
    yield from scores_of_rows(metric, factors, hits, chance, rng, "informativeness")
    for task in found:
        if task.name not in codes.spec.targets:
            continue
        facts = {"column": task.name, "variant": "informativeness, R2"}
        if task.problem:
            yield metric.score(None, note=task.problem, **facts)
            continue
        truth = task.y_test.astype(float)
        square = (learned[task.name].predicted - truth) ** 2
        low, high = bootstrap(_r2, square, truth, rng=rng)
        guess = float(_r2((truth - task.y.mean()) ** 2, truth))
        yield metric.score(float(_r2(square, truth)), low=low, high=high, chance=guess, num=len(truth), **facts)


def _r2(square: np.ndarray, truth: np.ndarray, axis: int = -1) -> Any:
    return 1 - np.mean(square, axis=axis) / np.var(truth, axis=axis)


def _trees(
    x: Float[np.ndarray, "n d"], y: Num[np.ndarray, " n"], x_test: Float[np.ndarray, "m d"], rng: np.random.Generator
) -> Learned:
    from sklearn.ensemble import ExtraTreesClassifier, ExtraTreesRegressor

    kind = ExtraTreesClassifier if np.issubdtype(y.dtype, np.integer) else ExtraTreesRegressor
    forest, null = (
        kind(max_features=None, min_samples_leaf=_LEAF, warm_start=True, random_state=int(rng.integers(2**31)))
        for _ in range(2)
    )
    shuffled = rng.permutation(x)
    for number, half in enumerate(_halves(len(y), rng), start=1):  # each tree has a half of its own
        for model, rows in ((forest, x), (null, shuffled)):
            model.set_params(n_estimators=number).fit(rows, y, sample_weight=half.astype(float))
    trees, random = (np.stack([tree.feature_importances_ for tree in model.estimators_]) for model in (forest, null))
    return Learned(_shares(trees.mean(axis=0)), trees, _shares(random.mean(axis=0)), forest.predict(x_test))


def _linear(
    x: Float[np.ndarray, "n d"], y: Num[np.ndarray, " n"], x_test: Float[np.ndarray, "m d"], rng: np.random.Generator
) -> Learned:
    """L1 logistic regression of whole numbers, the Lasso of real ones."""
    from scipy.stats import norm
    from sklearn.linear_model import Lasso
    from sklearn.preprocessing import StandardScaler

    scaler, halves = StandardScaler().fit(x), _halves(len(y), rng)
    x, x_test = scaler.transform(x), scaler.transform(x_test)
    if np.issubdtype(y.dtype, np.integer):
        values, labels = np.unique(y, return_inverse=True)
        share = np.bincount(labels) / len(y)
        noise = np.sqrt(share * (1 - share)) * norm.isf(_FALSE / (2 * x.shape[1] * len(values)))
        weight = l1_logistic(x, labels, noise / len(y) ** 0.5)
        refits = [l1_logistic(x[half], labels[half], noise / half.sum() ** 0.5, weight) for half in halves]
        predicted = values[np.argmax(x_test @ weight[:-1] + weight[-1], axis=1)]
        size = [np.abs(one[:-1]).mean(axis=1) for one in (weight, *refits)]
    else:
        noise, mean, deviation = norm.isf(_FALSE / (2 * x.shape[1])), y.mean(), y.std()
        rows = [np.ones(len(y), dtype=bool), *halves]
        models = [Lasso(noise / some.sum() ** 0.5).fit(x[some], (y[some] - mean) / deviation) for some in rows]
        predicted = mean + deviation * models[0].predict(x_test)
        size = [np.abs(model.coef_) for model in models]
    importance = _shares(np.stack(size).astype(float))
    return Learned(importance[0], importance[1:], np.zeros_like(importance[0]), predicted)


def l1_logistic(
    x: Float[np.ndarray, "n d"],
    y: Int64[np.ndarray, " n"],
    penalty: Float[np.ndarray, " k"],
    start: Float[np.ndarray, "d1 k"] | None = None,
) -> Float[np.ndarray, "d1 k"]:
    """Weights of L1 multinomial logistic regression, a penalty for each value; the biases, last, have none.

    Ends when no weight violates optimality by more than a tenth of the penalty. scikit-learn's saga, the only
    solver there for this problem, took ten times as long.

    Source: Beck & Teboulle 2009 (FISTA), restarted as in O'Donoghue & Candes 2015.
    """
    share = np.bincount(y, minlength=len(penalty)) / len(y)
    x = np.concatenate([x, np.ones_like(x[:, :1])], axis=1)
    one_hot = np.eye(len(share), dtype=x.dtype)[y]
    steepness = float(np.linalg.eigvalsh(x.T @ x / len(x))[-1]) / 2
    threshold = np.tile((penalty / steepness).astype(x.dtype), (x.shape[1], 1))
    threshold[-1] = 0
    if start is None:
        start = np.zeros((x.shape[1], len(share)), dtype=x.dtype)
        start[-1] = np.log(share)
    weight = ahead = start
    speed = 1.0
    for _ in range(_MAX_STEPS):
        logits = x @ ahead
        p = np.exp(logits - logits.max(axis=1, keepdims=True))
        p /= p.sum(axis=1, keepdims=True)
        moved = ahead - x.T @ (p - one_hot) / (len(x) * steepness)
        moved = np.sign(moved) * np.maximum(np.abs(moved) - threshold, 0)
        back, step = ahead - moved, moved - weight
        if (np.abs(back) <= _TOLERANCE / steepness * penalty).all():
            return moved
        if np.sum(back * step) > 0:
            speed = 1.0
        faster = (1 + np.sqrt(1 + 4 * speed**2)) / 2
        weight, ahead, speed = moved, moved + np.float32((speed - 1) / faster) * step, faster
    return weight


def _boosting(
    x: Float[np.ndarray, "n d"], y: Num[np.ndarray, " n"], x_test: Float[np.ndarray, "m d"], rng: np.random.Generator
) -> Learned:
    from sklearn.ensemble import GradientBoostingClassifier, GradientBoostingRegressor

    kind = GradientBoostingClassifier if np.issubdtype(y.dtype, np.integer) else GradientBoostingRegressor
    model = kind(random_state=int(rng.integers(2**31))).fit(x, y)
    return Learned(model.feature_importances_, np.empty((0, x.shape[1])), None, model.predict(x_test))


def _halves(num: int, rng: np.random.Generator) -> Bool[np.ndarray, "r n"]:
    """Random halves of the rows, each beside its complement."""
    chosen = np.zeros((_NUM_HALVES // 2, num), dtype=bool)
    for row in chosen:
        row[rng.permutation(num)[: num // 2]] = True
    return np.concatenate([chosen, ~chosen])


def _shares(importance: Float[np.ndarray, "*r d"]) -> Float[np.ndarray, "*r d"]:
    total = importance.sum(axis=-1, keepdims=True)
    return np.divide(importance, total, out=np.zeros_like(importance), where=total > 0)
