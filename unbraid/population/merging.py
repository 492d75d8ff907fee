"""Leaf runs that found the same factors in another order or with another sign, brought to one set of labels.

Published is a median over leaf runs, each judged by its own labels: nothing is aligned. Here dimensions of two runs are
one factor if their ranks agree on rows that both have labelled; the assignment is one to one and the best in total.

Source
    Own; the assignment is that of Kuhn 1955, by ``scipy.optimize.linear_sum_assignment``.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int64

from unbraid.errors import UserError
from unbraid.population.surrogate import Block, Bundle

LEAST_AGREEMENT = 0.5  # absolute rank correlation below which two dimensions are two factors


@dataclass(frozen=True, kw_only=True)
class Alignment:
    """Which common factor each dimension of each run is; a factor is numbered by when it is first seen."""

    factor: tuple[Int64[np.ndarray, " _"], ...]
    sign: tuple[Float[np.ndarray, " _"], ...]  # 1, or -1 where it runs against the first of its factor
    agreement: tuple[Float[np.ndarray, " _"], ...]  # absolute rank correlation with the first; its own is 1

    @property
    def num_factors(self) -> int:
        return 1 + max(int(one.max(initial=-1)) for one in self.factor)


def align(labels: Sequence[Float[np.ndarray, "n _"]], least: float = LEAST_AGREEMENT) -> Alignment:
    """Match the dimensions of several runs.

    Args:
        labels: Of each run, on the same rows.

    Raises:
        UserError: If there is no run, or they have not labelled the same rows.
    """
    if not labels or len({len(one) for one in labels}) != 1:
        raise UserError("labels can be aligned on rows that every run has labelled; give the same rows")
    first = labels[0][:, :0]  # of each factor the labels that were first seen
    factors: list[np.ndarray] = []
    signs: list[np.ndarray] = []
    agreements: list[np.ndarray] = []
    for run in labels:
        factor, sign = np.full(run.shape[1], -1), np.ones(run.shape[1])
        agreement = np.ones(run.shape[1])
        for known, dimension, correlation in _matches(first, run):
            if abs(correlation) >= least:
                factor[dimension], sign[dimension] = known, np.sign(correlation)
                agreement[dimension] = abs(correlation)
        new = np.flatnonzero(factor < 0)
        factor[new] = first.shape[1] + np.arange(len(new))
        first = np.concatenate([first, run[:, new]], axis=1)
        factors.append(factor)
        signs.append(sign)
        agreements.append(agreement)
    return Alignment(factor=tuple(factors), sign=tuple(signs), agreement=tuple(agreements))


def _matches(known: Float[np.ndarray, "n f"], run: Float[np.ndarray, "n a"]) -> list[tuple[int, int, float]]:
    """Factor, dimension and rank correlation, one to one."""
    from scipy.optimize import linear_sum_assignment

    correlation = rank_correlation(known, run)
    rows, columns = linear_sum_assignment(np.abs(correlation), maximize=True)
    return [(int(row), int(column), float(correlation[row, column])) for row, column in zip(rows, columns)]


def rank_correlation(a: Float[np.ndarray, "n f"], b: Float[np.ndarray, "n g"]) -> Float[np.ndarray, "f g"]:
    """Spearman's, of each column with each; 0 where a column is constant."""
    from scipy.stats import rankdata

    if not a.shape[1] or not b.shape[1]:
        return np.zeros((a.shape[1], b.shape[1]))
    x, y = (_standard(rankdata(one, axis=0)) for one in (a, b))
    return x.T @ y / len(a)


def _standard(x: Float[np.ndarray, "n k"]) -> Float[np.ndarray, "n k"]:
    deviation = x.std(axis=0)
    return (x - x.mean(axis=0)) / np.where(deviation > 0, deviation, 1.0)


def merge(
    bundles: Sequence[Bundle], shared: Sequence[Float[np.ndarray, "n _"]], least: float = LEAST_AGREEMENT
) -> Bundle:
    """One bundle of a block per factor: the rows on which any run learned it, the mean of their labels.

    Labels are brought to one sign, and to one place and scale by their mean and deviation on the shared rows.

    Args:
        shared: Of each run, the labels of all its blocks side by side, on rows that are the same for every run.
    """
    alignment = align(shared, least)
    found: list[list[tuple[np.ndarray, np.ndarray]]] = [[] for _ in range(alignment.num_factors)]
    for bundle, common, factor, sign in zip(bundles, shared, alignment.factor, alignment.sign, strict=True):
        places = [(block.rows, column) for block in bundle.blocks for column in block.labels.T]
        deviation = np.where(common.std(axis=0) > 0, common.std(axis=0), 1.0)
        for (rows, column), number, turn, mean, scale in zip(
            places, factor, sign, common.mean(axis=0), deviation, strict=True
        ):
            found[number].append((rows, turn * (column - mean) / scale))
    return Bundle(tuple(_mean(parts) for parts in found))


def _mean(parts: Sequence[tuple[np.ndarray, np.ndarray]]) -> Block:
    """The rows of any part, each with the mean of its labels."""
    rows, place = np.unique(np.concatenate([one for one, _ in parts]), return_inverse=True)
    total = np.bincount(place, weights=np.concatenate([label for _, label in parts]))
    return Block(rows, (total / np.bincount(place))[:, None])
