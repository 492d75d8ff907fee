"""What a linear probe answers for one code: the values of a column with their probabilities, or a number.

The linear probe of `metrics.probes`, kept as two arrays: standardised codes, multinomial logistic regression for
categories and ridge regression for targets, fitted on the train rows.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float32, Int64

from unbraid.metrics.tasks import Task, tasks
from unbraid.seeds import stream
from unbraid.tables import Codes

_MAX_ROWS = 20_000  # that a probe is fitted on: more make a page late, and hardly another


@dataclass(frozen=True)
class Head:
    """A linear probe of one column; of a target, ``values`` is None and there is one output."""

    column: str
    weight: Float[np.ndarray, "k d"]
    bias: Float[np.ndarray, " k"]
    values: Int64[np.ndarray, " k"] | None
    quality: float  # on the test rows: accuracy, or of a target the mean absolute error
    chance: float  # what the constant answer gets there
    num: int  # of these rows

    def scores(self, z: Float32[np.ndarray, "n d"]) -> Float[np.ndarray, "n k"]:
        """Log-odds of the values up to a constant, or the target."""
        return z @ self.weight.T + self.bias

    def probabilities(self, z: Float32[np.ndarray, "n d"]) -> Float[np.ndarray, "n k"]:
        from scipy.special import softmax

        return softmax(self.scores(z), axis=1)


def fit_heads(codes: Codes, columns: Sequence[str]) -> dict[str, Head]:
    """A head for each column that can be predicted."""
    train, rest = np.flatnonzero(codes.split == 0), np.flatnonzero(codes.split != 0)
    if len(train) > _MAX_ROWS:
        train = np.sort(stream(0, "explore").choice(train, _MAX_ROWS, replace=False))
    found = tasks(codes.take(np.concatenate([train, rest])), columns)
    return {task.name: _fit(task, task.name in codes.spec.sizes) for task in found if not task.problem}


def _fit(task: Task, categorical: bool) -> Head:
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression, Ridge
    from sklearn.preprocessing import StandardScaler
    from threadpoolctl import threadpool_limits

    scale = StandardScaler().fit(task.x)
    probe = LogisticRegression(tol=1e-3, max_iter=300) if categorical else Ridge()
    with warnings.catch_warnings(), threadpool_limits(1):
        warnings.simplefilter("ignore", ConvergenceWarning)
        probe.fit(scale.transform(task.x), task.y)
    weight, bias = np.atleast_2d(probe.coef_), np.atleast_1d(probe.intercept_)
    if categorical and len(probe.classes_) == 2:  # scikit-learn keeps the odds of the second value only
        weight, bias = (np.concatenate([np.zeros_like(one), one]) for one in (weight, bias))
    weight = weight / scale.scale_
    bias = bias - weight @ scale.mean_
    values = probe.classes_ if categorical else None
    answers = task.x_test @ weight.T + bias
    if values is None:
        quality = float(np.abs(answers[:, 0] - task.y_test).mean())
        chance = float(np.abs(task.y.mean() - task.y_test).mean())
    else:
        quality, chance = float(np.mean(values[answers.argmax(axis=1)] == task.y_test)), task.constant
    return Head(task.name, weight, bias, values, quality, chance, len(task.y_test))
