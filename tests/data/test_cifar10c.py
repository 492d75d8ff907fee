import io
import pickle
import struct
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from fake_sets import assert_same, assert_sound
from PIL import Image

from unbraid.data import load
from unbraid.data.cifar10_files import CLASSES, cifar10_files, read_cifar10
from unbraid.data.corruptions import CORRUPTIONS, FROST
from unbraid.errors import DataError, UserError

NUM = 40  # images of each of the five training batches, and for testing
RNG = np.random.default_rng(0)
IMAGES = np.kron(RNG.integers(256, size=(6 * NUM, 4, 4, 3), dtype=np.uint8), np.ones((1, 8, 8, 1), np.uint8))
LABELS = np.sort(np.tile(np.arange(10), 24).reshape(6, NUM), axis=1).ravel()
BATCHES = [*(f"data_batch_{number}" for number in range(1, 6)), "test_batch"]


def rows_of(batch: int) -> slice:
    return slice(batch * NUM, (batch + 1) * NUM)


def channels_first(batch: int) -> np.ndarray:
    return np.ascontiguousarray(IMAGES[rows_of(batch)].transpose(0, 3, 1, 2)).reshape(NUM, -1)


def write_binary(root: Path) -> Path:
    folder = root / "cifar-10-batches-bin"
    folder.mkdir(parents=True)
    for batch, name in enumerate(BATCHES):
        labels = LABELS[rows_of(batch), None].astype(np.uint8)
        (folder / f"{name}.bin").write_bytes(np.hstack([labels, channels_first(batch)]).tobytes())
    return folder


class Python2(pickle._Pickler):
    """Texts and bytes as Python 2 wrote them, which is how the original batches were made."""

    def save_text(self, text: str | bytes) -> None:
        data = text if isinstance(text, bytes) else text.encode()
        self.write(pickle.BINSTRING + struct.pack("<i", len(data)) + data)

    dispatch = {**pickle._Pickler.dispatch, bytes: save_text, str: save_text}


def write_python(root: Path) -> Path:
    folder = root / "cifar-10-batches-py"
    folder.mkdir(parents=True)
    for batch, name in enumerate(BATCHES):
        content = {"data": channels_first(batch), "labels": LABELS[rows_of(batch)].tolist(), "batch_label": name}
        buffer = io.BytesIO()
        Python2(buffer, protocol=2).dump(content)
        (folder / name).write_bytes(buffer.getvalue().replace(b"numpy._core", b"numpy.core"))
    return folder


def encoded(image: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG")
    return buffer.getvalue()


def write_parquet(root: Path, **changes) -> Path:
    root.mkdir(exist_ok=True)
    split = ["train"] * (5 * NUM) + ["test"] * NUM
    columns = {"split": split, "label": LABELS, "image": list(map(encoded, IMAGES))}
    path = root / "cifar10_jpeg_all_60k.parquet"
    pd.DataFrame({**columns, **changes}).to_parquet(path)
    return path


def write_folder(root: Path) -> Path:
    for row, (image, label) in enumerate(zip(IMAGES, LABELS)):
        folder = root / "cifar10" / ("train" if row < 5 * NUM else "test") / CLASSES[label]
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{row:03d}.png").write_bytes(encoded(image))
    return root / "cifar10"


def test_three_forms_are_the_same_data_set(tmp_path):
    one = load(f"cifar10c:raw={write_binary(tmp_path)}")
    assert_sound(one)
    for write in (write_python, write_parquet):
        assert_same(load(f"cifar10c:raw={write(tmp_path)}"), one)


def test_a_folder_of_images(tmp_path):
    folder = write_folder(tmp_path)
    images, labels, num_train = read_cifar10(*cifar10_files(folder))
    order = np.argsort(LABELS[: 5 * NUM], kind="stable")  # the classes are in the order of the alphabet
    np.testing.assert_array_equal(images[:num_train], IMAGES[: 5 * NUM][order])
    np.testing.assert_array_equal(labels[:num_train], LABELS[: 5 * NUM][order])
    assert (len(images) - num_train, np.bincount(labels).tolist()) == (NUM, [24] * 10)
    assert len(load(f"cifar10c:raw={tmp_path}")) == 6 * NUM
    (folder / "train" / "airplane").rename(folder / "train" / "plane")
    with pytest.raises(DataError, match="plane is named after no class"):
        load(f"cifar10c:raw={tmp_path}")


def test_each_class_has_its_corruption(tmp_path):
    data = load(f"cifar10c:bias=0.9,raw={write_binary(tmp_path)}")
    spec = data.spec
    assert (spec.label, spec.bias, spec.domain) == ("object", "corruption", "corruption")
    assert spec.values == {"object": CLASSES, "corruption": tuple(CORRUPTIONS)}
    assert (spec.num_train, len(data.rows("validation")), len(data.rows("test"))) == (180, 20, 40)
    conflicts = data.columns["object"] != data.columns["corruption"]
    assert [conflicts[data.rows(split)].sum() for split in ("train", "validation")] == [18, 2]
    np.testing.assert_array_equal(data.columns["object"], LABELS)
    contrast = data.columns["corruption"] == list(CORRUPTIONS).index("contrast")
    spread = np.ptp(data.images.astype(int), axis=(1, 2)).mean(axis=1)
    assert spread[contrast].max() < 45 < spread[~contrast].max()
    pixelated = np.flatnonzero(data.columns["corruption"] == 8)[0]
    assert np.abs(data.images[pixelated].astype(int) - IMAGES[pixelated]).mean() < 20


def test_seed_severity_and_frost(tmp_path):
    raw = f"raw={write_binary(tmp_path)}"
    one, mild, other = (load(f"cifar10c:{words}{raw}") for words in ("", "severity=4,", "seed=1,"))
    np.testing.assert_array_equal(one.columns["corruption"], mild.columns["corruption"])
    assert (one.images != mild.images).any()
    assert (one.split != other.split).any()
    frost = tmp_path / "frost"
    frost.mkdir()
    for name in FROST:
        Image.new("RGB", (200, 200), (255, 0, 0)).save(frost / name)
    photographed = load(f"cifar10c:frost={frost},{raw}")
    changed = np.unique(photographed.columns["corruption"][(photographed.images != one.images).any(axis=(1, 2, 3))])
    assert changed.tolist() == [1]


class Evil:
    def __reduce__(self):
        return print, ("executed",)


def test_a_pickle_is_never_executed(tmp_path, capsys):
    folder = write_python(tmp_path)
    (folder / "data_batch_1").write_bytes(pickle.dumps({"data": Evil(), "labels": []}, protocol=2))
    with pytest.raises(DataError, match=r"data_batch_1 is damaged or no batch of CIFAR's \(it asks for .*print\)"):
        load(f"cifar10c:raw={folder}")
    assert capsys.readouterr().out == ""


def test_damaged_or_other_files(tmp_path):
    folder = write_binary(tmp_path)
    (folder / "data_batch_2.bin").write_bytes(b"x" * 100)
    with pytest.raises(DataError, match=r"data_batch_2\.bin is no whole number of rows"):
        load(f"cifar10c:raw={folder}")
    (folder / "data_batch_2.bin").write_bytes(b"x" * 3073)
    with pytest.raises(DataError, match="labels 0 to 9"):
        load(f"cifar10c:raw={folder}")
    (folder / "data_batch_2.bin").unlink()
    with pytest.raises(DataError, match=r"lacks data_batch_2\.bin"):
        load(f"cifar10c:raw={folder}")
    with pytest.raises(DataError, match="cannot read the image of row 0"):
        load(f"cifar10c:raw={write_parquet(tmp_path, image=[b'x'] * (6 * NUM))}")
    with pytest.raises(DataError, match="the train rows must be there"):
        load(f"cifar10c:raw={write_parquet(tmp_path, label=[11] * (6 * NUM))}")
    pd.DataFrame({"label": [1]}).to_parquet(tmp_path / "cifar10_jpeg_all_60k.parquet")
    with pytest.raises(DataError, match="has no column image, split"):
        load(f"cifar10c:raw={tmp_path / 'cifar10_jpeg_all_60k.parquet'}")
    folder = tmp_path / "cifar10"
    (folder / "train").mkdir(parents=True)
    with pytest.raises(DataError, match="must hold train and test, each with a folder of images"):
        load(f"cifar10c:raw={folder}")


@pytest.mark.parametrize("wrong", ["bias=2", "severity=3"])
def test_parameters_out_of_range(wrong):
    with pytest.raises(UserError, match="must be 0 to 1 and severity"):
        load(f"cifar10c:{wrong}")
