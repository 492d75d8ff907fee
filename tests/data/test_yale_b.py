import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from unbraid.data import load
from unbraid.data.yale_b import LIGHTS
from unbraid.errors import DataError, UserError

ROWS = [(identity, light) for identity in range(2) for light in range(64)]
BAD = 70  # the row that the publishers mark


def write_original(root: Path) -> Path:
    folder = root / "CroppedYale"
    for row, (identity, light) in enumerate(ROWS):
        azimuth, elevation = LIGHTS[light]
        subject = f"yaleB{identity + 1:02d}"
        (folder / subject).mkdir(parents=True, exist_ok=True)
        file = folder / subject / f"{subject}_P00A{azimuth:+04d}E{elevation:+03d}.pgm"
        Image.new("L", (168, 192), row).save(file)
        if row == BAD:
            file.rename(f"{file}.bad")
    Image.new("L", (640, 480)).save(folder / "yaleB01" / "yaleB01_P00_Ambient.pgm")
    return folder


def write_compact(root: Path, rows: slice = slice(None)) -> Path:
    order = np.arange(len(ROWS))[rows]
    identity, light = np.array(ROWS)[order].T
    azimuth, elevation = np.array(LIGHTS, dtype=np.int16)[light].T
    images = np.tile(order.astype(np.uint8)[:, None, None], (1, 64, 56))
    path = root / "extended_yale_b_64x56.npz"
    np.savez(path, images=images, identity=identity, azimuth=azimuth, elevation=elevation, marked_bad=order == BAD)
    return path


@pytest.mark.parametrize("write", [write_original, write_compact])
def test_both_formats(tmp_path, write, caplog):
    data = load(f"yale-b:identities=2,size=16,raw={write(tmp_path)}")
    spec = data.spec
    assert (spec.image_shape, spec.sizes["light"], len(data)) == ((1, 16, 16), 64, 127)
    assert (spec.domain, spec.content) == ("identity", ("light",))
    assert spec.targets == ("azimuth_degrees", "elevation_degrees")
    assert data.images[:, 8, 8, 0].tolist() == [row for row in range(128) if row != BAD]
    assert spec.values["light"][0] == "A-050E-40"
    assert spec.values["azimuth"][data.columns["azimuth"][0]] == "-50"
    assert data.columns["elevation_degrees"][0] == -40
    assert spec.values["identity"] == ("yaleB01", "yaleB02")
    assert "1 images that the publishers mark as bad are left out" in caplog.text


def test_missing(tmp_path, monkeypatch):
    monkeypatch.setenv("UNBRAID_DATA", str(tmp_path))
    with pytest.raises(DataError, match=f"no CroppedYale or extended_yale_b_64x56.npz in {tmp_path}; get it from http"):
        load("yale-b")


def test_incomplete_or_damaged(tmp_path):
    folder = write_original(tmp_path)
    gone = folder / "yaleB01" / "yaleB01_P00A+000E+00.pgm"
    gone.unlink()
    with pytest.raises(DataError, match=r"lacks 1 of 128 images: yaleB01_P00A\+000E\+00\.pgm"):
        load(f"yale-b:identities=2,raw={folder}")
    gone.write_bytes(b"P5")
    with pytest.raises(DataError, match=r"cannot read .*yaleB01_P00A"):
        load(f"yale-b:identities=2,raw={folder}")
    with pytest.raises(DataError, match="lacks 64 of 192 images"):
        load(f"yale-b:identities=3,raw={folder}")
    path = write_compact(tmp_path, slice(1, None))
    with pytest.raises(DataError, match="incomplete: 127 images of 128"):
        load(f"yale-b:identities=2,raw={path}")
    path.write_bytes(b"")
    with pytest.raises(DataError, match="damaged"):
        load(f"yale-b:identities=2,raw={path}")


def test_parameters_out_of_range(tmp_path):
    with pytest.raises(DataError, match="holds 64 pixels, not 96"):
        load(f"yale-b:identities=2,size=96,raw={write_compact(tmp_path)}")
    with pytest.raises(UserError, match="identities=39 must be 1 to 38"):
        load("yale-b:identities=39")


@pytest.mark.skipif("UNBRAID_DATA" not in os.environ, reason="UNBRAID_DATA is not set")
def test_the_real_photographs():
    data = load("yale-b")
    assert (len(data), data.spec.num_train) == (2414, 1931)
    assert np.bincount(data.columns["identity"]).min() >= 59
