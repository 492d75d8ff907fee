"""UDR and its Lasso against recorded values of the published code, scikit-learn, SciPy and loops."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from fakes import duplicated_codes, noise_codes, perfect_codes
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import spearmanr
from sklearn.linear_model import Lasso

from unbraid.errors import DataError, UserError
from unbraid.metrics import lasso as lasso_module
from unbraid.metrics.lasso import lasso
from unbraid.metrics.udr import CEILING, UDR, _check_options, agreement, gaussian_kl, surrogate_kl, udr

GOLDEN = Path(__file__).parent.parent / "golden"
RECORDED = json.loads((GOLDEN / "metrics.json").read_text())


def run(codes, **options) -> UDR:
    return udr(codes, rng=np.random.default_rng(0), **options)


def standardised(z: np.ndarray) -> np.ndarray:
    return (z - z.mean(axis=0)) / np.where(z.std(axis=0) == 0, 1, z.std(axis=0))


def population(num: int, dims: int = 4, rows: int = 300, seed: int = 0) -> list[np.ndarray]:
    """Models that mix the same sources more and more, in an order and with signs of their own."""
    rng = np.random.default_rng(seed)
    sources = rng.normal(size=(rows, dims))
    orders = [rng.permutation(np.eye(dims)) * rng.choice([-1, 1], dims) for _ in range(num)]
    mixings = [order + 0.1 * model * rng.normal(size=(dims, dims)) for model, order in enumerate(orders)]
    return [sources @ mixing + 0.1 * rng.normal(size=(rows, dims)) for mixing in mixings]


def loop(codes, masks, relation="lasso", weights="equal", tolerance=1e-13) -> tuple[np.ndarray, np.ndarray]:
    """The published definition, pair by pair, with scikit-learn and SciPy: pairwise and scores."""
    num = len(codes)
    pairwise = np.zeros((num, num))
    for i in range(num):
        for j in (other for other in range(num) if other != i):
            x, y = codes[i][:, masks[i]], codes[j][:, masks[j]]
            if x.shape[1] == 0 or y.shape[1] == 0:
                continue
            if relation == "lasso":
                fit = Lasso(alpha=0.1, tol=tolerance, max_iter=100_000).fit(standardised(x), standardised(y))
                matrix = np.abs(fit.coef_.reshape(y.shape[1], -1)).T
            else:
                matrix = np.abs([[spearmanr(a, b).statistic for b in y.T] for a in x.T])
            columns = [max(line) ** 2 / sum(line) if sum(line) else 0 for line in matrix.T]
            rows = [max(line) ** 2 / sum(line) if sum(line) else 0 for line in matrix]
            both = (np.mean(columns) + np.mean(rows)) / 2
            pairwise[i, j] = both if weights == "equal" else np.mean(columns + rows)
    return pairwise, np.array([np.median(np.delete(pairwise[:, model], model)) for model in range(num)])


def recorded_population() -> tuple[list[np.ndarray], list[np.ndarray]]:
    file = np.load(GOLDEN / "udr_full.npz")
    return [file["S"] @ mixing for mixing in file["M"]], [np.tile(sigma, (500, 1)) for sigma in file["logsigma"]]


def recorded_run(num_points: int, **options) -> UDR:
    means, log_sigmas = recorded_population()
    rows = np.random.RandomState(0).permutation(500)[:num_points]
    kl = [surrogate_kl(mean[rows], sigma[rows]) for mean, sigma in zip(means, log_sigmas)]
    return udr(means, kl=kl, num_points=num_points, rng=np.random.RandomState(0), **options)


# ---- recorded values of the published code


def agreement_of(matrix, **options) -> float:
    matrix = np.array(matrix, dtype=float)
    num_rows, num_columns = (np.array([size]) for size in matrix.shape)
    return agreement(matrix[None, None], num_rows, num_columns, **options).item()


def test_agreement_of_recorded_matrices():
    assert agreement_of(RECORDED["rsd"]["m"]) == pytest.approx(RECORDED["rsd"]["score"], rel=1e-12)
    assert agreement_of([[0.9, 0.0], [0.2, 0.0]]) == pytest.approx(RECORDED["rsd_zero_col"], rel=1e-12)
    assert agreement_of(np.eye(3)) == 1
    assert agreement_of(np.ones((3, 3))) == pytest.approx(1 / 3)
    assert agreement_of(np.zeros((3, 3))) == 0


def test_counts_weight_both_sums():
    columns = (0.9**2 / 1.1, 0.8**2 / 0.95)
    rows = (0.9**2 / 1.0, 0.8**2 / 1.0, 0.05**2 / 0.05)
    expected = (sum(columns) + sum(rows)) / 5
    assert agreement_of(RECORDED["rsd"]["m"], weights="counts") == pytest.approx(expected, rel=1e-12)


def test_recorded_surrogate_kl():
    means, log_sigmas = np.array([[0.5, -1.0], [0.1, 0.3]]), np.array([[-0.7, 0.3], [-0.7, -0.3]])
    assert surrogate_kl(means, log_sigmas, batch_size=2) == pytest.approx([0.22187635, 0.2725], abs=1e-8)


@pytest.mark.parametrize(
    ("sigma", "surrogate", "true"), [(0.9, 0.098, 0.105), (0.5, 0.528, 0.693), (0.2, 1.68, 1.61), (0.05, 8.50, 3.00)]
)
def test_surrogate_and_true_kl(sigma, surrogate, true):
    means = np.sqrt(1 - sigma**2) * np.tile([1.0, -1.0], 10)[:, None]
    log_sigmas = np.full_like(means, np.log(sigma))
    assert surrogate_kl(means, log_sigmas)[0] == pytest.approx(surrogate, abs=5e-3)
    assert gaussian_kl(means, 2 * log_sigmas)[0] == pytest.approx(true, abs=5e-3)


def test_recorded_lasso_and_spearman_of_a_pair():
    file = np.load(GOLDEN / "udr_pair.npz")
    x, y = standardised(file["X"]), standardised(file["Y"])
    coefficients = lasso((x.T @ x / len(x))[None], (x.T @ y / len(x))[None])[0]
    assert np.abs(coefficients) == pytest.approx(np.array(RECORDED["lasso_corr"]), abs=1e-8)
    expected = agreement_of(RECORDED["spearman_corr"])
    result = run([file["X"], file["Y"]], relation="spearman", active_by="none")
    assert result.pairwise[0, 1] == pytest.approx(expected, rel=1e-9)


def test_recorded_population_by_spearman():
    result, recorded = recorded_run(200, relation="spearman"), RECORDED["udr_full_spearman"]
    assert result.pairwise == pytest.approx(np.array(recorded["pairwise"]), rel=1e-9)
    assert result.scores == pytest.approx(np.array(recorded["model_scores"]), rel=1e-9)
    assert [int(mask.sum()) for mask in result.active] == [4, 3, 4, 3, 4]


def test_recorded_population_by_lasso():
    """The recorded values stopped at scikit-learn's tolerance of 1e-4; so does the loop that reproduces them."""
    result, recorded = recorded_run(200), RECORDED["udr_full_lasso"]
    assert result.pairwise == pytest.approx(np.array(recorded["pairwise"]), abs=5e-5)
    assert result.scores == pytest.approx(np.array(recorded["model_scores"]), rel=1e-5)
    assert result.mean == pytest.approx(recorded["mean"], rel=1e-5)
    rows = np.random.RandomState(0).permutation(500)[:200]
    codes = [mean[rows] for mean in recorded_population()[0]]
    stopped, _ = loop(codes, result.active, tolerance=1e-4)
    assert stopped == pytest.approx(np.array(recorded["pairwise"]), abs=1e-6)
    converged, scores = loop([z.astype(np.float64) for z in codes], result.active)
    assert result.pairwise == pytest.approx(converged, abs=1e-7)
    assert result.scores == pytest.approx(scores, abs=1e-7)


def test_more_points_than_rows_takes_all():
    result = recorded_run(1000)
    assert result.num == 500
    assert result.mean == pytest.approx(RECORDED["udr_full_npts_gt_len"], rel=2e-5)


# ---- scikit-learn and SciPy


@pytest.mark.parametrize("relation", ["lasso", "spearman"])
@pytest.mark.parametrize("weights", ["equal", "counts"])
def test_models_of_several_widths_are_those_of_the_loop(relation, weights):
    codes = [z[:, :width] for z, width in zip(population(5, dims=6), (6, 1, 4, 5, 6))]
    kl = [np.full(z.shape[1], 0.5) for z in codes]
    kl[0][2:4] = 0.001
    kl[3][:] = 0.0
    result = run(codes, kl=kl, relation=relation, weights=weights)
    expected, scores = loop(codes, [one > 0.01 for one in kl], relation, weights)
    assert result.pairwise == pytest.approx(expected, abs=1e-8)
    assert result.scores == pytest.approx(scores, abs=1e-8)


def test_blocks_of_models_change_nothing(monkeypatch):
    codes = population(6)
    expected = run(codes)
    for module, size in (
        ("unbraid.metrics.udr", 1),
        ("unbraid.metrics.udr", 8 * 6 * 4 * 8),
        ("unbraid.metrics.lasso", 1),
    ):
        monkeypatch.setattr(f"{module}._BLOCK_BYTES", size)
        assert run(codes).pairwise == pytest.approx(expected.pairwise, abs=1e-9)


@pytest.mark.parametrize("noise", [0.3, 0.01, 0.0])
def test_lasso_on_nearly_equal_features_reaches_the_minimum(noise):
    rng = np.random.default_rng(0)
    z = rng.normal(size=(400, 5))
    x = standardised(np.hstack([z, z + noise * rng.normal(size=z.shape)]))
    y = standardised(z @ rng.normal(size=(5, 7)) + 0.1 * rng.normal(size=(400, 7)))
    ours = lasso((x.T @ x / 400)[None], (x.T @ y / 400)[None])[0]

    def objective(w):
        return ((y - x @ w) ** 2).mean(axis=0) / 2 + 0.1 * np.abs(w).sum(axis=0)

    theirs = Lasso(alpha=0.1, tol=1e-10, max_iter=1_000_000).fit(x, y).coef_.T
    assert objective(ours) == pytest.approx(objective(theirs), abs=2e-9)
    slope = x.T @ (y - x @ ours) / 400  # the conditions of the minimum
    assert (np.abs(slope) <= 0.1 + 1e-7).all()
    assert np.abs(slope - 0.1 * np.sign(ours))[ours != 0] == pytest.approx(0, abs=1e-7)


def test_lasso_without_convergence_says_so(monkeypatch):
    monkeypatch.setattr(lasso_module, "_MAX_SWEEPS", 5)
    with pytest.raises(DataError, match="does not converge"):
        run([duplicated_codes().z, perfect_codes().z])


# ---- what must hold of the score


@pytest.mark.parametrize("relation", ["lasso", "spearman"])
@given(seed=st.integers(0, 2**16))
def test_order_and_sign_of_dimensions_and_order_of_models_do_not_matter(relation, seed):
    rng, codes = np.random.default_rng(seed), population(4, rows=60)
    scores = run(codes, relation=relation).scores
    turned = [rng.uniform(0.5, 2) * (z[:, rng.permutation(4)] * rng.choice([-1, 1], 4)) + rng.normal() for z in codes]
    assert run(turned, relation=relation).scores == pytest.approx(scores, abs=1e-6)
    order, rows = rng.permutation(4), rng.permutation(60)
    assert run([codes[model][rows] for model in order], relation=relation).scores == pytest.approx(
        scores[order], abs=1e-6
    )


def test_identical_models_are_at_the_ceiling():
    z = standardised(np.linalg.qr(np.random.default_rng(0).normal(size=(1001, 5)))[0])
    result = run([z, -z[:, ::-1], z], num_points=2000)
    assert result.scores == pytest.approx(CEILING["lasso"], abs=0.01)
    normals = np.random.RandomState(0).normal(size=(1000, 4))
    assert run([normals] * 3).scores == pytest.approx(0.9, abs=1e-6)
    assert run([normals] * 3, relation="spearman").scores == pytest.approx(0.92356981, abs=1e-8)


def test_agreement_on_one_dimension_scores_like_agreement_on_all():
    """With the filter; a filter that lets everything through sees nine dimensions without a partner."""
    rng = np.random.default_rng(0)
    codes = [np.hstack([z, np.zeros((500, 9))]) for z in [rng.normal(size=(500, 1))] * 3]
    assert run(codes).scores == pytest.approx(0.9, abs=1e-9)
    assert run(codes, kl=[np.eye(10)[0]] * 3).scores == pytest.approx(0.9, abs=1e-9)
    assert (run(codes, active_by="none").scores < 0.2).all()


def test_dead_models_score_zero_and_pull_the_others_down():
    z = np.random.default_rng(0).normal(size=(300, 3))
    alive, dead = np.ones(3), np.zeros(3)
    assert run([z, z, z], kl=[alive, dead, alive]).scores == pytest.approx([0.45, 0, 0.45], abs=1e-6)
    assert (run([z, z, z], kl=[dead] * 3).scores == 0).all()
    constant = np.ones_like(z)
    assert run([z, constant, z], kl=[alive, dead, alive]).scores == pytest.approx([0.45, 0, 0.45], abs=1e-6)


def test_noise_is_at_the_bottom():
    rng = np.random.default_rng(0)
    assert run([rng.normal(size=(1000, 10)) for _ in range(4)]).scores.max() < 0.05


def test_the_order_of_the_ranking():
    result = run(population(5))
    assert list(result.ranking) == sorted(range(5), key=lambda model: -result.scores[model])
    assert result.scores[result.ranking[-1]] < result.scores[result.ranking[0]]
    assert (np.diag(result.pairwise) == 0).all()
    assert result.low is None


# ---- filters


def test_variance_filter_is_relative_to_the_largest_dimension_and_named():
    z = np.random.default_rng(0).normal(size=(300, 3)) * [1.0, 0.2, 0.05]
    result = run([100 * z, z])
    assert [list(mask) for mask in result.active] == [[True, True, False]] * 2
    assert result.active_by == "variance"
    assert [list(mask) for mask in run([z, z], threshold=0.1).active] == [[True, False, False]] * 2


def test_the_kl_of_the_codes_is_taken_where_all_have_one():
    codes = noise_codes()
    known = dataclasses.replace(codes, kl=np.array([1, 0, 1, 0.02], dtype=np.float32))
    result = run([known, known])
    assert result.active_by == "kl"
    assert [list(mask) for mask in result.active] == [[True, False, True, True]] * 2
    assert run([known, codes]).active_by == "variance"
    assert run([known, known], active_by="none").active[0].all()


# ---- intervals and rows


@pytest.mark.parametrize("relation", ["lasso", "spearman"])
def test_intervals_are_as_wide_as_the_spread_over_samples(relation):
    big = population(3, rows=20_000)
    rng = np.random.default_rng(0)
    samples = [udr(big, rng=rng, num_points=200, relation=relation).scores for _ in range(60)]
    result = run(big, num_points=200, relation=relation, intervals=True)
    assert (result.low < result.scores).all()
    assert (result.scores < result.high).all()
    width = (result.high - result.low) / (2 * 2.093)
    assert np.mean(width) == pytest.approx(np.std(samples, axis=0).mean(), rel=0.4)


def test_codes_are_scored_on_their_test_rows():
    codes = [perfect_codes(), dataclasses.replace(perfect_codes(), z=duplicated_codes().z)]
    result = run(codes, num_points=10_000)
    assert result.num == int(np.sum(codes[0].split == 2))
    assert result.scores == pytest.approx(run([one.rows("test").z for one in codes]).scores)


def test_the_same_generator_gives_the_same_rows():
    codes = population(3, rows=500)
    assert (run(codes, num_points=100).pairwise == run(codes, num_points=100).pairwise).all()
    other = udr(codes, rng=np.random.default_rng(1), num_points=100)
    assert (run(codes, num_points=100).pairwise != other.pairwise).any()


# ---- mistakes

Z = np.random.default_rng(0).normal(size=(100, 3))


@pytest.mark.parametrize(
    ("codes", "options", "message"),
    [
        ([Z], {}, "two models or more, not of 1"),
        ([], {}, "two models or more, not of 0"),
        ([Z, Z[:90]], {}, "codes 2 of 2 have 90 rows, the first 100"),
        ([Z[:30], Z[:30]], {}, "codes 1 of 2 have 30 .*at least 40"),
        ([Z, np.where(Z[7, 1] == Z, np.nan, Z)], {}, "codes 2 of 2: row 7 of the codes holds NaN"),
        ([Z, np.ones_like(Z)], {}, "codes 2 of 2 are the same in every row"),
        ([Z, 0.1 * np.ones_like(Z)], {"active_by": "none"}, "codes 2 of 2 are the same in every row"),
        ([Z, Z[:, 0]], {}, "codes 2 of 2 must be rows by dimensions"),
        ([Z, Z[:, :0]], {}, "codes 2 of 2 must be rows by dimensions"),
        ([Z, Z], {"active_by": "kl"}, "needs a KL"),
        ([Z, Z], {"kl": [np.ones(3)] * 2, "active_by": "variance"}, "kl is given, but .* by 'variance'"),
        ([Z, Z], {"kl": [np.ones(3)]}, "kl is given for 1 models, codes for 2"),
        ([Z, Z], {"kl": [np.ones(3), np.ones(4)]}, "kl 2 of 2 must hold 3 finite numbers"),
        ([Z, Z], {"kl": [np.full(3, np.nan), np.ones(3)]}, "kl 1 of 2 must hold 3 finite numbers"),
        ([Z, Z], {"threshold": -1.0}, "threshold must be at least 0"),
        ([Z, Z], {"num_points": 10}, "num_points must be at least 40"),
    ],
)
def test_mistakes_are_named(codes, options, message):
    with pytest.raises(UserError, match=message):
        run(codes, **options)


@pytest.mark.parametrize("option", ["relation", "weights", "active_by"])
def test_unknown_options_are_named(option):
    options = {"active_by": None, "relation": "lasso", "weights": "equal", option: "oracle"}
    with pytest.raises(UserError, match=f"{option} is one of .*, not 'oracle'"):
        _check_options(2, threshold=0.01, num_points=1000, **options)


def test_codes_of_other_rows_are_refused():
    codes = perfect_codes()
    other = dataclasses.replace(codes, columns={**codes.columns, "shape": codes.columns["shape"][::-1]})
    with pytest.raises(DataError, match="codes 2 of 2 are of other rows than the first"):
        run([codes, other])
    with pytest.raises(DataError, match="codes 2 of 2 are of other rows"):
        run([codes, dataclasses.replace(codes, split=codes.split[::-1])])


def test_rows_that_fill_no_batch_are_refused():
    with pytest.raises(UserError, match="25 rows do not fill batches of 10"):
        surrogate_kl(np.zeros((25, 2)), np.zeros((25, 2)))
