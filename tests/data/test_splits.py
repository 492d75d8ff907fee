import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unbraid.data.splits import TEST, TRAIN, VALIDATION, split_rows
from unbraid.errors import UserError


@given(
    sizes=st.lists(st.integers(1, 40), min_size=1, max_size=8),
    test=st.floats(0.05, 0.4),
    validation=st.sampled_from([0.0, 0.1]),
    seed=st.integers(0, 99),
)
def test_strata_get_their_share(sizes, test, validation, seed):
    strata = np.repeat(np.arange(len(sizes)), sizes)
    if len(strata) < 3:
        return
    split = split_rows(len(strata), np.random.default_rng(seed), test=test, validation=validation, strata=strata)
    assert (split == TEST).any()
    for stratum, size in enumerate(sizes):
        held_out = np.sum(split[strata == stratum] != TRAIN)
        if size > 1:
            assert held_out < size
            assert abs(held_out - size * (test + validation)) <= 1


def test_shares_of_a_large_set_are_exact():
    split = split_rows(1000, np.random.default_rng(0), test=0.2, validation=0.1)
    assert np.bincount(split).tolist() == [700, 100, 200]


def test_rows_of_one_go_to_every_split_at_random():
    split = split_rows(100, np.random.default_rng(0), strata=np.arange(100))
    assert np.sum(split == TEST) == 20


def test_groups_stay_together():
    groups = np.random.default_rng(0).integers(20, size=200)
    split = split_rows(200, np.random.default_rng(1), test=0.2, validation=0.2, groups=groups, strata=groups % 2)
    parts = [set(groups[split == part].tolist()) for part in (TRAIN, VALIDATION, TEST)]
    assert sum(map(len, parts)) == 20
    assert [len(part) for part in parts] == [12, 4, 4]


@pytest.mark.parametrize(
    "arguments", [{"test": 0.0}, {"test": 1.0}, {"test": 0.6, "validation": 0.5}, {"groups": np.zeros(10, dtype=int)}]
)
def test_impossible_splits(arguments):
    with pytest.raises(UserError):
        split_rows(10, np.random.default_rng(0), **arguments)
