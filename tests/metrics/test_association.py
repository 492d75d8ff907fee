"""Mutual information within strata against sums by hand and scikit-learn, its p-value against exact enumeration."""

import itertools
import math

import numpy as np
import pytest
from sklearn.metrics import adjusted_mutual_info_score, mutual_info_score

from unbraid.metrics.association import (
    Association,
    as_arrays,
    associate,
    associations,
    equally_filled,
    equally_wide,
    from_arrays,
    name_of,
)


def rng():
    return np.random.default_rng(0)


def noisy(values, share, size):
    drawn = np.random.default_rng(1)
    return np.where(drawn.random(len(values)) < share, drawn.integers(size, size=len(values)), values)


def test_without_strata_it_is_scikit_learns():
    values = rng().integers(5, size=400)
    column = noisy(values, 0.7, 5)
    (found,) = associate(values, column[None], np.zeros(400, dtype=int), rng())
    assert found.information == pytest.approx(mutual_info_score(values, column), abs=1e-12)
    assert found.normalised == pytest.approx(adjusted_mutual_info_score(values, column), abs=2e-3)
    assert found.p_value == 0.001
    assert found.num == 400


def test_within_strata_it_is_the_weighted_mean_over_them():
    strata, values = rng().integers(3, size=300), np.random.default_rng(2).integers(4, size=300)
    column = noisy((values + strata) % 4, 0.5, 4)
    (found,) = associate(values, column[None], strata, rng(), 99)
    by_hand = sum(np.mean(strata == s) * mutual_info_score(values[strata == s], column[strata == s]) for s in range(3))
    assert found.information == pytest.approx(by_hand, abs=1e-12)


def test_p_values_are_those_of_all_permutations_within_strata():
    strata = np.array([0, 0, 0, 0, 1, 1, 1])
    values = np.array([0, 0, 1, 1, 2, 0, 2])
    column = np.array([0, 0, 1, 0, 1, 0, 1])

    def information(order):
        permuted = values[list(order)]
        return sum(np.mean(strata == s) * mutual_info_score(permuted[strata == s], column[strata == s]) for s in (0, 1))

    orders = [(*a, *b) for a in itertools.permutations(range(4)) for b in itertools.permutations(range(4, 7))]
    exact = np.mean([information(order) >= information(range(7)) - 1e-12 for order in orders])
    (found,) = associate(values, column[None], strata, rng(), 2000)
    assert found.p_value == pytest.approx(exact, abs=0.03)


def test_the_same_is_one_and_what_is_independent_is_zero_with_uniform_p():
    values = rng().integers(4, size=500)
    names = {"same": values, **{f"none {i}": np.random.default_rng(i + 9).integers(3, size=500) for i in range(12)}}
    found = associations(values, names, rng())
    assert next(iter(found)) == "same"
    assert found["same"].normalised == pytest.approx(1)
    p = [one.p_value for name, one in found.items() if name != "same"]
    assert 0.25 < np.mean(p) < 0.75
    assert abs(np.mean([one.normalised for name, one in found.items() if name != "same"])) < 0.004
    assert name_of(found) == "same"
    assert name_of({name: one for name, one in found.items() if name != "same"}) is None


def test_the_bias_is_named_though_it_goes_with_the_label():
    """Confidence is high where label and colour agree; the label alone says nothing of it within itself."""
    label = rng().integers(10, size=1500)
    colour = noisy(label, 0.05, 10)
    confidence = np.where(colour == label, 0.95, 0.02) + 0.04 * rng().random(1500)
    size = np.random.default_rng(5).normal(size=1500).astype(np.float32)
    found = associations(equally_wide(confidence), {"colour": colour, "label": label, "size": size}, rng(), label)
    assert name_of(found) == "colour"
    assert found["colour"].normalised > 0.5
    assert found["label"] == Association(0.0, 0.0, 1.0, 1500)
    assert found["size"].normalised < 0.02


def test_missing_values_leave_their_rows_out():
    values, column = rng().integers(3, size=200), rng().integers(3, size=200)
    real = rng().normal(size=200).astype(np.float32)
    column[:50], real[:20] = -1, np.nan
    found = associations(values, {"some": column, "real": real, "none": np.full(200, -1)}, rng())
    assert (found["some"].num, found["real"].num, found["none"].num) == (150, 180, 0)
    assert found["some"].information == pytest.approx(mutual_info_score(values[50:], column[50:]))
    assert found["none"].p_value == 1


def test_bins():
    assert equally_wide(np.array([0.0, 0.09, 0.1, 0.999, 1.0])).tolist() == [0, 0, 1, 9, 9]
    assert np.bincount(equally_filled(rng().normal(size=1000))).tolist() == [100] * 10
    assert equally_filled(np.ones(5)).tolist() == [equally_filled(np.ones(5))[0]] * 5
    assert equally_filled(np.empty(0)).tolist() == []


def test_arrays_and_back():
    found = {"a": Association(0.1, 0.2, 0.3, 4), "b": Association(0.5, 0.6, math.ulp(1), 7)}
    assert from_arrays(as_arrays(found)) == found
