import pickle

import numpy as np
import pytest
from fake_sets import assert_same, assert_sound

from unbraid.data import load
from unbraid.data.cifar10_files import CLASSES
from unbraid.errors import DataError

RNG = np.random.default_rng(0)
NUM = {"train": 200, "test": 100}
# The superclass of each of the 100 classes, by number, as users of the set write it down.
COARSE = np.array(
    [4, 1, 14, 8, 0, 6, 7, 7, 18, 3, 3, 14, 9, 18, 7, 11, 3, 9, 7, 11, 6, 11, 5, 10, 7, 6, 13, 15, 3, 15, 0, 11, 1, 10,
     12, 14, 16, 9, 11, 5, 5, 19, 8, 8, 15, 13, 14, 17, 18, 10, 16, 4, 17, 4, 2, 0, 17, 4, 18, 17, 10, 3, 2, 12, 12, 16,
     12, 1, 9, 19, 2, 10, 0, 1, 16, 12, 9, 13, 15, 13, 16, 19, 2, 4, 6, 19, 5, 5, 8, 19, 18, 1, 2, 15, 6, 0, 17, 8, 14,
     13]
)  # fmt: skip


def rows(part):
    """Images channel by channel, classes and superclasses."""
    images = RNG.integers(256, size=(NUM[part], 3072), dtype=np.uint8)
    fine = RNG.permutation(NUM[part]) % 100
    return images, fine, COARSE[fine]


PARTS = {part: rows(part) for part in NUM}


def write_binary(root):
    folder = root / "cifar-100-binary"
    folder.mkdir()
    for part, (images, fine, coarse) in PARTS.items():
        (folder / f"{part}.bin").write_bytes(np.column_stack([coarse, fine, images]).astype(np.uint8).tobytes())
    return folder


def write_python(root):
    folder = root / "cifar-100-python"
    folder.mkdir()
    for part, (images, fine, coarse) in PARTS.items():
        content = {"data": images, "fine_labels": fine.tolist(), "coarse_labels": coarse.tolist()}
        (folder / part).write_bytes(pickle.dumps(content, protocol=4))
    return folder


def test_both_forms_of_cifar100_are_the_same(tmp_path):
    data = load(f"cifar100:raw={write_binary(tmp_path)}")
    assert_sound(data)
    assert (data.spec.label, data.spec.domain, data.spec.num_train, len(data)) == ("object", None, 200, 300)
    for part, (images, fine, coarse) in PARTS.items():
        here = data.rows(part)
        np.testing.assert_array_equal(data.columns["object"][here], fine)
        np.testing.assert_array_equal(data.columns["superclass"][here], coarse)
        np.testing.assert_array_equal(data.images[here].transpose(0, 3, 1, 2).reshape(-1, 3072), images)
    assert data.spec.values["object"][:4] == ("apple", "aquarium fish", "baby", "bear")
    assert data.spec.values["superclass"][COARSE[0]] == "fruit and vegetables"
    assert_same(load(f"cifar100:raw={write_python(tmp_path)}"), data)


def test_cifar10_has_the_original_split(tmp_path):
    folder = tmp_path / "cifar-10-batches-bin"
    folder.mkdir()
    images, fine, _ = PARTS["train"]
    label = (fine % 10).astype(np.uint8)
    for number in range(1, 7):
        name = "test_batch" if number == 6 else f"data_batch_{number}"
        some = slice(20 * number, 20 * number + 20)
        (folder / f"{name}.bin").write_bytes(np.column_stack([label[some], images[some]]).tobytes())
    data = load(f"cifar10:raw={tmp_path}")
    assert_sound(data)
    assert (data.spec.label, data.spec.values["object"], data.spec.num_train, len(data)) == (
        "object",
        CLASSES,
        100,
        120,
    )
    np.testing.assert_array_equal(data.columns["object"], label[20:140])
    np.testing.assert_array_equal(data.images[119].transpose(2, 0, 1).ravel(), images[139])


def test_damaged_or_missing_files(tmp_path):
    folder = write_binary(tmp_path)
    whole = (folder / "train.bin").read_bytes()
    (folder / "train.bin").write_bytes(whole[:-7])
    with pytest.raises(DataError, match=r"train\.bin is no whole number of rows of 3074 bytes"):
        load(f"cifar100:raw={folder}")
    (folder / "train.bin").write_bytes(bytes([0, 200]) + whole[2:])
    with pytest.raises(DataError, match="labels 0 to 99"):
        load(f"cifar100:raw={folder}")
    (folder / "train.bin").write_bytes(bytes([(whole[0] + 1) % 20]) + whole[1:])
    with pytest.raises(DataError, match="not in the superclass"):
        load(f"cifar100:raw={folder}")
    (folder / "train.bin").unlink()
    with pytest.raises(DataError, match=r"lacks train\.bin; get it from http"):
        load(f"cifar100:raw={folder}")


class Evil:
    def __reduce__(self):
        return print, ("executed",)


def test_a_pickle_is_never_executed(tmp_path, capsys):
    folder = write_python(tmp_path)
    (folder / "train").write_bytes(pickle.dumps({"data": Evil()}, protocol=2))
    with pytest.raises(DataError, match="damaged or no batch"):
        load(f"cifar100:raw={folder}")
    assert capsys.readouterr().out == ""
