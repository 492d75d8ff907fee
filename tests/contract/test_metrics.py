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

# What the perfect codes of 960 rows get where it is not near the best: a real-valued target in 20 bins needs more rows.
# Left out below: a linear SVM on one dimension cannot tell many ordered values apart; few labels teach little.
PERFECT = {"mig": 0.5, "nmig": 0.5}
HANDICAPPED = {"linear SVM", "1 % of the labels", "10 labels", "100 labels", "1000 labels", "100 labels / all labels"}
# Scores of which no code is the perfect one: a code of few values is less even than noise, and has fewer dimensions.
NO_PERFECT = {"uniformity", "effective-rank", "dead-dimensions"}


def with_logits(codes: Codes) -> Codes:
    """A sure classifier that is always right."""
    return dataclasses.replace(codes, logits=20 * np.eye(3, dtype=np.float32)[codes.columns["shape"]])


@functools.cache
def scored(name: str, make=perfect_codes) -> list[Score]:
    codes = with_logits(make()) if name == "calibration-error" else make()
    return score(codes, [name])


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
        if one.low is not None or not METRICS[name].slow:  # what takes minutes is not repeated for an interval
            assert one.low <= one.value <= one.high


@every_metric
def test_perfect_codes_score_well(name):
    for one in scored(name):
        if "shuffled" in one.variant:
            assert one.value <= one.chance + TOLERANCE or not one.higher_is_better
        elif name in NO_PERFECT or one.variant in HANDICAPPED:
            continue
        elif one.higher_is_better:
            assert one.value > PERFECT.get(name, 0.9), one
            assert one.chance is None or one.low > one.chance or name == "modularity", one
        else:
            assert one.value < (one.chance or 0.0) + TOLERANCE, one


@every_metric
def test_noise_scores_at_chance(name):
    for one in [] if name == "calibration-error" else scored(name, noise_codes):  # which is about the logits alone
        if one.chance is not None:
            assert abs(one.value - one.chance) < TOLERANCE + 0.1 * abs(one.chance), one


@every_metric
@pytest.mark.parametrize("make", [permuted_rows, permuted_dimensions])
def test_order_and_sign_do_not_matter(name, make):
    if name == "calibration-error":
        pytest.skip("is about the logits alone")
    assert values(score(make(), [name])) == pytest.approx(values(scored(name)), abs=TOLERANCE)


@every_metric
def test_same_seed_same_scores_and_inputs_unchanged(name):
    codes = with_logits(perfect_codes()) if name == "calibration-error" else perfect_codes()
    assert score(codes, [name]) == scored(name)
    fresh = perfect_codes()
    assert np.array_equal(codes.z, fresh.z)
    assert all(np.array_equal(codes.columns[key], fresh.columns[key]) for key in fresh.columns)


@every_metric
def test_undefined_scores_say_why(name):
    codes = perfect_codes()
    spec = dataclasses.replace(codes.spec, factors=(), targets=(), domain=None, label=None)
    found = score(dataclasses.replace(codes, spec=spec), [name])
    if METRICS[name].needs:
        assert [one.value for one in found] == [None]
        assert found[0].note
    else:
        assert found


@every_metric
def test_its_explanation_is_complete(name):
    metric = METRICS[name]
    assert {"", "Formula", "Range", "Misleads"} <= set(metric.explanation), "headings at column 0 of the docstring"
    assert all(metric.explanation.values())
