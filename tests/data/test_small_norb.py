import gzip
import struct
from pathlib import Path

import numpy as np
import pytest
from fake_sets import assert_sound

from unbraid.data import load, small_norb
from unbraid.errors import DataError, UserError

TRAINING, TESTING = "smallnorb-5x46789x9x18x6x2x96x96-training", "smallnorb-5x01235x9x18x6x2x96x96-testing"
NUM = 40  # images in each of the test's files


@pytest.fixture(autouse=True)
def short_files(monkeypatch):
    monkeypatch.setattr(small_norb, "IMAGES_PER_FILE", NUM)


def matrix(array: np.ndarray) -> bytes:
    """The format as its publishers describe it: magic number, dimensions (three at least), values."""
    magic = {"uint8": 0x1E3D4C55, "int32": 0x1E3D4C54}[array.dtype.name]
    shape = array.shape + (1,) * (3 - array.ndim)
    return struct.pack(f"<{2 + len(shape)}i", magic, array.ndim, *shape) + array.tobytes()


def labels(instances: tuple[int, ...]) -> np.ndarray:
    """Category, instance, elevation, azimuth, lighting."""
    return np.array([(i % 5, instances[i // 5 % 5], i % 9, 2 * (i % 18), i % 6) for i in range(NUM)], dtype=np.int32)


def write(root: Path, zipped: bool = False) -> Path:
    folder = root / "smallnorb"
    folder.mkdir(exist_ok=True)
    for number, (part, instances) in enumerate({TRAINING: (4, 6, 7, 8, 9), TESTING: (0, 1, 2, 3, 5)}.items()):
        rows = labels(instances)
        images = np.zeros((NUM, 2, 96, 96), dtype=np.uint8)
        images[:, 0] = (100 * number + np.arange(NUM))[:, None, None]
        images[:, 1] = 255  # the right camera
        for kind, array in {"dat": images, "cat": rows[:, 0], "info": rows[:, 1:]}.items():
            data, name = matrix(np.ascontiguousarray(array)), f"{part}-{kind}.mat"
            (folder / (f"{name}.gz" if zipped else name)).write_bytes(gzip.compress(data, 1) if zipped else data)
    return folder


@pytest.mark.parametrize("zipped", [False, True])
def test_left_camera_of_both_files(tmp_path, zipped):
    data = load(f"smallnorb:raw={write(tmp_path, zipped)}")
    assert_sound(data)
    spec = data.spec
    assert (spec.image_shape, len(data)) == ((1, 64, 64), 2 * NUM)
    assert spec.sizes == {"instance": 50, "azimuth": 18, "elevation": 9, "lighting": 6, "category": 5}
    assert (spec.domain, spec.content) == ("instance", ("azimuth", "elevation", "lighting"))
    assert spec.circular == {"azimuth"}
    assert (data.images.max(axis=(1, 2, 3)) == data.images.min(axis=(1, 2, 3))).all()
    assert data.images[:, 5, 5, 0].tolist() == [*range(NUM), *range(100, 100 + NUM)]
    rows = np.concatenate([labels((4, 6, 7, 8, 9)), labels((0, 1, 2, 3, 5))])
    assert data.columns["instance"].tolist() == (rows[:, 0] * 10 + rows[:, 1]).tolist()
    assert data.columns["azimuth"].tolist() == (rows[:, 3] // 2).tolist()
    assert data.columns["lighting"].tolist() == rows[:, 4].tolist()
    assert spec.values["instance"][24] == "airplane 4"
    assert spec.values["azimuth"][-1] == "340"


def test_found_beside_each_other_without_a_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("UNBRAID_DATA", str(write(tmp_path, zipped=True)))
    assert len(load("smallnorb:size=16")) == 2 * NUM


def test_a_tenth_is_for_testing(tmp_path):
    data = load(f"smallnorb:size=8,raw={write(tmp_path)}")
    assert len(data.rows("test")) == 8
    assert data.split.tolist() != load(f"smallnorb:size=8,seed=1,raw={tmp_path / 'smallnorb'}").split.tolist()


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize("kind", ["dat", "cat", "info"])
def test_truncated(tmp_path, zipped, kind):
    folder = write(tmp_path, zipped)
    file = folder / f"{TESTING}-{kind}.mat{'.gz' if zipped else ''}"
    file.write_bytes(file.read_bytes()[:-20])
    with pytest.raises(
        DataError, match=rf"{kind}\.mat.*(ends too early|ended before).*get it again from http"
    ) as caught:
        load(f"smallnorb:raw={folder}")
    assert "\n" not in str(caught.value)


def test_missing_misplaced_or_different(tmp_path):
    folder = write(tmp_path)
    cat, info = (folder / f"{TRAINING}-{kind}.mat" for kind in ("cat", "info"))
    right = cat.read_bytes()
    cat.unlink()
    with pytest.raises(DataError, match=rf"smallnorb lacks {TRAINING}-cat\.mat or .*\.gz; get it from http"):
        load(f"smallnorb:raw={folder}")
    for other in (info.read_bytes(), b"MATLAB 5.0 MAT-file, Platform: GLNXA64" + bytes(200), gzip.compress(right)):
        cat.write_bytes(other)
        with pytest.raises(DataError, match=r"-cat\.mat is not the SmallNORB file of that name, <i4 \(40,\)"):
            load(f"smallnorb:raw={folder}")
    cat.write_bytes(right)
    cat.rename(f"{cat}.gz")
    with pytest.raises(DataError, match=r"cannot read .*cat\.mat\.gz \(Not a gzipped file"):
        load(f"smallnorb:raw={folder}")


def test_labels_of_another_set(tmp_path):
    folder = write(tmp_path)
    for kind in ("dat", "cat", "info"):  # the training files under both names
        (folder / f"{TESTING}-{kind}.mat").write_bytes((folder / f"{TRAINING}-{kind}.mat").read_bytes())
    with pytest.raises(DataError, match="not those of 50 toys, each seen once"):
        load(f"smallnorb:raw={folder}")
    odd = labels((0, 1, 2, 3, 5))[:, 1:] + 1
    (folder / f"{TESTING}-info.mat").write_bytes(matrix(odd))
    with pytest.raises(DataError, match="not those of 50 toys"):
        load(f"smallnorb:raw={folder}")


def test_parameters_out_of_range():
    with pytest.raises(UserError, match="size=4 must be at least 8"):
        load("smallnorb:size=4")
