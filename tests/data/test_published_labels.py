"""rPU-VAE's published label files, made here for smaller grids."""

import logging

import h5py
import numpy as np
import pytest
from fake_sets import assert_sound

from unbraid.data import dsprites, load, shapes3d
from unbraid.errors import DataError

SHAPES3D = {"floor_hue": 2, "wall_hue": 2, "object_hue": 2, "scale": 8, "shape": 4, "orientation": 2}
DSPRITES = {"shape": 3, "scale": 6, "orientation": 40, "x": 32, "y": 32}


def grid(sizes) -> np.ndarray:
    return np.indices(tuple(sizes.values())).reshape(len(sizes), -1).T.astype(np.int8)


@pytest.fixture
def rooms(tmp_path, monkeypatch):
    """A smaller 3dshapes.h5."""
    monkeypatch.setattr(shapes3d, "SIZES", SHAPES3D)
    levels = grid(SHAPES3D)
    with h5py.File(tmp_path / "3dshapes.h5", "w") as file:
        file["images"] = np.zeros((len(levels), 64, 64, 3), dtype=np.uint8)
        file["labels"] = levels * np.array([0.1, 0.1, 0.1, 0.5, 1, 15])
    return tmp_path


def write(path, labels) -> str:
    np.savez_compressed(path, labels=labels)
    return str(path)


def test_the_merged_scale_is_named(rooms, caplog):
    labels = grid(SHAPES3D)
    labels[labels[:, 3] == 4, 3] = 3  # as published
    path = write(rooms / "3dshapes_labels.npz", labels)
    plain = load(f"shapes3d:raw={rooms}")
    with caplog.at_level(logging.WARNING, "unbraid"):
        data = load(f"shapes3d:raw={rooms},labels={path}")
    assert caplog.messages == [f"{path}: column scale has its values 3 and 4 merged"]
    assert_sound(data)
    assert data.spec.sizes == {**SHAPES3D, "scale": 7}
    assert data.spec.values["scale"] == ("0", "0.5", "1", "1.5 and 2 merged", "2.5", "3", "3.5")
    own = plain.columns["scale"]
    assert data.columns["scale"].tolist() == np.where(own > 3, own - 1, own).tolist()
    for name in set(SHAPES3D) - {"scale"}:
        assert data.columns[name].tolist() == plain.columns[name].tolist()
    assert data.images.filename == plain.images.filename
    assert data.split.tolist() == plain.split.tolist()


def test_fewer_rows_keep_their_labels(rooms):
    path = write(rooms / "3dshapes_labels.npz", grid(SHAPES3D))
    one, other = (load(f"shapes3d:raw={rooms},num_train=99{more}") for more in ("", f",labels={path}"))
    assert one.spec == other.spec
    assert all(one.columns[name].tolist() == other.columns[name].tolist() for name in SHAPES3D)


def test_dsprites(tmp_path, caplog):
    part = "dsprites:source=drawn,scales=2,orientations=3,positions=2"
    one, other = load(part), load(f"{part},labels={write(tmp_path / 'dsprites_labels.npz', grid(DSPRITES))}")
    assert list(dsprites.SIZES.items()) == list(DSPRITES.items())
    assert one.spec == other.spec
    assert all(one.columns[name].tolist() == other.columns[name].tolist() for name in DSPRITES)
    assert not caplog.messages


@pytest.mark.parametrize(
    ("labels", "reason"),
    [
        (
            np.random.default_rng(0).permutation(grid(SHAPES3D)),
            "floor_hue does not follow the images; is it of another set, or in another order",
        ),
        (grid(SHAPES3D)[:9], r"labels are int8 \(9, 6\), expected whole numbers \(512, 6\)"),
        (grid(SHAPES3D) / 2, "labels are float64"),
    ],
)
def test_labels_of_another_set(rooms, labels, reason):
    with pytest.raises(DataError, match=reason) as caught:
        load(f"shapes3d:raw={rooms},labels={write(rooms / 'x.npz', labels)}")
    assert "\n" not in str(caught.value)


def test_missing_or_damaged(rooms):
    path = rooms / "labels.npz"
    with pytest.raises(DataError, match=r"no file at .*labels\.npz"):
        load(f"shapes3d:raw={rooms},labels={path}")
    np.savez(path, other=np.zeros(3))
    with pytest.raises(DataError, match=r"labels\.npz has no labels; it holds other"):
        load(f"shapes3d:raw={rooms},labels={path}")
    path.write_bytes(b"PK")
    with pytest.raises(DataError, match=r"cannot read .*damaged or no \.npz"):
        load(f"shapes3d:raw={rooms},labels={path}")
