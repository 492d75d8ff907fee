"""The closed form against scikit-learn's ridge regression, and the penalty against the hat matrix."""

import numpy as np
import pytest
from sklearn.linear_model import Ridge
from sklearn.preprocessing import StandardScaler

from unbraid.metrics import random_features
from unbraid.metrics.random_features import PENALTIES, RandomFeatures

NUM, WIDTH = 300, 40


@pytest.fixture
def z(monkeypatch):
    monkeypatch.setattr(random_features, "WIDTH", WIDTH)
    return np.random.default_rng(0).normal(1, 3, size=(400, 5)).astype(np.float32)


def features(z: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Standardised codes and ReLU features, standardised by the first NUM rows."""
    z = StandardScaler().fit(z[:NUM]).transform(z)
    weight, bias = rng.normal(0, 5**-0.5, (5, WIDTH)), rng.normal(size=WIDTH)
    both = np.hstack([z, np.maximum(z @ weight + bias, 0)]).astype(float)
    return StandardScaler().fit(both[:NUM]).transform(both)


def best_penalty(phi: np.ndarray, targets: np.ndarray) -> float:
    """Least generalised cross-validation error, from the hat matrix."""
    errors = []
    for penalty in PENALTIES:
        hat = phi @ np.linalg.solve(phi.T @ phi + NUM * penalty * np.eye(phi.shape[1]), phi.T) + 1 / NUM
        residual = targets - hat @ targets
        errors.append(np.sum(residual**2) / (1 - np.trace(hat) / NUM) ** 2)
    return NUM * PENALTIES[int(np.argmin(errors))]


@pytest.mark.parametrize("noise", [0.01, 1.0, 100.0])
def test_targets_are_those_of_ridge_regression(z, noise):
    rng = np.random.default_rng(1)
    targets = np.stack([z[:, 0] * z[:, 1] + noise * rng.normal(size=400), noise * rng.normal(size=400)], axis=1)
    found = RandomFeatures(z[:NUM], z[NUM:], np.random.default_rng(2)).regress(targets[:NUM])
    phi = features(z, np.random.default_rng(2))
    for place in range(2):
        ridge = Ridge(best_penalty(phi[:NUM], targets[:NUM, place])).fit(phi[:NUM], targets[:NUM, place])
        np.testing.assert_allclose(found[:, place], ridge.predict(phi[NUM:]), atol=2e-3 * noise + 2e-2)


def test_values_are_those_of_regressed_indicators(z):
    labels = np.digitize(z[:, 0] * z[:, 1], [-5, 0, 5])
    found = RandomFeatures(z[:NUM], z[NUM:], np.random.default_rng(2)).classify(labels[:NUM], 5)  # one never occurs
    phi, indicators = features(z, np.random.default_rng(2)), np.eye(5)[labels]
    ridge = Ridge(best_penalty(phi[:NUM], indicators[:NUM])).fit(phi[:NUM], indicators[:NUM])
    assert np.mean(found == ridge.predict(phi[NUM:]).argmax(axis=1)) > 0.98
    assert np.mean(found == labels[NUM:]) > 0.5


def test_more_dimensions_than_rows(z):
    wide = np.random.default_rng(0).normal(size=(60, 200)).astype(np.float32)
    labels = np.arange(60) % 3
    assert RandomFeatures(wide[:40], wide[40:], np.random.default_rng(0)).classify(labels[:40], 3).shape == (20,)
