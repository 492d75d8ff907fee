"""Collapse: effective rank, dead dimensions, uniformity and alignment against loops over pairs and closed forms."""

import dataclasses
from itertools import permutations

import numpy as np
import pytest
from fakes import duplicated_codes, leaky_codes, noise_codes, perfect_codes
from hypothesis import given, settings
from hypothesis import strategies as st

from unbraid.errors import UserError
from unbraid.metrics import collapse
from unbraid.metrics.collapse import alignment, dead_dimensions, effective_rank, pair_sums, potentials, uniformity
from unbraid.records import Score
from unbraid.tables import Codes

METRICS = (effective_rank, dead_dimensions, uniformity, alignment)

every_metric = pytest.mark.parametrize("metric", METRICS)


def scored(metric, codes: Codes, **options) -> list[Score]:
    return metric(codes, np.random.default_rng(0), **options)


def with_codes(z: np.ndarray) -> Codes:
    """These codes, all of test rows."""
    codes = perfect_codes().take(np.arange(len(z)))
    return dataclasses.replace(codes, z=z.astype(np.float32), split=np.full(len(z), 2, dtype=np.uint8))


def without_domain(codes: Codes) -> Codes:
    return dataclasses.replace(codes, spec=dataclasses.replace(codes.spec, domain=None, factors=("shape", "pose")))


def normal(rows: int, dimensions: int) -> np.ndarray:
    return np.random.default_rng(5).normal(size=(rows, dimensions))


def test_effective_rank_is_the_published_formula():
    z = normal(300, 6) * np.array([1, 1, 2, 3, 0.1, 0]) + 7
    singular = np.linalg.svd(z - z.mean(axis=0), compute_uv=False)
    share = singular[singular > 1e-9] / singular.sum()
    (one,) = scored(effective_rank, with_codes(z))
    assert one.value == pytest.approx(np.exp(-np.sum(share * np.log(share))), rel=1e-4)
    assert one.low <= one.value <= one.high
    assert one.note == "of 6 dimensions"


@pytest.mark.parametrize(("dimensions", "expected"), [(1, 1.0), (3, 3.0)])
def test_effective_rank_counts_equal_directions(dimensions, expected):
    """Orthogonal columns of one length, repeated: the copies add nothing."""
    columns = np.linalg.qr(normal(960, dimensions) - normal(960, dimensions).mean(axis=0))[0]
    (one,) = scored(effective_rank, with_codes(np.tile(columns, 2)))
    assert one.value == pytest.approx(expected, rel=1e-4)


def test_few_rows_bound_the_effective_rank():
    (one,) = scored(effective_rank, with_codes(normal(30, 40)))
    assert one.value < 29
    assert one.note == "of 40 dimensions, but 30 rows only"


def test_dead_dimensions_are_counted():
    z = normal(960, 5) * np.array([1, 0.5, 0.05, 0, 3])
    (one,) = scored(dead_dimensions, with_codes(z))
    assert (one.value, one.note, one.variant) == (0.4, "2 of 5 dimensions", "at most 0.1 of the largest")
    assert scored(dead_dimensions, with_codes(z), threshold=0.01)[0].value == 0.2
    assert (one.low, one.high) == pytest.approx((0.4, 0.4))


@pytest.mark.parametrize("threshold", [0.0, 1.0, -2.0])
def test_a_threshold_that_is_no_share_is_refused(threshold):
    with pytest.raises(UserError, match="the threshold of a dead dimension is a share of the largest"):
        dead_dimensions(noise_codes(), np.random.default_rng(0), threshold=threshold)


def unit(codes: Codes) -> np.ndarray:
    return codes.z / np.linalg.norm(codes.z.astype(np.float64), axis=1, keepdims=True)


def test_uniformity_and_alignment_are_those_of_a_loop_over_pairs():
    codes = dataclasses.replace(perfect_codes(), z=perfect_codes().z + noise_codes().z)
    test, u = codes.rows("test"), unit(codes.rows("test"))
    domain, content = test.columns["domain"], list(zip(test.columns["shape"], test.columns["pose"]))
    pairs = list(permutations(range(len(u)), 2))
    distance = {(i, j): np.sum((u[i] - u[j]) ** 2) for i, j in pairs}
    everywhere, within = scored(uniformity, codes)
    assert everywhere.value == pytest.approx(np.log(np.mean([np.exp(-2 * distance[p]) for p in pairs])), rel=1e-4)
    same_domain = [(i, j) for i, j in pairs if domain[i] == domain[j]]
    assert within.value == pytest.approx(np.log(np.mean([np.exp(-2 * distance[p]) for p in same_domain])), rel=1e-4)
    (one,) = scored(alignment, codes)
    across = [(i, j) for i, j in pairs if content[i] == content[j] and domain[i] != domain[j]]
    assert one.value == pytest.approx(np.mean([distance[p] for p in across]), rel=1e-4)
    assert one.chance == pytest.approx(np.mean([*distance.values()]), rel=1e-4)
    (one,) = scored(alignment, without_domain(codes))
    alike = [(i, j) for i, j in pairs if content[i] == content[j]]
    assert one.value == pytest.approx(np.mean([distance[p] for p in alike]), rel=1e-4)


@settings(max_examples=20)
@given(st.integers(0, 2**32 - 1))
def test_sums_over_pairs_are_those_of_loops(seed):
    generator = np.random.default_rng(seed)
    u = generator.normal(size=(30, 3))
    u /= np.linalg.norm(u, axis=1, keepdims=True)
    same, apart, groups = (
        generator.integers(4, size=30),
        generator.integers(3, size=30),
        generator.integers(20, size=30),
    )
    cosine, number = pair_sums(u, same, apart)
    potential, table = potentials(u, groups), np.zeros((20, 20))
    for i in range(30):
        partners = [j for j in range(30) if same[i] == same[j] and apart[i] != apart[j]]
        assert number[i] == len(partners)
        assert cosine[i] == pytest.approx(sum(u[i] @ u[j] for j in partners), abs=1e-9)
        for j in range(30):
            table[groups[i], groups[j]] += (i != j) * np.exp(-2 * np.sum((u[i] - u[j]) ** 2))
    assert potential == pytest.approx(table, abs=1e-4)


def test_groups_are_left_out_as_by_hand(monkeypatch):
    """The replicates of the jackknife are the scores of the other rows."""
    taken = []
    monkeypatch.setattr(collapse, "jackknife", lambda value, without: taken.append(without) or (value, value))
    codes = dataclasses.replace(perfect_codes(), z=perfect_codes().z + noise_codes().z).rows("test")
    scored(uniformity, codes)
    scored(alignment, codes)
    order = np.random.default_rng(0).permutation(240)
    fewer = codes.take(order[np.arange(240) % 20 != 4])
    assert taken[0][4] == pytest.approx(scored(uniformity, fewer)[0].value, abs=1e-5)
    fewer = codes.take(np.delete(order, np.arange(4 * 12, 5 * 12)))
    assert taken[2][4] == pytest.approx(scored(alignment, fewer)[0].value)


def test_noise_is_as_even_as_can_be_and_not_aligned():
    codes = with_codes(normal(960, 8))
    for one in scored(uniformity, codes):
        assert one.value == pytest.approx(one.chance, abs=0.03)
        assert one.low <= one.value <= one.high
    (one,) = scored(alignment, codes)
    assert one.value == pytest.approx(one.chance, abs=0.05)
    assert one.chance == pytest.approx(2, abs=0.02)


def test_chance_of_the_uniformity_is_that_of_the_even_distribution():
    """On the circle the average over angles; in one dimension the two points."""
    angle = np.linspace(0, 2 * np.pi, 10001)[:-1]
    circle = np.log(np.mean(np.exp(4 * np.cos(angle) - 4)))
    assert scored(uniformity, with_codes(normal(300, 2)))[0].chance == pytest.approx(circle)
    assert scored(uniformity, with_codes(normal(300, 1)))[0].chance == pytest.approx(np.log((1 + np.exp(-8)) / 2))


def test_perfect_codes_are_aligned_and_leaky_ones_are_not():
    (perfect,), (leaky,) = scored(alignment, perfect_codes()), scored(alignment, leaky_codes())
    assert perfect.value < 0.02 < perfect.chance
    assert leaky.low > leaky.chance
    assert (perfect.over, perfect.variant) == (("shape", "pose"), "other domains")
    everywhere, within = scored(uniformity, leaky_codes())
    assert within.value > -0.05  # a point for each domain
    assert everywhere.value < -1


def test_many_rows_are_drawn_from(monkeypatch):
    codes = with_codes(normal(960, 4))
    exact = scored(uniformity, codes)
    monkeypatch.setattr(collapse, "_MAX_ROWS", 400)
    everywhere, within = scored(uniformity, codes)
    assert (everywhere.num, everywhere.note) == (400, "400 of 960 rows")
    assert (within.num, within.note) == (800, "800 of 960 rows")  # 200 of each domain
    assert [everywhere.value, within.value] == pytest.approx([one.value for one in exact], abs=0.05)


@settings(max_examples=5)
@given(st.integers(0, 2**32 - 1))
def test_order_sign_and_labels_do_not_matter(seed):
    generator, codes = np.random.default_rng(seed), duplicated_codes()
    codes = dataclasses.replace(codes, z=(codes.z + 0.2).astype(np.float32))
    other = codes.take(generator.permutation(960))
    z = other.z[:, generator.permutation(8)] * generator.choice([-1, 1], size=8).astype(np.float32)
    relabelled = {**other.columns, "pose": generator.permutation(5)[other.columns["pose"]]}
    other = dataclasses.replace(other, z=z, columns=relabelled)
    for metric in METRICS:
        before, after = scored(metric, codes), scored(metric, other)
        assert [one.value for one in after] == pytest.approx([one.value for one in before], rel=1e-4)


def test_rows_with_a_missing_domain_or_factor_are_left_out():
    codes = perfect_codes()
    missing = np.where(np.arange(960) < 480, -1, codes.columns["domain"])
    codes = dataclasses.replace(codes, columns={**codes.columns, "domain": missing})
    assert [one.num for one in scored(uniformity, codes)] == [240, 120]
    assert scored(alignment, codes)[0].num == 120


def test_a_collapsed_code():
    codes = with_codes(np.ones((960, 4)))
    for one in scored(uniformity, codes):
        assert one.low <= one.value <= one.high <= 0
        assert one.value == pytest.approx(0, abs=1e-5)
    (one,) = scored(dead_dimensions, codes)
    assert (one.value, one.low, one.high) == (1, 1, 1)
    for metric in (effective_rank, alignment):
        (one,) = scored(metric, codes)
        assert (one.value, one.note) == (None, "the code is the same for every test row")


@every_metric
@pytest.mark.parametrize(("rows", "note"), [(0, "no rows in the test split"), (19, "19 test rows are too few")])
def test_too_few_rows_have_no_value_but_a_reason(metric, rows, note):
    for one in scored(metric, with_codes(normal(rows, 3))):
        assert (one.value, one.note) == (None, note)


@pytest.mark.parametrize("metric", [uniformity, alignment])
def test_codes_without_a_direction_are_named(metric):
    z = normal(960, 3)
    z[:2] = 0
    for one in scored(metric, with_codes(z)):
        assert (one.value, one.note) == (None, "2 codes are zero and have no direction")


def test_pairs_that_do_not_exist_are_named():
    codes = with_codes(normal(960, 3))
    columns = {**codes.columns, "shape": np.arange(960)}
    (one,) = scored(alignment, dataclasses.replace(codes, columns=columns))
    assert (one.value, one.note) == (None, "too few pairs of test rows of the same content")
    columns = {**codes.columns, "domain": np.arange(960)}
    one = scored(uniformity, dataclasses.replace(codes, columns=columns))[1]
    assert (one.value, one.note) == (None, "too few pairs of rows of the same domain")
    spec = dataclasses.replace(codes.spec, factors=("domain",))
    (one,) = scored(alignment, dataclasses.replace(codes, spec=spec))
    assert (one.value, one.note) == (None, "there is no factor besides the domain")
