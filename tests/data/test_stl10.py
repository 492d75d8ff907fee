import numpy as np
import pytest
from PIL import Image

import unbraid
from unbraid.data import load, store
from unbraid.errors import DataError, UserError

RNG = np.random.default_rng(0)
IMAGES = {part: RNG.integers(256, size=(num, 96, 96, 3), dtype=np.uint8) for part, num in
          {"train": 20, "unlabeled": 30, "test": 10}.items()}  # fmt: skip


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "stl10_binary"
    folder.mkdir()
    for part, images in IMAGES.items():
        (folder / f"{part}_X.bin").write_bytes(images.transpose(0, 3, 2, 1).tobytes())  # column by column
        if part != "unlabeled":
            (folder / f"{part}_y.bin").write_bytes((1 + np.arange(len(images)) % 10).astype(np.uint8).tobytes())
    return folder


def test_labelled_rows_then_unlabelled_then_test(folder):
    data = load(f"stl10:raw={folder}")
    assert (data.spec.image_shape, data.spec.num_train, data.spec.label) == ((3, 96, 96), 50, "object")
    np.testing.assert_array_equal(data.images, np.concatenate(list(IMAGES.values())))
    assert data.columns["object"].tolist() == [*range(10), *range(10), *[-1] * 30, *range(10)]
    assert data.rows("test").tolist() == list(range(50, 60))
    assert data.spec.values["object"][7] == "monkey"


def test_the_store_depends_on_all_code_that_reads(folder, monkeypatch):
    seen = set()

    def cached(name, parameters, sources, build):
        seen.update(path.name for path in sources)
        raise DataError("asked")

    monkeypatch.setattr(store, "cached", cached)
    (folder.parent / "cifar-100-binary").mkdir()
    for part in ("train", "test"):
        (folder.parent / "cifar-100-binary" / f"{part}.bin").touch()
    for name in (f"stl10:raw={folder}", f"cifar100:raw={folder.parent}"):
        with pytest.raises(DataError, match="asked"):
            load(name)
    assert {"stl10.py", "raw_files.py", "cifar.py", "cifar10_files.py", "cifar100_files.py"} <= seen


def test_without_the_unlabelled_rows(folder):
    (folder / "unlabeled_X.bin").unlink()
    data = load(f"stl10:unlabelled=no,raw={folder}")
    assert (data.spec.num_train, len(data), data.columns["object"].min()) == (20, 30, 0)


def test_a_method_that_learns_the_label_cannot_take_the_unlabelled_rows(folder, tmp_path):
    with pytest.raises(UserError, match="the method needs the label of each row, and 30 train rows have none"):
        unbraid.train("vanilla", f"stl10:size=32,raw={folder}", preset="tiny", out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_small_images_are_the_whole_image(folder):
    data = load(f"stl10:size=32,raw={folder}")
    assert data.images.shape == (60, 32, 32, 3)
    for part, row in (("train", 3), ("test", 55)):
        whole = Image.fromarray(IMAGES[part][row % 50])
        np.testing.assert_array_equal(data.images[row], whole.resize((32, 32), Image.Resampling.BICUBIC))


def test_wrong_parameters_and_files(folder):
    with pytest.raises(UserError, match="size=4 must be at least 8"):
        load(f"stl10:size=4,raw={folder}")
    with pytest.raises(UserError, match="unlabelled must be one of yes, no"):
        load(f"stl10:unlabelled=false,raw={folder}")
    (folder / "test_y.bin").write_bytes(bytes([1] * 9))
    with pytest.raises(DataError, match=r"test_y\.bin does not hold 10 labels from 1 to 10"):
        load(f"stl10:raw={folder}")
    (folder / "test_y.bin").write_bytes(bytes([11] * 10))
    with pytest.raises(DataError, match="labels from 1 to 10"):
        load(f"stl10:raw={folder}")
    (folder / "train_X.bin").write_bytes(b"x" * 100)
    with pytest.raises(DataError, match=r"train_X\.bin is no whole number of images of 27648 bytes"):
        load(f"stl10:raw={folder}")
    (folder / "train_X.bin").unlink()
    with pytest.raises(DataError, match=r"lacks train_X\.bin; get it from http"):
        load(f"stl10:raw={folder}")
