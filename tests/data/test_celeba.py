import zipfile
from pathlib import Path

import numpy as np
import pytest
from fake_sets import assert_sound
from PIL import Image

from unbraid.data import load
from unbraid.errors import DataError, UserError

# identity -> number of images; partition by identity, as published
COUNTS = {9: 1, 20: 5, 100: 10, 7: 4, 30: 10}
PARTITION = {9: 0, 20: 0, 100: 1, 7: 2, 30: 2}
PEOPLE = [identity for identity, count in COUNTS.items() for _ in range(count)]
FILES = [f"{number:06d}.jpg" for number in range(1, 31)]
POINTS = "lefteye_x lefteye_y righteye_x righteye_y nose_x nose_y leftmouth_x leftmouth_y rightmouth_x rightmouth_y"
LISTS = ("identity_CelebA.txt", "list_eval_partition.txt", "list_landmarks_align_celeba.txt")


def photo(number: int) -> Image.Image:
    """Grey by number inside the crop, red outside, a white square of 4 x 4 around the left eye at (69, 111)."""
    pixels = np.zeros((218, 178, 3), dtype=np.uint8)
    pixels[..., 0] = 255
    pixels[45:173, 25:153] = 5 * number
    pixels[109:113, 67:71] = 255
    return Image.fromarray(pixels)


def write(root: Path, layout: str = "flat", form: str = "folder") -> Path:
    folder = root / "celeba"
    images, lists, partition = (folder / (name if layout == "published" else ".") for name in ("Img", "Anno", "Eval"))
    for place in (images, lists, partition):
        place.mkdir(parents=True, exist_ok=True)
    (images / "img_align_celeba").mkdir()
    for number, name in enumerate(FILES, start=1):
        photo(number).save(images / "img_align_celeba" / name, quality=95, subsampling=0)
    if form == "zip":
        with zipfile.ZipFile(images / "img_align_celeba.zip", "w") as archive:
            for name in FILES:
                archive.write(images / "img_align_celeba" / name, f"img_align_celeba/{name}")
                (images / "img_align_celeba" / name).unlink()
        (images / "img_align_celeba").rmdir()
    (lists / LISTS[0]).write_text("".join(f"{name} {person}\n" for name, person in zip(FILES, PEOPLE)))
    (partition / LISTS[1]).write_text("".join(f"{name} {PARTITION[one]}\n" for name, one in zip(FILES, PEOPLE)))
    points = [f"{name}  69  111  106  113   {n}  142   73  152  108  154\n" for n, name in enumerate(FILES, start=1)]
    (lists / LISTS[2]).write_text(f"{len(FILES)}\n{POINTS} \n{''.join(points)}")
    return folder


@pytest.mark.parametrize("layout", ["flat", "published"])
@pytest.mark.parametrize("form", ["folder", "zip"])
def test_identities_and_landmarks(tmp_path, monkeypatch, layout, form):
    write(tmp_path, layout, form)
    monkeypatch.setenv("UNBRAID_DATA", str(tmp_path))
    data = load("celeba")
    assert_sound(data)
    spec = data.spec
    assert (spec.image_shape, len(data), spec.sizes) == ((3, 64, 64), 30, {"identity": 5})
    assert (spec.domain, spec.content, spec.targets) == ("identity", (), tuple(POINTS.split()))
    assert spec.values["identity"] == ("7", "9", "20", "30", "100")
    assert [int(spec.values["identity"][code]) for code in data.columns["identity"]] == PEOPLE
    assert np.abs(data.images[:, 50, 50, 0] - 5.0 * np.arange(1, 31)).max() <= 2
    assert data.images[:3, 0, 0, 0].max() < 30  # nothing of the red frame


def test_landmarks_are_in_pixels_of_the_result(tmp_path):
    folder = write(tmp_path)
    for size in (64, 32):
        data = load(f"celeba:size={size},raw={folder}")
        image = data.images[0, :, :, 0].astype(float).clip(30) - 30
        y, x = (np.sum(axis * image) / image.sum() for axis in np.indices(image.shape))
        assert abs(data.columns["lefteye_x"][0] - x) < 0.3  # the square is centred half a pixel off the landmark
        assert abs(data.columns["lefteye_y"][0] - y) < 0.3
    assert data.columns["lefteye_x"][0] == (69 - 25 + 0.5) / 4 - 0.5
    assert data.columns["nose_x"].tolist() == [(n - 25 + 0.5) / 4 - 0.5 for n in range(1, 31)]


def test_found_beside_the_images(tmp_path):
    folder = write(tmp_path).rename(tmp_path / "my copy")
    assert len(load(f"celeba:raw={folder}")) == 30
    assert len(load(f"celeba:raw={folder / 'img_align_celeba'}")) == 30


def test_single_images_are_not_for_testing(tmp_path):
    folder = write(tmp_path)
    for seed in range(5):
        data = load(f"celeba:size=8,seed={seed},raw={folder}")
        tested = np.bincount(data.columns["identity"][data.rows("test")], minlength=5)  # 7, 9, 20, 30, 100
        assert tested[1] == 0
        assert tested[[2, 3, 4]].tolist() == [1, 2, 2]


def test_parts_and_least_number_of_images(tmp_path):
    folder = write(tmp_path)
    train = load(f"celeba:part=train,min_images=5,raw={folder}")
    assert_sound(train)
    assert (train.spec.values["identity"], len(train)) == (("20", "100"), 15)
    assert [int(train.spec.values["identity"][code]) for code in train.columns["identity"]] == PEOPLE[1:16]
    assert np.abs(train.images[:, 50, 50, 0] - 5.0 * np.arange(2, 17)).max() <= 2
    test = load(f"celeba:part=test,min_images=2,raw={folder}")
    assert_sound(test)
    assert test.spec.values["identity"] == ("7", "30")
    assert np.bincount(test.columns["identity"][test.rows("test")]).tolist() in ([1, 3], [2, 3], [1, 4], [2, 2])
    with pytest.raises(UserError, match="nobody in part=test has min_images=11 images"):
        load(f"celeba:part=test,min_images=11,raw={folder}")
    with pytest.raises(DataError, match="every image of celeba has the same 'identity'"):
        load(f"celeba:part=train,min_images=6,raw={folder}")


@pytest.mark.parametrize("form", ["folder", "zip"])
def test_missing_images(tmp_path, form):
    folder = write(tmp_path)
    (folder / "img_align_celeba" / FILES[3]).unlink()
    if form == "zip":
        with zipfile.ZipFile(folder / "img_align_celeba.zip", "w") as archive:
            for file in (folder / "img_align_celeba").iterdir():
                archive.write(file, f"img_align_celeba/{file.name}")
        (folder / "img_align_celeba").rename(folder / "elsewhere")
    with pytest.raises(DataError, match=r"img_align_celeba.* lacks 1 of 30 images: 000004\.jpg; see http"):
        load(f"celeba:raw={folder}")


def test_damaged_or_different_images(tmp_path):
    folder = write(tmp_path)
    file = folder / "img_align_celeba" / FILES[3]
    file.write_bytes(file.read_bytes()[:700])
    with pytest.raises(DataError, match=r"cannot read 000004\.jpg in .*get it again from http"):
        load(f"celeba:raw={folder}")
    Image.new("RGB", (409, 687)).save(file)
    with pytest.raises(DataError, match=r"000004\.jpg in .* is \(409, 687\), expected aligned \(178, 218\)"):
        load(f"celeba:raw={folder}")


def test_damaged_zip(tmp_path):
    archive = write(tmp_path, form="zip") / "img_align_celeba.zip"
    archive.write_bytes(archive.read_bytes()[:-100])
    with pytest.raises(DataError, match=r"cannot read .*\.zip \(File is not a zip file\); get it again"):
        load(f"celeba:raw={tmp_path / 'celeba'}")


@pytest.mark.parametrize("name", LISTS)
def test_lists_missing_truncated_or_different(tmp_path, name):
    folder = write(tmp_path)
    whole = (folder / name).read_text()
    (folder / name).write_text(whole[:-3])  # the last number is lost or another one
    if name == LISTS[2]:
        (folder / name).write_text(whole[:-10])
    with pytest.raises(DataError, match=rf"{name} is damaged or another file .*get it again") as caught:
        load(f"celeba:raw={folder}")
    assert "\n" not in str(caught.value)
    (folder / name).write_text(whole[: whole.rindex("\n", 0, -1) + 1])  # a line less
    with pytest.raises(DataError, match="not the same ones; get both again from http"):
        load(f"celeba:raw={folder}")
    (folder / name).write_bytes(b"\x89PNG\r\n\xff\x00" * 9)
    with pytest.raises(DataError, match=rf"{name} is damaged or another file"):
        load(f"celeba:raw={folder}")
    (folder / name).unlink()
    with pytest.raises(DataError, match=rf"lacks {name}; get it from http"):
        load(f"celeba:raw={folder}")


def test_parameters_out_of_range():
    with pytest.raises(UserError, match="min_images=0 must be at least 1"):
        load("celeba:min_images=0")
    with pytest.raises(UserError, match="part must be one of all, train, test"):
        load("celeba:part=validation")
