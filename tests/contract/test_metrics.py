"""Every metric: high on a perfect code, at chance on noise, indifferent to what does not matter."""

import dataclasses
import functools

import numpy as np
import pytest
from fakes import noise_codes, perfect_codes

from unbraid.metrics import METRICS, score
from unbraid.records import Score
from unbraid.tables import Codes

TOLERANCE = 0.12  # over three standard errors of an accuracy on the 240 test rows

every_metric = pytest.mark.parametrize("name", METRICS)


@functools.cache
def scored(name: str, make=perfect_codes) -> list[Score]:
    return score(make(), [name])


def values(scores: list[Score]) -> dict[tuple[str, str, str], float]:
    """Without the controls, which are random on purpose."""
    return {(s.metric, s.column, s.variant): s.value for s in scores if "shuffled" not in s.variant}


def permuted_rows() -> Codes:
    codes, order = perfect_codes(), np.random.default_rng(3).permutation(960)
    columns = {name: column[order] for name, column in codes.columns.items()}
    return dataclasses.replace(codes, z=codes.z[order], columns=columns, split=codes.split[order])


def permuted_dimensions() -> Codes:
    codes = perfect_codes()
    return dataclasses.replace(codes, z=codes.z[:, [2, 0, 3, 1]] * np.float32([1, -1, 1, -1]))


@every_metric
def test_scores_are_complete(name):
    assert scored(name)
    for one in scored(name):
        assert one.source
        assert one.num > 0
        assert one.low <= one.value <= one.high


@every_metric
def test_perfect_codes_score_well(name):
    for one in scored(name):
        if "shuffled" in one.variant:
            assert one.value <= one.chance + TOLERANCE or not one.higher_is_better
        elif one.higher_is_better:
            assert one.value > 0.9, one
        else:
            assert one.value < one.chance + TOLERANCE, one


@every_metric
def test_noise_scores_at_chance(name):
    for one in scored(name, noise_codes):
        chance = one.chance or 0.0
        assert abs(one.value - chance) < TOLERANCE + 0.1 * chance, one


@every_metric
@pytest.mark.parametrize("make", [permuted_rows, permuted_dimensions])
def test_order_and_sign_do_not_matter(name, make):
    assert values(score(make(), [name])) == pytest.approx(values(scored(name)), abs=TOLERANCE)


@every_metric
def test_same_seed_same_scores_and_inputs_unchanged(name):
    codes = perfect_codes()
    assert score(codes, [name]) == scored(name)
    fresh = perfect_codes()
    assert np.array_equal(codes.z, fresh.z)
    assert all(np.array_equal(codes.columns[key], fresh.columns[key]) for key in fresh.columns)


@every_metric
def test_undefined_scores_say_why(name):
    codes = perfect_codes()
    spec = dataclasses.replace(codes.spec, factors=(), targets=(), domain=None, label=None)
    (one,) = score(dataclasses.replace(codes, spec=spec), [name])
    assert one.value is None
    assert one.note
