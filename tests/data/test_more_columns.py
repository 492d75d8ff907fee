"""Columns from a table that names rows by number."""

import numpy as np
import pandas as pd
import pytest
from fake_training import tiny_dataset

from unbraid.data import load
from unbraid.data.more_columns import with_columns
from unbraid.data.options import DataOptions
from unbraid.errors import DataError

SPRITES = "sprites:size=8,scales=1,orientations=2,positions=2"


def table(path, **columns):
    pd.DataFrame(columns).to_csv(path / "more.csv", index=False)
    return path / "more.csv"


def test_new_columns_stand_beside_the_old_ones_in_any_order_of_lines(tmp_path):
    data, rows = tiny_dataset(), np.arange(96)[::-1]
    group = np.where(rows % 3 == 0, "aligned", "conflicting")
    more = table(tmp_path, row=rows, shape=data.columns["shape"][rows], group=group, sure=rows / 96 + 0.001)
    found = with_columns(data, more, np.arange(96), 96)
    assert found.spec.values["group"] == ("aligned", "conflicting")
    assert found.spec.sizes == {**data.spec.sizes, "group": 2}
    assert (found.columns["group"] == (np.arange(96) % 3 > 0)).all()
    np.testing.assert_allclose(found.columns["sure"], np.arange(96) / 96 + 0.001, rtol=1e-6)
    assert (found.spec.factors, found.spec.targets) == (data.spec.factors, data.spec.targets)
    np.testing.assert_array_equal(found.columns["shape"], data.columns["shape"])


def test_rows_that_the_table_leaves_out_are_missing(tmp_path):
    found = with_columns(tiny_dataset(), table(tmp_path, row=[3, 5], side=[0, 1]), np.arange(96), 96)
    assert found.spec.values["side"] == ("missing", "0", "1")
    assert found.columns["side"][[3, 5, 7]].tolist() == [1, 2, 0]


def test_by_option_they_take_any_role(tmp_path):
    num = len(load(SPRITES))
    more = table(tmp_path, row=np.arange(num), side=np.arange(num) % 2)
    found = load(SPRITES, DataOptions(columns=str(more), bias="side"))
    assert found.spec.bias == "side"


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"line": [0], "x": ["a"]}, "no column 'row' of whole numbers"),
        ({"row": ["a"], "x": ["a"]}, "no column 'row' of whole numbers"),
        ({"row": [0, 0], "x": ["a", "b"]}, "must name each row once, of 0 to 95"),
        ({"row": [96], "x": ["a"]}, "must name each row once, of 0 to 95"),
        ({"row": [0, 1], "shape": [0, 7], "x": ["a", "b"]}, "was made for other data: row 1 has shape 7 there"),
        ({"row": [0, 1], "shape": ["0", "ring"]}, "was made for other data: row 1 has shape ring there"),
    ],
)
def test_mistakes(tmp_path, columns, message):
    with pytest.raises(DataError, match=message) as caught:
        with_columns(tiny_dataset(), table(tmp_path, **columns), np.arange(96), 96)
    assert "\n" not in str(caught.value)


def test_no_table(tmp_path):
    with pytest.raises(DataError, match="no table of labels at"):
        load(SPRITES, DataOptions(columns=str(tmp_path / "more.csv")))
