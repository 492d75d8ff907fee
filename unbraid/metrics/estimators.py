"""The estimators behind the probes, smallest first. Each fits many columns at once and predicts other rows."""

import functools
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float32, Int64

from unbraid.errors import UserError, did_you_mean
from unbraid.metrics.random_features import RandomFeatures

# (train codes (N, D), labels (C, N), numbers of values, test codes (M, D), rng) -> predicted labels (C, M)
Classify = Callable[[np.ndarray, np.ndarray, Sequence[int], np.ndarray, np.random.Generator], np.ndarray]
# (train codes (N, D), R versions of T targets (R, T, N), test codes (M, D), rng) -> predicted targets (R, T, M)
Regress = Callable[[np.ndarray, np.ndarray, np.ndarray, np.random.Generator], np.ndarray]

_LOGISTIC_STEPS = 300
_TOLERANCE = 0.05  # over the number of values: a code without pattern has a gradient of that order before any step


@dataclass(frozen=True, kw_only=True)
class Probe:
    """An estimator as a probe: its name in ``variant`` and the number of shuffles of its control."""

    variant: str
    classify: Classify
    regress: Regress
    num_shuffles: int
    least_squares: bool = True  # otherwise targets are read by the least absolute error, and only that is reported
    balanced: bool = False  # scored by the mean accuracy over values, where one value is too frequent
    batch_size: int | None = None  # if the published error of targets is a mean over batches of test rows


def _logistic(
    z: Float32[np.ndarray, "n d"],
    labels: Int64[np.ndarray, "c n"],
    sizes: Sequence[int],
    test: Float32[np.ndarray, "m d"],
    rng: np.random.Generator,
    class_weight: str | None = None,
) -> Int64[np.ndarray, "c m"]:
    """Multinomial logistic regression. The loose tolerance halves the time and moved no accuracy by a percent."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler
    from threadpoolctl import threadpool_limits

    scale = StandardScaler().fit(z)
    z, test = scale.transform(z), scale.transform(test)
    predicted = []
    with warnings.catch_warnings(), threadpool_limits(1):  # products so small are three times slower on two threads
        warnings.simplefilter("ignore", ConvergenceWarning)  # labels without a pattern need not be fitted to the end
        for column, size in zip(labels, sizes, strict=True):
            probe = LogisticRegression(
                tol=min(1e-3, _TOLERANCE / size), max_iter=_LOGISTIC_STEPS, class_weight=class_weight
            )
            predicted.append(probe.fit(z, column).predict(test))
    return np.stack(predicted)


def _ridge(
    z: Float32[np.ndarray, "n d"],
    targets: Float32[np.ndarray, "r t n"],
    test: Float32[np.ndarray, "m d"],
    rng: np.random.Generator,
) -> Float[np.ndarray, "r t m"]:
    from sklearn.linear_model import Ridge
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    flat = targets.reshape(-1, targets.shape[2]).T.astype(float)  # (N, R T)
    predicted = make_pipeline(StandardScaler(), Ridge()).fit(z, flat).predict(test)
    return predicted.reshape(len(test), *targets.shape[:2]).transpose(1, 2, 0)


def _features_classify(
    z: Float32[np.ndarray, "n d"],
    labels: Int64[np.ndarray, "c n"],
    sizes: Sequence[int],
    test: Float32[np.ndarray, "m d"],
    rng: np.random.Generator,
) -> Int64[np.ndarray, "c m"]:
    probe = RandomFeatures(z, test, rng)
    return np.stack([probe.classify(column, size) for column, size in zip(labels, sizes, strict=True)])


def _features_regress(
    z: Float32[np.ndarray, "n d"],
    targets: Float32[np.ndarray, "r t n"],
    test: Float32[np.ndarray, "m d"],
    rng: np.random.Generator,
) -> Float[np.ndarray, "r t m"]:
    predicted = RandomFeatures(z, test, rng).regress(targets.reshape(-1, targets.shape[2]).T.astype(float))
    return predicted.T.reshape(*targets.shape[:2], len(test))


LINEAR = Probe(variant="linear", classify=_logistic, regress=_ridge, num_shuffles=5)
BALANCED = Probe(
    variant="linear, balanced accuracy",
    classify=functools.partial(_logistic, class_weight="balanced"),
    regress=_ridge,
    num_shuffles=5,
    balanced=True,
)
RANDOM_FEATURES = Probe(
    variant="random features", classify=_features_classify, regress=_features_regress, num_shuffles=5
)
SIX_LAYER = ("six-layer", "six-layer, standardised")


def six_layer(variant: str) -> Probe:
    """The network by one of the protocols ``SIX_LAYER``. Raises: UserError on another name."""
    if variant not in SIX_LAYER:
        raise UserError(f"unknown protocol {variant!r}.{did_you_mean(variant, SIX_LAYER)}")
    from unbraid.metrics import network_probe as network

    protocol = network.PUBLISHED if variant == "six-layer" else network.STANDARDISED

    def classify(
        z: np.ndarray, labels: np.ndarray, sizes: Sequence[int], test: np.ndarray, rng: np.random.Generator
    ) -> np.ndarray:
        return network.fit(z, labels, sizes, seed=int(rng.integers(2**62)), protocol=protocol).predict(test)

    def regress(z: np.ndarray, targets: np.ndarray, test: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        return network.regress(z, targets, test, seed=int(rng.integers(2**62)), protocol=protocol)

    batch_size = network.BATCH_SIZE if variant == "six-layer" else None
    return Probe(
        variant=variant,
        classify=classify,
        regress=regress,
        num_shuffles=1,
        least_squares=False,
        batch_size=batch_size,
    )
