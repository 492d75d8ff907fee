"""DCI against recorded outputs of disentanglement_lib, loops from the paper, and codes whose answer is known."""

import dataclasses
import json
import math
from pathlib import Path

import numpy as np
import pytest
from fakes import duplicated_codes, noise_codes, perfect_codes
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression

from unbraid.errors import UserError
from unbraid.metrics.dci import (
    completeness,
    concentration,
    dci,
    dci_gbt,
    dci_lasso,
    disentanglement,
)
from unbraid.metrics.importance import l1_logistic
from unbraid.metrics.tasks import mean_over_columns
from unbraid.tables import Codes, DataSpec

GOLDEN = Path(__file__).parents[1] / "golden"
RECORDED = json.loads((GOLDEN / "metrics.json").read_text())

fast = pytest.mark.parametrize("metric", [dci, dci_lasso])


def golden_codes() -> Codes:
    with np.load(GOLDEN / "metric_inputs.npz") as file:
        z, factors = file["codes"].T.astype(np.float32), file["factors"]
    names = ("a", "b", "c")
    sizes = {name: int(column.max()) + 1 for name, column in zip(names, factors)}
    spec = DataSpec(name="golden", image_shape=(0, 0, 0), num_train=1500, sizes=sizes, factors=names)
    split = np.repeat(np.uint8([0, 2]), [1500, 500])
    return Codes(spec=spec, z=z, columns=dict(zip(names, factors)), split=split)


def found(metric, codes: Codes, seed: int = 0) -> dict:
    return {(one.variant, one.column): one for one in metric(codes, np.random.default_rng(seed))}


def by_loops(importance: np.ndarray) -> float:
    """Eastwood & Williams 2018, section 2: sum over rows of rho_i (1 - H_K(P_i))."""
    total = 0.0
    for row in importance:
        if row.sum() > 0:
            entropy = -sum(p * math.log(p, len(row)) for p in row / row.sum() if p > 0)
            total += (1 - entropy) * row.sum() / importance.sum()
    return total


def test_a_fixed_importance_matrix_gives_the_recorded_scores():
    recorded = RECORDED["dci_fixed_imp"]
    importance = np.array(recorded["imp"])
    assert disentanglement(importance) == pytest.approx(recorded["disentanglement"], rel=1e-9)
    assert completeness(importance) == pytest.approx(recorded["completeness"], rel=1e-9)
    assert concentration(importance) == pytest.approx(recorded["per_code"], abs=1e-9)
    assert concentration(importance.T) == pytest.approx(recorded["per_factor"], abs=1e-9)
    nothing = np.zeros((6, 3))
    assert (disentanglement(nothing), completeness(nothing)) == pytest.approx(recorded["zeros"], abs=1e-12)


@given(st.integers(0, 10**6))
def test_the_scores_are_those_of_the_paper_and_indifferent_to_order(seed):
    rng = np.random.default_rng(seed)
    importance = rng.random((7, 4)) * (rng.random((7, 4)) < 0.6) + 1e-3 * np.eye(7, 4)
    shuffled = importance[rng.permutation(7)][:, rng.permutation(4)]
    for score, matrix in ((disentanglement, importance), (completeness, importance.T)):
        assert score(importance) == pytest.approx(by_loops(matrix), abs=1e-6)
        assert score(shuffled) == pytest.approx(score(importance), abs=1e-12)


def test_closed_forms():
    assert disentanglement(np.eye(3)) == pytest.approx(1)
    assert completeness(np.tile(np.eye(10), (2, 1)) / 2) == pytest.approx(1 - math.log(2) / math.log(20))
    assert disentanglement(np.ones((5, 3))) == pytest.approx(0, abs=1e-12)


def test_one_factor_or_one_dimension_is_refused():
    with pytest.raises(UserError, match="one only"):
        disentanglement(np.ones((4, 1)))
    with pytest.raises(UserError, match="one only"):
        completeness(np.ones((1, 4)))


def test_boosted_trees_give_the_recorded_scores():
    scores, recorded = found(dci_gbt, golden_codes()), RECORDED["dci_gbt"]
    for variant in ("disentanglement", "completeness"):
        one = scores[variant, ""]
        assert one.value == pytest.approx(recorded[variant], abs=2e-3)
        assert (one.low, one.high) == (None, None)
        assert "no interval" in one.note
    assert scores["informativeness", ""].value == pytest.approx(recorded["informativeness_test"], abs=5e-3)
    expected = concentration(np.array(RECORDED["dci_gbt_importance"]).T)
    assert [scores["completeness", name].value for name in "abc"] == pytest.approx(expected, abs=3e-3)
    assert dci_gbt.slow


@fast
def test_perfect_duplicated_and_noise_codes(metric):
    perfect, twice, noise = (found(metric, make()) for make in (perfect_codes, duplicated_codes, noise_codes))
    for (variant, _), one in perfect.items():
        assert one.value > 0.95, one
        assert one.low <= one.value <= one.high
        assert one.chance < 0.4
        assert one.split == ("test" if "informativeness" in variant else "train")
    assert twice["disentanglement", ""].value > 0.95
    assert twice["completeness", ""].value == pytest.approx(1 - math.log(2) / math.log(8), abs=0.1)
    for one in noise.values():
        assert one.value == pytest.approx(one.chance, abs=0.12), one


@fast
def test_order_and_sign_of_dimensions_and_names_of_values_do_not_matter(metric):
    codes = golden_codes()
    relabelled = {name: codes.spec.sizes[name] - 1 - column for name, column in codes.columns.items()}
    turned = dataclasses.replace(codes, z=-codes.z[:, ::-1], columns=relabelled)
    values, others = ({key: one.value for key, one in found(metric, changed).items()} for changed in (codes, turned))
    assert others == pytest.approx(values, abs=0.08 if metric is dci else 0.02)


def test_the_interval_covers_what_new_rows_give():
    rng = np.random.default_rng(0)
    mixing = np.eye(6, 3) + 0.4 * rng.normal(size=(6, 3))
    spec = DataSpec(
        name="drawn", image_shape=(0, 0, 0), num_train=600, sizes={"a": 4, "b": 4, "c": 4}, factors=("a", "b", "c")
    )
    split = np.repeat(np.uint8([0, 2]), [600, 100])

    def drawn() -> Codes:
        factors = rng.integers(4, size=(700, 3))
        z = (factors @ mixing.T + rng.normal(size=(700, 6))).astype(np.float32)
        return Codes(spec=spec, z=z, columns=dict(zip("abc", factors.T)), split=split)

    for metric, widest in ((dci, 20), (dci_lasso, 8)):  # in deviations; the forest says that it is too wide
        draws = [found(metric, drawn(), seed)["disentanglement", ""] for seed in range(10)]
        truth = np.mean([one.value for one in draws])
        assert sum(one.low <= truth <= one.high for one in draws) >= 8
        assert np.mean([one.high - one.low for one in draws]) < widest * np.std([one.value for one in draws])


def test_l1_logistic_is_the_optimum_that_saga_finds(monkeypatch):
    monkeypatch.setattr("unbraid.metrics.importance._TOLERANCE", 1e-3)
    codes = golden_codes().rows("train")
    x = ((codes.z - codes.z.mean(axis=0)) / codes.z.std(axis=0)).astype(float)
    y, penalty = codes.columns["b"], 0.02
    ours = l1_logistic(x, y, np.full(6, penalty))
    saga = LogisticRegression(l1_ratio=1, solver="saga", C=1 / (penalty * len(y)), tol=1e-7, max_iter=5000).fit(x, y)

    def objective(weight: np.ndarray, bias: np.ndarray) -> float:
        logits = x @ weight + bias
        loss = np.log(np.exp(logits).sum(axis=1)) - logits[np.arange(len(y)), y]
        return loss.mean() + penalty * np.abs(weight).sum()

    best = objective(saga.coef_.T, saga.intercept_)
    assert objective(ours[:-1], ours[-1]) == pytest.approx(best, rel=1e-6)
    assert np.abs(ours[:-1]).mean(axis=1) == pytest.approx(np.abs(saga.coef_).mean(axis=0), abs=2e-3)


def test_missing_values_leave_rows_out_of_their_factor_alone():
    codes = golden_codes()
    rows = np.random.default_rng(0).permutation(2000)[:600]
    a = codes.columns["a"].copy()
    a[rows] = -1
    whole = found(dci_lasso, codes)
    missing = found(dci_lasso, dataclasses.replace(codes, columns={**codes.columns, "a": a}))
    assert missing["informativeness", "a"].num == 500 - np.sum(rows >= 1500)
    assert missing["completeness", "a"].num == 1500 - np.sum(rows < 1500)
    assert missing["informativeness", "b"].num == 500
    assert missing["informativeness", ""].num == 500
    each = [missing["informativeness", name].value for name in "abc"]
    assert missing["informativeness", ""].value == pytest.approx(np.mean(each))
    assert missing["disentanglement", ""].value == pytest.approx(whole["disentanglement", ""].value, abs=0.1)


def test_the_mean_over_columns_is_a_mean_of_means_with_the_spread_of_its_rows():
    rng = np.random.default_rng(0)
    table = (rng.random((900, 3)) < [0.2, 0.5, 0.9]).astype(float)
    table[:600, 0] = np.nan
    value, low, high = mean_over_columns(table, rng)
    assert value == pytest.approx(np.nanmean(table, axis=0).mean())
    deviation = np.sqrt(0.16 / 300 + 0.25 / 900 + 0.09 / 900) / 3
    assert (low, high) == pytest.approx((value - 1.96 * deviation, value + 1.96 * deviation), abs=0.01)


@fast
def test_what_is_not_defined_says_why(metric):
    codes = perfect_codes()
    alone = dataclasses.replace(codes, spec=dataclasses.replace(codes.spec, factors=("shape",), targets=()))
    assert found(metric, alone)["disentanglement", ""].note == "it compares factors, and there is one only"
    narrow = found(metric, dataclasses.replace(alone, z=codes.z[:, :1]))
    assert narrow["completeness", "shape"].note == "it compares dimensions, and the code has one only"
    assert narrow["informativeness", "shape"].value > 0.9
    constant = found(metric, dataclasses.replace(codes, z=np.ones_like(codes.z)))
    assert constant["disentanglement", ""].value is None
    assert constant["disentanglement", ""].note == "the code is constant"
    one_value = dataclasses.replace(alone, columns={**codes.columns, "shape": np.zeros(960, dtype=int)})
    (score,) = metric(one_value, np.random.default_rng(0))
    assert (score.value, score.note) == (None, "one value only in the train split")


def test_what_the_published_offset_adds_is_rounded_off():
    codes = perfect_codes()
    codes = dataclasses.replace(codes, spec=dataclasses.replace(codes.spec, targets=()))
    scores = found(dci_lasso, codes)
    assert (scores["disentanglement", ""].value, scores["disentanglement", ""].chance) == (1.0, 0.0)
