"""A small data set with a column of each kind, and what it means for one to be sound and for two to be the same."""

import numpy as np

from unbraid.tables import Dataset, DataSpec


def small(num: int = 5) -> Dataset:
    rng = np.random.default_rng(0)
    spec = DataSpec(
        name="small",
        image_shape=(3, 4, 6),
        num_train=num - 1,
        sizes={"kind": 2},
        values={"kind": ("a", "b")},
        factors=("kind",),
        targets=("length",),
        circular=frozenset({"kind"}),
        domain="kind",
    )
    return Dataset(
        spec=spec,
        images=rng.integers(256, size=(num, 4, 6, 3), dtype=np.uint8),
        columns={"kind": np.arange(num) % 2, "length": rng.random(num, dtype=np.float32)},
        split=np.array([0] * (num - 1) + [2], dtype=np.uint8),
    )


def assert_same(one: Dataset, other: Dataset) -> None:
    assert one.spec == other.spec
    np.testing.assert_array_equal(one.images, other.images)
    np.testing.assert_array_equal(one.split, other.split)
    assert list(one.columns) == list(other.columns)
    for name, column in one.columns.items():
        assert column.dtype == other.columns[name].dtype
        np.testing.assert_array_equal(column, other.columns[name])


def assert_sound(data: Dataset) -> None:
    """What every data set must keep; in a tiny archive not every value of a column needs to occur."""
    spec = data.spec
    channels, height, width = spec.image_shape
    assert data.images.shape == (len(data), height, width, channels)
    assert spec.num_train == len(data.rows("train")) > 0
    assert len(data.rows("test"))
    assert set(spec.sizes) | set(spec.targets) == set(data.columns)
    for column, size in spec.sizes.items():
        assert data.columns[column].dtype == np.int64
        assert 0 <= data.columns[column].min() <= data.columns[column].max() < size
        assert len(spec.values[column]) == len(set(spec.values[column])) == size
    for column in spec.targets:
        assert data.columns[column].dtype == np.float32
        assert np.isfinite(data.columns[column]).all()
    assert spec.circular <= set(spec.factors) <= set(spec.sizes)
    assert {spec.domain, spec.label, spec.bias} - {None} <= set(spec.sizes)
