"""UDR: which of several models found dimensions that the others found too. Needs no labels.

A model is good if each of its dimensions stands for one dimension of the other models, whatever order and sign.

Source
    Duan et al. 2020, arXiv:1905.12614 (Unsupervised Disentanglement Ranking), and its published code in
    disentanglement_lib.
Differences
    1. The Lasso runs to convergence (duality gap of 1e-9 per unit of variance). scikit-learn, which the published code
       calls, stops at 1e-4, which moves a pair's agreement by some 1e-5.
    2. Inactive dimensions are left out altogether. The published code zeroes those up to 0.01 nats, filter or not, and
       leaves those between 0.01 and a higher threshold in the regressions.
    3. ``surrogate_kl``, which the published population-based training filters by, is no KL; ``gaussian_kl`` is.
    4. All rows count if there are fewer than ``num_points``, also those that fill no batch of ten.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from jaxtyping import Bool, Float, Int64

from unbraid.errors import DataError, UserError
from unbraid.metrics import check_finite
from unbraid.metrics.intervals import NUM_GROUPS, jackknife
from unbraid.metrics.lasso import lasso
from unbraid.tables import Codes

Relation = Literal["lasso", "spearman"]
Filter = Literal["kl", "variance", "none"]
Weights = Literal["equal", "counts"]

CEILING = {"lasso": 0.9, "spearman": 1.0}  # of two models that agree; the Lasso shrinks a coefficient of 1 by its alpha

_BLOCK_BYTES = 32 * 2**20  # of coefficients that are held at a time
_LEAST_ROWS = 2 * NUM_GROUPS


@dataclass(frozen=True, kw_only=True)
class UDR:
    """The scores of m models, in the order in which their codes were given."""

    scores: Float[np.ndarray, " m"]  # median agreement with the others
    low: Float[np.ndarray, " m"] | None  # ends of the 95 % interval over rows, the models being fixed
    high: Float[np.ndarray, " m"] | None
    pairwise: Float[np.ndarray, "m m"]  # [i, j]: agreement of j with i, whose dimensions predict; 0 on the diagonal
    active: tuple[Bool[np.ndarray, " _"], ...]  # dimensions that took part, per model
    active_by: Filter
    relation: Relation
    weights: Weights
    num: int  # rows

    @property
    def mean(self) -> float:
        """The fitness of one setting whose m models differ in their seeds only."""
        return float(self.scores.mean())

    @property
    def ranking(self) -> Int64[np.ndarray, " m"]:
        """Numbers of the models, best first; equal ones in their original order."""
        return np.argsort(-self.scores, kind="stable")


def udr(
    codes: Sequence[np.ndarray | Codes],
    *,
    rng: np.random.Generator | np.random.RandomState,
    kl: Sequence[np.ndarray] | None = None,
    active_by: Filter | None = None,
    threshold: float = 0.01,
    relation: Relation = "lasso",
    weights: Weights = "equal",
    num_points: int = 1000,
    intervals: bool = False,
) -> UDR:
    """Unsupervised disentanglement ranking of two or more models by their codes of the same rows.

    R[a, b] is the absolute Lasso coefficient (alpha 0.1) or Spearman correlation of dimension a of model i to dimension
    b of model j, over standardised active dimensions. max_a R^2 / sum_a R is near 1 if b has one partner in i. The
    agreement is the mean of this over b, averaged with the same over a; a model's score is the median over the others'
    agreement with it. Models may differ in width. A model without an active dimension scores 0.

    Args:
        codes: Arrays (n, d), all of whose rows count, or Codes, whose test rows do.
        rng: Draws the rows. ``RandomState(seed)`` draws those of the published code.
        kl: Mean KL of each dimension in nats, per model. Default: what the Codes carry.
        active_by: "kl": dimensions above ``threshold`` nats. "variance": those above ``threshold`` times the model's
            largest variance, a stand-in for codes that come without a KL. "none": all. Default: "kl" where every model
            has one, else "variance".
        weights: "equal" averages both means, as the published code does; "counts" weights them by the numbers of active
            dimensions, as the paper's formula does. The same if both models have equally many.
        num_points: Rows that are drawn, without replacement; all, if there are fewer.
        intervals: A delete-a-group jackknife over 20 groups of rows, at 20 times the cost.

    Raises:
        UserError: If the options contradict each other or the codes.
        DataError: If the codes are not of the same rows, not finite, constant, or too few.
    """
    _check_options(len(codes), active_by, threshold, relation, weights, num_points)
    arrays = _same_rows(codes)
    if kl is None:
        kl = _kl_of(codes)
    elif active_by not in (None, "kl"):
        raise UserError(f"kl is given, but dimensions are to be chosen by {active_by!r}; leave out one of both")
    active_by = active_by or ("variance" if kl is None else "kl")
    rows = rng.permutation(len(arrays[0]))[:num_points]
    points = [z[rows].astype(np.float64) for z in arrays]
    active = _active(points, kl, active_by, threshold)
    kept = [z[:, mask] for z, mask in zip(points, active, strict=True)]
    pairwise = _pairwise(kept, relation, weights)
    scores = _median_of_others(pairwise)
    low, high = _intervals(scores, kept, relation, weights) if intervals else (None, None)
    return UDR(
        scores=scores, low=low, high=high, pairwise=pairwise, active=active, num=len(rows),
        active_by=active_by, relation=relation, weights=weights,
    )  # fmt: skip


def gaussian_kl(means: Float[np.ndarray, "n d"], log_variances: Float[np.ndarray, "n d"]) -> Float[np.ndarray, " d"]:
    """Mean KL in nats of each dimension's diagonal Gaussian posterior to the standard normal prior."""
    return np.mean(means**2 + np.exp(log_variances) - log_variances - 1, axis=0) / 2


def surrogate_kl(
    means: Float[np.ndarray, "n d"], log_sigmas: Float[np.ndarray, "n d"], batch_size: int = 10
) -> Float[np.ndarray, " d"]:
    """What the published population-based training takes for the KL, to repeat its filter of active dimensions.

    It reads the logarithm of a standard deviation as that of a variance, averages it over a batch before the
    exponential, and drops its sign. Standard deviation 0.5 gives 0.53 for a KL of 0.69, and 0.05 gives 8.5 for 3.0.

    Raises:
        UserError: If the rows do not fill whole batches.
    """
    if not len(means) or len(means) % batch_size:
        raise UserError(f"{len(means)} rows do not fill batches of {batch_size}; leave out the last ones")
    size = np.abs(log_sigmas.reshape(-1, batch_size, means.shape[1]).mean(axis=1))  # (batches, d)
    with np.errstate(over="ignore"):  # infinite is far above any threshold
        return (np.mean(means**2, axis=0) + np.mean(np.exp(size) - size - 1, axis=0)) / 2


def agreement(
    relation: Float[np.ndarray, "i j a b"],
    num_rows: Int64[np.ndarray, " i"],
    num_columns: Int64[np.ndarray, " j"],
    weights: Weights = "equal",
) -> Float[np.ndarray, "i j"]:
    """How near matrices of absolute relations are to permutations: 1. A row or column of zeros counts as 0.

    Args:
        num_rows: How many rows count; those beyond hold zeros.
    """
    columns, rows = _one_partner(relation, axis=2), _one_partner(relation, axis=3)  # sums over b and over a
    if weights == "counts":
        return (columns + rows) / np.maximum(num_rows[:, None] + num_columns, 1)
    return (columns / np.maximum(num_columns, 1) + rows / np.maximum(num_rows, 1)[:, None]) / 2


def _one_partner(relation: Float[np.ndarray, "i j a b"], axis: int) -> Float[np.ndarray, "i j"]:
    total = relation.sum(axis=axis)
    return np.divide(relation.max(axis=axis) ** 2, total, where=total > 0, out=np.zeros_like(total)).sum(axis=2)


def _median_of_others(pairwise: Float[np.ndarray, "m m"]) -> Float[np.ndarray, " m"]:
    num = len(pairwise)
    return np.median(pairwise.T[~np.eye(num, dtype=bool)].reshape(num, num - 1), axis=1)


def _pairwise(
    codes: Sequence[Float[np.ndarray, "n _"]], relation: Relation, weights: Weights
) -> Float[np.ndarray, "m m"]:
    """Agreement of every model's dimensions with those of every other."""
    counts = np.array([z.shape[1] for z in codes])
    num, width, rows = len(codes), max(1, int(counts.max())), len(codes[0])
    x = np.zeros((rows, num, width))  # narrower models are filled up with zeros, which relate to nothing
    for model, z in enumerate(codes):
        x[:, model, : counts[model]] = z
    x = _standardised(x.reshape(rows, -1), ranks=relation == "spearman").reshape(x.shape)
    pairwise = np.zeros((num, num))
    for part in _blocks(num, width):
        block = x[:, part]
        correlation = (block.reshape(rows, -1).T @ x.reshape(rows, -1) / rows).reshape(-1, width, num * width)
        if relation == "lasso":
            correlation = lasso(np.einsum("nik,nil->ikl", block, block, optimize=True) / rows, correlation)
        matrices = np.abs(correlation).reshape(-1, width, num, width).swapaxes(1, 2)  # (part, m, a, b)
        pairwise[part] = agreement(matrices, counts[part], counts, weights)
    np.fill_diagonal(pairwise, 0.0)
    return pairwise


def _intervals(
    scores: Float[np.ndarray, " m"], codes: Sequence[Float[np.ndarray, "n _"]], relation: Relation, weights: Weights
) -> tuple[Float[np.ndarray, " m"], Float[np.ndarray, " m"]]:
    groups = np.arange(len(codes[0])) % NUM_GROUPS  # of rows that were drawn at random
    kept = ([z[groups != group] for z in codes] for group in range(NUM_GROUPS))
    without = np.stack([_median_of_others(_pairwise(one, relation, weights)) for one in kept])  # (groups, m)
    ends = [jackknife(float(score), without[:, model]) for model, score in enumerate(scores)]
    low, high = np.array(ends).T
    return low, high


def _standardised(x: Float[np.ndarray, "n k"], ranks: bool) -> Float[np.ndarray, "n k"]:
    """Mean 0 and population variance 1 in each column; a constant column becomes 0."""
    constant = np.ptp(x, axis=0) == 0  # the variance of equal numbers need not round to 0
    if ranks:
        from scipy.stats import rankdata

        x = rankdata(x, axis=0)
    x = x - x.mean(axis=0)
    return np.where(constant, 0.0, x / np.where(constant, 1.0, x.std(axis=0)))


def _blocks(num: int, width: int) -> Iterator[slice]:
    step = max(1, _BLOCK_BYTES // (8 * num * width**2))
    return (slice(start, start + step) for start in range(0, num, step))


def _check_options(
    num: int, active_by: str | None, threshold: float, relation: str, weights: str, num_points: int
) -> None:
    for name, value, known in (
        ("active_by", active_by or "kl", Filter),
        ("relation", relation, Relation),
        ("weights", weights, Weights),
    ):
        if value not in get_args(known):
            raise UserError(f"{name} is one of {', '.join(get_args(known))}, not {value!r}")
    if num < 2:
        raise UserError(f"UDR compares the codes of two models or more, not of {num}")
    if num_points < _LEAST_ROWS:
        raise UserError(f"num_points must be at least {_LEAST_ROWS}, not {num_points}")
    if not 0 <= threshold < np.inf:
        raise UserError(f"threshold must be at least 0, and finite, not {threshold}")


def _same_rows(codes: Sequence[np.ndarray | Codes]) -> list[np.ndarray]:
    """The codes as arrays: the test rows of Codes, all rows of arrays."""
    first = next((one for one in codes if isinstance(one, Codes)), None)
    arrays: list[np.ndarray] = []
    for number, one in enumerate(codes, start=1):
        name = f"codes {number} of {len(codes)}"
        if isinstance(one, Codes) and first is not None and not _same_labels(first, one):
            raise DataError(f"{name} are of other rows than the first: their split or label columns differ")
        z = one.rows("test").z if isinstance(one, Codes) else np.asarray(one)
        if z.ndim != 2 or z.shape[1] == 0:
            raise DataError(f"{name} must be rows by dimensions, not of shape {z.shape}")
        if arrays and len(z) != len(arrays[0]):
            raise DataError(f"{name} have {len(z)} rows, the first {len(arrays[0])}; encode the same images")
        if len(z) < _LEAST_ROWS:
            raise DataError(f"{name} have {len(z)} rows to score; UDR needs at least {_LEAST_ROWS}")
        try:
            check_finite(z)
        except DataError as error:
            raise DataError(f"{name}: {error}") from None
        arrays.append(z)
    return arrays


def _same_labels(a: Codes, b: Codes) -> bool:
    shared = set(a.columns) & set(b.columns)
    pairs: list[tuple[Any, Any]] = [(a.split, b.split), *((a.columns[name], b.columns[name]) for name in shared)]
    return all(np.array_equal(one, other, equal_nan=True) for one, other in pairs)


def _kl_of(codes: Sequence[np.ndarray | Codes]) -> list[np.ndarray] | None:
    known = [one.kl for one in codes if isinstance(one, Codes) and one.kl is not None]
    return known if len(known) == len(codes) else None  # a filter for some models only would favour them


def _active(
    points: Sequence[Float[np.ndarray, "n _"]], kl: Sequence[np.ndarray] | None, active_by: Filter, threshold: float
) -> tuple[Bool[np.ndarray, " _"], ...]:
    """Which dimensions take part, per model."""
    if active_by == "kl":
        return _active_by_kl(points, kl, threshold)
    for number, z in enumerate(points, start=1):
        if (np.ptp(z, axis=0) == 0).all():
            raise DataError(
                f"codes {number} of {len(points)} are the same in every row: leave the model out, or give kl"
            )
    if active_by == "none":
        return tuple(np.ones(z.shape[1], dtype=bool) for z in points)
    return tuple(z.var(axis=0) > threshold * z.var(axis=0).max() for z in points)


def _active_by_kl(
    points: Sequence[Float[np.ndarray, "n _"]], kl: Sequence[np.ndarray] | None, threshold: float
) -> tuple[Bool[np.ndarray, " _"], ...]:
    if kl is None:
        raise UserError("active_by='kl' needs a KL per dimension of every model; use active_by='variance' without")
    if len(kl) != len(points):
        raise UserError(f"kl is given for {len(kl)} models, codes for {len(points)}")
    for number, (one, z) in enumerate(zip(kl, points, strict=True), start=1):
        if np.shape(one) != z.shape[1:] or not np.isfinite(one).all():
            raise UserError(f"kl {number} of {len(kl)} must hold {z.shape[1]} finite numbers, one per dimension")
    return tuple(np.asarray(one) > threshold for one in kl)
