"""COIL-100: photographs of 100 objects on a turntable, 72 poses each (Nene, Nayar, Murase 1996). Domain: the object.

Read from the original folder ``coil-100`` (``obj1__0.png`` ... ``obj100__355.png``, 128 x 128) or from the compact
``coil100_32px_complete.npz`` (the same photographs at 32 x 32: arrays images, object from 0, angle in degrees).
A fifth of each object's poses, drawn at random, is the test split.
"""

from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from unbraid.data import store
from unbraid.data.arrays import read_arrays
from unbraid.data.pictures import first_three
from unbraid.data.raw_files import find_raw, shrink
from unbraid.data.splits import TRAIN, split_rows
from unbraid.errors import DataError, UserError
from unbraid.seeds import stream
from unbraid.tables import Dataset, DataSpec

NAMES = ("coil-100", "coil100_32px_complete.npz")
PAGE = "https://www.cs.columbia.edu/CAVE/software/softlib/coil-100.php"
ANGLES = tuple(range(0, 360, 5))
_COMPACT_SIZE = 32


def coil100(*, size: int = 32, objects: int = 100, seed: int = 0, raw: str | None = None) -> Dataset:
    """The first ``objects`` objects, ``size`` pixels square. ``seed`` decides on the split.

    Raises:
        DataError: If the files are missing or incomplete.
    """
    if not (1 <= objects <= 100 and size >= 8):
        raise UserError(f"coil100: objects={objects} must be 1 to 100 and size={size} at least 8")
    path = find_raw("coil100", NAMES, raw, PAGE)
    if path.is_dir():
        files = [path / f"obj{number}__{angle}.png" for number in range(1, objects + 1) for angle in ANGLES]
        if missing := [file.name for file in files if not file.is_file()]:
            raise DataError(
                f"{path} lacks {len(missing)} of {len(files)} images: {first_three(missing)}; get {PAGE} again"
            )
    else:
        files = [path]

    def build(folder: Path) -> None:
        images = _read_compact(path, size, objects) if files == [path] else _read_original(files, size)
        store.write(_dataset(images, objects, seed), folder)

    return store.cached("coil100", {"size": size, "objects": objects, "seed": seed}, [*files, Path(__file__)], build)


def _dataset(images: UInt8[np.ndarray, "n h w 3"], objects: int, seed: int) -> Dataset:
    domain, angle = np.divmod(np.arange(len(images)), len(ANGLES))
    split = split_rows(len(images), stream(seed, "coil100", "split"), strata=domain)
    spec = DataSpec(
        name="coil100",
        image_shape=(3, *images.shape[1:3]),
        num_train=int(np.sum(split == TRAIN)),
        sizes={"object": objects, "angle": len(ANGLES)},
        values={"object": tuple(str(number + 1) for number in range(objects)), "angle": tuple(map(str, ANGLES))},
        factors=("object", "angle"),
        circular=frozenset({"angle"}),
        domain="object",
    )
    return Dataset(spec=spec, images=images, columns={"object": domain, "angle": angle}, split=split)


def _read_original(files: list[Path], size: int) -> UInt8[np.ndarray, "n h w 3"]:
    images = np.empty((len(files), size, size, 3), dtype=np.uint8)
    for row, file in enumerate(files):
        try:
            with Image.open(file) as image:
                images[row] = shrink(image.convert("RGB"), size)
        except (OSError, SyntaxError, ValueError) as error:
            raise DataError(f"cannot read {file} ({error}); get {PAGE} again") from None
    return images


def _read_compact(path: Path, size: int, objects: int) -> UInt8[np.ndarray, "n h w 3"]:
    if size > _COMPACT_SIZE:
        raise DataError(f"{path} holds {_COMPACT_SIZE} pixels, not {size}; get the original {NAMES[0]} from {PAGE}")
    arrays = read_arrays(path, required=("images", "object", "angle"))
    keep = np.flatnonzero(arrays["object"] < objects)
    order = keep[np.lexsort((arrays["angle"][keep], arrays["object"][keep]))]
    expected = [(number, angle) for number in range(objects) for angle in ANGLES]
    if list(zip(arrays["object"][order].tolist(), arrays["angle"][order].tolist())) != expected:
        raise DataError(f"{path} is incomplete: {len(order)} images of {len(expected)}; get it again")
    return np.stack([shrink(Image.fromarray(image), size) for image in arrays["images"][order]])
