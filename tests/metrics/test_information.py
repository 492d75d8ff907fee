"""MIG, nMIG, modularity: against loops over scikit-learn, recorded outputs of the published code, and closed forms."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from fakes import duplicated_codes, leaky_codes, noise_codes, perfect_codes
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import mutual_info_score

from unbraid.errors import UserError
from unbraid.metrics.information import (
    bin_codes,
    contingency,
    dimension_modularity,
    information_gap,
    information_matrix,
    mig,
    modularity,
    nmig,
    normalised_gap,
)
from unbraid.records import Score
from unbraid.tables import Codes

GOLDEN = Path(__file__).parents[1] / "golden"
METRICS = (mig, nmig, modularity)


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def scored(metric, codes: Codes, **options) -> dict[str, Score]:
    return {one.column: one for one in metric(codes, rng(), **options)}


def categorical(codes: Codes, *factors: str) -> Codes:
    """All rows are test rows, the targets are gone, these are the factors."""
    spec = dataclasses.replace(codes.spec, targets=(), factors=factors or codes.spec.factors)
    return dataclasses.replace(codes, spec=spec, split=np.full(len(codes), 2, dtype=np.uint8))


def with_columns(codes: Codes, sizes: dict[str, int] | None = None, **columns: np.ndarray) -> Codes:
    spec = dataclasses.replace(codes.spec, sizes={**codes.spec.sizes, **(sizes or {})})
    return dataclasses.replace(codes, spec=spec, columns={**codes.columns, **columns})


@pytest.fixture(scope="module")
def golden() -> tuple[np.ndarray, np.ndarray, dict]:
    with np.load(GOLDEN / "metric_inputs.npz") as file:
        return file["codes"].T, file["factors"].T, json.loads((GOLDEN / "metrics.json").read_text())


def test_recorded_outputs_of_the_published_code(golden):
    codes, factors, recorded = golden
    binned = bin_codes(codes)
    assert np.bincount(binned[0] + 1).tolist() == recorded["disc_counts_code0"]
    information, entropies = information_matrix(binned, factors)
    assert information == pytest.approx(np.array(recorded["mi_matrix"]), rel=1e-9)
    assert entropies == pytest.approx(np.array(recorded["entropy"]), rel=1e-9)
    assert information_gap(information, entropies).mean() == pytest.approx(recorded["mig"], rel=1e-9)
    assert dimension_modularity(information).mean() == pytest.approx(recorded["modularity"], rel=1e-9)
    for factors, name in (([0, 1, 2], "nmig_all"), ([0, 2], "nmig_active_0_2"), ([1], "nmig_active_1")):
        chosen = information[:, factors], entropies[factors]
        assert information_gap(*chosen).mean() == pytest.approx(recorded[name]["discrete_mig"], rel=1e-9)
        assert normalised_gap(*chosen).mean() == pytest.approx(recorded[name]["discrete_nmig"], rel=1e-9)


def test_a_score_is_the_recorded_one(golden):
    z, factors, recorded = golden
    z, names = z.astype(np.float32), ("a", "b", "c")
    codes = perfect_codes()
    spec = dataclasses.replace(
        codes.spec, factors=names, targets=(), sizes=dict.fromkeys(names, 9), domain=None, label=None
    )
    split = np.full(len(z), 2, dtype=np.uint8)
    codes = Codes(spec=spec, z=z, columns=dict(zip(names, factors.T.copy())), split=split)
    assert scored(mig, codes)[""].value == pytest.approx(recorded["mig"], abs=1e-5)
    assert scored(nmig, codes)[""].value == pytest.approx(recorded["nmig_all"]["discrete_nmig"], abs=1e-5)
    assert scored(modularity, codes)[""].value == pytest.approx(recorded["modularity"], abs=1e-5)
    assert scored(mig, codes)["b"].value == pytest.approx(0.56308042, abs=1e-5)  # the gap of one factor alone
    assert scored(mig, codes)[""].over == names


def test_the_toy_representation_of_the_published_tests():
    """Codes are the factors times a matrix whose last two columns mix: recorded for 20 bins."""
    recorded = json.loads((GOLDEN / "metrics.json").read_text())
    factors, toy = rng().integers((4, 6, 3), size=(20000, 3)), np.array(recorded["toy_A"])
    information = information_matrix(bin_codes(factors @ toy), factors)
    assert information_gap(*information).mean() == pytest.approx(recorded["mig_toy"]["discrete_mig"], abs=0.01)


@settings(max_examples=25)
@given(st.integers(2, 30), st.integers(0, 2**32 - 1))
def test_tables_and_information_are_those_of_loops(bins, seed):
    generator = np.random.default_rng(seed)
    z = generator.normal(size=(60, 3)).round(1)
    factors = generator.integers(-1, 4, size=(60, 2))  # -1 is missing
    factors[:4] = np.arange(4)[:, None]
    binned = bin_codes(z, bins)
    information, entropies = information_matrix(binned, factors, bins)
    for d in range(3):
        edges = np.histogram(z[:, d], bins)[1][:-1]
        assert np.array_equal(binned[d], np.digitize(z[:, d], edges) - 1)
        for f in range(2):
            known = factors[:, f] >= 0
            expected = mutual_info_score(factors[known, f], binned[d, known])
            assert information[d, f] == pytest.approx(expected, abs=1e-12)
            assert entropies[f] == pytest.approx(mutual_info_score(factors[known, f], factors[known, f]), abs=1e-12)
    table = contingency(binned, factors[:, 0], bins, 4)
    halves = [contingency(binned[:, rows], factors[rows, 0], bins, 4) for rows in (slice(0, 25), slice(25, 60))]
    assert np.array_equal(table, sum(halves))
    assert table.sum(axis=(1, 2)).tolist() == [np.sum(factors[:, 0] >= 0)] * 3


@given(st.integers(0, 2**32 - 1))
def test_gaps_are_those_of_loops(seed):
    generator = np.random.default_rng(seed)
    information, entropies = generator.uniform(size=(5, 4)), generator.uniform(1, 2, size=4)
    normalised = information / entropies
    for f in range(4):
        first, second = sorted(information[:, f])[-1:-3:-1]
        assert information_gap(information, entropies)[f] == pytest.approx((first - second) / entropies[f])
        best = max(range(5), key=lambda d: normalised[d, f])
        other = max(normalised[best, g] for g in range(4) if g != f)
        assert normalised_gap(information, entropies)[f] == pytest.approx(normalised[best, f] - other)
    for d in range(5):
        square = sorted(information[d] ** 2)
        assert dimension_modularity(information)[d] == pytest.approx(1 - sum(square[:3]) / (square[3] * 3))


def test_a_dead_dimension_has_no_modularity():
    assert dimension_modularity(np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0]])).tolist() == [0, 1, 0]


def test_a_dimension_of_its_own_for_each_factor():
    codes = categorical(perfect_codes())
    for metric in (mig, nmig):
        scores = scored(metric, codes)
        assert [*scores] == ["shape", "pose", ""]
        assert all(one.value > 0.95 for one in scores.values())
        assert scores[""].value == pytest.approx((scores["shape"].value + scores["pose"].value) / 2)


def test_every_factor_twice_has_no_gap():
    codes = categorical(duplicated_codes())
    assert scored(mig, codes)[""].value < 0.01
    assert scored(nmig, codes)[""].value > 0.95


def test_two_factors_in_one_dimension():
    """MIG cannot see it, nMIG and modularity do."""
    codes = categorical(perfect_codes())
    z = np.stack([codes.columns["shape"] * 5 + codes.columns["pose"], np.zeros(960)], axis=1).astype(np.float32)
    codes = dataclasses.replace(codes, z=z)
    assert scored(mig, codes)[""].value == pytest.approx(1.0)
    assert scored(nmig, codes)[""].value == pytest.approx(0.0)
    h3, h5 = np.log(3), np.log(5)
    assert scored(modularity, codes)[""].value == pytest.approx((1 - h3**2 / h5**2) / 2)


@pytest.mark.parametrize("make", [noise_codes, leaky_codes])
@pytest.mark.parametrize("metric", METRICS)
def test_codes_that_know_nothing_score_at_chance(metric, make):
    for one in metric(make(), rng()):
        assert one.low - 0.05 <= one.chance <= one.high + 0.05
        assert one.low <= one.value <= one.high


@settings(max_examples=6)
@given(st.integers(0, 2**32 - 1))
def test_order_sign_scale_and_labels_do_not_matter(seed):
    generator, codes = np.random.default_rng(seed), perfect_codes()
    codes = dataclasses.replace(codes, z=codes.z + 0.3 * noise_codes().z)
    rows, dimensions = generator.permutation(960), generator.permutation(4)
    relabel = generator.permutation(5)
    other = with_columns(codes.take(rows), pose=relabel[codes.columns["pose"][rows]])
    z = other.z[:, dimensions].astype(np.float64) * generator.choice([-4.0, -1.0, 1.0, 2.0], size=4)  # exact factors
    other = dataclasses.replace(other, z=z.astype(np.float32))
    for metric in METRICS:
        before, after = scored(metric, codes), scored(metric, other)
        assert {name: one.value for name, one in after.items()} == pytest.approx(
            {name: one.value for name, one in before.items()}, abs=1e-6
        )


def test_targets_are_binned_and_few_rows_are_noted():
    one = scored(mig, perfect_codes())["age"]
    codes, age = perfect_codes().rows("test"), perfect_codes().rows("test").columns["age"].astype(float)
    labels = np.digitize(age, np.histogram(age, 20)[1][:-1]) - 1
    information, entropies = information_matrix(bin_codes(codes.z), labels[:, None])
    assert one.value == pytest.approx(information_gap(information, entropies)[0])
    assert "few rows: a dimension that knows nothing seems to carry" in one.note
    assert one.variant == "20 bins"
    assert scored(mig, perfect_codes(), bins=5)["age"].variant == "5 bins"


def test_the_bound_of_the_bins_is_noted_and_reached():
    cells = rng().permutation(np.tile(np.arange(40), 24))
    codes = with_columns(categorical(perfect_codes(), "shape", "pose"), {"shape": 40}, shape=cells)
    codes = dataclasses.replace(codes, z=np.stack([cells, np.zeros(960)], axis=1).astype(np.float32))
    one = scored(mig, codes)["shape"]
    assert one.value == pytest.approx(np.log(20) / np.log(40), abs=1e-6)
    assert one.note == "at most 0.81 is possible: 40 values in 20 bins"
    assert scored(mig, codes)[""].note == "at most 0.91 is possible in 20 bins"
    assert scored(mig, codes, bins=40)[""].note == ""


def test_rows_with_a_missing_value_are_left_out_of_that_factor():
    codes = categorical(perfect_codes())
    pose = np.where(np.arange(960) % 3 == 0, -1, codes.columns["pose"])
    partial = with_columns(codes, pose=pose)
    assert scored(mig, partial)["pose"].num == 640
    assert scored(mig, partial)["shape"].value == scored(mig, codes)["shape"].value
    assert scored(nmig, partial)["shape"].num == 640  # factors are compared: rows in which all are known
    known = partial.known("pose")
    assert scored(modularity, partial)[""].value == pytest.approx(scored(modularity, known)[""].value)


def test_the_domain_is_no_factor():
    assert {name for one in scored(mig, leaky_codes()).values() for name in one.over} == {"shape", "pose", "age"}
    assert "domain" not in scored(mig, leaky_codes())


def test_the_interval_covers():
    """The mean over many draws lies in most of the intervals."""
    z, shape = noise_codes().z, perfect_codes().columns["shape"]
    codes = categorical(perfect_codes(), "shape")
    scores = []
    for seed in range(30):
        generator = np.random.default_rng(seed)
        noisy = np.stack([shape + generator.normal(size=960), generator.normal(size=960)], axis=1)
        scores.append(mig(dataclasses.replace(codes, z=noisy.astype(z.dtype)), generator)[-1])
    mean = np.mean([one.value for one in scores])
    assert 26 <= sum(one.low <= mean <= one.high for one in scores) <= 30
    assert np.mean([one.high - one.low for one in scores]) == pytest.approx(
        4 * np.std([one.value for one in scores]), rel=0.3
    )


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize(
    ("change", "note"),
    [
        (lambda c: dataclasses.replace(c, z=np.ones_like(c.z)), "the code is the same for every test row"),
        (lambda c: dataclasses.replace(c, split=np.zeros(960, dtype=np.uint8)), "no rows in the test split"),
        (lambda c: c.take(np.arange(12)), "12 test rows are too few"),
        (
            lambda c: with_columns(c, shape=np.zeros(960, dtype=int), pose=np.ones(960, dtype=int)),
            "shape, pose: one value only in the test rows",
        ),
    ],
)
def test_what_is_not_defined_has_no_value_but_a_reason(metric, change, note):
    one = scored(metric, change(categorical(perfect_codes())))[""]
    assert one.value is None
    assert note in one.note


def test_one_constant_factor_is_left_out():
    codes = with_columns(categorical(perfect_codes()), shape=np.zeros(960, dtype=int))
    scores = scored(mig, codes)
    assert (scores["shape"].value, scores["shape"].note) == (None, "one value only in the test rows")
    assert scores[""].over == ("pose",)
    assert scores[""].note == "shape: one value only in the test rows"
    assert scored(modularity, codes)[""].value is None


def test_a_code_of_one_dimension_has_no_second_best():
    codes = dataclasses.replace(categorical(perfect_codes()), z=perfect_codes().z[:, :1])
    assert scored(mig, codes)[""].value is None
    assert "the code has one dimension, there is no second to compare" in scored(mig, codes)[""].note
    assert scored(nmig, codes)["shape"].value > 0.95


def test_one_factor_only():
    codes = categorical(perfect_codes(), "shape")
    assert scored(modularity, codes)[""].note == "there is one factor only, and it needs two"
    assert scored(nmig, codes)["shape"].value > 0.95


def test_a_single_bin_is_refused():
    with pytest.raises(UserError, match="cannot be cut into 1 bins; at least 2"):
        mig(perfect_codes(), rng(), bins=1)
