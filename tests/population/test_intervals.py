"""Surrogate labels cut into intervals, against the values of the published code and against plain loops."""

import itertools
from pathlib import Path

import numpy as np
import pytest

from unbraid.errors import UserError
from unbraid.population.intervals import LEAST_ROWS, large_gaps, rank, reduce, split

GOLDEN = np.load(Path(__file__).parents[1] / "golden" / "reduce_inputs.npz")


def reduced(names: str, **options) -> np.ndarray | None:
    return reduce(np.stack([GOLDEN[name] for name in names.split("+")], axis=1), **options).rows


@pytest.mark.parametrize(
    ("names", "options", "num", "total", "first"),
    [
        ("a", {}, 600, 539117, [316, 1103, 1171, 685, 1067]),
        ("a", {"choice": 1}, 600, 1259436, [1584, 2059, 1922, 2242, 2222]),
        ("a", {"choice": 2}, 600, 899015, [899, 1555, 1703, 1736, 1440]),
        ("a", {"choice": 2, "first": False}, 600, 539117, [316, 1103, 1171, 685, 1067]),
        ("a", {"side_cutoff": 0.1}, 480, 430415, [1082, 1048, 1013, 725, 729]),
        ("a+b", {}, 150, 101175, [600, 601, 602, 603, 604]),
        ("a+b", {"choice": 1}, 150, 191175, [1200, 1201, 1202, 1203, 1204]),
        ("a+b", {"choice": 4}, 150, 236038, [1447, 1500, 1501, 1502, 1503]),
        ("c1", {}, 1199, 718499, [385, 585, 829, 286, 35]),
        ("c1", {"choice": 1}, 1799, 3774612, [901, 1458, 1852, 1534, 1251]),
        ("c1", {"choice": 1, "first": False}, 1199, 718499, [385, 585, 829, 286, 35]),
        ("c1+a", {}, 599, 538216, [316, 600, 601, 602, 603]),
        ("noise", {}, 2382, 3574508, [1899, 1708, 2954, 186, 1016]),
        ("a+noise", {}, 39, 57773, [1234, 1249, 1275, 1292, 1304]),
    ],
)
def test_published_rows(names: str, options: dict, num: int, total: int, first: list[int]) -> None:
    rows = reduced(names, **options)
    assert (len(rows), rows.sum(), rows[:5].tolist()) == (num, total, first)


@pytest.mark.parametrize(
    ("names", "choice", "reason"),
    [("a", 3, "choice 3 of 3 interval(s) only"), ("c1", 2, "of 2 interval(s)"), ("a+b", 30, "of 12 combination(s)")],
)
def test_choices_that_are_not_there(names: str, choice: int, reason: str) -> None:
    found = reduce(np.stack([GOLDEN[name] for name in names.split("+")], axis=1), choice=choice)
    assert found.rows is None
    assert reason in found.reason


def test_published_ranks() -> None:
    assert rank(np.array([1.0, 5.0, 2.0, 4.0]), np.array([0.5, 0.2, 0.4])).tolist() == [1, 2, 0]


def values(num: int, kinds: int = 4) -> np.ndarray:
    """Clusters around 0, 1, 2, ..."""
    return np.arange(num) * kinds // num + np.random.RandomState(0).normal(0, 0.01, num)


def test_small_sets() -> None:
    assert "51 are needed" in reduce(values(40)[:, None]).reason
    assert len(reduce(values(60)[:, None]).rows) == 15
    assert len(reduce(values(40)[:, None], fidelity="fixed").rows) == 10
    assert "20 are needed" in reduce(values(12)[:, None], fidelity="fixed").reason


def test_fixed_intervals_are_the_clusters() -> None:
    """Published ones begin with the last row of the interval below, and lack the outermost values."""
    label = GOLDEN["a"]
    exact = split(label, alone=True, fidelity="fixed")
    assert {frozenset(GOLDEN["fA"][exact.rows(i)]) for i in range(5)} == {frozenset([value]) for value in range(5)}
    assert sum(len(exact.rows(i)) for i in range(5)) == len(label)
    published = split(label, alone=True)
    assert len(published) == 3
    assert [len(np.unique(GOLDEN["fA"][published.rows(i)])) for i in range(3)] == [2, 2, 2]


def test_fixed_cells_are_the_combinations() -> None:
    labels = np.stack([GOLDEN["a"], GOLDEN["b"]], axis=1)
    cells = [reduce(labels, choice=choice, fidelity="fixed").rows for choice in range(20)]
    pairs = [set(zip(GOLDEN["fA"][rows].tolist(), GOLDEN["fB"][rows].tolist())) for rows in cells]
    assert all(len(pair) == 1 for pair in pairs)
    assert len(set.union(*pairs)) == 20
    assert reduce(labels, choice=20, fidelity="fixed").rows is None


@pytest.mark.parametrize("fidelity", ["published", "fixed"])
def test_cells_are_those_of_the_whole_product(fidelity: str) -> None:
    """The published enumeration by loops: every combination of at most five intervals, the first label's fastest."""
    rng = np.random.default_rng(3)
    labels = np.stack([rng.integers(0, kinds, 2000) + rng.normal(0, 0.02, 2000) for kinds in (3, 7, 2)], axis=1)
    cuts = [split(label, alone=False, fidelity=fidelity) for label in labels.T]
    most = 5 if fidelity == "published" else 99
    sets = [[set(cut.rows(i).tolist()) for i in range(min(len(cut), most))] for cut in cuts]
    cells = [set.intersection(*one[::-1]) for one in itertools.product(*sets[::-1])]
    cells = [cell for cell in cells if len(cell) > 5]
    middle = np.median([len(cell) for cell in cells])
    cells = [cell for cell in sorted(cells, key=lambda cell: abs(len(cell) - middle)) if len(cell) >= LEAST_ROWS]
    assert len(cells) > 10
    for choice in (0, 1, 5, 9):
        assert reduce(labels, choice=choice, fidelity=fidelity).rows.tolist() == sorted(cells[choice])


def test_ten_labels_of_five_values_are_no_explosion() -> None:
    rng = np.random.default_rng(0)
    kinds = np.repeat(rng.integers(0, 5, (20, 10)), 50, axis=0)
    found = reduce(kinds + rng.normal(0, 0.01, kinds.shape), fidelity="fixed")
    assert len(found.rows) == 50


def test_a_label_without_gaps_fails_all() -> None:
    even = np.arange(3000) / 3000
    assert not len(split(even, alone=True))
    assert "label 2 of 2 has no gap" in reduce(np.stack([GOLDEN["a"], even], axis=1)).reason
    assert "no gap" in reduce(np.zeros((100, 1))).reason
    assert reduce(np.zeros((100, 0))).reason == "no dimension has learned a factor"


def test_everything_explained() -> None:
    """Six factors of 200 rows: no combination is left with six of them."""
    rng = np.random.default_rng(0)
    kinds = rng.integers(0, 4, (200, 6))
    assert "explain the whole" in reduce(kinds + rng.normal(0, 0.001, kinds.shape)).reason


def test_gaps_against_loops() -> None:
    gaps = np.diff(np.sort(GOLDEN["noise"]))
    outer = (len(GOLDEN["noise"]) - 1) // 15
    inner = gaps[outer:-outer]
    least = np.median(inner) + 7 * inner[inner < np.median(inner) + 4 * inner.std()].std()
    tops = [i for i in range(1, len(inner) - 1) if inner[i - 1] < inner[i] > inner[i + 1] and inner[i] >= least]
    kept: list[int] = []
    for top in sorted(tops, key=lambda i: -inner[i]):
        if all(abs(top - other) >= (len(gaps)) // 50 for other in kept):
            kept.append(top)
    assert large_gaps(gaps).tolist() == [top + outer for top in sorted(kept)]


@pytest.mark.parametrize(("num", "kinds"), [(40, 5), (60, 5), (500, 2), (3000, 8)])
def test_fixed_gaps_of_clusters(num: int, kinds: int) -> None:
    """Published rules find none where a sixteenth of the gaps are large."""
    gaps = np.diff(np.sort(np.arange(num) * kinds // num + np.random.RandomState(1).normal(0, 0.05, num)))
    assert len(large_gaps(gaps, "fixed")) == kinds - 1
    assert len(large_gaps(gaps)) == (0 if num < 100 else kinds - 1)


@pytest.mark.parametrize(("num", "kinds"), [(3000, 16), (3200, 32), (8000, 40), (3000, 100), (700, 32)])
def test_fixed_gaps_of_many_values(num: int, kinds: int) -> None:
    """Published rules see no gap among the outer fifteenths of the rows, nor two within a fiftieth of them."""
    value = np.arange(num) * kinds // num
    gaps = np.diff(np.sort(value + np.random.RandomState(1).normal(0, 0.03, num)))
    assert large_gaps(gaps, "fixed").tolist() == np.flatnonzero(np.diff(value)).tolist()
    assert len(large_gaps(gaps)) < kinds - 1


def test_fixed_gaps_around_rare_values() -> None:
    value = np.repeat(np.arange(7), [12, 60, 150, 300, 600, 900, 978])
    label = value + np.random.RandomState(2).normal(0, 0.05, len(value))
    assert large_gaps(np.diff(np.sort(label)), "fixed").tolist() == np.flatnonzero(np.diff(value)).tolist()


def test_a_few_rows_apart_from_all_others_are_no_value() -> None:
    label = np.concatenate([values(600), [-9.0, 9.0, 9.01, 9.02]])
    cut = split(label, alone=True, fidelity="fixed")
    assert sorted(len(cut.rows(i)) for i in range(len(cut))) == [150, 150, 151, 153]


@pytest.mark.parametrize("shape", ["normal", "uniform", "exponential", "cauchy"])
def test_fixed_gaps_of_noise(shape: str) -> None:
    """Tails are sparse, and the gaps in them no larger than their like."""
    random = np.random.RandomState(0)
    draw = {"cauchy": random.standard_cauchy}.get(shape) or getattr(random, shape)
    found = [len(large_gaps(np.diff(np.sort(draw(size=num))), "fixed")) for num in (100, 300, 3000) for _ in range(20)]
    assert np.mean(np.array(found) > 0) <= 0.05


def test_noise_has_gaps_as_published_only() -> None:
    gaps = np.diff(np.sort(GOLDEN["noise"]))
    assert large_gaps(gaps).tolist() == [219, 392, 2774]
    assert not len(large_gaps(gaps, "fixed"))


@pytest.mark.parametrize("options", [{"choice": -1}, {"side_cutoff": 0.5}])
def test_wrong_options(options: dict) -> None:
    with pytest.raises(UserError, match="at least 0"):
        reduce(GOLDEN["a"][:, None], **options)
