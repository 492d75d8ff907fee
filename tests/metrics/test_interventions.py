"""Scores of interventions against recorded values, the published loops over a grid, and what must not matter."""

import dataclasses
import json
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from fakes import duplicated_codes, leaky_codes, noise_codes, perfect_codes
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from unbraid.errors import UserError
from unbraid.metrics import interventions as module
from unbraid.metrics.interventions import (
    beta_vae_score,
    draw_sharing,
    factor_vae_score,
    least_varying,
    mean_distances,
)
from unbraid.metrics.irs import irs, robustness
from unbraid.records import Score
from unbraid.tables import Codes, DataSpec

GOLDEN = Path(__file__).parents[1] / "golden"
RECORDED = json.loads((GOLDEN / "metrics.json").read_text())
SMALL = {"num_train": 1_000, "num_eval": 500}
LARGE = {"num_train": 3_000, "num_eval": 2_000}
EVERY = [(beta_vae_score, SMALL), (factor_vae_score, SMALL), (irs, {})]

every = pytest.mark.parametrize(("metric", "options"), EVERY)


def codes_of(z: np.ndarray, factors: np.ndarray, split: np.ndarray | int = 2) -> Codes:
    names = [f"f{place}" for place in range(factors.shape[1])]
    split = np.full(len(z), split, dtype=np.uint8) if isinstance(split, int) else split
    spec = DataSpec(
        name="toy",
        image_shape=(0, 0, 0),
        num_train=int(np.sum(split == 0)),
        sizes={name: int(column.max()) + 1 for name, column in zip(names, factors.T)},
        factors=tuple(names),
    )
    return Codes(spec=spec, z=z.astype(np.float32), columns=dict(zip(names, factors.T)), split=split)


def toy() -> Codes:
    """The grid of the recorded toy, each point once to train and once to test, behind its recorded linear map."""
    grid = np.array(list(product(range(4), range(6), range(3))))
    z = grid @ np.array(RECORDED["toy_A"])
    return codes_of(np.tile(z, (2, 1)), np.tile(grid, (2, 1)), np.repeat([0, 2], len(grid)).astype(np.uint8))


def one(metric, codes: Codes, **options) -> Score:
    return metric(codes, np.random.default_rng(0), **options)[0]


@pytest.mark.parametrize(("quantile", "expected"), [(0.99, "irs_q99"), (1.0, "irs_q100_avg")])
def test_recorded_irs(quantile, expected):
    arrays = np.load(GOLDEN / "metric_inputs.npz")
    score = one(irs, codes_of(arrays["codes"].T, arrays["factors"].T), quantile=quantile)
    if quantile == 1:
        assert score.value == pytest.approx(RECORDED[expected], rel=1e-5)
        return
    assert score.value == pytest.approx(RECORDED[expected]["avg"], rel=1e-5)
    matrix, _ = robustness(arrays["codes"].T.astype(np.float32), arrays["factors"].T, quantile)
    assert matrix.max(axis=1) == pytest.approx(RECORDED[expected]["scores"], rel=1e-5)
    assert matrix.argmax(axis=1).tolist() == RECORDED[expected]["parents"]


def test_recorded_toy():
    beta, factor = (one(metric, toy()) for metric in (beta_vae_score, factor_vae_score))
    assert beta.value == RECORDED["beta_vae_toy"]["eval_accuracy"] == 1
    assert factor.value == RECORDED["factor_vae_toy"]["eval_accuracy"] == 1
    assert factor.note == "4 of 5 dimensions are active"  # recorded is 5, which counts the constant one


def test_irs_is_that_of_a_loop():
    rng = np.random.default_rng(0)
    factors = np.stack([rng.integers(0, 3, 150), rng.integers(0, 30, 150)], axis=1)
    factors[0, 0] = 3  # a value that one row has
    z = rng.normal(size=(150, 4)).astype(np.float32) + factors[:, :1]
    expected, weights = [], []
    for column in z.T.astype(float):
        far, away = np.abs(column - column.mean()).max(), []
        for values in factors.T:
            groups = [column[values == value] for value in set(values.tolist()) if np.sum(values == value) > 1]
            away.append(np.mean([np.percentile(np.abs(group - group.mean()), 99) for group in groups]))
        expected.append(max(1 - deviation / far for deviation in away))
        weights.append(far)
    assert one(irs, codes_of(z, factors)).value == pytest.approx(np.average(expected, weights=weights), rel=1e-5)


def test_irs_of_many_values_has_the_published_bins_beside_it():
    rng = np.random.default_rng(0)
    factors = np.stack([rng.integers(0, 3, 500), rng.integers(0, 40, 500)], axis=1)
    z = rng.normal(size=(500, 3))
    own, published = irs(codes_of(z, factors), rng)
    assert [own.variant, published.variant] == ["quantile 0.99", "quantile 0.99, factors in 20 bins"]
    assert published.value == pytest.approx(one(irs, codes_of(z, factors // [1, 2])).value, abs=0.02)
    assert own.value != published.value


def published_votes(z, grid, num, batch, rng):
    """One point after the other, images drawn from the grid by their factors."""
    place = {tuple(row): number for number, row in enumerate(grid.tolist())}
    sizes, scale, labels, votes = grid.max(axis=0) + 1, z.var(axis=0, ddof=1), [], []
    for _ in range(num):
        held = rng.integers(len(sizes))
        factors = rng.integers(0, sizes, size=(batch, len(sizes)))
        factors[:, held] = factors[0, held]
        rows = z[[place[tuple(row)] for row in factors.tolist()]]
        labels.append(held)
        votes.append(np.argmin(rows.var(axis=0, ddof=1) / scale))
    return np.array(labels), np.array(votes)


def published_distances(z, grid, num, batch, rng):
    place = {tuple(row): number for number, row in enumerate(grid.tolist())}
    sizes, labels, features = grid.max(axis=0) + 1, [], []
    for _ in range(num):
        held = rng.integers(len(sizes))
        one, two = rng.integers(0, sizes, size=(2, batch, len(sizes)))
        two[:, held] = one[:, held]
        left, right = (z[[place[tuple(row)] for row in factors.tolist()]] for factors in (one, two))
        labels.append(held)
        features.append(np.abs(left - right).mean(axis=0))
    return np.array(labels), np.array(features)


@pytest.fixture(scope="module")
def grid() -> tuple[np.ndarray, np.ndarray]:
    grid = np.array(list(product(range(4), range(5), range(3))))
    z = grid @ np.random.default_rng(0).normal(size=(3, 6)) + np.random.default_rng(1).normal(size=(60, 6))
    return z.astype(np.float32), grid


def test_on_a_grid_the_votes_are_distributed_as_published(grid):
    z, factors = grid
    rng = np.random.default_rng(2)
    labels, votes = published_votes(z, factors, 2_000, 8, rng)
    held = rng.integers(3, size=20_000)
    ours = least_varying(z / z.std(axis=0), draw_sharing(factors, held, 8, rng))
    for factor in range(3):
        counts = np.stack([np.bincount(v, minlength=6) for v in (votes[labels == factor], ours[held == factor])])
        assert stats.chi2_contingency(counts[:, counts.sum(axis=0) > 0]).pvalue > 0.01


def test_on_a_grid_the_distances_are_distributed_as_published(grid):
    z, factors = grid
    rng = np.random.default_rng(4)
    labels, features = published_distances(z, factors, 2_000, 8, rng)
    held = rng.integers(3, size=15_000)
    ours = mean_distances(z, draw_sharing(factors, np.repeat(held, 8), 2, rng).reshape(-1, 8, 2))
    for factor, dimension in product(range(3), range(6)):
        pair = features[labels == factor, dimension], ours[held == factor, dimension]
        assert stats.ks_2samp(*pair).pvalue > 0.01 / 18  # of 18 comparisons


def test_rows_are_drawn_evenly_and_share_what_is_held():
    rng = np.random.default_rng(0)
    factors = np.stack([np.repeat([0, 1, 2, 3], [1, 2, 10, 7]), rng.integers(0, 2, 20)], axis=1)
    held = np.repeat([0, 1], 20_000)
    drawn = draw_sharing(factors, held, 3, rng)
    values = factors[drawn, held[:, None]]
    assert (values == values[:, :1]).all()
    counts = np.stack([np.bincount(drawn[held == factor].ravel(), minlength=20) for factor in (0, 1)])
    assert counts[0, 0] == 0  # its value is its own
    assert counts[0, 1:] / 60_000 == pytest.approx(np.full(19, 1 / 19), abs=0.006)
    assert counts[1] / 60_000 == pytest.approx(np.full(20, 1 / 20), abs=0.006)
    first, second = drawn[held == 1][:, 0], drawn[held == 1][:, 1]
    same = np.mean([1 / np.sum(factors[:, 1] == value) for value in factors[:, 1]])
    assert np.mean(first == second) == pytest.approx(same, abs=0.01)  # with replacement


@pytest.mark.parametrize("chunk", [1, 7, 1_000])
def test_chunks_do_not_show(grid, monkeypatch, chunk):
    z, _ = grid
    rows = np.random.default_rng(0).integers(0, 60, (50, 9, 2))
    monkeypatch.setattr(module, "_CHUNK", chunk)
    assert mean_distances(z, rows) == pytest.approx(np.abs(z[rows[..., 0]] - z[rows[..., 1]]).mean(axis=1), rel=1e-5)
    assert (least_varying(z, rows[..., 0]) == z[rows[..., 0]].var(axis=1, ddof=1).argmin(axis=1)).all()


@every
def test_perfect_duplicated_leaky_and_noise(metric, options):
    perfect, duplicated, leaky, noise = (
        one(metric, make(), **options) for make in (perfect_codes, duplicated_codes, leaky_codes, noise_codes)
    )
    assert min(perfect.value, duplicated.value) > 0.95
    assert perfect.low > perfect.chance + 0.2
    for ignorant in (leaky, noise):
        assert ignorant.value == pytest.approx(ignorant.chance, abs=0.13)
    for score in (perfect, duplicated, leaky, noise):
        assert score.low <= score.value <= score.high
        assert (score.over, score.num) == (("shape", "pose", "age"), 240)
        assert "targets in 20 bins" in score.variant


@settings(max_examples=8)
@given(st.permutations(range(4)), st.lists(st.sampled_from([-1, 1]), min_size=4, max_size=4), st.integers(0, 2**31))
def test_irs_ignores_order_sign_and_names(dimensions, signs, seed):
    codes = perfect_codes()
    order = np.random.default_rng(seed).permutation(960)
    other = dataclasses.replace(codes, z=(codes.z[:, dimensions] * np.float32(signs)))
    relabelled = np.random.default_rng(seed).permutation(3)[codes.columns["shape"]]
    other = dataclasses.replace(other, columns=codes.columns | {"shape": relabelled}).take(order)
    assert one(irs, other).value == pytest.approx(one(irs, codes).value, rel=1e-4)


@pytest.mark.parametrize("metric", [beta_vae_score, factor_vae_score])
def test_classified_scores_ignore_order_sign_scale_and_names(metric):
    codes = perfect_codes()
    codes = dataclasses.replace(codes, z=codes.z + 0.8 * noise_codes().z)
    order = np.random.default_rng(0).permutation(960)
    other = dataclasses.replace(codes, z=codes.z[:, [2, 0, 3, 1]] * np.float32([3, -3, 3, -3]))
    other = dataclasses.replace(other, columns=codes.columns | {"shape": 2 - codes.columns["shape"]}).take(order)
    assert one(metric, other, **LARGE).value == pytest.approx(one(metric, codes, **LARGE).value, abs=0.05)


def test_the_interval_holds_the_score_of_many_rows():
    """30 tables of 400 rows from one distribution, against a table of 40,000."""

    def codes(seed: int, num: int) -> Codes:
        rng = np.random.default_rng(seed)
        factors = rng.integers(0, [3, 4], size=(num, 2))
        z = rng.normal(size=(num, 5)) * 1.5
        z[:, :2] += factors
        return codes_of(z, factors, np.where(np.arange(num) < num // 2, 0, 2).astype(np.uint8))

    truth = one(factor_vae_score, codes(0, 40_000), batch_size=16, **SMALL).value
    inside = 0
    for seed in range(1, 31):
        score = one(factor_vae_score, codes(seed, 400), batch_size=16, **SMALL)
        inside += score.low <= truth <= score.high
    assert inside >= 22


@every
def test_rows_with_a_missing_value_and_single_rows_are_left_out(metric, options):
    codes = perfect_codes()
    columns = {name: column.copy() for name, column in codes.columns.items()}
    columns["shape"][:100] = -1
    columns["age"][100:200] = np.nan
    spec = dataclasses.replace(codes.spec, sizes=codes.spec.sizes | {"who": 960, "one": 1})
    spec = dataclasses.replace(spec, factors=(*spec.factors, "who", "one"))
    columns |= {"who": np.arange(960), "one": np.zeros(960, dtype=int)}
    score = one(metric, dataclasses.replace(codes, columns=columns, spec=spec), **options)
    assert score.num == int(np.sum(codes.split[200:] == 2))
    assert score.over == ("shape", "pose", "age")
    assert "'who' is left out: no value that two rows have in the" in score.note
    assert "'one' is left out: one value only in the" in score.note
    assert score.value > 0.95


@every
def test_undefined_says_why(metric, options):
    codes = perfect_codes()
    for change, reason in (
        ({"split": np.zeros(960, dtype=np.uint8)}, "no rows in the test split"),
        ({"columns": codes.columns | {"age": np.full(960, np.nan, dtype=np.float32)}}, "no rows in the"),
        ({"columns": {name: 0 * column for name, column in codes.columns.items()}}, "one value only in the"),
        ({"z": np.ones_like(codes.z)}, "no dimension has|the code is the same"),
    ):
        score = one(metric, dataclasses.replace(codes, **change), **options)
        if metric is beta_vae_score and "z" in change:
            assert score.value == pytest.approx(score.chance, abs=0.1)  # nothing to see is a guess, not an error
            continue
        assert score.value is None
        assert any(part in score.note for part in reason.split("|"))


def test_one_factor_is_enough_for_irs_alone():
    codes = perfect_codes()
    codes = dataclasses.replace(codes, spec=dataclasses.replace(codes.spec, factors=("pose",), targets=()))
    for metric in (beta_vae_score, factor_vae_score):
        assert one(metric, codes).note == "it needs two factors that can be held"
    assert one(irs, codes).value > 0.5


def test_a_code_below_the_threshold():
    codes = dataclasses.replace(perfect_codes(), z=perfect_codes().z / 100)
    assert "no dimension has a standard deviation of 0.05 or more" in one(factor_vae_score, codes).note
    score = one(factor_vae_score, codes, threshold=0.0, **SMALL)
    assert score.value > 0.95
    assert score.note == "4 of 4 dimensions are active"


def test_too_few_rows_for_an_interval():
    factors = np.array([[0, 0], [0, 1], [1, 0], [1, 1]] * 2)
    codes = codes_of(factors.astype(float), factors, np.repeat([0, 2], 4).astype(np.uint8))
    score = one(factor_vae_score, codes, **SMALL)
    assert (score.low, score.high) == (None, None)
    assert score.note.endswith("too few rows for an interval")


@pytest.mark.parametrize(
    ("metric", "option", "message"),
    [
        (beta_vae_score, {"batch_size": 0}, "beta-vae-score: batch_size must be at least 1, not 0"),
        (factor_vae_score, {"batch_size": 1}, "factor-vae-score: batch_size must be at least 2, not 1"),
        (factor_vae_score, {"num_train": 10}, "factor-vae-score: num_train must be at least 100, not 10"),
        (beta_vae_score, {"num_eval": 1}, "beta-vae-score: num_eval must be at least 2, not 1"),
        (factor_vae_score, {"threshold": -1.0}, "factor-vae-score: threshold must be at least 0"),
        (irs, {"quantile": 0.0}, "irs: quantile must be above 0 and at most 1, not 0"),
    ],
)
def test_options_out_of_range(metric, option, message):
    with pytest.raises(UserError, match=message):
        metric(perfect_codes(), np.random.default_rng(0), **option)
