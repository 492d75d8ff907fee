import numpy as np
import pytest
from photos import photo
from PIL import Image

from unbraid.data.pictures import decode, decode_all, survey
from unbraid.errors import DataError

RED = (200, 30, 40)


def only(path, size=8, color="auto"):
    (image,) = next(decode_all([path], survey([path], size, color)))
    return image


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "tif", "bmp"])
def test_formats(tmp_path, suffix):
    Image.new("RGB", (30, 20), RED).save(tmp_path / f"a.{suffix}")
    image = only(tmp_path / f"a.{suffix}")
    assert image.shape == (8, 8, 3)
    assert np.abs(image.astype(int) - RED).max() <= 8


@pytest.mark.parametrize(("mode", "suffix"), [("P", "png"), ("CMYK", "tif"), ("RGBA", "png"), ("YCbCr", "jpg")])
def test_colour_modes(tmp_path, mode, suffix):
    image = Image.new("RGB", (9, 9), RED)
    image = image.quantize() if mode == "P" else image.convert(mode)
    image.save(tmp_path / f"a.{suffix}")
    image = only(next(tmp_path.iterdir()))
    assert np.abs(image.astype(int) - RED).max() <= 8


@pytest.mark.parametrize("mode", ["1", "L", "LA"])
def test_grey_modes_stay_grey(tmp_path, mode):
    Image.new("L", (9, 9), 255).convert(mode).save(tmp_path / "a.png")
    assert only(tmp_path / "a.png").tolist() == [[[255]] * 8] * 8
    assert only(tmp_path / "a.png", color="rgb").shape == (8, 8, 3)


def test_one_colour_image_makes_all_colour(tmp_path):
    files = [tmp_path / "a.png", tmp_path / "b.png"]
    Image.new("L", (9, 9)).save(files[0])
    photo(0).save(files[1])
    assert survey(files, 8, "auto").channels == 3
    assert survey(files, 8, "grey").channels == 1


def test_transparent_is_white(tmp_path):
    Image.new("RGBA", (9, 9), (0, 0, 0, 0)).save(tmp_path / "a.png")
    assert only(tmp_path / "a.png").min() == 255
    Image.new("RGBA", (9, 9), (0, 0, 0, 0)).convert("P").save(tmp_path / "b.png", transparency=0)
    assert only(tmp_path / "b.png").min() == 255


def test_exif_orientation(tmp_path):
    image = Image.new("L", (10, 20))
    image.paste(255, (0, 0, 10, 10))  # white above black
    exif = Image.Exif()
    exif[0x0112] = 3  # upside down
    image.save(tmp_path / "a.png", exif=exif)
    pixels = only(tmp_path / "a.png")[..., 0].astype(int)
    assert pixels[0].mean() < 30 < 220 < pixels[-1].mean()


def test_shorter_side_is_resized_and_the_centre_kept(tmp_path):
    image = Image.new("L", (40, 10))
    image.paste(255, (15, 0, 25, 10))
    image.save(tmp_path / "a.png")
    assert only(tmp_path / "a.png", size=10).min() == 255


def test_antialiasing(tmp_path):
    stripes = np.tile(np.array([[0, 255]], dtype=np.uint8), (64, 32))
    Image.fromarray(stripes).save(tmp_path / "a.png")
    assert np.abs(only(tmp_path / "a.png")[:, 1:-1].astype(int) - 127).max() <= 6


@pytest.mark.parametrize(
    ("dtype", "top", "white"),
    [
        ("uint16", 65535, 65535),
        ("uint16", 4000, 4095),
        ("uint16", 255, 255),
        ("float32", 1.0, 1),
        ("float32", 200, 255),
    ],
)
def test_deep_images_share_one_scale(tmp_path, dtype, top, white):
    for name, level in {"a.tif": top, "b.tif": top / 2}.items():
        Image.fromarray(np.full((9, 9), level, dtype=dtype)).save(tmp_path / name)
    files = [tmp_path / "a.tif", tmp_path / "b.tif"]
    look = survey(files, 8, "auto")
    assert (look.channels, look.black, look.white) == (1, 0, white)
    assert decode(files[0], look)[0, 0, 0] == round(255 * top / white)
    assert abs(int(decode(files[1], look)[0, 0, 0]) - 127.5 * top / white) <= 1


def test_negative_and_missing_pixels(tmp_path):
    values = np.tile(np.array([-100.0, 300.0, np.nan], dtype=np.float32), (9, 3))
    Image.fromarray(values).save(tmp_path / "a.tif")
    look = survey([tmp_path / "a.tif"], 9, "auto")
    assert (look.black, look.white) == (-100, 1023)
    assert decode(tmp_path / "a.tif", look)[0, :3, 0].tolist() == [0, round(255 * 400 / 1123), 0]


@pytest.mark.parametrize("damage", ["truncated", "empty", "text"])
def test_unreadable_images_are_counted_and_named(tmp_path, damage):
    files = [tmp_path / f"{row}.png" for row in range(6)]
    for row, file in enumerate(files):
        photo(row).save(file)
    for file in files[1:]:
        data = {"truncated": file.read_bytes()[:300], "empty": b"", "text": b"hello"}[damage]
        file.write_bytes(data)
    with pytest.raises(DataError, match=r"5 of 6 images cannot be read: .*1.png, .*2.png, .*3.png and 2 more"):
        list(decode_all(files, survey(files, 8, "auto")))


def test_more_images_than_one_piece(tmp_path):
    photo(0).save(tmp_path / "a.png")
    files = [tmp_path / "a.png"] * 300
    assert [len(piece) for piece in decode_all(files, survey(files, 8, "auto"))] == [256, 44]
