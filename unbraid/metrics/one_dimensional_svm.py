"""Linear SVMs on single dimensions of a code: every dimension and class at once, exactly."""

import numpy as np
from jaxtyping import Bool, Float, Int64, Num

_SVM_COST = 0.01


def svm_hits(
    x: Float[np.ndarray, "n d"],
    y: Int64[np.ndarray, " n"],
    x_test: Float[np.ndarray, "m d"],
    y_test: Num[np.ndarray, " m"],
) -> Bool[np.ndarray, "d m"]:
    """Which test rows ``LinearSVC(C=0.01, class_weight="balanced")`` on one dimension gets right, for each."""
    return svm_answers(x, y, x_test) == y_test


def svm_answers(
    x: Float[np.ndarray, "n d"], y: Int64[np.ndarray, " n"], x_test: Float[np.ndarray, "m d"]
) -> Int64[np.ndarray, "d m"]:
    """What these machines answer."""
    weight, bias = svms(x, y, _SVM_COST)
    values = np.unique(y)
    edges, lines = _envelopes(weight, bias)
    found = [lines[k, np.searchsorted(edges[k], x_test[:, k])] for k in range(x.shape[1])]
    return values[np.stack(found)]


def _envelopes(
    weight: Float[np.ndarray, "d k"], bias: Float[np.ndarray, "d k"]
) -> tuple[Float[np.ndarray, "d e"], Int64[np.ndarray, "d e1"]]:
    """Which of the K lines w x + b is highest, from left to right, and where one takes over from another."""
    dimension = np.arange(len(weight))
    current = np.argmax(np.where(weight == weight.min(axis=1, keepdims=True), bias, -np.inf), axis=1)
    edges, lines = [], [current]
    for _ in range(weight.shape[1] - 1):
        rise = weight - weight[dimension, current][:, None]
        drop = bias[dimension, current][:, None] - bias
        crossing = np.divide(drop, rise, out=np.full_like(rise, np.inf), where=rise > 0)
        edges.append(crossing.min(axis=1))
        current = np.where(np.isinf(edges[-1]), current, crossing.argmin(axis=1))
        lines.append(current)
    return np.stack(edges, axis=1), np.stack(lines, axis=1)


def svms(
    x: Float[np.ndarray, "n d"], y: Int64[np.ndarray, " n"], cost: float
) -> tuple[Float[np.ndarray, "d k"], Float[np.ndarray, "d k"]]:
    """Weights and biases of linear support vector machines on one dimension each, one value against the rest.

    Minimises (w^2 + b^2) / 2 + sum_i C_i max(0, 1 - y_i (w x_i + b))^2 as liblinear does for ``LinearSVC``: C_i is
    ``cost`` n / (K n_c) for the rows of the value c and, with more than two values, plain ``cost`` for the rest.
    """
    sums = _SortedRows(x, y)
    share = cost * len(y) / (len(sums.counts) * sums.counts)  # (K,)
    costs = share, share[::-1] if len(share) == 2 else np.full_like(share, cost)
    weight = bias = np.zeros((x.shape[1], len(share)))
    value, slope, newton = _objective(sums, weight, bias, costs)
    for _ in range(100):
        step, lower = 1.0 * np.ones_like(value), -np.sum(slope * newton, axis=0)
        for _ in range(30):  # halve the step where it does not descend
            there = _objective(sums, weight + step * newton[0], bias + step * newton[1], costs)
            if (fine := there[0] <= value - 1e-4 * step * lower + 1e-12 * value).all():
                break
            step = np.where(fine, step, step / 2)
        weight, bias = weight + step * newton[0], bias + step * newton[1]
        value, slope, newton = there
        if (lower <= 1e-12 * value).all():
            break
    return weight, bias


def _objective(
    sums: "_SortedRows", w: Float[np.ndarray, "d k"], b: Float[np.ndarray, "d k"], costs: tuple[np.ndarray, np.ndarray]
) -> tuple[Float[np.ndarray, "d k"], Float[np.ndarray, "2 d k"], Float[np.ndarray, "2 d k"]]:
    """Value, gradient and Newton step."""
    ones, first, second = np.stack([sums.inside(w, b), sums.outside(w, b)], axis=1) * 2 * np.stack(costs)[:, None]
    sign = np.array([1.0, -1.0])[:, None, None]
    rest = 1 - sign * b  # margin that the bias leaves
    value = (w**2 + b**2 + np.sum(ones * rest**2 - 2 * sign * rest * w * first + w**2 * second, axis=0)) / 2
    by_w = w - np.sum(sign * rest * first - w * second, axis=0)
    by_b = b - np.sum(sign * rest * ones - w * first, axis=0)
    ww, wb, bb = 1 + second.sum(axis=0), first.sum(axis=0), 1 + ones.sum(axis=0)
    newton = np.stack([wb * by_b - bb * by_w, wb * by_w - ww * by_b]) / (ww * bb - wb**2)
    return value, np.stack([by_w, by_b]), newton


class _SortedRows:
    """The rows of each dimension in ascending order, first all, then value by value, with running sums of x and x^2.

    The rows that a margin catches lie on one side of a threshold, so that sums over them take a binary search.
    """

    def __init__(self, x: Float[np.ndarray, "n d"], y: Int64[np.ndarray, " n"]) -> None:
        label = np.unique(y, return_inverse=True)[1].astype(np.int16)
        order = np.argsort(x.T, axis=1)
        ascending = np.take_along_axis(x.T, order, axis=1).astype(float)
        by_value = np.take_along_axis(ascending, np.argsort(label[order], axis=1, kind="stable"), axis=1)
        self.rows = np.concatenate([ascending, by_value], axis=1)  # (D, 2N)
        self.sums = np.zeros((2, x.shape[1], 2 * len(x) + 1))
        np.cumsum(self.rows, axis=1, out=self.sums[0, :, 1:])
        np.cumsum(self.rows**2, axis=1, out=self.sums[1, :, 1:])
        self.counts = np.bincount(label)  # (K,)
        self.ends = np.cumsum(self.counts) + len(x)
        self.starts = self.ends - self.counts
        self.dimension = np.arange(x.shape[1])[:, None]

    def inside(self, w: Float[np.ndarray, "d k"], b: Float[np.ndarray, "d k"]) -> Float[np.ndarray, "3 d k"]:
        """Sums of 1, x and x^2 over the rows of a value with w x + b < 1."""
        return self._sum(w, 1 - b, self.starts, self.ends)

    def outside(self, w: Float[np.ndarray, "d k"], b: Float[np.ndarray, "d k"]) -> Float[np.ndarray, "3 d k"]:
        """The same over the rows of the other values with w x + b > -1."""
        num = np.full_like(self.starts, self.rows.shape[1] // 2)
        return self._sum(-w, 1 + b, 0 * num, num) - self._sum(-w, 1 + b, self.starts, self.ends)

    def _sum(
        self,
        w: Float[np.ndarray, "d k"],
        limit: Float[np.ndarray, "d k"],
        starts: Int64[np.ndarray, " k"],
        ends: Int64[np.ndarray, " k"],
    ) -> Float[np.ndarray, "3 d k"]:
        """Over the rows between ``starts`` and ``ends`` with w x < limit."""
        with np.errstate(divide="ignore", invalid="ignore"):
            threshold = limit / (w + 0.0)  # no negative zero: a weight of 0 catches all or none
        low, high = np.broadcast_to(starts, w.shape), np.broadcast_to(ends, w.shape)
        while (low < high).any():
            middle = (low + high) // 2
            below = (low < high) & (self.rows[self.dimension, np.minimum(middle, ends - 1)] < threshold)
            low, high = np.where(below, middle + 1, low), np.where(below, high, np.minimum(high, middle))
        first, last = np.where(w >= 0, starts, low), np.where(w >= 0, low, ends)
        powers = [total[self.dimension, last] - total[self.dimension, first] for total in self.sums]
        return np.stack([(last - first).astype(float), *powers])
