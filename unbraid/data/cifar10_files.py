"""CIFAR-10's files: binary batches, Python batches, a table with the images' bytes, or folders of images by class.

The Python batches are pickles. They are read without executing what a pickle asks for: besides plain containers only
NumPy's array can be in them, and anything else is refused.
"""

import io
import pickle
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int64, UInt8
from PIL import Image

from unbraid.data.labels import read_table
from unbraid.data.pictures import SUFFIXES
from unbraid.errors import DataError

PAGE = "https://www.cs.toronto.edu/~kriz/cifar.html"
NAMES = ("cifar-10-batches-bin", "cifar-10-batches-py", "cifar10_jpeg_all_60k.parquet", "cifar10")
CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
_TRAIN = tuple(f"data_batch_{number}" for number in range(1, 6))
_ARRAY = {"_reconstruct", "ndarray", "dtype"}  # what NumPy's pickled array calls

Images = UInt8[np.ndarray, "n 32 32 3"]
Labels = Int64[np.ndarray, " n"]
Part = tuple[Images, Labels]


def cifar10_files(found: Path) -> tuple[list[Path], list[Path]]:
    """The files for training and those for testing; a table is both.

    Args:
        found: The folder of the batches, a folder with ``train`` and ``test``, or a Parquet table with the columns
            split, label and image.

    Raises:
        DataError: If a file is missing.
    """
    if found.is_file():
        return [found], [found]
    if (found / "train").is_dir():
        parts = [
            sorted(file for file in (found / part).glob("*/*") if file.suffix.lower() in SUFFIXES)
            for part in ("train", "test")
        ]
        if not all(parts):
            raise DataError(f"{found} must hold train and test, each with a folder of images for each class")
        return parts[0], parts[1]
    suffix = ".bin" if (found / "test_batch.bin").is_file() else ""
    files = [found / f"{name}{suffix}" for name in (*_TRAIN, "test_batch")]
    if missing := [file.name for file in files if not file.is_file()]:
        raise DataError(f"{found} lacks {', '.join(missing)}; get it from {PAGE}")
    return files[:-1], files[-1:]


def read_cifar10(train: list[Path], test: list[Path]) -> tuple[Images, Labels, int]:
    """All images and labels, those for training first, and how many are for training.

    Raises:
        DataError: If a file is damaged or another one.
    """
    if train == test:
        parts = [_read_parquet(train[0], split) for split in ("train", "test")]
    else:
        parts = [_read_part(files) for files in (train, test)]
    (images, labels), (test_images, test_labels) = parts
    return np.concatenate([images, test_images]), np.concatenate([labels, test_labels]), len(images)


def _read_part(files: list[Path]) -> Part:
    if files[0].suffix.lower() in SUFFIXES:
        images = _decode((file, str(file)) for file in files)
        return images, np.array([_class_of(file) for file in files], dtype=np.int64)
    read = _read_binary if files[0].suffix == ".bin" else _read_python
    parts = [read(file) for file in files]
    return np.concatenate([images for images, _ in parts]), np.concatenate([labels for _, labels in parts])


def _class_of(file: Path) -> int:
    name = file.parent.name
    if name in CLASSES:
        return CLASSES.index(name)
    if name in map(str, range(10)):
        return int(name)
    raise DataError(f"{file.parent} is named after no class of CIFAR-10: {', '.join(CLASSES)}, or 0 to 9")


def _decode(sources: Iterable[tuple[Any, str]]) -> Images:
    images = []
    for source, name in sources:
        try:
            with Image.open(source) as image:
                images.append(np.asarray(image.convert("RGB")))
        except (OSError, SyntaxError, ValueError, TypeError) as error:
            raise DataError(f"cannot read {name} ({error}); get it again") from None
        if images[-1].shape != (32, 32, 3):
            raise DataError(f"{name} has {images[-1].shape[1]} x {images[-1].shape[0]} pixels, expected 32 x 32")
    return np.stack(images)


def _read_parquet(path: Path, split: str) -> Part:
    table = read_table(path)
    if missing := sorted({"split", "label", "image"} - set(table.columns)):
        raise DataError(f"{path} has no column {', '.join(missing)}; get it again")
    table = table[table["split"] == split]
    if not len(table) or not table["label"].isin(range(10)).all():
        raise DataError(f"{path}: the {split} rows must be there, and their labels 0 to 9; get it again")
    images = _decode((io.BytesIO(data), f"the image of row {row} of {path}") for row, data in table["image"].items())
    return images, table["label"].to_numpy(dtype=np.int64)


def _read_binary(path: Path) -> Part:
    labels, data = read_rows(path, 1)
    return as_images(path, data, labels[:, 0])


def _read_python(path: Path) -> Part:
    batch = read_pickle(path, ("data", "labels"))
    return as_images(path, batch["data"], np.array(batch["labels"]))


def read_rows(path: Path, num_labels: int) -> tuple[UInt8[np.ndarray, "n l"], UInt8[np.ndarray, "n 3072"]]:
    """Labels and images of a binary file: rows of labels and 3,072 bytes, channel by channel.

    Raises:
        DataError: If it holds no whole number of rows.
    """
    data, width = np.fromfile(path, dtype=np.uint8), num_labels + 3072
    if not len(data) or len(data) % width:
        raise DataError(f"{path} is no whole number of rows of {width} bytes; get it again from {PAGE}")
    rows = data.reshape(-1, width)
    return rows[:, :num_labels], rows[:, num_labels:]


def read_pickle(path: Path, keys: Iterable[str]) -> dict[str, Any]:
    """What a Python batch holds under these keys.

    Raises:
        DataError: If it is damaged, lacks one of them, or asks for more than NumPy's array.
    """
    try:
        with path.open("rb") as file:
            batch = _Reader(file, encoding="latin1").load()
        return {key: batch[key] for key in keys}
    except Exception as error:  # a damaged pickle raises anything
        raise DataError(f"{path} is damaged or no batch of CIFAR's ({error}); get it again from {PAGE}") from None


def as_images(path: Path, data: Any, labels: np.ndarray, num_values: int = 10) -> Part:
    """Rows of bytes as images, and their labels.

    Raises:
        DataError: If they are not what they should be.
    """
    sound = isinstance(data, np.ndarray) and data.dtype == np.uint8 and data.shape == (len(labels), 3072)
    if not sound or labels.dtype.kind not in "iu" or not 0 <= labels.min() <= labels.max() < num_values:
        what = f"32 x 32 images in colour with labels 0 to {num_values - 1}"
        raise DataError(f"{path} does not hold {what}; get it again from {PAGE}")
    return data.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1), labels.astype(np.int64)


class _Reader(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if module.partition(".")[0] == "numpy" and name in _ARRAY:
            return super().find_class(module.replace("numpy.core", "numpy._core"), name)
        raise pickle.UnpicklingError(f"it asks for {module}.{name}")
