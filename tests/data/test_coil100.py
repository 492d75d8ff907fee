import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from unbraid.data import load
from unbraid.errors import DataError, UserError

ANGLES = range(0, 360, 5)


def shade(number: int, angle: int) -> tuple[int, int, int]:
    return number * 50, angle // 2, 128


def write_original(root: Path, objects: int = 2) -> Path:
    folder = root / "coil-100"
    folder.mkdir()
    for number in range(1, objects + 1):
        for angle in ANGLES:
            Image.new("RGB", (128, 128), shade(number, angle)).save(folder / f"obj{number}__{angle}.png")
    return folder


def write_compact(root: Path, rows: slice = slice(None), **changes) -> Path:
    pairs = [(number, angle) for number in (1, 2) for angle in ANGLES][rows][::-1]  # any order will do
    images = np.stack([np.full((32, 32, 3), shade(*pair), dtype=np.uint8) for pair in pairs])
    number, angle = np.array(pairs, dtype=np.int16).T
    path = root / "coil100_32px_complete.npz"
    np.savez(path, **{"images": images, "object": number - 1, "angle": angle, **changes})
    return path


@pytest.mark.parametrize("write", [write_original, write_compact])
@pytest.mark.parametrize("by", ["parent", "itself", "environment"])
def test_both_formats(tmp_path, monkeypatch, write, by):
    path = write(tmp_path)
    raw = {"parent": f",raw={tmp_path}", "itself": f",raw={path}", "environment": ""}[by]
    monkeypatch.setenv("UNBRAID_DATA", str(tmp_path) if by == "environment" else "/nowhere")
    data = load(f"coil100:objects=2,size=16{raw}")
    spec = data.spec
    assert (spec.image_shape, spec.sizes) == ((3, 16, 16), {"object": 2, "angle": 72})
    assert (spec.domain, spec.content, spec.circular) == ("object", ("angle",), {"angle"})
    assert spec.values["angle"][:3] == ("0", "5", "10")
    for row in (0, 71, 72, 100):
        number, angle = int(data.columns["object"][row]) + 1, int(data.columns["angle"][row]) * 5
        assert data.images[row, 8, 8].tolist() == list(shade(number, angle))
    assert np.bincount(data.columns["object"][data.rows("test")]).tolist() in ([14, 15], [15, 14], [14, 14], [15, 15])


def test_the_seed_is_that_of_the_split(tmp_path):
    raw = f"raw={write_compact(tmp_path)}"
    one, other = load(f"coil100:objects=2,{raw}"), load(f"coil100:objects=2,seed=1,{raw}")
    assert one.split.tolist() != other.split.tolist()


def test_missing(tmp_path, monkeypatch):
    monkeypatch.delenv("UNBRAID_DATA", raising=False)
    with pytest.raises(DataError, match=r"UNBRAID_DATA is not set; get it from https://.* or say coil100:raw=PATH"):
        load("coil100")
    monkeypatch.setenv("UNBRAID_DATA", str(tmp_path))
    with pytest.raises(DataError, match=f"no coil-100 or coil100_32px_complete.npz in {tmp_path}"):
        load("coil100")


def test_incomplete_or_damaged(tmp_path):
    folder = write_original(tmp_path)
    (folder / "obj2__0.png").unlink()
    with pytest.raises(DataError, match=r"lacks 1 of 144 images: obj2__0\.png"):
        load(f"coil100:objects=2,raw={folder}")
    (folder / "obj2__0.png").write_bytes(b"x")
    with pytest.raises(DataError, match=r"cannot read .*obj2__0\.png"):
        load(f"coil100:objects=2,raw={folder}")
    path = write_compact(tmp_path, slice(1, None))
    with pytest.raises(DataError, match="incomplete: 143 images of 144"):
        load(f"coil100:objects=2,raw={path}")
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(DataError, match="damaged"):
        load(f"coil100:objects=2,raw={path}")
    np.savez(path, images=np.zeros(3))
    with pytest.raises(DataError, match="has no angle, object"):
        load(f"coil100:objects=2,raw={path}")


def test_parameters_out_of_range(tmp_path):
    path = write_compact(tmp_path)
    with pytest.raises(DataError, match="holds 32 pixels, not 64; get the original coil-100"):
        load(f"coil100:objects=2,size=64,raw={path}")
    with pytest.raises(UserError, match="objects=101 must be 1 to 100"):
        load("coil100:objects=101")


@pytest.mark.skipif("UNBRAID_DATA" not in os.environ, reason="UNBRAID_DATA is not set")
def test_the_real_photographs():
    data = load("coil100")
    assert (len(data), data.spec.num_train) == (7200, 5760)
    assert data.images.std() > 30
