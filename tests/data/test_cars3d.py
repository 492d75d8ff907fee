from pathlib import Path

import numpy as np
import pytest
from fake_sets import assert_sound
from PIL import Image
from scipy.io import savemat

from unbraid.data import DataOptions, load
from unbraid.data.cars3d import published_split
from unbraid.errors import DataError, UserError

SHAPE = (128, 128, 3, 24, 4)
CARS = ("bmw", "audi")  # written in this order, numbered by name


def mesh(name: str) -> np.ndarray:
    """Each picture is flat: red says the car, green the azimuth, blue the elevation."""
    im = np.zeros(SHAPE, dtype=np.uint8)
    im[:, :, 0] = 40 * (1 + sorted(CARS).index(name))
    im[:, :, 1] = 10 * np.arange(24)[:, None]
    im[:, :, 2] = 60 * np.arange(4)
    return im


def write(root: Path) -> Path:
    folder = root / "cars"
    folder.mkdir(parents=True)
    for name in CARS:
        savemat(folder / f"{name}.mat", {"im": mesh(name)}, do_compression=True)
    return folder


def test_rows_in_the_published_order(tmp_path):
    data = load(f"cars3d:cars=2,raw={write(tmp_path)}")
    assert_sound(data)
    spec = data.spec
    assert (spec.image_shape, len(data), spec.num_train) == ((3, 64, 64), 192, 172)
    assert spec.sizes == {"car": 2, "pose": 96, "azimuth": 24, "elevation": 4}
    assert (spec.domain, spec.content, spec.values["car"]) == ("car", ("pose",), ("audi", "bmw"))
    for elevation in range(4):
        for azimuth in range(24):
            for car in range(2):
                row = elevation * 24 * 2 + azimuth * 2 + car
                found = tuple(int(data.columns[name][row]) for name in ("car", "pose", "azimuth", "elevation"))
                assert found == (car, elevation * 24 + azimuth, azimuth, elevation)
                assert (data.images[row] == (40 * (car + 1), 10 * azimuth, 60 * elevation)).all()


def test_azimuth_is_circular_where_it_is_a_factor(tmp_path):
    raw = write(tmp_path)
    assert load(f"cars3d:cars=2,raw={raw}").spec.circular == frozenset()
    options = DataOptions(factors=["car", "azimuth", "elevation"])
    assert load(f"cars3d:cars=2,raw={raw}", options).spec.circular == {"azimuth"}


def test_shrunk_as_published(tmp_path):
    folder = write(tmp_path)
    im = np.random.default_rng(0).integers(256, size=SHAPE, dtype=np.uint8)
    savemat(folder / "audi.mat", {"im": im})
    data = load(f"cars3d:cars=2,raw={folder}")
    image = Image.fromarray(im[:, :, :, 5, 3])
    image.thumbnail((64, 64), Image.Resampling.LANCZOS)
    np.testing.assert_array_equal(data.images[3 * 48 + 5 * 2], np.asarray(image))


def test_the_published_split():
    car = np.tile(np.arange(183), 96)
    split = published_split(car)
    assert np.bincount(split).tolist() == [15811, 0, 1757]
    assert (split[[12687, 3849, 6780, 8994, 8134, 14755, 10080, 10316]] == 2).all()
    assert (split[[14595, 11124, 636, 285, 14883, 2865, 223, 10716]] == 0).all()
    assert set(np.bincount(car[split == 2])) == {9, 10}


def test_found_where_the_archive_unpacks_it(tmp_path, monkeypatch):
    write(tmp_path / "data")
    monkeypatch.setenv("UNBRAID_DATA", str(tmp_path))
    assert len(load("cars3d:cars=2,size=16")) == 192


def test_other_seed_other_split(tmp_path):
    raw = write(tmp_path)
    one, other = load(f"cars3d:cars=2,size=8,raw={raw}"), load(f"cars3d:cars=2,size=8,seed=3,raw={raw}")
    assert one.split.tolist() != other.split.tolist()


def test_incomplete_damaged_or_different(tmp_path):
    folder = write(tmp_path)
    with pytest.raises(DataError, match=r"cars holds 2 .mat files, expected 183; get it again from http"):
        load(f"cars3d:raw={folder}")
    file = folder / "audi.mat"
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=r"cannot read .*audi.mat .*get it again") as caught:
        load(f"cars3d:cars=2,raw={folder}")
    assert "\n" not in str(caught.value)
    savemat(file, {"im": np.zeros((128, 128, 3), dtype=np.uint8)})
    with pytest.raises(DataError, match=r"audi.mat is no file of Cars3D: expected im of uint8 .* found uint8 \(128,"):
        load(f"cars3d:cars=2,raw={folder}")
    savemat(file, {"image": np.zeros(3)})
    with pytest.raises(DataError, match="found none"):
        load(f"cars3d:cars=2,raw={folder}")


def test_parameters_out_of_range():
    with pytest.raises(UserError, match="cars=184 must be 2 to 183"):
        load("cars3d:cars=184")
