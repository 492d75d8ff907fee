"""Every form in which people hold images, and codes that depend on nothing but the image."""

import numpy as np
import pytest
import torch
from fake_training import tiny_dataset
from PIL import Image

from unbraid.encode import as_pixels, encode_dataset, encode_pixels, to_tensor
from unbraid.errors import DataError
from unbraid.hparams import parse
from unbraid.methods import method
from unbraid.tables import DataSpec

RGB = DataSpec(name="x", image_shape=(3, 8, 8), num_train=0, sizes={})
GREY = DataSpec(name="x", image_shape=(1, 8, 8), num_train=0, sizes={})
PIXELS = np.random.default_rng(0).integers(256, size=(4, 8, 8, 3), dtype=np.uint8)
FLOATS = PIXELS.transpose(0, 3, 1, 2).astype(np.float32) / 255

FORMS = {
    "pixels": PIXELS,
    "pixels in a tensor": torch.from_numpy(PIXELS),
    "list of arrays": list(PIXELS),
    "floats": FLOATS,
    "doubles": PIXELS.transpose(0, 3, 1, 2) / 255,
    "floats in a tensor": torch.from_numpy(FLOATS).requires_grad_(),
    "view that is not contiguous": PIXELS[::-1][::-1],
}


@pytest.mark.parametrize("form", FORMS)
def test_arrays(form):
    np.testing.assert_array_equal(as_pixels(FORMS[form], RGB), PIXELS)


def test_half_precision():
    found = as_pixels(torch.from_numpy(FLOATS).bfloat16(), RGB)
    assert np.abs(found.astype(int) - PIXELS).max() <= 1


def test_grey_images_may_leave_the_channel_out():
    np.testing.assert_array_equal(as_pixels(PIXELS[..., 0], GREY), PIXELS[..., :1])
    np.testing.assert_array_equal(as_pixels(PIXELS[..., :1], GREY), PIXELS[..., :1])
    np.testing.assert_array_equal(as_pixels(FLOATS[:, :1], GREY), PIXELS[..., :1])


def test_files(tmp_path):
    files = [tmp_path / f"{row}.png" for row in range(4)]
    for file, image in zip(files, PIXELS):
        Image.fromarray(image).save(file)
    np.testing.assert_array_equal(as_pixels(files, RGB), PIXELS)
    np.testing.assert_array_equal(as_pixels(tuple(map(str, files)), RGB), PIXELS)
    np.testing.assert_array_equal(as_pixels(str(files[2]), RGB), PIXELS[2:3])
    np.testing.assert_array_equal(as_pixels(files[2], RGB), PIXELS[2:3])
    Image.fromarray(PIXELS[0]).resize((40, 31)).save(files[0])
    assert as_pixels(files, RGB).shape == (4, 8, 8, 3)
    assert as_pixels(files, GREY).shape == (4, 8, 8, 1)
    with pytest.raises(DataError, match=r"no image file at none\.png; give the paths"):
        as_pixels("none.png", RGB)
    files[1].write_bytes(b"no image")
    with pytest.raises(DataError, match=r"1 of 4 images cannot be read: .*1\.png"):
        as_pixels(files, RGB)
    with pytest.raises(DataError, match="square encoders only; give arrays of 8x6"):
        as_pixels(files, DataSpec(name="x", image_shape=(3, 8, 6), num_train=0, sizes={}))


WRONG = {
    "size": (np.zeros((2, 9, 8, 3), np.uint8), r"images are \(9, 8, 3\) \(H, W, C\), the encoder takes \(8, 8, 3\)"),
    "channels": (PIXELS[..., :1], r"images are \(8, 8, 1\)"),
    "channels first": (FLOATS.astype(np.uint8), r"images are \(3, 8, 8\)"),
    "channels last": (FLOATS.transpose(0, 2, 3, 1), r"images are \(8, 3, 8\)"),
    "above one": (FLOATS * 2, "images must be uint8"),
    "below zero": (FLOATS - 0.5, "images must be uint8"),
    "NaN": (FLOATS * np.nan, "images must be uint8"),
    "whole numbers": (PIXELS.astype(int), "images must be uint8"),
    "nothing": ([], "there are no images"),
    "words and numbers": (["a.png", 3], "images must be uint8"),
    "a number": (3, "images must be uint8"),
    "two sizes": ([PIXELS[0], PIXELS[0, :4]], "images must be of one size"),
}


@pytest.mark.parametrize("mistake", WRONG)
def test_what_are_no_images_is_refused(mistake):
    images, line = WRONG[mistake]
    with pytest.raises(DataError, match=line):
        as_pixels(images, RGB)


@pytest.fixture(scope="module")
def model():
    kind = method("untrained")
    torch.manual_seed(0)
    model = kind(parse(kind.config_class, kind.presets["tiny"], owner="untrained"), tiny_dataset().spec)
    return model.eval()


def test_a_data_set_becomes_codes_with_its_columns(model, monkeypatch):
    monkeypatch.setattr("unbraid.encode._BATCH", 40)  # 96 rows in three pieces
    data = tiny_dataset()
    codes = encode_dataset(model, data)
    assert codes.spec == data.spec
    assert codes.z.shape == (96, 8)
    assert codes.z.dtype == np.float32
    assert codes.columns == data.columns
    np.testing.assert_array_equal(codes.split, data.split)
    for row in (0, 39, 40, 95):
        np.testing.assert_allclose(codes.z[row], encode_pixels(model, data.images[row : row + 1])[0], atol=1e-5)


def test_images_that_cannot_be_written_to(model):
    """As those of a memory map."""
    images = tiny_dataset().images
    images.flags.writeable = False
    assert encode_pixels(model, images[:3]).shape == (3, 8)
    x = to_tensor(images[:3], torch.device("cpu"))
    assert x.is_contiguous(memory_format=torch.channels_last)
    np.testing.assert_allclose(x.permute(0, 2, 3, 1), images[:3] / np.float32(255))
