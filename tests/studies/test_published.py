"""The printed numbers: their shape, and what the paper itself says of them."""

import numpy as np
import pytest

from unbraid.augment import VIEWS
from unbraid.data import DATASETS, shapes3d, small_norb
from unbraid.methods import METHODS
from unbraid.studies import published
from unbraid.studies.published import INVARIANCE, PROBES, RETRIEVAL, SETS, published_set


@pytest.mark.parametrize("table", [*PROBES.values(), *RETRIEVAL.values()], ids=lambda table: table.title)
def test_tables_have_a_number_for_each_method_and_column(table):
    assert list(table.rows)[:6] == list(published.METHODS)
    assert set(table.rows) - set(METHODS) <= {published.OPTIMAL}
    for cells in table.rows.values():
        assert len(cells) == len(table.columns)
        assert all(0 <= float(cell.removeprefix("<")) <= 1 for cell in cells)


def test_columns_are_those_of_our_data_sets():
    assert set(PROBES) | set(RETRIEVAL) <= set(DATASETS)
    assert set(PROBES["shapes3d"].columns) == set(shapes3d.SIZES)
    assert set(PROBES["smallnorb"].columns) <= set(small_norb._VALUES)
    for name, table in PROBES.items():  # the domain is no attribute to retrieve
        assert (*table.columns[1:], "all") == RETRIEVAL[name].columns


def test_the_five_tables():
    assert [table.title for table in (*PROBES.values(), *RETRIEVAL.values())] == [f"Table {n}" for n in range(3, 8)]


def test_thirteen_transformations_of_three_sets():
    assert len(INVARIANCE) == 13
    assert set(INVARIANCE) < set(VIEWS)
    for numbers in INVARIANCE.values():
        assert np.shape(numbers) == (len(SETS) + 1, 2)


def test_means_are_means_with_the_blur_corrected():
    for name, numbers in INVARIANCE.items():
        *sets, mean = np.array(numbers)
        off = np.abs(np.mean(sets, axis=0) - mean)
        assert off[0] < 0.001
        assert off[1] < (0.0019 if name == "random-erasing" else 0.0005)
    *sets, mean = np.array(INVARIANCE["gaussian-blur"])
    np.testing.assert_allclose(np.sum(sets, axis=0), [0.315, 0.0378])
    assert "0.315 and 0.0378" in published.CORRECTION


def test_own_images_have_no_published_numbers_whatever_their_name():
    assert published_set("shapes3d:num_train=50000") == "shapes3d"
    assert published_set("photos/celeba") == ""
    assert published_set("cache/smallnorb_train.npz") == "smallnorb"
