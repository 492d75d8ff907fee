from pathlib import Path

import h5py
import numpy as np
import pytest
from fake_sets import assert_sound

from unbraid.data import load, shapes3d
from unbraid.errors import DataError, UserError

PUBLISHED = dict(shapes3d.SIZES)
SIZES = {"floor_hue": 3, "wall_hue": 2, "object_hue": 2, "scale": 3, "shape": 4, "orientation": 5}
NUM = 720


@pytest.fixture(autouse=True)
def small_grid(monkeypatch):
    monkeypatch.setattr(shapes3d, "SIZES", SIZES)
    monkeypatch.setattr(shapes3d, "_CHUNK", 100)


def grid() -> np.ndarray:
    return np.indices(tuple(SIZES.values())).reshape(6, -1).T


def write(root: Path, name: str = "3dshapes.h5", **changes) -> Path:
    """Real-valued labels on the scales of the original; the image says the row."""
    low = np.array([0, 0, 0, 0.75, 0, -30])
    step = np.array([0.1, 0.1, 0.1, 0.25, 1, 15])
    images = np.zeros((NUM, 64, 64, 3), dtype=np.uint8)
    images[..., 0], images[..., 1] = (part[:, None, None] for part in np.divmod(np.arange(NUM), 256))
    arrays = {"images": images, "labels": low + step * grid(), **changes}
    root.mkdir(exist_ok=True)
    with h5py.File(root / name, "w") as file:
        for key, array in arrays.items():
            if array is not None:
                file.create_dataset(
                    key, data=array, compression="gzip", chunks=(min(128, len(array)), *array.shape[1:])
                )
    return root / name


def row_numbers(data) -> np.ndarray:
    return 256 * data.images[:, 9, 9, 0].astype(int) + data.images[:, 9, 9, 1]


def test_the_whole_grid(tmp_path):
    data = load(f"shapes3d:raw={write(tmp_path)}")
    assert_sound(data)
    spec = data.spec
    assert (spec.image_shape, len(data), spec.num_train, spec.sizes) == ((3, 64, 64), NUM, 648, SIZES)
    assert (spec.domain, spec.content) == ("shape", ("floor_hue", "wall_hue", "object_hue", "scale", "orientation"))
    assert row_numbers(data).tolist() == list(range(NUM))
    np.testing.assert_array_equal(np.stack([data.columns[name] for name in SIZES], axis=1), grid())
    assert spec.values["floor_hue"] == ("0", "0.1", "0.2")
    assert spec.values["scale"] == ("0.75", "1", "1.25")
    assert spec.values["orientation"] == ("-30", "-15", "0", "15", "30")
    assert np.bincount(data.columns["shape"][data.rows("test")]).tolist() == [18] * 4


def test_the_published_size():
    assert np.prod(list(PUBLISHED.values())) == 480_000
    assert list(PUBLISHED) == list(SIZES)


def test_fewer_train_rows(tmp_path):
    raw = write(tmp_path)
    full, data = load(f"shapes3d:raw={raw}"), load(f"shapes3d:num_train=50,raw={raw}")
    assert_sound(data)
    assert (data.spec.num_train, len(data)) == (50, 50 + 72)
    rows = row_numbers(data)
    assert rows[data.rows("test")].tolist() == full.rows("test").tolist()
    assert set(rows[data.rows("train")]) < set(full.rows("train"))
    assert data.columns["orientation"].tolist() == grid()[rows, 5].tolist()
    other = load(f"shapes3d:num_train=50,seed=1,raw={raw}")
    assert row_numbers(other).tolist() != rows.tolist()


def test_other_size(tmp_path):
    assert load(f"shapes3d:size=16,raw={write(tmp_path / '3dshapes')}").spec.image_shape == (3, 16, 16)


def test_truncated(tmp_path):
    path = write(tmp_path)
    path.write_bytes(path.read_bytes()[:-500])
    with pytest.raises(DataError, match=r"cannot read .*3dshapes\.h5 .*; get it again from https") as caught:
        load(f"shapes3d:raw={path}")
    assert "\n" not in str(caught.value)
    path.write_bytes(b"no HDF5 at all")
    with pytest.raises(DataError, match=r"cannot read .*3dshapes\.h5"):
        load(f"shapes3d:raw={path}")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"labels": None}, r"expected labels of float64 \(720, 6\)"),
        ({"labels": grid().astype(np.int64)}, r"expected labels of float64"),
        ({"images": np.zeros((NUM, 64, 64), dtype=np.uint8)}, r"expected images of uint8 \(720, 64, 64, 3\)"),
        ({"labels": np.zeros((NUM, 6))}, r"floor_hue has 1 values, expected 3"),
    ],
)
def test_another_file(tmp_path, changes, reason):
    with pytest.raises(DataError, match=reason):
        load(f"shapes3d:raw={write(tmp_path, **changes)}")


def test_parameters_out_of_range(tmp_path):
    raw = write(tmp_path)
    with pytest.raises(UserError, match="num_train=649 must be 1 to 648"):
        load(f"shapes3d:num_train=649,raw={raw}")
    with pytest.raises(UserError, match="size=4 must be at least 8"):
        load(f"shapes3d:size=4,raw={raw}")
