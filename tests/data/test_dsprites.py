import itertools
import os
from pathlib import Path

import numpy as np
import pytest
from fake_sets import assert_sound

from unbraid.data import dsprites, load
from unbraid.data.dsprites_drawing import draw
from unbraid.errors import DataError, UserError

PUBLISHED = dict(dsprites.SIZES)
SIZES = {"shape": 3, "scale": 2, "orientation": 4, "x": 5, "y": 5}
GRID = np.indices((1, *SIZES.values())).reshape(6, -1).T
WHOLE = "dsprites:scales=2,orientations=4,positions=5"


@pytest.fixture
def small_grid(monkeypatch):
    monkeypatch.setattr(dsprites, "SIZES", SIZES)


def write(root: Path, **changes) -> Path:
    """An archive as published, of a smaller grid; pixels say the row."""
    images = np.zeros((len(GRID), 64, 64), dtype=np.uint8)
    images[:, 0, :10] = np.arange(len(GRID))[:, None] >> np.arange(10) & 1
    arrays = {"metadata": np.array({"date": "April 2017"}), "imgs": images, "latents_classes": GRID,
              "latents_values": GRID / 2} | changes  # fmt: skip
    np.savez_compressed(root / dsprites.FILE, **{key: array for key, array in arrays.items() if array is not None})
    return root / dsprites.FILE


def row_numbers(data) -> np.ndarray:
    return (data.images[:, 0, :10, 0] // 255) @ (1 << np.arange(10))


def test_the_published_file(tmp_path, small_grid):
    data = load(f"{WHOLE},raw={write(tmp_path)}")
    assert_sound(data)
    assert (data.spec.name, data.spec.image_shape, len(data)) == ("dsprites", (1, 64, 64), 3 * 2 * 4 * 25)
    assert (data.spec.domain, data.spec.factors) == ("shape", ("shape", "scale", "orientation", "x", "y"))
    assert row_numbers(data).tolist() == list(range(len(GRID)))
    np.testing.assert_array_equal(np.stack([data.columns[name] for name in SIZES], axis=1), GRID[:, 1:])
    assert np.unique(data.images).tolist() == [0, 255]
    assert np.bincount(data.columns["shape"][data.rows("test")]).tolist() == [20] * 3


def test_a_part_of_the_published_file(tmp_path, small_grid):
    data = load(f"dsprites:shapes=2,scales=1,orientations=2,positions=3,raw={write(tmp_path)}")
    assert_sound(data)
    kept = GRID[row_numbers(data), 1:]
    expected = list(itertools.product([0, 1], [1], [0, 2], [0, 2, 4], [0, 2, 4]))
    assert kept.tolist() == [list(row) for row in expected]
    assert data.spec.sizes == {"shape": 2, "scale": 1, "orientation": 2, "x": 3, "y": 3}
    assert data.spec.values["x"] == ("0", "2", "4")


def test_both_sources_are_laid_out_alike(tmp_path, monkeypatch):
    part = "shapes=2,scales=3,orientations=8,positions=4,size=32"
    monkeypatch.setattr(dsprites, "_read", lambda path, levels: draw(*list(levels.values())[:4]))
    (tmp_path / dsprites.FILE).touch()
    drawn, read = load(f"dsprites:source=drawn,{part}"), load(f"dsprites:{part},raw={tmp_path}")
    assert_sound(drawn)
    np.testing.assert_array_equal(drawn.images, read.images)
    assert drawn.spec.values == read.spec.values
    assert (drawn.spec.name, read.spec.name) == ("dsprites-drawn", "dsprites")
    assert drawn.spec.values["orientation"][:3] == ("0.0 deg", "46.2 deg", "92.3 deg")
    assert drawn.spec.values["scale"] == ("0.5", "0.7", "1")


def test_the_drawing_means_what_the_factors_say():
    data = load("dsprites:source=drawn,scales=2,orientations=4,positions=3")
    ink = data.images[..., 0].astype(float)
    area = ink.sum(axis=(1, 2))
    centres, symmetric = np.array([16, 16 + 16 * 32 / 31, 48]), data.columns["shape"] < 2
    for name, axis in (("x", 1), ("y", 2)):
        place = ink.sum(axis=axis) @ (np.arange(64) + 0.5) / area
        np.testing.assert_allclose(place[symmetric], centres[data.columns[name]][symmetric], atol=0.5)
    square = (data.columns["shape"] == 0) & (data.columns["scale"] == 1)
    np.testing.assert_allclose(area[square] / 255, (0.3 * 64) ** 2, rtol=0.1)
    big, little = (area[data.columns["scale"] == value].sum() for value in (1, 0))
    assert big / little == pytest.approx(4, rel=0.05)
    heart = data.images[(data.columns["shape"] == 2) & (data.columns["orientation"] == 0), :, :, 0]
    for image in heart > 0:
        rows = np.flatnonzero(image.any(axis=1))
        assert image.sum(axis=1).argmax() < rows.mean()  # it stands on its tip


def test_genuine_frames():
    path = Path(os.environ.get("UNBRAID_DATA", "")) / "dsprites" / "genuine_320_gif_frames.npz"
    if not path.is_file():
        pytest.skip("UNBRAID_DATA has no genuine frames of dSprites")
    with np.load(path) as file:
        frames, latents = file["images"], file["latents"].astype(np.int64)
    wrong = []
    for frame, (shape, scale, orientation, x, y) in zip(frames, latents):
        drawn = next(draw(*(np.array(level) for level in ([shape], [scale], [orientation], [x, y]))))
        wrong.append(np.sum((drawn[1] > 0) != frame))  # of the four, x then y
    assert (np.count_nonzero(np.array(wrong) == 0), max(wrong), sum(wrong)) == (302, 4, 32)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"imgs": None}, "has no imgs"),
        ({"imgs": np.zeros((9, 64, 64), dtype=np.uint8)}, r"not dSprites: expected imgs \(600, 64, 64\)"),
        ({"imgs": np.full((600, 64, 64), 255, dtype=np.uint8)}, "expected imgs of uint8 0 and 1"),
        ({"imgs": np.zeros((600, 64, 64), dtype=np.float32)}, "expected imgs of uint8 0 and 1"),
        ({"latents_classes": GRID[::-1]}, "latents_classes of the whole grid"),
    ],
)
def test_another_file(tmp_path, small_grid, changes, reason):
    with pytest.raises(DataError, match=reason):
        load(f"{WHOLE},raw={write(tmp_path, **changes)}")


def test_truncated(tmp_path, small_grid):
    path = write(tmp_path)
    path.write_bytes(path.read_bytes()[:-500])
    with pytest.raises(DataError, match=r"cannot read .*the file is damaged") as caught:
        load(f"{WHOLE},raw={path}")
    assert "\n" not in str(caught.value)


def test_missing(tmp_path):
    with pytest.raises(DataError, match="or say dsprites:source=drawn"):
        load(f"dsprites:raw={tmp_path}")


@pytest.mark.parametrize("wrong", ["shapes=4", "scales=7", "orientations=0", "positions=33", "size=7"])
def test_parameters_out_of_range(wrong):
    with pytest.raises(UserError, match=wrong):
        load(f"dsprites:source=drawn,{wrong}")


def test_the_published_size():
    assert list(PUBLISHED) == list(SIZES)
    assert np.prod(list(PUBLISHED.values())) == 737_280
