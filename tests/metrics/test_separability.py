"""SAP, explicitness and efficiency against scikit-learn, recorded outputs, and codes whose answer is known."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from fakes import duplicated_codes, noise_codes, perfect_codes
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC

from unbraid.metrics import separability
from unbraid.metrics.one_dimensional_svm import svm_hits, svms
from unbraid.metrics.separability import (
    area_rows,
    downstream_efficiency,
    downstream_efficiency_gbt,
    explicitness,
    sap,
    squared_correlations,
)
from unbraid.tables import Codes

GOLDEN = Path(__file__).parents[1] / "golden"
RECORDED = json.loads((GOLDEN / "metrics.json").read_text())

SVM, CORRELATION = "linear SVM", "squared correlation"


@pytest.fixture(scope="module")
def recorded() -> tuple[np.ndarray, np.ndarray]:
    """Codes (2000, 6) and factors (3, 2000)."""
    with np.load(GOLDEN / "metric_inputs.npz") as file:
        return file["codes"].T, file["factors"]


def found(metric, codes: Codes, seed: int = 0) -> dict:
    return {(one.variant, one.column): one for one in metric(codes, np.random.default_rng(seed))}


def only(codes: Codes, **columns: np.ndarray) -> Codes:
    """The codes with these columns as their factors."""
    sizes = {name: int(column.max()) + 1 for name, column in columns.items()}
    spec = dataclasses.replace(
        codes.spec, factors=tuple(columns), sizes=sizes, targets=(), domain=None, label=None, circular=frozenset()
    )
    return dataclasses.replace(codes, spec=spec, columns=columns)


def gap(column: np.ndarray) -> float:
    return float(np.diff(np.sort(column)[-2:])[0])


def test_sap_of_discrete_factors_is_the_recorded_one(recorded):
    z, factors = recorded
    matrix = np.stack([svm_hits(z[:1500], y[:1500], z[1500:], y[1500:]).mean(axis=1) for y in factors], axis=1)
    assert matrix == pytest.approx(np.array(RECORDED["sap_discrete_matrix"]), abs=0.0021)  # one row of 500
    total = np.mean([gap(column) for column in matrix.T])
    assert total == pytest.approx(RECORDED["sap_discrete"]["SAP_score"], abs=1e-3)


def test_sap_of_continuous_factors_is_the_recorded_one(recorded):
    z, factors = recorded
    matrix = np.stack([squared_correlations(z[:1500], y[:1500].astype(float)) for y in factors], axis=1)
    assert matrix == pytest.approx(np.array(RECORDED["sap_continuous_matrix"]), rel=1e-9)
    total = np.mean([gap(column) for column in matrix.T])
    assert total == pytest.approx(RECORDED["sap_continuous"]["SAP_score"], rel=1e-9)
    assert squared_correlations(np.ones((5, 1)), np.arange(5.0)) == 0


@settings(max_examples=15)
@given(
    st.integers(0, 10**6),
    st.integers(2, 6),
    st.sampled_from([0.01, 1.0, 30.0]),
    st.sampled_from([0.01, 1.0]),
)
def test_the_machines_are_those_of_liblinear(seed, num_values, scale, cost):
    rng = np.random.default_rng(seed)
    y = np.concatenate([np.arange(num_values), rng.integers(num_values, size=80) ** 2 // num_values])
    x = scale * (rng.normal(loc=[0, 5, 0], size=(len(y), 3)) + np.outer(y, [0.0, 0.5, -1.0]))
    x[:, 2] = np.round(x[:, 2])  # with ties
    weight, bias = svms(x, y, cost)
    for k in range(3):
        machine = LinearSVC(C=cost, class_weight="balanced", dual=False, tol=1e-9, max_iter=10**5)
        machine.fit(x[:, [k]], y)
        places = slice(1, 2) if num_values == 2 else slice(None)
        assert weight[k, places] * scale == pytest.approx(machine.coef_[:, 0] * scale, abs=1e-4)
        assert bias[k, places] == pytest.approx(machine.intercept_, abs=1e-4)
        if cost == 0.01:
            grid = np.repeat(np.linspace(x[:, k].min(), x[:, k].max(), 50)[:, None], 3, axis=1)
            hits = svm_hits(x, y, grid, machine.predict(grid[:, [k]]))
            assert hits[k].mean() > 0.97


def test_dimensions_without_a_pattern_or_without_variance_are_answered_as_by_liblinear():
    rng = np.random.default_rng(0)
    y = np.repeat(np.arange(3), [60, 30, 10])
    x = np.stack([np.zeros(100), np.full(100, 7.0), np.repeat(rng.normal(size=50), 2)], axis=1)
    hits = svm_hits(x, y, x, y).mean(axis=1)
    for k in range(3):
        machine = LinearSVC(C=0.01, class_weight="balanced", tol=1e-8).fit(x[:, [k]], y)
        assert hits[k] == pytest.approx(machine.score(x[:, [k]], y), abs=0.011)


def test_sap_of_perfect_duplicated_and_noise_codes():
    perfect, twice, noise = (found(sap, make()) for make in (perfect_codes, duplicated_codes, noise_codes))
    for column in ("shape", "pose", "age", ""):
        one = perfect[CORRELATION, column]
        assert one.value > 0.95
        assert one.low <= one.value <= one.high <= 1
        assert twice[CORRELATION, column].value == pytest.approx(0, abs=0.02)
        assert noise[CORRELATION, column].value == pytest.approx(noise[CORRELATION, column].chance, abs=0.05)
    assert perfect[SVM, "shape"].value > 0.55  # at most 1 - 1/3, less what noise gets right
    assert (SVM, "age") not in perfect
    for column in ("shape", "pose", ""):
        assert twice[SVM, column].value == pytest.approx(0, abs=0.02)
        assert noise[SVM, column].value == pytest.approx(noise[SVM, column].chance, abs=0.08)
    assert perfect[SVM, ""].over == ("shape", "pose")
    assert perfect[CORRELATION, ""].over == ("shape", "pose", "age")


@settings(max_examples=3)
@given(st.permutations(range(4)), st.permutations(range(3)))
def test_sap_and_explicitness_are_indifferent_to_order_sign_and_names(dimensions, names):
    codes = dataclasses.replace(perfect_codes(), z=perfect_codes().z + 0.7 * noise_codes().z)
    order = np.random.default_rng(len(dimensions)).permutation(len(codes))
    turned = dataclasses.replace(codes.take(order), z=codes.z[order][:, dimensions] * np.float32([1, -1, -1, 1]))
    shape = np.array(names)[turned.columns["shape"]]
    turned = dataclasses.replace(turned, columns={**turned.columns, "shape": shape})
    for metric, variant in ((sap, SVM), (explicitness, "logistic regression")):
        for column in ("shape", "pose", ""):
            ours, theirs = (found(metric, one)[variant, column].value for one in (codes, turned))
            assert theirs == pytest.approx(ours, abs=1e-3)


def test_the_area_is_that_of_scikit_learn_and_its_interval_that_of_resampling():
    rng = np.random.default_rng(0)
    y = rng.integers(3, size=200)
    p = rng.dirichlet(np.ones(3), size=200) + 0.3 * np.eye(3)[y]
    p = np.round(p / p.sum(axis=1, keepdims=True), 2)  # with ties
    areas = [roc_auc_score(y == c, p[:, c]) for c in range(3)]
    rows = area_rows(p, y, np.arange(3))
    assert rows.mean() == pytest.approx(np.mean(areas), rel=1e-12)
    draws = (rng.integers(200, size=200) for _ in range(150))
    spread = np.std([np.mean([roc_auc_score(y[d] == c, p[d, c]) for c in range(3)]) for d in draws])
    assert rows.std() / 200**0.5 == pytest.approx(spread, rel=0.2)
    absent = area_rows(np.insert(p, 3, 0, axis=1), y, np.arange(4))
    assert absent.mean() == pytest.approx(np.mean(areas), rel=1e-12)


def test_explicitness_is_the_recorded_one(recorded):
    z, factors = recorded
    split = np.repeat(np.uint8([0, 2]), [1500, 500])
    codes = only(
        dataclasses.replace(perfect_codes(), z=z.astype(np.float32), columns=_roles(2000), split=split), a=factors[0]
    )
    one = found(explicitness, codes)["logistic regression", "a"]
    assert one.value == pytest.approx(RECORDED["explicitness_factor0"][1], abs=2e-3)
    assert one.chance == 0.5
    scaler = StandardScaler().fit(z[:1500])
    model = LogisticRegression(max_iter=1000).fit(scaler.transform(z[:1500]), factors[0][:1500])
    by_hand = roc_auc_score(factors[0][1500:], model.predict_proba(scaler.transform(z[1500:])), multi_class="ovr")
    assert one.value == pytest.approx(by_hand, abs=1e-4)


def _roles(num: int) -> dict:
    return {name: np.zeros(num, dtype=int) for name in ("domain", "shape", "pose")} | {"age": np.zeros(num)}


def test_explicitness_of_perfect_and_noise_codes():
    for one in explicitness(perfect_codes(), np.random.default_rng(0)):
        assert one.value > 0.99
        assert one.low <= one.value <= one.high <= 1
    for one in explicitness(noise_codes(), np.random.default_rng(0)):
        assert one.value == pytest.approx(0.5, abs=0.1)


def test_efficiency_is_the_ratio_of_accuracies_and_says_which_sizes_are_left_out():
    scores = found(downstream_efficiency, perfect_codes())
    assert {variant for variant, _ in scores} == {
        "all labels", "10 labels", "100 labels", "100 labels / all labels",
    }  # fmt: skip
    assert scores["all labels", ""].value > 0.99
    assert scores["all labels", "shape"].note == "720 train rows: 1000 labels are left out"
    for column in ("shape", "pose", ""):
        ten, hundred, every = (scores[f"{size} labels", column] for size in ("10", "100", "all"))
        assert ten.value < hundred.value <= every.value
        assert ten.low <= ten.value <= ten.high
        assert "5 draws" in ten.note
        efficiency = scores["100 labels / all labels", column]
        assert efficiency.value == pytest.approx(hundred.value / every.value)
        assert every.chance == pytest.approx({"shape": 1 / 3, "pose": 1 / 5, "": 4 / 15}[column])
    assert scores["10 labels", ""].value == pytest.approx(
        np.mean([scores["10 labels", name].value for name in ("shape", "pose")])
    )


def test_a_code_that_knows_nothing_is_efficient_but_at_chance():
    scores = found(downstream_efficiency, noise_codes())
    assert scores["100 labels / all labels", ""].value == pytest.approx(1, abs=0.3)
    assert scores["100 labels / all labels", ""].chance == pytest.approx(1, abs=0.1)
    for size in ("10", "100", "all"):
        assert scores[f"{size} labels", ""].value == pytest.approx(scores[f"{size} labels", ""].chance, abs=0.08)


def test_boosted_trees_read_what_a_line_cannot(monkeypatch):
    """A code of two values whose product is the factor."""
    monkeypatch.setattr(separability, "_NUM_DRAWS", 2)
    rng = np.random.default_rng(0)
    codes = perfect_codes()
    signs = rng.choice([-1, 1], size=(960, 2))
    z = (signs + 0.1 * rng.normal(size=signs.shape)).astype(np.float32)
    codes = only(dataclasses.replace(codes, z=z), a=(signs.prod(axis=1) > 0).astype(int))
    assert found(downstream_efficiency, codes)["all labels", "a"].value < 0.8  # at most three of four corners
    assert found(downstream_efficiency_gbt, codes)["all labels", "a"].value > 0.95
    assert downstream_efficiency_gbt.slow


@pytest.mark.parametrize("metric", [sap, explicitness, downstream_efficiency])
def test_missing_values_and_unseen_values(metric):
    codes = perfect_codes()
    shape = codes.columns["shape"].copy()
    test = np.flatnonzero(codes.split == 2)
    shape[test[:40]] = -1
    pose = codes.columns["pose"].copy()
    pose[(pose == 4) & (codes.split == 0)] = -1
    changed = dataclasses.replace(codes, columns={**codes.columns, "shape": shape, "pose": pose})
    variant = {sap: SVM, explicitness: "logistic regression"}.get(metric, "all labels")
    scores = found(metric, changed)
    assert scores[variant, "shape"].num == 200
    assert scores[variant, ""].num == 240
    assert "48 test rows have a value that no train row has" in scores[variant, "pose"].note


@pytest.mark.parametrize("metric", [sap, explicitness, downstream_efficiency])
@pytest.mark.parametrize(
    ("change", "note"),
    [
        (lambda c: only(c, a=np.zeros(960, dtype=int)), "one value"),
        (lambda c: only(c, a=np.where(c.split == 0, np.arange(960) % 2, 2)), "value"),
        (
            lambda c: dataclasses.replace(only(c, a=c.columns["shape"]), split=np.zeros(960, dtype=np.uint8)),
            "test split",
        ),
    ],
)
def test_what_is_not_defined_says_why(metric, change, note):
    for one in metric(change(perfect_codes()), np.random.default_rng(0)):
        assert one.value is None
        assert note in one.note


def test_a_code_of_one_dimension_has_no_second_best():
    codes = perfect_codes()
    (one,) = sap(dataclasses.replace(codes, z=codes.z[:, :1]), np.random.default_rng(0))
    assert one.note == "a code of one dimension has no second best"


def test_correlations_are_of_numbers_not_of_names():
    codes = perfect_codes()

    def named(*names: str) -> dict:
        return found(sap, dataclasses.replace(codes, spec=dataclasses.replace(codes.spec, values={"shape": names})))

    one = named("cone", "ball", "cube")[CORRELATION, "shape"]
    assert (one.value, one.note) == (None, "the values are names")
    assert "shape" not in named("cone", "ball", "cube")[CORRELATION, ""].over
    counted = found(sap, codes)[CORRELATION, "shape"].value
    assert named("0.5", "1.0", "1.5")[CORRELATION, "shape"].value == pytest.approx(counted)
    assert named("2", "10", "3")[CORRELATION, "shape"].value < counted  # the numbers, not their order in the table


def test_chance_of_sap_on_clusters_is_near_zero():
    """A single shuffle of the train rows hits all or nothing there: chances of 0.67 were seen."""
    grid = np.stack(np.meshgrid(*map(np.arange, (4, 5, 3, 10)), indexing="ij"), axis=-1).reshape(-1, 4)
    codes = only(perfect_codes().take(np.arange(600)), a=grid[:, 0], b=grid[:, 1], c=grid[:, 2])
    codes = dataclasses.replace(codes, z=grid[:, :3].astype(np.float32))
    for seed in range(4):
        scores = found(sap, codes, seed)
        assert max(scores[SVM, name].chance for name in ("a", "b", "c", "")) < 0.08
