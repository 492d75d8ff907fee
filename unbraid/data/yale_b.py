"""Extended Yale Face Database B, cropped: 38 people under 64 lights (Georghiades 2001, Lee 2005). Domain: the identity.

Read from the original folder ``CroppedYale`` (``yaleB01/yaleB01_P00A+000E+00.pgm`` ..., 168 x 192) or from the compact
``extended_yale_b_64x56.npz`` (arrays images, identity from 0, azimuth, elevation, marked_bad). The 18 images that the
publishers mark as bad (``.pgm.bad``) and the ambient ones are left out, so 2,414 remain. The tall crop is squeezed into
a square. The light is the factor; its azimuth and elevation in degrees are columns, as categories and as targets.
A fifth of each person's images, drawn at random, is the test split.
"""

import logging
from pathlib import Path

import numpy as np
from jaxtyping import Int64, UInt8
from PIL import Image

from unbraid.data import store
from unbraid.data.arrays import read_arrays
from unbraid.data.pictures import first_three
from unbraid.data.raw_files import find_raw, shrink
from unbraid.data.splits import TRAIN, split_rows
from unbraid.errors import DataError, UserError
from unbraid.seeds import stream
from unbraid.tables import Dataset, DataSpec

NAMES = ("CroppedYale", "extended_yale_b_64x56.npz")
PAGE = "http://vision.ucsd.edu/~leekc/ExtYaleDatabase/ExtYaleB.html"
SUBJECTS = tuple(number for number in range(1, 40) if number != 14)
LIGHTS = tuple(  # (azimuth, elevation) in degrees
    (azimuth, elevation)
    for elevation, azimuths in {
        -40: (-50, -20, 20, 50),
        -35: (-70, 0, 70),
        -20: (-110, -85, -60, -35, -10, 0, 10, 35, 60, 85, 110),
        -10: (-20, -5, 5, 20),
        0: (-120, -95, -70, -50, -25, -10, 0, 10, 25, 50, 70, 95, 120),
        10: (-20, -5, 5, 20),
        15: (-110, -35, 35, 110),
        20: (-130, -85, -60, -15, 0, 15, 60, 85, 130),
        40: (-110, -35, 35, 110),
        45: (-70, 0, 70),
        65: (-110, -35, 35, 110),
        90: (0,),
    }.items()
    for azimuth in azimuths
)
_COMPACT_SIZE = 64

_log = logging.getLogger("unbraid")


def yale_b(*, size: int = 32, identities: int = 38, seed: int = 0, raw: str | None = None) -> Dataset:
    """The first ``identities`` people, ``size`` pixels square. ``seed`` decides on the split.

    Raises:
        DataError: If the files are missing or incomplete.
    """
    if not (1 <= identities <= len(SUBJECTS) and size >= 8):
        raise UserError(f"yale-b: identities={identities} must be 1 to {len(SUBJECTS)} and size={size} at least 8")
    path = find_raw("yale-b", NAMES, raw, PAGE)
    files = _find_original(path, identities) if path.is_dir() else {}

    def build(folder: Path) -> None:
        images, rows = _read_original(files, size) if files else _read_compact(path, size, identities)
        _log.warning(
            "yale-b: %d images that the publishers mark as bad are left out", identities * len(LIGHTS) - len(rows)
        )
        store.write(_dataset(images, rows, identities, seed), folder)

    sources = [*(files.values() or [path]), Path(__file__)]
    return store.cached("yale-b", {"size": size, "identities": identities, "seed": seed}, sources, build)


def _dataset(
    images: UInt8[np.ndarray, "n h w 1"], rows: Int64[np.ndarray, "n 2"], identities: int, seed: int
) -> Dataset:
    """``rows`` holds each image's identity and light."""
    identity, light = rows.T.copy()
    degrees = dict(zip(("azimuth", "elevation"), np.array(LIGHTS)[light].T))
    columns, values = (
        {"identity": identity, "light": light},
        {
            "identity": tuple(f"yaleB{number:02d}" for number in SUBJECTS[:identities]),
            "light": tuple(_light_name(light) for light in range(len(LIGHTS))),
        },
    )
    for number, name in enumerate(degrees):
        levels = sorted({light[number] for light in LIGHTS})
        columns[name] = np.searchsorted(levels, degrees[name])
        values[name] = tuple(map(str, levels))
    targets = {f"{name}_degrees": angles.astype(np.float32) for name, angles in degrees.items()}
    split = split_rows(len(images), stream(seed, "yale-b", "split"), strata=identity)
    spec = DataSpec(
        name="yale-b",
        image_shape=(1, *images.shape[1:3]),
        num_train=int(np.sum(split == TRAIN)),
        sizes={name: len(names) for name, names in values.items()},
        values=values,
        factors=("identity", "light"),
        targets=tuple(targets),
        domain="identity",
    )
    return Dataset(spec=spec, images=images, columns={**columns, **targets}, split=split)


def _light_name(light: int) -> str:
    azimuth, elevation = LIGHTS[light]
    return f"A{azimuth:+04d}E{elevation:+03d}"


def _find_original(path: Path, identities: int) -> dict[tuple[int, int], Path]:
    """(identity, light) -> file."""
    files, missing = {}, []
    for identity, number in enumerate(SUBJECTS[:identities]):
        for light in range(len(LIGHTS)):
            name = f"yaleB{number:02d}_P00{_light_name(light)}.pgm"
            file = path / f"yaleB{number:02d}" / name
            if file.is_file():
                files[identity, light] = file
            elif not file.with_name(f"{name}.bad").is_file():
                missing.append(name)
    if missing:
        num = identities * len(LIGHTS)
        raise DataError(f"{path} lacks {len(missing)} of {num} images: {first_three(missing)}; get {PAGE} again")
    return files


def _read_original(
    files: dict[tuple[int, int], Path], size: int
) -> tuple[UInt8[np.ndarray, "n h w 1"], Int64[np.ndarray, "n 2"]]:
    images = np.empty((len(files), size, size, 1), dtype=np.uint8)
    for row, file in enumerate(files.values()):
        try:
            with Image.open(file) as image:
                images[row] = shrink(image.convert("L"), size)
        except (OSError, SyntaxError, ValueError) as error:
            raise DataError(f"cannot read {file} ({error}); get {PAGE} again") from None
    return images, np.array(list(files))


def _read_compact(
    path: Path, size: int, identities: int
) -> tuple[UInt8[np.ndarray, "n h w 1"], Int64[np.ndarray, "n 2"]]:
    if size > _COMPACT_SIZE:
        raise DataError(f"{path} holds {_COMPACT_SIZE} pixels, not {size}; get the original {NAMES[0]} from {PAGE}")
    arrays = read_arrays(path, required=("images", "identity", "azimuth", "elevation", "marked_bad"))
    number = {light: place for place, light in enumerate(LIGHTS)}
    pairs = zip(arrays["azimuth"].tolist(), arrays["elevation"].tolist())
    rows = np.array([(identity, number.get(pair, -1)) for identity, pair in zip(arrays["identity"].tolist(), pairs)])
    keep = np.flatnonzero(rows[:, 0] < identities)
    order = keep[np.lexsort((rows[keep, 1], rows[keep, 0]))]
    expected = [(identity, light) for identity in range(identities) for light in range(len(LIGHTS))]
    if list(map(tuple, rows[order].tolist())) != expected:
        raise DataError(f"{path} is incomplete: {len(order)} images of {len(expected)}; get it again")
    order = order[~arrays["marked_bad"][order]]
    return np.stack([shrink(Image.fromarray(arrays["images"][row]), size) for row in order]), rows[order]
