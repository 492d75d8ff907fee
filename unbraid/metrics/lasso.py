"""The Lasso of many targets on many sets of features, all problems side by side, from their correlations alone."""

import numpy as np
from jaxtyping import Float

from unbraid.errors import DataError

ALPHA = 0.1

_GAP = 1e-9  # of the objective, relative to the variance of the target
_SWEEPS = 5  # between two looks at the gap
_MAX_SWEEPS = 10_000
_BLOCK_BYTES = 32 * 2**20  # of linear systems that are held at a time


def lasso(gram: Float[np.ndarray, "i d d"], target: Float[np.ndarray, "i d t"]) -> Float[np.ndarray, "i d t"]:
    """Coefficients of min |y - x w|^2 / 2n + alpha |w|_1 for i sets of d features and t targets of variance 1 each.

    Cyclic coordinate descent from zero on ``gram`` = x' x / n and ``target`` = x' y / n. Every so often what is still
    open takes a Newton step, without which nearly equal features would take many thousands of sweeps.

    Raises:
        DataError: If some duality gap stays above 1e-9.
    """
    solution = np.zeros_like(target)
    w, place = solution, list(np.ogrid[tuple(map(slice, target.shape))])  # what is open, and where it stands
    between = -(-gram.shape[1] // _SWEEPS) * _SWEEPS  # as many sweeps as features cost about a Newton step
    for sweeps in range(_SWEEPS, _MAX_SWEEPS + 1, _SWEEPS):
        _descend(gram, target, w)
        is_open = _duality_gap(gram, target, w) > _GAP
        if sweeps % between == 0:
            _newton_step(gram, target, w, np.nonzero(is_open))
        if w is not solution:
            solution[tuple(place)] = w
        width = int(is_open.sum(axis=1).max(initial=0))
        if width == 0:
            return solution
        if width < 0.8 * w.shape[2]:
            keep = np.argsort(~is_open, axis=1, kind="stable")[:, None, :width]
            w, target = w[place[0], place[1], keep], target[place[0], place[1], keep]
            place[2] = np.take_along_axis(np.broadcast_to(place[2], (len(gram), 1, place[2].shape[2])), keep, axis=2)
    raise DataError("the Lasso does not converge: dimensions of a code nearly repeat each other; leave out the copies")


def _descend(
    gram: Float[np.ndarray, "i d d"], target: Float[np.ndarray, "i d t"], w: Float[np.ndarray, "i d t"]
) -> None:
    """Set one coefficient after the other to its best value, in place."""
    norm = np.einsum("ikk->ik", gram)  # 1, or 0 where there is no feature
    inverse = np.divide(1.0, norm, where=norm > 0, out=np.zeros_like(norm))
    others = gram - norm[:, :, None] * np.eye(gram.shape[1])
    for k in np.tile(np.arange(gram.shape[1]), _SWEEPS):
        slope = target[:, k] - (others[:, k, None] @ w)[:, 0]
        w[:, k] = (slope - np.clip(slope, -ALPHA, ALPHA)) * inverse[:, k, None]


def _duality_gap(
    gram: Float[np.ndarray, "i d d"], target: Float[np.ndarray, "i d t"], w: Float[np.ndarray, "i d t"]
) -> Float[np.ndarray, "i t"]:
    """How far the objective can be from its minimum, at most."""
    slope = target - gram @ w
    explained = np.einsum("ikt,ikt->it", w, target)
    residual = 1 - explained - np.einsum("ikt,ikt->it", w, slope)  # |y - x w|^2 / n
    steepest = np.abs(slope, out=slope).max(axis=1)
    scale = ALPHA / np.maximum(steepest, ALPHA)
    primal = residual / 2 + ALPHA * np.abs(w).sum(axis=1)
    return primal - (scale * (1 - explained) - scale**2 * residual / 2)


def _newton_step(
    gram: Float[np.ndarray, "i d d"],
    target: Float[np.ndarray, "i d t"],
    w: Float[np.ndarray, "i d t"],
    problems: tuple[np.ndarray, ...],
) -> None:
    """Move to the minimum over the coefficients that are not zero, or as far as to the first change of sign, in place.

    The step of feature-sign search: Lee et al. 2007, Efficient sparse coding algorithms, algorithm 1.
    """
    features = gram.shape[1]
    step = max(1, _BLOCK_BYTES // (8 * features**2))
    for start in range(0, len(problems[0]), step):
        models, targets = (place[start : start + step] for place in problems)
        now = w[models, :, targets]  # (p, d)
        used = now != 0
        system = np.where(used[:, :, None] & used[:, None], gram[models], 0.0)
        system += np.einsum("pk,kl->pkl", np.where(used, 1e-12, 1.0), np.eye(features))  # equal features: not singular
        best = np.where(used, target[models, :, targets] - ALPHA * np.sign(now), 0.0)
        best = np.linalg.solve(system, best[..., None])[..., 0]
        with np.errstate(divide="ignore", invalid="ignore"):
            share = np.where(used & (now * best <= 0), now / (now - best), np.inf)  # of the way to a zero
        share_taken = np.minimum(1, share.min(axis=1, keepdims=True))
        moved = now + share_taken * (best - now)
        w[models, :, targets] = np.where(share <= share_taken, 0.0, moved)
