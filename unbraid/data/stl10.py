"""STL-10: photographs of ten kinds of objects, 5,000 of them labelled, and 100,000 unlabelled ones of more kinds.

Read from the folder ``stl10_binary`` of the original archive: ``train_X.bin``, ``train_y.bin``, ``unlabeled_X.bin``,
``test_X.bin`` and ``test_y.bin``. The train split is the 5,000 labelled rows, then the 100,000 whose label is missing
(-1); the test split has 8,000. Scores of the label leave out what is missing; a method that learns from the label needs
``stl10:unlabelled=no``.

The images keep their 96 x 96 pixels unless ``size`` says otherwise. Wang et al. (arXiv:2110.15255) train on crops
resized to 32 x 32, as the views ip-irm-32 do, and test the whole 96 x 96 images, at another scale. With
``stl10:size=32`` an encoder sees one size always: all images are first shrunk to 32 x 32, the whole image with
antialiasing, for training and for testing.

Source
    Coates, Ng & Lee, An Analysis of Single-Layer Networks in Unsupervised Feature Learning, AISTATS 2011.
    The images are from ImageNet, under its terms.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Int64, UInt8
from PIL import Image

from unbraid.data import store
from unbraid.data.raw_files import find_raw, shrink
from unbraid.data.splits import TEST, TRAIN
from unbraid.errors import DataError, UserError
from unbraid.tables import Dataset, DataSpec

PAGE = "https://cs.stanford.edu/~acoates/stl10/"
CLASSES = ("airplane", "bird", "car", "cat", "deer", "dog", "horse", "monkey", "ship", "truck")
_SIDE = 96
_BYTES = 3 * _SIDE**2
_CHUNK = 256  # images


def stl10(*, size: int = 96, unlabelled: Literal["yes", "no"] = "yes", raw: str | None = None) -> Dataset:
    """Labelled rows for training, unlabelled ones, and those for testing.

    Raises:
        UserError: If the size is too small.
        DataError: If a file is missing or damaged.
    """
    if size < 8:
        raise UserError(f"stl10: size={size} must be at least 8")
    folder = find_raw("stl10", ("stl10_binary",), raw, PAGE)
    parts = ["train", *(["unlabeled"] if unlabelled == "yes" else []), "test"]
    files = {part: (folder / f"{part}_X.bin", folder / f"{part}_y.bin") for part in parts}
    needed = [file for part, pair in files.items() for file in (pair[:1] if part == "unlabeled" else pair)]
    if missing := [file.name for file in needed if not file.is_file()]:
        raise DataError(f"{folder} lacks {', '.join(missing)}; get it from {PAGE}")

    def build(target: Path) -> None:
        numbers = {part: _count(images) for part, (images, _) in files.items()}
        label = np.concatenate([_read_labels(files[part][1], numbers[part]) for part in parts])
        split = np.full(len(label), TRAIN, dtype=np.uint8)
        split[-numbers["test"] :] = TEST
        spec = DataSpec(
            name="stl10",
            image_shape=(3, size, size),
            num_train=len(label) - numbers["test"],
            sizes={"object": len(CLASSES)},
            values={"object": CLASSES},
            factors=("object",),
            label="object",
        )
        chunks = (chunk for images, _ in files.values() for chunk in _read_images(images, size))
        store.write_chunks(spec, {"object": label}, split, chunks, target)

    return store.cached(
        "stl10", {"size": size, "unlabelled": unlabelled}, [*needed, *store.code("stl10.py", "raw_files.py")], build
    )


def _count(path: Path) -> int:
    size = path.stat().st_size
    if not size or size % _BYTES:
        raise DataError(f"{path} is no whole number of images of {_BYTES} bytes; get it again from {PAGE}")
    return size // _BYTES


def _read_labels(path: Path, num: int) -> Int64[np.ndarray, " n"]:
    """One byte for each image, 1 to 10; the unlabelled part has no such file."""
    if not path.is_file():
        return np.full(num, -1)
    label = np.fromfile(path, dtype=np.uint8)
    if len(label) != num or not 1 <= label.min() <= label.max() <= len(CLASSES):
        raise DataError(f"{path} does not hold {num} labels from 1 to {len(CLASSES)}; get it again from {PAGE}")
    return label.astype(np.int64) - 1


def _read_images(path: Path, size: int) -> Iterator[UInt8[np.ndarray, "m h w 3"]]:
    """A piece at a time. In the file each image stands channel by channel, and each channel column by column."""
    stored = np.memmap(path, dtype=np.uint8, mode="r").reshape(-1, 3, _SIDE, _SIDE).transpose(0, 3, 2, 1)
    for start in range(0, len(stored), _CHUNK):
        chunk = np.ascontiguousarray(stored[start : start + _CHUNK])
        yield np.stack([shrink(Image.fromarray(image), size) for image in chunk]) if size != _SIDE else chunk
