import gzip
import os
from pathlib import Path

import numpy as np
import pytest
from fake_sets import assert_same, assert_sound

from unbraid.data import load
from unbraid.data.biased import assign_bias, hold_out, published_share
from unbraid.data.cmnist import PALETTES, PUBLISHED, paint
from unbraid.errors import DataError, UserError

RNG = np.random.default_rng(0)
IMAGES = {part: RNG.integers(256, size=(num, 28, 28), dtype=np.uint8) for part, num in (("train", 1200), ("t10k", 200))}
LABELS = {part: (np.arange(len(images)) % 10).astype(np.uint8) for part, images in IMAGES.items()}


def idx(array: np.ndarray) -> bytes:
    return bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes() + array.tobytes()


def write_idx(folder: Path, *, zipped: bool = False, **changes) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for part in IMAGES:
        for name, array in ((f"{part}-images-idx3-ubyte", IMAGES[part]), (f"{part}-labels-idx1-ubyte", LABELS[part])):
            data = changes.get(name.replace("-", "_"), idx(array))
            (folder / (name + ".gz" * zipped)).write_bytes(gzip.compress(data) if zipped else data)
    return folder


def write_npz(folder: Path, **changes) -> Path:
    folder.mkdir(exist_ok=True)
    arrays = {
        "x_train": IMAGES["train"],
        "y_train": LABELS["train"],
        "x_test": IMAGES["t10k"],
        "y_test": LABELS["t10k"],
    }
    np.savez(folder / "mnist_complete.npz", **{**arrays, **changes})
    return folder / "mnist_complete.npz"


def test_all_forms_of_the_files_are_the_same_data_set(tmp_path):
    one = load(f"cmnist:raw={write_npz(tmp_path / 'npz')}")
    assert_sound(one)
    places = (
        write_idx(tmp_path / "plain" / "MNIST"),
        write_idx(tmp_path / "torchvision" / "MNIST" / "raw").parents[1],
        write_idx(tmp_path / "zipped", zipped=True),
    )
    for place in places:
        assert_same(load(f"cmnist:raw={place}"), one)


def test_a_digit_wears_its_colour(tmp_path):
    data = load(f"cmnist:bias=0.9,raw={write_npz(tmp_path)}")
    spec = data.spec
    assert (spec.label, spec.bias, spec.domain, spec.factors) == ("digit", "colour", "colour", ("digit", "colour"))
    assert (len(data), spec.num_train, len(data.rows("validation")), len(data.rows("test"))) == (1400, 1100, 100, 200)
    np.testing.assert_array_equal(data.columns["digit"], np.concatenate([LABELS["train"], LABELS["t10k"]]))
    grey = np.concatenate([IMAGES["train"], IMAGES["t10k"]])
    colours = np.round(255 * np.array(PALETTES["pure"]))
    for row in (0, 5, 1300):
        colour = colours[data.columns["colour"][row]]
        np.testing.assert_array_equal(data.images[row], np.floor(grey[row][..., None] * colour / 255 + 1e-9))
    conflicts = data.columns["digit"] != data.columns["colour"]
    assert [conflicts[data.rows(split)].sum() for split in ("train", "validation")] == [99, 9]  # nine tenths of a tenth
    cells = np.histogram2d(*(data.columns[name][data.rows("test")] for name in spec.factors), bins=10)[0]
    assert (cells == 2).all()


def test_what_the_seed_and_the_bias_change(tmp_path):
    raw = f"raw={write_npz(tmp_path)}"
    one, more, other = (load(f"cmnist:{words},{raw}") for words in ("bias=0.9", "bias=0.5", "bias=0.9,seed=1"))
    test = one.rows("test")
    np.testing.assert_array_equal(one.split, more.split)
    np.testing.assert_array_equal(one.images[test], more.images[test])
    assert (one.split != other.split).any()
    assert (one.columns["colour"] != other.columns["colour"]).any()


@pytest.mark.parametrize(("bias", "conflicts"), [(0.995, 249), (0.99, 491), (0.98, 986), (0.95, 2449)])
def test_published_numbers(bias, conflicts):
    split = hold_out(60_000, 10_000, fraction=1 / 12, seed=0, name="cmnist")
    assert np.bincount(split).tolist() == [55_000, 5_000, 10_000]
    label = np.arange(70_000) % 10
    share = published_share(bias, PUBLISHED, 0.9)
    colour = assign_bias(label, split, share=share, num_values=10, seed=0, name="cmnist")
    train = split == 0
    assert (colour[train] != label[train]).sum() == conflicts
    others = (colour - label)[train & (colour != label)] % 10
    assert np.bincount(others, minlength=10)[1:].min() > 0.5 * conflicts / 9


def test_the_usual_share_is_nine_tenths():
    assert published_share(0.9, PUBLISHED, 0.9) == pytest.approx(0.09)


def test_golden_colouring():
    """G6 of the recorded outputs: the muted palette without noise, and two severities of the same draw."""
    grey = np.array([[[255, 128], [1, 0]]], dtype=np.uint8)
    muted = np.array(PALETTES["muted"])
    assert paint(grey, muted[[0]])[0].reshape(-1, 3).tolist() == [[250, 79, 42], [125, 40, 21], [0] * 3, [0] * 3]
    assert paint(grey, muted[[4]])[0, 0].tolist() == [[22, 198, 250], [11, 99, 125]]
    assert paint(grey, muted[[8]])[0, 0].tolist() == [[52, 100, 4], [26, 50, 2]]
    noise = np.array([[1.0, -2, 4]])
    most, least = ((muted[[1]] + deviation * noise).clip(0, 1) for deviation in (0.05, 0.005))
    assert paint(grey, most)[0].reshape(-1, 3)[:3].tolist() == [[255, 207, 140], [128, 104, 70], [1, 0, 0]]
    assert paint(grey, least)[0, 0].tolist() == [[253, 230, 94], [127, 115, 47]]


def test_jitter_moves_the_ink_from_image_to_image(tmp_path):
    raw = write_npz(tmp_path, x_train=np.full((1200, 28, 28), 255, dtype=np.uint8))
    data = load(f"cmnist:bias=1,palette=muted,jitter=0.02,raw={raw}")
    inks = data.images[:1200, 0, 0][LABELS["train"] == 2].astype(float)
    assert inks.std(axis=0) == pytest.approx(255 * 0.02, rel=0.25)
    assert inks.mean(axis=0) == pytest.approx(255 * np.array(PALETTES["muted"][2]), abs=2)


def test_a_larger_size_is_a_black_margin(tmp_path):
    raw = write_npz(tmp_path)
    small, large = load(f"cmnist:raw={raw}"), load(f"cmnist:size=33,raw={raw}")
    np.testing.assert_array_equal(large.images[:, 2:30, 2:30], small.images)
    assert large.images.sum(dtype=int) == small.images.sum(dtype=int)


def test_embedded_digits_need_no_file(monkeypatch):
    monkeypatch.delenv("UNBRAID_DATA", raising=False)
    data = load("digits-biased:bias=0.95")
    assert_sound(data)
    assert [len(data.rows(split)) for split in ("train", "validation", "test")] == [3500, 500, 1000]
    train, test = data.rows("train"), data.rows("test")
    digit, colour = data.columns["digit"], data.columns["colour"]
    assert (digit[train] != colour[train]).sum() == round(3500 * PUBLISHED[0.95])
    assert (np.histogram2d(digit[test], colour[test], bins=10)[0] == 10).all()
    assert data.spec.image_shape == (3, 32, 32)


@pytest.mark.parametrize(
    ("name", "data", "text"),
    [
        ("train_images_idx3_ubyte", b"\0\0\x08\3" + b"\0" * 20, "holds 8 bytes, its header says"),
        ("train_images_idx3_ubyte", b"PNG", "not in the IDX form"),
        ("train_images_idx3_ubyte", idx(np.zeros((5, 8, 8), np.uint8)), r"\(5, 8, 8\) images"),
        ("t10k_labels_idx1_ubyte", idx(np.full(200, 10, np.uint8)), "labels run from 10 to 10"),
        ("t10k_labels_idx1_ubyte", idx(np.zeros(7, np.uint8)), r"\(7,\) labels"),
    ],
)
def test_damaged_or_other_files(tmp_path, name, data, text):
    with pytest.raises(DataError, match=text):
        load(f"cmnist:raw={write_idx(tmp_path / 'MNIST', **{name: data})}")


def test_missing_or_cut_short(tmp_path):
    folder = write_idx(tmp_path / "MNIST", zipped=True)
    file = folder / "t10k-images-idx3-ubyte.gz"
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(DataError, match=r"cannot read .*t10k-images"):
        load(f"cmnist:raw={folder}")
    file.unlink()
    with pytest.raises(DataError, match=r"lacks t10k-images-idx3-ubyte or t10k-images-idx3-ubyte\.gz"):
        load(f"cmnist:raw={folder}")
    path = write_npz(tmp_path)
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(DataError, match="damaged"):
        load(f"cmnist:raw={path}")


@pytest.mark.parametrize("wrong", ["bias=1.1", "jitter=-1", "size=27", "palette=rgb"])
def test_parameters_out_of_range(wrong):
    for name in ("cmnist", "digits-biased"):
        with pytest.raises(UserError, match="must be"):
            load(f"{name}:{wrong}")


@pytest.mark.skipif("UNBRAID_DATA" not in os.environ, reason="UNBRAID_DATA is not set")
def test_the_real_digits():
    data = load("cmnist:bias=0.995")
    assert_sound(data)
    assert [len(data.rows(split)) for split in ("train", "validation", "test")] == [55_000, 5_000, 10_000]
    train = data.rows("train")
    assert (data.columns["digit"][train] != data.columns["colour"][train]).sum() == 249
