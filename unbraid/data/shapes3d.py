"""Shapes3D: a solid in a room, the full grid of six factors, 480,000 images (Burgess & Kim 2018). Domain: the shape.

Read from the original ``3dshapes.h5``: images (480000, 64, 64, 3) uint8 and labels (480000, 6), real numbers, which
become indices in ascending order. Rows stand in the file's order; hues are circular. A tenth of the images of each
shape, drawn at random, is the test split; the published one is drawn alike, without a seed. ``num_train=50000`` gives
the published smaller set: so many of the train rows, drawn at random, and the whole test split. ``labels=FILE`` takes
the labels of rPU-VAE's ``3dshapes_labels.npz``, in which two of the eight scales are one.

Source
    Burgess & Kim, 3D Shapes Dataset, 2018, github.com/google-deepmind/3d-shapes. Licence: Apache-2.0.
    Domain and splits: Kahana & Hoshen, ECCV 2022, arXiv:2203.11284, and its published data preparation.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float64, Int64, UInt8
from PIL import Image

from unbraid.data import store
from unbraid.data.published_labels import with_published_labels
from unbraid.data.raw_files import find_raw, shrink
from unbraid.data.splits import TRAIN, split_rows
from unbraid.errors import DataError, UserError
from unbraid.seeds import stream
from unbraid.tables import Dataset, DataSpec

NAMES = ("3dshapes.h5", "3dshapes/3dshapes.h5")
PAGE = "https://github.com/google-deepmind/3d-shapes"
SIZES = {"floor_hue": 10, "wall_hue": 10, "object_hue": 10, "scale": 8, "shape": 4, "orientation": 15}
_SIDE = 64
_CHUNK, _MAX_CHUNK = 1024, 8192  # rows in memory at a time: 12 MB, 100 MB


def shapes3d(
    *, size: int = _SIDE, num_train: int | None = None, seed: int = 0, labels: str | None = None, raw: str | None = None
) -> Dataset:
    """All images or fewer train images, ``size`` pixels square.

    Args:
        num_train: Keep so many train rows, drawn at random.
        seed: Of the split and of the rows kept.
        labels: A published file to take the labels from.

    Raises:
        DataError: If the file is missing, damaged or another one.
    """
    if size < 8:
        raise UserError(f"shapes3d: size={size} must be at least 8")
    path = find_raw("shapes3d", NAMES, raw, PAGE)

    def build(folder: Path) -> None:
        with _open(path) as file:
            columns, values = _encode(np.asarray(file["labels"]), path)
            split = split_rows(
                len(columns["shape"]), stream(seed, "shapes3d", "split"), test=0.1, strata=columns["shape"]
            )
            kept = _keep(split == TRAIN, num_train, stream(seed, "shapes3d", "reduced"))
            spec = DataSpec(
                name="shapes3d",
                image_shape=(3, size, size),
                num_train=int(np.sum(split[kept] == TRAIN)),
                sizes=SIZES,
                values=values,
                factors=("shape", *(name for name in SIZES if name != "shape")),
                circular=frozenset(name for name in SIZES if name.endswith("hue")),
                domain="shape",
            )
            rows = {name: column[kept] for name, column in columns.items()}
            store.write_chunks(spec, rows, split[kept], _read_images(file["images"], kept, size), folder)

    parameters = {"size": size, "num_train": num_train, "seed": seed}
    dataset = store.cached("shapes3d", parameters, [path, Path(__file__)], build)
    return (
        dataset if labels is None else with_published_labels(dataset, Path(labels).expanduser(), SIZES, dataset.columns)
    )


@contextmanager
def _open(path: Path) -> Iterator[Any]:
    import h5py

    num = int(np.prod(list(SIZES.values())))
    expected = {"images": ((num, _SIDE, _SIDE, 3), np.uint8), "labels": ((num, len(SIZES)), np.float64)}
    try:
        with h5py.File(path) as file:
            for name, (shape, dtype) in expected.items():
                found = file.get(name)
                if not isinstance(found, h5py.Dataset) or found.shape != shape or found.dtype != dtype:
                    raise DataError(f"{path} is not Shapes3D: expected {name} of {dtype.__name__} {shape}; see {PAGE}")
            yield file
    except OSError as error:
        if error.errno:  # of the disk that is written to
            raise
        raise DataError(f"cannot read {path} ({error}); get it again from {PAGE}") from None


def _encode(
    labels: Float64[np.ndarray, "n 6"], path: Path
) -> tuple[dict[str, Int64[np.ndarray, " n"]], dict[str, tuple[str, ...]]]:
    """Integer codes of each column and the names of its values."""
    columns, values = {}, {}
    for (name, size), column in zip(SIZES.items(), labels.T):
        levels, columns[name] = np.unique(column, return_inverse=True)
        if len(levels) != size:
            raise DataError(f"{path}: {name} has {len(levels)} values, expected {size}; get it again from {PAGE}")
        values[name] = tuple(f"{level:.4g}" for level in levels)
    return columns, values


def _keep(train: Bool[np.ndarray, " n"], num: int | None, rng: np.random.Generator) -> Bool[np.ndarray, " n"]:
    """Every row of the test split, and ``num`` of the train rows or all."""
    rows = np.flatnonzero(train)
    if num is None:
        return np.ones(len(train), dtype=bool)
    if not 1 <= num <= len(rows):
        raise UserError(f"shapes3d: num_train={num} must be 1 to {len(rows)}")
    kept = ~train
    kept[rng.choice(rows, num, replace=False)] = True
    return kept


def _read_images(images: Any, kept: Bool[np.ndarray, " n"], size: int) -> Iterator[UInt8[np.ndarray, "m h w 3"]]:
    """In pieces as long as those that the file is compressed in, so that each is unpacked once."""
    length = min(max(_CHUNK, images.chunks[0] if images.chunks else 0), _MAX_CHUNK)
    for start in range(0, len(kept), length):
        inside = kept[start : start + length]
        if inside.any():
            chunk = images[start : start + length][inside]
            yield chunk if size == _SIDE else np.stack([shrink(Image.fromarray(image), size) for image in chunk])
