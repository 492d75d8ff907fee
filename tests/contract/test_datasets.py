"""What every data set must keep: over the rows of DATASETS, no list to maintain."""

import inspect

import numpy as np
import pytest

from unbraid.data import DATASETS, load, store
from unbraid.errors import DataError
from unbraid.registry import lookup
from unbraid.tables import SPLITS

SMALL = {"digits": "digits:source=sklearn,size=16,num=200", "sprites": "sprites:size=16,positions=2"}  # only for speed
RAW = [name for name in DATASETS if "raw" in inspect.signature(lookup("", DATASETS, name, "unbraid.data")).parameters]
EMBEDDED = [name for name in DATASETS if name not in RAW]


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("UNBRAID_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture(params=EMBEDDED)
def name(request):
    return SMALL.get(request.param, request.param)


def test_spec_matches_arrays(name):
    data = load(name)
    spec = data.spec
    channels, height, width = spec.image_shape
    assert spec.name == name.partition(":")[0]
    assert data.images.shape == (len(data), height, width, channels)
    assert data.images.dtype == np.uint8
    assert spec.num_train == len(data.rows("train"))
    assert set(spec.sizes) | set(spec.targets) == set(data.columns)
    for column, size in spec.sizes.items():
        assert data.columns[column].dtype == np.int64
        assert np.unique(data.columns[column]).tolist() == list(range(size))
        assert len(spec.values[column]) == len(set(spec.values[column])) == size
    for column in spec.targets:
        assert data.columns[column].dtype == np.float32
        assert np.isfinite(data.columns[column]).all()
    assert spec.circular <= set(spec.factors) <= set(spec.sizes)
    assert {spec.domain, spec.label, spec.bias} - {None} <= set(spec.sizes)


def test_splits_share_no_row_and_none_is_empty(name):
    data = load(name)
    rows = np.concatenate([data.rows(split) for split in SPLITS])
    assert sorted(rows) == list(range(len(data)))
    for split in ("train", "test"):
        assert len(np.unique(data.columns[data.spec.domain][data.rows(split)])) == data.spec.sizes[data.spec.domain]


def test_store_round_trip_is_exact(name, tmp_path):
    data = load(name)
    store.write(data, tmp_path / "copy")
    assert_same(store.read(tmp_path / "copy"), data)


def test_same_seed_same_bits(name, tmp_path, monkeypatch):
    one = load(name)
    monkeypatch.setenv("UNBRAID_CACHE", str(tmp_path / "other"))
    assert_same(load(name), one)
    seeded = load(f"{name}{',' if ':' in name else ':'}seed=1")
    assert seeded.split.tolist() != one.split.tolist()


@pytest.mark.parametrize("name", RAW)
def test_missing_files_are_one_clear_line(name, tmp_path, monkeypatch):
    monkeypatch.setenv("UNBRAID_DATA", str(tmp_path))
    with pytest.raises(DataError, match="UNBRAID_DATA") as caught:
        load(name)
    assert "\n" not in str(caught.value)
    assert "http" in str(caught.value)


def assert_same(one, other):
    assert one.spec == other.spec
    np.testing.assert_array_equal(one.images, other.images)
    np.testing.assert_array_equal(one.split, other.split)
    assert set(one.columns) == set(other.columns)
    for column in one.columns:
        np.testing.assert_array_equal(one.columns[column], other.columns[column])
