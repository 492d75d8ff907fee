"""Scores without labels: against SciPy, scikit-learn, closed forms and recorded outputs of the published code."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from fakes import duplicated_codes, leaky_codes, noise_codes, perfect_codes
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import linalg
from sklearn.metrics import mutual_info_score

from unbraid.metrics.information import bin_codes
from unbraid.metrics.unsupervised import (
    code_mutual_information,
    covariances,
    gaussian_total_correlation,
    gaussian_wasserstein,
    pairwise_information,
    total_correlation,
    wasserstein,
)
from unbraid.records import Score
from unbraid.tables import Codes

GOLDEN = Path(__file__).parents[1] / "golden"
METRICS = (gaussian_total_correlation, gaussian_wasserstein, code_mutual_information)

every_metric = pytest.mark.parametrize("metric", METRICS)


def scored(metric, codes: Codes) -> list[Score]:
    return metric(codes, np.random.default_rng(0))


def with_codes(z: np.ndarray) -> Codes:
    """These codes, all of test rows."""
    codes = perfect_codes().take(np.arange(len(z)) % 960)
    return dataclasses.replace(codes, z=z.astype(np.float32), split=np.full(len(z), 2, dtype=np.uint8))


def test_recorded_outputs_of_the_published_code():
    with np.load(GOLDEN / "metric_inputs.npz") as file:
        codes = file["codes"].T
    recorded = json.loads((GOLDEN / "metrics.json").read_text())
    covariance = covariances(codes)
    assert total_correlation(covariance)[0] == pytest.approx(recorded["gaussian_tc"], rel=1e-9)
    assert wasserstein(covariance)[0] == pytest.approx(recorded["gaussian_wasserstein"], rel=1e-9)
    assert pairwise_information(bin_codes(codes), 20)[0] == pytest.approx(recorded["mutual_info_score"], rel=1e-9)
    raw, normalised = scored(gaussian_wasserstein, with_codes(codes))
    assert raw.value == pytest.approx(recorded["gaussian_wasserstein"], rel=1e-5)
    assert normalised.value == pytest.approx(raw.value / np.trace(np.cov(codes.T)), rel=1e-5)
    assert scored(gaussian_total_correlation, with_codes(codes))[0].value == pytest.approx(recorded["gaussian_tc"])
    assert scored(code_mutual_information, with_codes(codes))[0].value == pytest.approx(recorded["mutual_info_score"])


@given(st.integers(0, 2**32 - 1))
def test_the_symmetric_root_has_the_trace_of_the_published_one(seed):
    factor = np.random.default_rng(seed).normal(size=(4, 6))
    covariance = factor @ factor.T
    published = linalg.sqrtm(covariance * np.diag(covariance)[:, None])
    expected = 2 * np.trace(covariance) - 2 * np.trace(published).real
    assert wasserstein(covariance[None])[0] == pytest.approx(expected, rel=1e-6, abs=1e-6)
    diagonal = 0.5 * (np.log(np.diag(covariance)).sum() - np.linalg.slogdet(covariance)[1])
    assert total_correlation(covariance[None])[0] == pytest.approx(diagonal, rel=1e-6)


def test_two_correlated_dimensions_in_closed_form():
    """-log(1 - r^2) / 2; and the eigenvalues of the correlation matrix are 1 + r and 1 - r."""
    r = 0.8
    covariance = np.array([[[1, r], [r, 1]]])
    assert total_correlation(covariance)[0] == pytest.approx(-0.5 * np.log(1 - r**2))
    assert wasserstein(covariance)[0] == pytest.approx(4 - 2 * (np.sqrt(1 + r) + np.sqrt(1 - r)))


def test_groups_are_left_out_as_by_hand():
    z = np.random.default_rng(0).normal(loc=3, size=(107, 3))
    binned, rows = bin_codes(z, 4), np.arange(107)
    information = pairwise_information(binned, 4, num_groups=20)
    by_pairs = [mutual_info_score(binned[i], binned[j]) for i, j in ((0, 1), (0, 2), (1, 2))]
    assert information[0] == pytest.approx(np.mean(by_pairs))
    for group, left_out in enumerate(np.array_split(rows, 20)):
        kept = np.setdiff1d(rows, left_out)
        assert covariances(z)[1 + group] == pytest.approx(np.cov(z[kept].T))
        kept = np.flatnonzero(rows * 20 // 107 != group)
        assert information[1 + group] == pytest.approx(pairwise_information(binned[:, kept], 4)[0])


@every_metric
@pytest.mark.parametrize("make", [noise_codes, perfect_codes])
def test_independent_dimensions_score_at_chance(metric, make):
    for one in scored(metric, make()):
        assert one.value == pytest.approx(one.chance, abs=0.05)
        assert one.low <= one.value <= one.high
        assert (one.higher_is_better, one.num) == (False, 240)


@every_metric
@pytest.mark.parametrize("make", [duplicated_codes, leaky_codes])
def test_dependent_dimensions_score_above_chance(metric, make):
    for one in scored(metric, make()):
        assert one.low > one.chance


def test_chance_of_the_total_correlation_is_what_few_rows_give():
    z = np.random.default_rng(0).normal(size=(1000, 20))
    (one,) = scored(gaussian_total_correlation, with_codes(z))
    assert one.chance == pytest.approx(20 * 19 / 4 / 1000, rel=0.1)


def test_dependence_that_is_not_linear_is_seen_by_the_mutual_information_alone():
    x = np.random.default_rng(0).uniform(-1, 1, size=5000)
    codes = with_codes(np.stack([x, x**2], axis=1))
    assert scored(gaussian_total_correlation, codes)[0].value < 0.01
    (one,) = scored(code_mutual_information, codes)
    assert one.value > 1.5 > 0.1 > one.chance


@settings(max_examples=5)
@given(st.integers(0, 2**32 - 1))
def test_order_sign_and_scale_do_not_matter(seed):
    generator, z = np.random.default_rng(seed), leaky_codes().rows("test").z.astype(np.float64)
    other = z[generator.permutation(240)][:, generator.permutation(4)] * generator.choice([-1.0, 1.0], size=4)
    for metric in METRICS:
        before, after = scored(metric, with_codes(z)), scored(metric, with_codes(4 * other))
        scales = [16.0 if one.variant == "raw" else 1.0 for one in before]
        assert [one.value for one in after] == pytest.approx(
            [scale * one.value for scale, one in zip(scales, before)], rel=1e-4
        )


@every_metric
def test_constant_dimensions_are_left_out(metric):
    z = leaky_codes().rows("test").z
    once = np.zeros((240, 1))
    once[3] = 1.0  # varies in one row only
    padded = np.concatenate([z, np.full((240, 1), 0.1), once], axis=1)
    for one, plain in zip(scored(metric, with_codes(padded)), scored(metric, with_codes(z))):
        assert one.value == pytest.approx(plain.value)
        assert one.note == "2 dimensions that do not vary are left out"


@every_metric
@pytest.mark.parametrize(
    ("change", "note"),
    [
        (lambda z: z[:0], "no rows in the test split"),
        (lambda z: z[:19], "19 test rows are too few"),
        (lambda z: np.ones_like(z), "fewer than two dimensions vary"),
        (lambda z: z[:, :1], "fewer than two dimensions vary"),
    ],
)
def test_what_is_not_defined_has_no_value_but_a_reason(metric, change, note):
    for one in scored(metric, with_codes(change(noise_codes().z))):
        assert (one.value, one.note) == (None, note)


@pytest.mark.parametrize(
    ("change", "note"),
    [
        (
            lambda z: np.concatenate([z, z[:, :1]], axis=1),
            "infinite, for a dimension is a linear combination of others",
        ),
        (lambda z: z[:, :2] @ np.ones((2, 3)), "infinite, for a dimension is a linear combination of others"),
        (lambda z: np.random.default_rng(0).normal(size=(40, 40)), "40 test rows are too few for 40 dimensions"),
    ],
)
def test_a_singular_covariance_has_no_total_correlation_but_a_distance(change, note):
    codes = with_codes(change(noise_codes().z))
    (one,) = scored(gaussian_total_correlation, codes)
    assert (one.value, one.note) == (None, note)
    assert all(one.low <= one.value <= one.high for one in scored(gaussian_wasserstein, codes))
