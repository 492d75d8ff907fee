import io
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from fake_sets import assert_sound
from PIL import Image

from unbraid.data import load
from unbraid.errors import DataError, UserError

NAME = "celeba_2000ids_64px.parquet"


def encoded(grey: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (64, 64), (grey, grey, grey)).save(buffer, "JPEG")
    return buffer.getvalue()


def write(root: Path, **changes) -> Path:
    columns = {
        "file": [f"{row:06d}.jpg" for row in range(15)],
        "identity": [identity for identity in (10, 7, 300) for _ in range(5)],
        "image": [encoded(10 * row) for row in range(15)],
        "landmarks68_xy_in_64px": [np.arange(136) / 3 + row for row in range(15)],
    }
    pd.DataFrame({**columns, **changes}).to_parquet(root / NAME)
    return root / NAME


def test_identities_and_landmarks(tmp_path):
    path = write(tmp_path)
    data = load(f"celeba-2000:raw={path}")
    assert_sound(data)
    spec = data.spec
    assert (spec.image_shape, len(data), spec.sizes) == ((3, 64, 64), 15, {"identity": 3})
    assert spec.values["identity"] == ("7", "10", "300")
    assert data.columns["identity"].tolist() == [1] * 5 + [0] * 5 + [2] * 5
    assert (len(spec.targets), spec.targets[:3]) == (136, ("landmark0_x", "landmark0_y", "landmark1_x"))
    assert data.columns["landmark1_y"].tolist() == pytest.approx([1 + row for row in range(15)])
    assert np.abs(data.images[:, 9, 9, 0] - 10.0 * np.arange(15)).max() <= 1
    assert np.bincount(data.columns["identity"][data.rows("test")]).tolist() == [1, 1, 1]
    half = load(f"celeba-2000:size=32,raw={path}")
    assert half.columns["landmark1_y"][0] == pytest.approx((1 + 0.5) / 2 - 0.5)


def test_missing_damaged_or_different(tmp_path):
    with pytest.raises(DataError, match=f"no {NAME} in"):
        load(f"celeba-2000:raw={tmp_path}")
    path = write(tmp_path, image=[b"x"] * 15)
    with pytest.raises(DataError, match="cannot read the image of row 0"):
        load(f"celeba-2000:raw={path}")
    write(tmp_path, landmarks68_xy_in_64px=[np.zeros(10)] * 15)
    with pytest.raises(DataError, match="landmarks68_xy_in_64px must be 136 numbers a row"):
        load(f"celeba-2000:raw={path}")
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(DataError, match=f"cannot read the table .*{NAME}"):
        load(f"celeba-2000:raw={path}")
    pd.DataFrame({"identity": [1]}).to_parquet(path)
    with pytest.raises(DataError, match="has no column image, landmarks68"):
        load(f"celeba-2000:raw={path}")


def test_parameters_out_of_range():
    with pytest.raises(UserError, match="size=128 must be 8 to 64"):
        load("celeba-2000:size=128")


@pytest.mark.skipif("UNBRAID_DATA" not in os.environ, reason="UNBRAID_DATA is not set")
def test_the_real_photographs():
    data = load("celeba-2000")
    assert_sound(data)
    assert (len(data), data.spec.num_train, data.spec.sizes["identity"]) == (10_000, 8_000, 2_000)
    assert data.images.std() > 30
