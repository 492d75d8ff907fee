import numpy as np
import pytest
from fake_sets import assert_same, small

from unbraid.data import load, store
from unbraid.data.options import DataOptions
from unbraid.errors import DataError

ROWS = [5, 0, 3, 3]  # the last of six rows is the test split; one row twice


@pytest.fixture
def whole(tmp_path):
    store.write(small(6), tmp_path / "whole")
    return str(tmp_path / "whole")


def load_rows(whole: str, tmp_path, rows) -> store.Dataset:
    np.save(tmp_path / "rows.npy", rows)
    return load(whole, DataOptions(rows=str(tmp_path / "rows.npy")))


@pytest.mark.parametrize("dtype", [np.int64, np.uint8])
def test_rows_keep_their_order_columns_and_split(whole, tmp_path, dtype):
    data = load_rows(whole, tmp_path, np.array(ROWS, dtype=dtype))
    assert_same(data, small(6).take(np.array(ROWS)))
    assert (len(data), data.spec.num_train, data.split.tolist()) == (4, 3, [2, 0, 0, 0])


def test_images_are_stored_once_and_mapped(whole, tmp_path, cache):
    one, other = (load_rows(whole, tmp_path, np.array(ROWS)) for _ in range(2))
    assert isinstance(one.images, np.memmap)
    assert one.images.filename == other.images.filename
    assert load_rows(whole, tmp_path, np.array([0, 1])).images.filename != one.images.filename
    assert len(list(cache.iterdir())) == 2


def test_rows_that_share_their_domain_have_none(whole, tmp_path):
    """Who picks rows by it has fixed it, as a recursion does."""
    assert load_rows(whole, tmp_path, np.array([0, 1])).spec.domain == "kind"
    assert load_rows(whole, tmp_path, np.array([0, 2, 4])).spec.domain is None


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (np.array([0, 6]), r"names rows 0 to 6; the data set has rows 0 to 5"),
        (np.array([-1, 2]), r"names rows -1 to 2"),
        (np.array([], dtype=np.int64), r"holds int64 \(0,\); expected one line of whole numbers"),
        (np.array([[0, 1]]), r"holds int64 \(1, 2\)"),
        (np.array([True, False]), r"holds bool"),
        (np.array([0.0, 1.0]), r"holds float64"),
        (np.array([{}]), r"holds no row numbers; write them with numpy\.save"),
    ],
)
def test_rows_that_cannot_be(whole, tmp_path, rows, message):
    with pytest.raises(DataError, match=message) as caught:
        load_rows(whole, tmp_path, rows)
    assert "\n" not in str(caught.value)


def test_damaged_or_missing_file(whole, tmp_path):
    options = DataOptions(rows=str(tmp_path / "rows.npy"))
    with pytest.raises(DataError, match=r"cannot read row numbers from .*rows\.npy: No such file"):
        load(whole, options)
    np.save(tmp_path / "rows.npy", np.arange(6))
    content = (tmp_path / "rows.npy").read_bytes()
    for damaged in (content[:-8], content[:20], b"", b"row numbers"):
        (tmp_path / "rows.npy").write_bytes(damaged)
        with pytest.raises(DataError, match="damaged or holds no row numbers"):
            load(whole, options)
