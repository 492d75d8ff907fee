"""A small data set with a column of each kind, and what it means for two to be the same."""

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
