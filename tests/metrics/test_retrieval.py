"""Retrieval against loops and pytorch-metric-learning."""

import dataclasses

import numpy as np
import pytest
from fakes import noise_codes, perfect_codes
from hypothesis import given, settings
from hypothesis import strategies as st

from unbraid.errors import UserError
from unbraid.metrics import score
from unbraid.metrics.retrieval import _Pool, retrieval
from unbraid.tables import Codes

GALLERIES = ["all", "other_domains", "same_domain"]


def run(codes: Codes, **options) -> dict:
    return {(one.column, one.variant): one for one in retrieval(codes, np.random.default_rng(0), **options)}


def unit(z: np.ndarray) -> np.ndarray:
    return z / np.linalg.norm(z, axis=1, keepdims=True)


def is_same(codes: Codes, name: str, a: int, b: int, margin: int) -> bool:
    distance = abs(int(codes.columns[name][a]) - int(codes.columns[name][b]))
    if name in codes.spec.circular:
        distance = min(distance, codes.spec.sizes[name] - distance)
    return distance <= margin


def loop(codes: Codes, names: list[str], gallery: str, margins: dict, k: int) -> tuple[float, float, int]:
    """Score, chance and number of queries, query by query."""
    domain, z = codes.columns["domain"], unit(codes.z)
    hits, chances = [], []
    for query in np.flatnonzero(codes.split == 2):
        rows = [
            row
            for row in np.flatnonzero(codes.split != 1)
            if row != query and (gallery == "all" or (domain[row] == domain[query]) == (gallery == "same_domain"))
        ]
        same = [all(is_same(codes, name, query, row, margins.get(name, 0)) for name in names) for row in rows]
        nearest = np.argsort([np.linalg.norm(z[query] - z[row]) for row in rows])[:k]
        hits.append(np.mean([same[place] for place in nearest]))
        chances.append(np.mean(same))
    return float(np.mean(hits)), float(np.mean(chances)), len(hits)


def small_codes() -> Codes:
    codes, rng = noise_codes(), np.random.default_rng(5)
    codes = codes.take(rng.permutation(960)[:120])
    return dataclasses.replace(codes, split=rng.choice([0, 1, 2], 120).astype(np.uint8))


@pytest.mark.parametrize("gallery", GALLERIES)
@pytest.mark.parametrize(("k", "margins"), [(1, {}), (3, {"pose": 1}), (2, {"pose": 2, "shape": 1})])
def test_score_and_chance_are_those_of_a_loop(gallery, k, margins):
    codes = small_codes()
    scores = run(codes, k=k, galleries=[gallery], margins=margins)
    for column, names in {"shape": ["shape"], "pose": ["pose"], "": ["shape", "pose"]}.items():
        one = scores[column, f"top-{k}, {gallery.replace('_', ' ')}"]
        value, chance, num = loop(codes, names, gallery, margins, k)
        if chance == 1:  # the margin lets every value pass
            assert one.value is None
        else:
            assert (one.value, one.chance, one.num) == pytest.approx((value, chance, num))
            assert one.over == (() if column else ("shape", "pose"))


@pytest.mark.parametrize("gallery", GALLERIES)
def test_error_and_chance_of_a_target_are_those_of_a_loop(gallery):
    codes = small_codes()
    age, domain = codes.columns["age"].astype(float), codes.columns["domain"]
    z = unit(codes.z)
    errors, chances = [], []
    for query in np.flatnonzero(codes.split == 2):
        others = [row for row in np.flatnonzero(codes.split != 1) if row != query]
        if gallery != "all":
            others = [row for row in others if (domain[row] == domain[query]) == (gallery == "same_domain")]
        nearest = sorted(others, key=lambda row: np.linalg.norm(z[query] - z[row]))[:2]
        errors.append(np.mean([abs(age[row] - age[query]) for row in nearest]))
        chances.append(np.mean([abs(age[row] - age[query]) for row in others]))
    one = run(codes, k=2, galleries=[gallery])["age", f"top-2 mean absolute error, {gallery.replace('_', ' ')}"]
    assert (one.value, one.chance) == pytest.approx((np.mean(errors), np.mean(chances)))
    assert not one.higher_is_better


def measured_by_pytorch_metric_learning(codes: Codes, column: str, k: int | None) -> dict:
    torch = pytest.importorskip("torch")
    accuracy = pytest.importorskip("pytorch_metric_learning.utils.accuracy_calculator")
    inference = pytest.importorskip("pytorch_metric_learning.utils.inference")
    distances = pytest.importorskip("pytorch_metric_learning.distances")
    names = ("precision_at_1", "r_precision", "mean_average_precision_at_r")
    nearest = inference.CustomKNN(distances.CosineSimilarity())
    calculator = accuracy.AccuracyCalculator(include=names, k=k, knn_func=nearest)
    return calculator.get_accuracy(torch.tensor(codes.z), torch.tensor(codes.columns[column]))


@pytest.mark.parametrize("make", [perfect_codes, noise_codes])
@pytest.mark.parametrize("column", ["shape", "pose"])
def test_precision_and_r_precision_of_pytorch_metric_learning(make, column):
    codes = make()
    codes = dataclasses.replace(codes, split=np.full(960, 2, dtype=np.uint8))  # every row a query
    found, truth = run(codes, r_precision=True), measured_by_pytorch_metric_learning(codes, column, None)
    assert found[column, "top-1, all"].value == pytest.approx(truth["precision_at_1"])
    assert found[column, "R-precision, all"].value == pytest.approx(truth["r_precision"], abs=1e-5)
    assert found[column, "MAP@R, all"].value == pytest.approx(truth["mean_average_precision_at_r"], abs=1e-5)


@pytest.mark.parametrize("gallery", GALLERIES)
def test_chance_of_map_at_r_is_the_mean_over_random_orders(gallery):
    codes = small_codes()
    variant = f"MAP@R, {gallery.replace('_', ' ')}"
    orders = []
    for seed in range(40):
        z = np.random.default_rng(seed).normal(size=(120, 30)).astype(np.float32)
        orders.append(run(dataclasses.replace(codes, z=z), galleries=[gallery], r_precision=True)["pose", variant])
    values = np.array([one.value for one in orders])
    assert abs(values.mean() - orders[0].chance) < 4 * values.std() / 40**0.5


def test_recorded_azimuth_matches():
    pairs = [(0, 17), (0, 16), (0, 2), (0, 3), (1, 16), (9, 0)]
    codes = perfect_codes()
    spec = dataclasses.replace(codes.spec, sizes={**codes.spec.sizes, "pose": 18})
    codes = dataclasses.replace(codes, spec=spec, columns={**codes.columns, "pose": np.arange(960) % 18})
    pool = _Pool(codes, np.arange(960), "all", {"pose": 2}, "")
    a, b = np.array(pairs).T
    assert pool.matches(("pose",), a, b[:, None])[:, 0].tolist() == [True, True, True, False, False, False]


def test_missing_values_are_left_out_of_their_column_alone():
    codes, rng = noise_codes(), np.random.default_rng(0)
    lost = rng.choice(960, 200, replace=False)
    pose = codes.columns["pose"].copy()
    pose[lost] = -1
    holed = run(dataclasses.replace(codes, columns={**codes.columns, "pose": pose}))
    rest = run(codes.take(np.setdiff1d(np.arange(960), lost)))
    for gallery in ("all", "other domains"):
        key = f"top-1, {gallery}"
        for column, expected in {"shape": run(codes), "pose": rest, "": rest}.items():
            one, other = holed[column, key], expected[column, key]
            assert (one.value, one.chance, one.num) == pytest.approx((other.value, other.chance, other.num))
    assert "for a missing value: " in holed["pose", "top-1, all"].note


def test_a_missing_domain_matters_to_its_galleries_alone():
    codes = noise_codes()
    domain = codes.columns["domain"].copy()
    domain[3] = -1  # a test row
    found = run(dataclasses.replace(codes, columns={**codes.columns, "domain": domain}))
    assert found["shape", "top-1, all"].num == 240
    assert found["shape", "top-1, other domains"].num == 239


def test_published_removal_by_rank_lets_a_query_find_itself():
    codes = noise_codes()
    test, train = np.flatnonzero(codes.split == 2), np.flatnonzero(codes.split == 0)[:240]
    z, shape = codes.z.copy(), codes.columns["shape"].copy()
    z[train] = z[test]  # each query has one copy, of another shape
    shape[train] = (shape[test] + 1) % 3
    codes = dataclasses.replace(codes, z=z, columns={**codes.columns, "shape": shape})
    assert run(codes)["shape", "top-1, all"].value == 0
    found = run(codes, as_published=True)
    rows = np.argsort(-(unit(z[test]) @ unit(z).T), axis=1, kind="stable")[:, 1]
    assert np.isin(rows, [*test, *train]).all()
    assert found["shape", "top-1, all, as published"].value > 0.1  # the copy goes first in part of the queries
    assert ("shape", "top-1, other domains") in found


def test_published_removal_is_the_same_without_copies():
    codes = noise_codes()
    published, corrected = run(codes, as_published=True), run(codes)
    for column in ("shape", "pose", "", "age"):
        name = "top-1 mean absolute error, all" if column == "age" else "top-1, all"
        assert published[column, f"{name}, as published"].value == corrected[column, name].value


def test_a_domain_of_one_row_is_left_out_and_noted():
    codes = perfect_codes()
    few = dataclasses.replace(codes, columns={**codes.columns, "domain": np.where(np.arange(960) == 3, 3, 0)})
    same = run(few, galleries=["same_domain"], k=2)["shape", "top-2, same domain"]
    assert (same.num, same.note) == (239, "test rows left out for fewer than 2 rows to choose from: 1")
    other = run(few, galleries=["other_domains"], k=2)["shape", "top-2, other domains"]
    assert other.num == 1  # the others have that one row to choose from
    assert other.high - other.low > 0.5


def test_a_value_per_row_is_not_asked_for():
    """Nothing can match: 0 would look like a code that knows nothing."""
    codes = perfect_codes()
    spec = dataclasses.replace(codes.spec, sizes={**codes.spec.sizes, "shape": 960}, factors=("shape",))
    alone = dataclasses.replace(codes, spec=spec, columns={**codes.columns, "shape": np.arange(960)})
    for variant in ("top-1, all", "top-1, other domains"):
        one = run(alone)["shape", variant]
        assert (one.value, one.note) == (None, "no row to choose from has the query's value")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda codes: {"z": np.zeros_like(codes.z)}, "every row has the same code"),
        (lambda codes: {"z": codes.z * (codes.split == 0)[:, None]}, "an all-zero code: 240"),
        (lambda codes: {"columns": {**codes.columns, "shape": np.full(960, 1)}}, "has the query's value"),
        (lambda codes: {"split": np.zeros(960, dtype=np.uint8)}, "no test row"),
    ],
)
def test_undefined_scores_say_why(change, reason):
    codes = noise_codes()
    one = run(dataclasses.replace(codes, **change(codes)), r_precision=True)["shape", "R-precision, all"]
    assert one.value is None
    assert reason in one.note


def test_more_neighbours_than_rows():
    one = run(noise_codes(), k=960)["shape", "top-960, all"]
    assert one.value is None
    assert "fewer than 960 rows to choose from: 240" in one.note
    assert run(noise_codes(), k=959)["shape", "top-959, all"].value == pytest.approx(319 / 959)


def test_a_value_that_nothing_matches_has_no_r_precision():
    codes = noise_codes()
    shape = codes.columns["shape"] % 2
    shape[3] = 2  # one test row
    found = run(dataclasses.replace(codes, columns={**codes.columns, "shape": shape}), r_precision=True)
    assert (found["shape", "top-1, all"].num, found["shape", "R-precision, all"].num) == (240, 239)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10**6), k=st.integers(1, 4), gallery=st.sampled_from(GALLERIES))
def test_order_sign_scale_and_names_do_not_matter(seed, k, gallery):
    codes, rng = small_codes(), np.random.default_rng(seed)
    order, rename = rng.permutation(120), rng.permutation(3)
    sign = rng.choice(np.float32([-1, 1]), (1, 4)) * rng.uniform(1, 2, (120, 1)).astype(np.float32)
    changed = dataclasses.replace(codes, z=(codes.z * sign)[:, rng.permutation(4)]).take(order)
    changed = dataclasses.replace(changed, columns={**changed.columns, "shape": rename[changed.columns["shape"]]})
    options = {"k": k, "galleries": [gallery], "r_precision": True}
    before, after = run(codes, **options), run(changed, **options)
    for key, one in before.items():
        assert (one.value, one.chance) == pytest.approx((after[key].value, after[key].chance), abs=1e-6)


def test_no_other_domain():
    codes = perfect_codes()
    codes = dataclasses.replace(codes, spec=dataclasses.replace(codes.spec, domain=None, factors=("shape",)))
    assert [one.variant for one in score(codes, ["retrieval"])] == ["top-1, all", "top-1 mean absolute error, all"]
    with pytest.raises(UserError, match="'other_domains' needs a domain"):
        run(codes, galleries=["other_domains"])


def test_a_margin_for_an_unknown_factor():
    with pytest.raises(UserError, match=r"'poses', no content factor\. Did you mean 'pose'"):
        run(perfect_codes(), margins={"poses": 1})


@pytest.mark.parametrize(
    ("options", "message"),
    [({"k": 0}, "at least 1, not 0"), ({"galleries": ["others"]}, r"unknown gallery 'others'\. Did you mean")],
)
def test_bad_options(options, message):
    with pytest.raises(UserError, match=message):
        run(perfect_codes(), **options)


def test_a_target_of_one_value_has_no_score():
    codes = noise_codes()
    codes = dataclasses.replace(codes, columns={**codes.columns, "age": np.full(960, 0.1, dtype=np.float32)})
    assert [one.value for (column, _), one in run(codes, galleries=GALLERIES).items() if column == "age"] == [None] * 3
