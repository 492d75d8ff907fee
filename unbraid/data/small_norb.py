"""SmallNORB: 50 toys from 18 azimuths and 9 elevations under 6 lights (LeCun, Huang & Bottou 2004). Domain: the toy.

Read from the six original files ``smallnorb-5x46789x9x18x6x2x96x96-training-{dat,cat,info}.mat`` and
``smallnorb-5x01235x9x18x6x2x96x96-testing-...``, gzipped or not; despite the name they are not MATLAB's. Factors are
azimuth (circular, 20 degrees apart, coded 0 to 17), elevation and lighting; the category of the toy is one more column.

DCoDR, which trains on it, describes no preparation. Chosen here: the left camera of both files together, 48,600 images
in the files' order, shrunk with antialiasing; a tenth of each toy's images, drawn at random, is the test split. So
every toy is in both splits, and the division of the toys into training and testing files plays no part.

Source
    LeCun, Huang & Bottou, CVPR 2004. Licence: for research, not to be sold.
    Factors and their coding: Kahana & Hoshen, ECCV 2022, arXiv:2203.11284.
"""

import gzip
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BufferedIOBase
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int64, UInt8
from PIL import Image

from unbraid.data import store
from unbraid.data.raw_files import find_raw, shrink
from unbraid.data.splits import TRAIN, split_rows
from unbraid.errors import DataError, UserError
from unbraid.seeds import stream
from unbraid.tables import Dataset, DataSpec

PARTS = ("smallnorb-5x46789x9x18x6x2x96x96-training", "smallnorb-5x01235x9x18x6x2x96x96-testing")
NAMES = ("smallnorb", "small_norb", f"{PARTS[0]}-dat.mat", f"{PARTS[0]}-dat.mat.gz")
PAGE = "https://cs.nyu.edu/~ylclab/data/norb-v1.0-small/"
CATEGORIES = ("animal", "human", "airplane", "truck", "car")
IMAGES_PER_FILE = 24_300
_INSTANCES = 10  # of each category
_MAGIC = {"u1": 0x1E3D4C55, "<i4": 0x1E3D4C54}
_PAIR = (2, 96, 96)  # cameras, rows, columns
_CHUNK = 256  # pairs
_VALUES = {
    "instance": tuple(f"{category} {number}" for category in CATEGORIES for number in range(_INSTANCES)),
    "azimuth": tuple(str(20 * number) for number in range(18)),
    "elevation": tuple(str(30 + 5 * number) for number in range(9)),
    "lighting": tuple(map(str, range(6))),
    "category": CATEGORIES,
}


def small_norb(*, size: int = 64, seed: int = 0, raw: str | None = None) -> Dataset:
    """All toys, ``size`` pixels square. ``seed`` decides on the split.

    Raises:
        DataError: If a file is missing, damaged or not the one of its name.
    """
    if size < 8:
        raise UserError(f"smallnorb: size={size} must be at least 8")
    found = find_raw("smallnorb", NAMES, raw, PAGE)
    folder = found if found.is_dir() else found.parent
    files = {(part, kind): _find(folder, f"{part}-{kind}.mat") for part in PARTS for kind in ("dat", "cat", "info")}

    def build(target: Path) -> None:
        labels = [_read_labels(files[part, "cat"], files[part, "info"]) for part in PARTS]
        columns = _columns(np.concatenate(labels), folder)
        split = split_rows(
            len(columns["instance"]), stream(seed, "smallnorb", "split"), test=0.1, strata=columns["instance"]
        )
        spec = DataSpec(
            name="smallnorb",
            image_shape=(1, size, size),
            num_train=int(np.sum(split == TRAIN)),
            sizes={name: len(names) for name, names in _VALUES.items()},
            values=_VALUES,
            factors=("instance", "azimuth", "elevation", "lighting"),
            circular=frozenset({"azimuth"}),
            domain="instance",
        )
        chunks = (chunk for part in PARTS for chunk in _read_images(files[part, "dat"], size))
        store.write_chunks(spec, columns, split, chunks, target)

    return store.cached("smallnorb", {"size": size, "seed": seed}, [*files.values(), Path(__file__)], build)


def _find(folder: Path, name: str) -> Path:
    for file in (folder / name, folder / f"{name}.gz"):
        if file.is_file():
            return file
    raise DataError(f"{folder} lacks {name} or {name}.gz; get it from {PAGE}")


def _columns(labels: Int64[np.ndarray, "n 5"], folder: Path) -> dict[str, Int64[np.ndarray, " n"]]:
    """``labels`` holds category, instance, elevation, azimuth (even numbers), lighting."""
    sizes = np.array([len(CATEGORIES), _INSTANCES, 9, 36, 6])
    inside = (labels >= 0).all() and (labels < sizes).all() and (labels[:, 3] % 2 == 0).all()
    if not inside or len(np.unique(labels, axis=0)) != len(labels):
        raise DataError(f"the labels in {folder} are not those of 50 toys, each seen once; get them from {PAGE}")
    category, instance, elevation, azimuth, lighting = labels.T.copy()
    return {
        "instance": category * _INSTANCES + instance,
        "azimuth": azimuth // 2,
        "elevation": elevation,
        "lighting": lighting,
        "category": category,
    }


def _read_labels(cat: Path, info: Path) -> Int64[np.ndarray, "n 5"]:
    parts = []
    for path, shape in ((cat, (IMAGES_PER_FILE,)), (info, (IMAGES_PER_FILE, 4))):
        with _open(path, "<i4", shape) as file:
            parts.append(_take(file, path, "<i4", shape).reshape(IMAGES_PER_FILE, -1))
    return np.concatenate(parts, axis=1).astype(np.int64)


def _read_images(path: Path, size: int) -> Iterator[UInt8[np.ndarray, "m h w 1"]]:
    """The left camera's images, a piece at a time."""
    with _open(path, "u1", (IMAGES_PER_FILE, *_PAIR)) as file:
        for start in range(0, IMAGES_PER_FILE, _CHUNK):
            pairs = _take(file, path, "u1", (min(_CHUNK, IMAGES_PER_FILE - start), *_PAIR))
            yield np.stack([shrink(Image.fromarray(left), size) for left in pairs[:, 0]])


@contextmanager
def _open(path: Path, dtype: str, shape: tuple[int, ...]) -> Iterator[BufferedIOBase]:
    """The file behind its header: magic number of the type, number of dimensions, and at least three of them."""
    opener: Callable[..., Any] = gzip.open if path.suffix == ".gz" else Path.open
    try:
        with opener(path, "rb") as file:
            magic, num = _take(file, path, "<i4", (2,)).tolist()
            header = (magic, *_take(file, path, "<i4", (max(3, len(shape)),)).tolist()[: len(shape)])
            if num != len(shape) or header != (_MAGIC[dtype], *shape):
                raise DataError(f"{path} is not the SmallNORB file of that name, {dtype} {shape}; get it from {PAGE}")
            yield file
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"cannot read {path} ({error}); get it again from {PAGE}") from None


def _take(file: BufferedIOBase, path: Path, dtype: str, shape: tuple[int, ...]) -> np.ndarray:
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    data = file.read(size)
    if len(data) < size:
        raise DataError(f"{path} ends too early; get it again from {PAGE}")
    return np.frombuffer(data, dtype=dtype).reshape(shape)
