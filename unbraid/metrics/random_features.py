"""A small nonlinear probe in closed form: ridge regression on random ReLU features of the code.

phi(z) = (z, max(0, W z + b)) with W ~ N(0, 1/D), b ~ N(0, 1), of standardised z and standardised again. A column of K
values is regressed on as K indicators, and the largest wins. One eigendecomposition serves all columns and all their
shuffles; each gets the penalty with the least generalised cross-validation error.

Source
    Rahimi & Recht 2007, "Random features for large-scale kernel machines"; ReLU features: Cho & Saul 2009. Penalty:
    Golub, Heath & Wahba 1979, "Generalized cross-validation".
"""

import numpy as np
from jaxtyping import Float, Float32, Int64

WIDTH = 1024  # random features; the code's own dimensions stand beside them
PENALTIES = (1e-3, 1e-2, 1e-1, 1.0, 10.0, 100.0)  # times the number of rows


class RandomFeatures:
    """Ridge regressions from the features of some rows, and their predictions for others."""

    def __init__(self, z: Float32[np.ndarray, "n d"], test: Float32[np.ndarray, "m d"], rng: np.random.Generator):
        from scipy.linalg import eigh
        from sklearn.preprocessing import StandardScaler

        scale = StandardScaler().fit(z)
        weight = rng.normal(0, z.shape[1] ** -0.5, (z.shape[1], WIDTH)).astype(np.float32)
        bias = rng.normal(size=WIDTH).astype(np.float32)

        def lift(codes: Float32[np.ndarray, "n d"]) -> Float32[np.ndarray, "n h"]:
            codes = scale.transform(codes)
            return np.hstack([codes, np.maximum(codes @ weight + bias, 0)])

        train, other = lift(z), lift(test)
        standard = StandardScaler(copy=False).fit(train)
        self._train = standard.transform(train)  # (N, H), mean 0
        values, axes = eigh((self._train.T @ self._train).astype(float), overwrite_a=True, check_finite=False)
        self._values, self._axes = np.maximum(values, 0), axes.astype(np.float32)
        self._test = standard.transform(other) @ self._axes  # (M, H)

    def classify(self, labels: Int64[np.ndarray, " n"], size: int) -> Int64[np.ndarray, " m"]:
        """The value with the largest regressed indicator, for each of the other rows."""
        from scipy.sparse import csr_array

        rows, share = np.arange(len(labels)), np.bincount(labels, minlength=size) / len(labels)
        indicators = csr_array((np.ones(len(rows), np.float32), (labels, rows)), shape=(size, len(rows)))
        centred = self._solve((indicators @ self._train).T, float(np.sum(share * (1 - share))))
        return (centred + share).argmax(axis=1)

    def regress(self, targets: Float[np.ndarray, "n t"]) -> Float[np.ndarray, "m t"]:
        """Each target in the other rows; each has its own penalty."""
        mean, variance = targets.mean(axis=0), targets.var(axis=0)
        moments = self._train.T @ (targets - mean).astype(np.float32)  # (H, T)
        columns = [self._solve(moments[:, [place]], float(variance[place])) for place in range(len(mean))]
        return np.hstack(columns) + mean

    def _solve(self, moments: Float[np.ndarray, "h k"], variance: float) -> Float[np.ndarray, "m k"]:
        """Predictions of centred targets with these moments and this sum of variances."""
        num, moments = len(self._train), (self._axes.T @ moments).astype(float)
        power = np.sum(moments**2, axis=1)  # (H,)
        shrunk = self._values + num * np.array(PENALTIES)[:, None]  # (P, H)
        squares = num * variance - np.sum(power * (2 / shrunk - self._values / shrunk**2), axis=1)
        free = num - 1 - np.sum(self._values / shrunk, axis=1)  # degrees of freedom of the residual
        best = shrunk[np.argmin(squares / free**2)]
        return self._test @ (moments / best[:, None]).astype(np.float32)
