"""CelebA, a part: five aligned photographs each of 2,000 people, 64 x 64. Domain: the identity; targets: landmarks.

Read from the compact ``celeba_2000ids_64px.parquet`` (columns identity, image: the bytes of an image file,
landmarks68_xy_in_64px: 136 numbers). The landmarks are a network's predictions, as DCoDR's are, and rough on profiles.
One image of each person, drawn at random, is the test split. The whole set is ``celeba``.

Source
    Liu, Luo, Wang & Tang, ICCV 2015. Licence: non-commercial research.
"""

import io
from pathlib import Path

import numpy as np
from jaxtyping import Float32, Int64, UInt8
from PIL import Image

from unbraid.data import store
from unbraid.data.labels import read_table
from unbraid.data.raw_files import find_raw, shrink
from unbraid.data.splits import TRAIN, split_rows
from unbraid.errors import DataError, UserError
from unbraid.seeds import stream
from unbraid.tables import Dataset, DataSpec

NAMES = ("celeba_2000ids_64px.parquet",)
PAGE = "the makers of this selection of http://mmlab.ie.cuhk.edu.hk/projects/CelebA.html"
TARGETS = tuple(f"landmark{number}_{axis}" for number in range(68) for axis in "xy")
_LANDMARKS = "landmarks68_xy_in_64px"
_SIDE = 64


def celeba_2000(*, size: int = _SIDE, seed: int = 0, raw: str | None = None) -> Dataset:
    """All images, ``size`` pixels square. ``seed`` decides on the split.

    Raises:
        DataError: If the file is missing, damaged or another one.
    """
    if not 8 <= size <= _SIDE:
        raise UserError(f"celeba-2000: size={size} must be 8 to {_SIDE}, the size of its images")
    path = find_raw("celeba-2000", NAMES, raw, PAGE)

    def build(folder: Path) -> None:
        images, identity, landmarks = _read(path, size)
        identities, codes = np.unique(identity, return_inverse=True)
        split = split_rows(len(codes), stream(seed, "celeba-2000", "split"), strata=codes)
        spec = DataSpec(
            name="celeba-2000",
            image_shape=(3, size, size),
            num_train=int(np.sum(split == TRAIN)),
            sizes={"identity": len(identities)},
            values={"identity": tuple(map(str, identities.tolist()))},
            factors=("identity",),
            targets=TARGETS,
            domain="identity",
        )
        columns = {"identity": codes, **dict(zip(TARGETS, landmarks.T.copy()))}
        store.write(Dataset(spec=spec, images=images, columns=columns, split=split), folder)

    return store.cached("celeba-2000", {"size": size, "seed": seed}, [path, Path(__file__)], build)


def _read(
    path: Path, size: int
) -> tuple[UInt8[np.ndarray, "n h w 3"], Int64[np.ndarray, " n"], Float32[np.ndarray, "n 136"]]:
    table = read_table(path)
    if missing := sorted({"identity", "image", _LANDMARKS} - set(table.columns)):
        raise DataError(f"{path} has no column {', '.join(missing)}; get it again")
    landmarks = table[_LANDMARKS].to_list()
    if any(len(row) != len(TARGETS) for row in landmarks):
        raise DataError(f"{path}: {_LANDMARKS} must be {len(TARGETS)} numbers a row; get it again")
    scaled = (np.array(landmarks) + 0.5) * (size / _SIDE) - 0.5  # of the centres of pixels
    images = np.empty((len(table), size, size, 3), dtype=np.uint8)
    for row, data in enumerate(table["image"]):
        try:
            with Image.open(io.BytesIO(data)) as image:
                images[row] = shrink(image.convert("RGB"), size)
        except (OSError, SyntaxError, ValueError, TypeError) as error:
            raise DataError(f"{path}: cannot read the image of row {row} ({error}); get it again") from None
    return images, table["identity"].to_numpy(dtype=np.int64), scaled.astype(np.float32)
