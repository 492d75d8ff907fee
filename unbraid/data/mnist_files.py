"""MNIST's files: the four in IDX form, gzipped or not, or one .npz with x_train, y_train, x_test, y_test."""

import gzip
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int64, UInt8

from unbraid.data.arrays import read_arrays
from unbraid.errors import DataError

PAGE = "http://yann.lecun.com/exdb/mnist"
IMAGES, LABELS = "images-idx3-ubyte", "labels-idx1-ubyte"
NAMES = ("mnist_complete.npz", "mnist.npz", "MNIST", "mnist", f"train-{IMAGES}.gz", f"train-{IMAGES}")

Grey = UInt8[np.ndarray, "n 28 28"]
Digits = Int64[np.ndarray, " n"]


def mnist_files(found: Path) -> list[Path]:
    """The .npz, or the IDX files: images and labels for training, then those for testing.

    Args:
        found: The .npz, the folder of the IDX files or the one above (torchvision's ``MNIST/raw``), or one of them.

    Raises:
        DataError: If a file is missing.
    """
    if found.suffix == ".npz":
        return [found]
    folder = found if found.is_dir() else found.parent
    folder = folder / "raw" if (folder / "raw").is_dir() else folder
    return [_find(folder, f"{part}-{kind}") for part in ("train", "t10k") for kind in (IMAGES, LABELS)]


def read_mnist(files: list[Path]) -> tuple[Grey, Digits, int]:
    """All images and labels, those for training first, and how many are for training.

    Raises:
        DataError: If a file is damaged or another one.
    """
    if len(files) == 1:
        keys = ("x_train", "y_train", "x_test", "y_test")
        arrays = [(files[0], array) for array in map(read_arrays(files[0], required=keys).__getitem__, keys)]
    else:
        arrays = [(file, _read_idx(file)) for file in files]
    (_, x), (_, y), (_, x_test), (_, y_test) = arrays
    _check(arrays[0], arrays[1])
    _check(arrays[2], arrays[3])
    return np.concatenate([x, x_test]), np.concatenate([y, y_test]).astype(np.int64), len(x)


def _find(folder: Path, name: str) -> Path:
    dotted = name.replace("-idx", ".idx")
    for file in (folder / name, folder / f"{name}.gz", folder / dotted, folder / f"{dotted}.gz"):
        if file.is_file():
            return file
    raise DataError(f"{folder} lacks {name} or {name}.gz; get it from {PAGE}")


def _read_idx(path: Path) -> UInt8[np.ndarray, "..."]:
    """Two zero bytes, the type of the numbers, how many dimensions, their sizes, the numbers."""
    opener: Callable[..., Any] = gzip.open if path.suffix == ".gz" else Path.open
    try:
        with opener(path, "rb") as file:
            data = file.read()
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"cannot read {path} ({error}); get it again from {PAGE}") from None
    if len(data) < 4 or data[:3] != b"\0\0\x08" or len(data) < 4 + 4 * data[3]:
        raise DataError(f"{path} is not in the IDX form of bytes; get it again from {PAGE}")
    shape = np.frombuffer(data, ">u4", count=data[3], offset=4).tolist()
    numbers = np.frombuffer(data, np.uint8, offset=4 + 4 * data[3])
    if len(numbers) != np.prod(shape):
        raise DataError(f"{path} holds {len(numbers)} bytes, its header says {shape}; get it again from {PAGE}")
    return numbers.reshape(shape)


def _check(images: tuple[Path, np.ndarray], labels: tuple[Path, np.ndarray]) -> None:
    (path, x), (_, y) = images, labels
    if (
        x.dtype != np.uint8
        or x.shape[1:] != (28, 28)
        or y.dtype.kind not in "iu"
        or y.shape != x.shape[:1]
        or not len(y)
    ):
        raise DataError(f"{path}: {x.dtype} {x.shape} images and {y.shape} labels are not MNIST's; see {PAGE}")
    if not 0 <= y.min() <= y.max() <= 9:
        raise DataError(f"{labels[0]}: labels run from {y.min()} to {y.max()}, expected 0 to 9; see {PAGE}")
