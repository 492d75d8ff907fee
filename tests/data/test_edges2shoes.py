from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from fake_sets import assert_sound
from PIL import Image, ImageFilter
from scipy.io import savemat

from unbraid.data import load
from unbraid.errors import DataError, UserError

ROWS = 510  # shoes of Zappos: sandals and boots in turn, but for a few slippers at the end
NUMBERS = {"train": (2, 10, 1), "val": (3,)}
SHOWN = {1: 5, 2: 0, 3: 7, 10: 505}  # pair -> row of Zappos


def colour(row: int) -> tuple[int, int, int]:
    return 30 + 10 * (row % 21), 30 + 10 * (row // 21 % 21), 200 if row % 2 else 100


def zappos_name(row: int) -> str:
    return f"{100 + row}.{row}.jpg"


def write_zappos(root: Path) -> None:
    (root / "ut-zap50k-data").mkdir(parents=True)
    kind = np.where(np.arange(ROWS) % 2, "Boots", "Sandals").astype(object)
    kind[504:] = "Slippers"
    table = pd.DataFrame(
        {
            "CID": [f"{100 + row}-{row}" for row in range(ROWS)],
            "Category": kind,
            "Gender": ["Men" if row < 300 else "Women;Girls" for row in range(ROWS)],
            "Closure": ["Lace up" if row < 400 else "" for row in range(ROWS)],
            "Material": "Leather",
            "ToeStyle": [f"style {row}" for row in range(ROWS)],
        }
    )
    table.to_csv(root / "ut-zap50k-data" / "meta-data.csv", index=False)
    paths = np.empty((ROWS, 1), dtype=object)
    for row in range(ROWS):
        paths[row, 0] = f"Shoes/Maker Inc./{zappos_name(row)}"
    savemat(root / "ut-zap50k-data" / "image-path.mat", {"imagepath": paths})
    folder = root / "ut-zap50k-images-square" / "Shoes" / "Maker Inc%2E"
    folder.mkdir(parents=True)
    for row in range(ROWS):
        Image.new("RGB", (8, 8), colour(row)).save(folder / zappos_name(row), quality=95, subsampling=0)


def pair(number: int) -> Image.Image:
    """Edges: one black line of a pixel on white; photo: flat, in the colour of the shoe it shows."""
    image = Image.new("RGB", (512, 256), "white")
    image.paste((0, 0, 0), (100, 0, 101, 256))
    image.paste(colour(SHOWN[number]), (256, 0, 512, 256))
    return image


def write(root: Path) -> Path:
    write_zappos(root)
    for folder, numbers in NUMBERS.items():
        (root / "edges2shoes" / folder).mkdir(parents=True)
        for number in numbers:
            file = root / "edges2shoes" / folder / f"{number}_AB.jpg"
            pair(number).save(file, quality=95, subsampling=0)
    return root / "edges2shoes"


def test_pairs_and_labels(tmp_path, monkeypatch):
    write(tmp_path)
    monkeypatch.setenv("UNBRAID_DATA", str(tmp_path))
    data = load("edges2shoes:pairs=4")
    assert_sound(data)
    spec = data.spec
    assert (spec.image_shape, len(data), spec.values["modality"]) == ((3, 64, 64), 8, ("photo", "edges"))
    assert (spec.domain, spec.content) == (
        "modality",
        ("shoe_type", "gender", "closure", "material", "toe_style"),
    )
    assert data.columns["modality"].tolist() == [0, 1] * 4
    names = {name: np.array(spec.values[name])[data.columns[name]].tolist() for name in spec.content}
    assert names["shoe_type"] == ["Boots"] * 2 + ["Sandals"] * 2 + ["Boots"] * 2 + ["Other"] * 2  # 1, 2, 3, 10
    assert names["gender"] == ["Men"] * 6 + ["Other"] * 2  # 210 of Women, fewer than 251
    assert names["closure"] == ["Lace up"] * 6 + ["Other"] * 2
    assert (spec.values["material"], spec.values["toe_style"]) == (("Leather",), ("Other",))
    for row, number in enumerate((1, 2, 3, 10)):
        assert np.abs(data.images[2 * row].astype(int) - colour(SHOWN[number])).max() <= 4
        assert data.images[2 * row + 1, :, :20].min() > 250


def test_lines_are_thickened_as_published(tmp_path):
    data = load(f"edges2shoes:pairs=4,size=256,raw={write(tmp_path)}")
    dark = data.images[1, 128, :, 0] < 128
    assert np.flatnonzero(dark).tolist() == [98, 99, 100, 101, 102]
    rng = np.random.default_rng(0)
    noise = rng.integers(256, size=(256, 512, 3), dtype=np.uint8)
    file = tmp_path / "edges2shoes" / "train" / "1_AB.jpg"
    Image.fromarray(noise).save(file, format="PNG")
    edges = load(f"edges2shoes:pairs=4,size=256,raw={tmp_path}").images[1]
    published = Image.fromarray(noise[:, :256])
    for _ in range(2):
        published = published.filter(ImageFilter.MinFilter(3))
    np.testing.assert_array_equal(edges, np.asarray(published))


def test_split_of_images_or_pairs(tmp_path):
    raw = write(tmp_path)
    for seed in range(2):
        pairs = load(f"edges2shoes:pairs=4,size=8,split=pairs,seed={seed},raw={raw}").split.reshape(4, 2)
        assert (pairs[:, 0] == pairs[:, 1]).all()
    images = [load(f"edges2shoes:pairs=4,size=8,seed={seed},raw={raw}").split.tolist() for seed in range(4)]
    assert all(split.count(2) == 1 for split in images)
    assert len({tuple(split) for split in images}) > 1


def test_one_modality(tmp_path):
    raw = write(tmp_path)
    both = load(f"edges2shoes:pairs=4,size=8,raw={raw}")
    for number, modality in enumerate(("photo", "edges")):
        data = load(f"edges2shoes:pairs=4,size=8,modality={modality},raw={raw}")
        assert_sound(data)
        assert (data.spec.domain, data.spec.factors) == (None, both.spec.content)
        np.testing.assert_array_equal(data.images, both.images[number::2])
        assert data.columns["gender"].tolist() == both.columns["gender"][::2].tolist()


def test_missing(tmp_path):
    path = write(tmp_path)
    with pytest.raises(DataError, match="holds 4 pairs in train and val, expected 50025; get it from https"):
        load(f"edges2shoes:raw={path}")
    for name in ("meta-data.csv", "image-path.mat"):
        file = tmp_path / "ut-zap50k-data" / name
        file.rename(tmp_path / name)
        with pytest.raises(DataError, match=f"no ut-zap50k-data/{name} in .*; get it from https"):
            load(f"edges2shoes:pairs=4,raw={path}")
        (tmp_path / name).rename(file)
    images = tmp_path / "ut-zap50k-images-square"
    (images / "Shoes" / "Maker Inc%2E" / zappos_name(7)).unlink()
    with pytest.raises(DataError, match=r"lacks 1 of 510 images: 107\.7\.jpg; get it from https"):
        load(f"edges2shoes:pairs=4,raw={path}")
    images.rename(tmp_path / "elsewhere")
    with pytest.raises(DataError, match="no ut-zap50k-images-square in"):
        load(f"edges2shoes:pairs=4,raw={path}")


def test_damaged_or_different_pairs(tmp_path):
    path = write(tmp_path)
    file = path / "train" / "2_AB.jpg"
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=r"cannot read .*2_AB\.jpg .*get it again from https"):
        load(f"edges2shoes:pairs=4,raw={path}")
    Image.new("RGB", (256, 256)).save(file)
    with pytest.raises(DataError, match=r"2_AB\.jpg is \(256, 256\), expected \(512, 256\) pixels"):
        load(f"edges2shoes:pairs=4,raw={path}")
    file.rename(path / "train" / "shoe.jpg")
    with pytest.raises(DataError, match=r"expected names like 12_AB\.jpg, found shoe\.jpg; remove them"):
        load(f"edges2shoes:pairs=3,raw={path}")


def test_damaged_or_different_labels(tmp_path):
    path = write(tmp_path)
    table, paths = (tmp_path / "ut-zap50k-data" / name for name in ("meta-data.csv", "image-path.mat"))
    lines = table.read_text().splitlines(keepends=True)
    table.write_text("".join(lines[:-1]))
    with pytest.raises(DataError, match=r"lists 510 images, .*meta-data\.csv 509; get both"):
        load(f"edges2shoes:pairs=4,raw={path}")
    table.write_text("CID,Category\n1,2\n")
    with pytest.raises(DataError, match="has no column Closure, Gender, Material, ToeStyle"):
        load(f"edges2shoes:pairs=4,raw={path}")
    table.write_text("".join(lines))
    savemat(paths, {"another": np.zeros(3)})
    with pytest.raises(DataError, match=r"cannot read imagepath of .*image-path\.mat"):
        load(f"edges2shoes:pairs=4,raw={path}")
    paths.write_bytes(b"MATLAB 5.0")
    with pytest.raises(DataError, match=r"cannot read imagepath of .*image-path\.mat") as caught:
        load(f"edges2shoes:pairs=4,raw={path}")
    assert "\n" not in str(caught.value)


def test_parameters_out_of_range():
    with pytest.raises(UserError, match="pairs=60000 must be 2 to 50025"):
        load("edges2shoes:pairs=60000")
