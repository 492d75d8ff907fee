"""Linear probes against scikit-learn used by hand, and every way a column can be unlearnable."""

import dataclasses

import numpy as np
import pytest
from fakes import leaky_codes, noise_codes, perfect_codes
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import mean_absolute_error, r2_score
from sklearn.preprocessing import StandardScaler

from unbraid.metrics import score
from unbraid.metrics.intervals import bootstrap_mean, mean_of_repeats
from unbraid.tables import Codes


def by_variant(codes: Codes, name: str, column: str) -> dict:
    return {one.variant: one for one in score(codes, [name]) if one.column == column}


def with_column(codes: Codes, name: str, cells: np.ndarray, **spec) -> Codes:
    return dataclasses.replace(
        codes, columns={**codes.columns, name: cells}, spec=dataclasses.replace(codes.spec, **spec)
    )


def test_accuracy_is_that_of_a_converged_probe():
    codes = leaky_codes()
    codes = dataclasses.replace(codes, z=codes.z + 2 * noise_codes().z)
    train, test = codes.rows("train"), codes.rows("test")
    scaler = StandardScaler().fit(train.z)
    reference = LogisticRegression(max_iter=5000).fit(scaler.transform(train.z), train.columns["domain"])
    expected = reference.score(scaler.transform(test.z), test.columns["domain"])
    assert 0.4 < expected < 0.95
    assert by_variant(codes, "leakage", "domain")["linear"].value == pytest.approx(expected, abs=0.02)


@pytest.mark.parametrize(("name", "variant"), [("leakage", "linear"), ("six-layer-probe", "six-layer")])
def test_the_domain_alone_leaks_fully(name, variant):
    one = by_variant(leaky_codes(), name, "domain")[variant]
    assert one.value > 0.98
    assert not one.higher_is_better


def test_the_interval_of_the_control_holds_chance_even_on_clusters():
    """There one shuffle scores anything from 0 to 1; a bootstrap over rows has once called 1.0 certain."""
    for seed in range(3):
        control = score(leaky_codes(), ["leakage"], seed)[1]
        assert control.low <= control.chance <= control.high
        assert control.high - control.low > 0.2


def test_targets_are_scored_as_scikit_learn_does():
    codes = perfect_codes()
    scores = by_variant(codes, "informativeness", "age")
    train, test = codes.rows("train"), codes.rows("test")
    constant = np.full(len(test), train.columns["age"].mean())
    assert scores["linear, R2"].value > 0.98
    assert scores["linear, R2"].chance == pytest.approx(r2_score(test.columns["age"], constant), rel=1e-4)
    error = scores["linear, mean absolute error"]
    assert error.chance == pytest.approx(mean_absolute_error(test.columns["age"], constant), rel=1e-4)
    assert error.value < 0.1 * error.chance
    assert not error.higher_is_better
    assert scores["linear, R2, shuffled labels"].value < 0.1


def test_chance_is_the_share_of_the_commonest_train_value_among_test_rows():
    codes = perfect_codes()
    shape = np.where(codes.split == 0, 2, codes.columns["shape"])  # test rows keep a third of each
    shape[:10] = 1
    one = by_variant(with_column(codes, "shape", shape), "informativeness", "shape")["linear"]
    assert one.chance == pytest.approx(np.mean(shape[codes.split == 2] == 2))


def test_interval_is_the_binomial_one_and_covers():
    rng = np.random.default_rng(0)
    hits = (rng.random(400) < 0.8).astype(float)
    low, high = bootstrap_mean(hits, rng)
    half = 1.96 * np.sqrt(hits.mean() * (1 - hits.mean()) / 400)
    assert (low, high) == pytest.approx((hits.mean() - half, hits.mean() + half), abs=0.006)
    assert mean_of_repeats(np.array([1.0, 2.0, 3.0])) == pytest.approx((2.0, 2 - 2.4841, 2 + 2.4841), abs=1e-4)
    assert bootstrap_mean(np.ones(50), rng) == (1.0, 1.0)
    assert bootstrap_mean(np.ones(1), rng) == (None, None)


@pytest.mark.parametrize("name", ["informativeness", "six-layer-probe"])
@pytest.mark.parametrize(
    ("change", "note"),
    [
        (lambda c: with_column(c, "shape", np.zeros(960, dtype=int)), "one value only in the train split"),
        (lambda c: with_column(c, "shape", np.arange(960), sizes={**c.spec.sizes, "shape": 960}), "960 values, but"),
        (lambda c: with_column(c, "shape", np.where(c.split == 0, np.arange(960) % 2, 2)), "no test row has a value"),
        (lambda c: dataclasses.replace(c, split=np.zeros(960, dtype=np.uint8)), "no rows in the test split"),
        (lambda c: dataclasses.replace(c, split=np.full(960, 2, dtype=np.uint8)), "no rows in the train split"),
    ],
)
def test_a_column_that_cannot_be_probed_has_no_value_but_a_reason(name, change, note):
    codes = dataclasses.replace(
        perfect_codes(), spec=dataclasses.replace(perfect_codes().spec, factors=("shape",), targets=(), domain=None)
    )
    (one,) = score(change(codes), [name])
    assert one.value is None
    assert note in one.note


def test_a_constant_target_has_no_value_but_a_reason():
    codes = with_column(perfect_codes(), "age", np.ones(960, dtype=np.float32), factors=())
    (one,) = score(codes, ["informativeness"])
    assert (one.value, one.note) == (None, "one value only in the train split")


def test_unseen_test_values_are_counted():
    codes = perfect_codes()
    domain = codes.columns["domain"].copy()
    domain[np.flatnonzero(codes.split == 2)[:5]] = 4
    codes = with_column(codes, "domain", domain, sizes={**codes.spec.sizes, "domain": 5})
    assert by_variant(codes, "leakage", "domain")["linear"].note == "5 test rows have a value that no train row has"


def test_few_rows_are_noted_for_the_six_layer_probe():
    codes = perfect_codes()
    few = dataclasses.replace(codes, split=np.where(np.arange(960) < 600, codes.split, 1).astype(np.uint8))
    assert all("450 train rows are few" in one.note for one in score(few, ["six-layer-probe"]))
