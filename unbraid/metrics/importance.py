"""How important each dimension of a code is to a column: trees, linear maps with an L1 penalty, boosted trees."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int64, Num

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


def trees(
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


def linear(
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


def boosting(
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
