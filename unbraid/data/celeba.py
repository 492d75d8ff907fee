"""CelebA: 202,599 aligned photographs of 10,177 people (Liu et al. 2015). Domain: the identity; targets: landmarks.

Read from the original files, in one folder or in the publishers' ``Img``, ``Anno``, ``Eval``: ``img_align_celeba`` (a
folder or the .zip), ``identity_CelebA.txt``, ``list_eval_partition.txt``, ``list_landmarks_align_celeba.txt``. Of each
178 x 218 image the central 128 x 128 is cut out and shrunk by averaging, as published. The targets are the publishers'
five landmarks in pixels of the result; DCoDR takes 68, predicted by a network, which are not published. Identities are
numbered by the publishers' number.

DCoDR trains on some identities and evaluates on others, within which probes learn and are tested:
``celeba:part=train,min_images=20`` (partitions 0 and 1, 9,177 people) and ``celeba:part=test,min_images=2`` (partition
2, 1,000 people). Who was in which part is not published. In each part a fifth of each person's images (in ``test``,
as published, 30 %), drawn at random, is the test split; of somebody with a single image there is none in it.

Source
    Liu, Luo, Wang & Tang, ICCV 2015. Licence: non-commercial research.
    Crop and evaluation: Kahana & Hoshen, ECCV 2022, arXiv:2203.11284, and its published data preparation.
"""

import io
import os
import zipfile
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from jaxtyping import Float32, Int64, UInt8
from PIL import Image
from rich.console import Console
from rich.progress import track

from unbraid.data import store
from unbraid.data.pictures import first_three
from unbraid.data.raw_files import find_raw
from unbraid.data.splits import TRAIN, split_rows
from unbraid.errors import DataError, UserError
from unbraid.seeds import stream
from unbraid.tables import Dataset, DataSpec

IMAGES, IDENTITIES = ("img_align_celeba", "img_align_celeba.zip"), "identity_CelebA.txt"
PARTITION, LANDMARKS = "list_eval_partition.txt", "list_landmarks_align_celeba.txt"
NAMES = ("celeba", "CelebA", *IMAGES)
PAGE = "http://mmlab.ie.cuhk.edu.hk/projects/CelebA.html"
POINTS = ("lefteye", "righteye", "nose", "leftmouth", "rightmouth")
TARGETS = tuple(f"{point}_{axis}" for point in POINTS for axis in "xy")
_ALIGNED = (178, 218)
_LEFT, _TOP, _CROP = 25, 45, 128
_PARTS = {"all": (0, 1, 2), "train": (0, 1), "test": (2,)}
_TEST_SHARE = {"all": 0.2, "train": 0.2, "test": 0.3}
_CHUNK = 256  # images in memory at a time


def celeba(
    *,
    size: int = 64,
    part: Literal["all", "train", "test"] = "all",
    min_images: int = 1,
    seed: int = 0,
    raw: str | None = None,
) -> Dataset:
    """The people of one part, ``size`` pixels square.

    Args:
        min_images: Leave out people with fewer images. DCoDR trains with 20.
        seed: Of the split.

    Raises:
        DataError: If the files are missing, damaged or do not belong together.
    """
    if not (min_images >= 1 and size >= 8):
        raise UserError(f"celeba: min_images={min_images} must be at least 1 and size={size} at least 8")
    found = find_raw("celeba", NAMES, raw, PAGE)
    root = found.parent if found.name in IMAGES else found
    photos = _find(root, *IMAGES)
    lists = [_find(root, name) for name in (IDENTITIES, PARTITION, LANDMARKS)]

    def build(folder: Path) -> None:
        rows = _select(_read_lists(*lists), part, min_images)
        identities, identity = np.unique(rows["identity"].to_numpy(), return_inverse=True)
        split = _split(identity, _TEST_SHARE[part], stream(seed, "celeba", "split"))
        spec = DataSpec(
            name="celeba",
            image_shape=(3, size, size),
            num_train=int(np.sum(split == TRAIN)),
            sizes={"identity": len(identities)},
            values={"identity": tuple(map(str, identities.tolist()))},
            factors=("identity",),
            targets=TARGETS,
            domain="identity",
        )
        columns = {"identity": identity, **_landmarks(rows, size)}
        store.write_chunks(spec, columns, split, _read_images(photos, rows.index.to_list(), size), folder)

    parameters = {"size": size, "part": part, "min_images": min_images, "seed": seed}
    return store.cached("celeba", parameters, [photos, *lists, Path(__file__)], build)


def _find(root: Path, *names: str) -> Path:
    for folder in (root, *(root / name for name in ("Img", "Anno", "Eval"))):
        for name in names:
            if (folder / name).exists():
                return folder / name
    raise DataError(f"celeba: {root} (with its Img, Anno, Eval) lacks {' or '.join(names)}; get it from {PAGE}")


def _read_lists(identities: Path, partition: Path, landmarks: Path) -> "pd.DataFrame":
    """One row per image, in the order of the file names."""
    tables = [
        _read_list(identities, ("identity",)),
        _read_list(partition, ("partition",)),
        _read_list(landmarks, TARGETS, header=2),
    ]
    for path, table in ((partition, tables[1]), (landmarks, tables[2])):
        if not table.index.equals(tables[0].index):
            num = f"{len(tables[0])} and {len(table)} images"
            raise DataError(f"{identities} and {path} list {num}, not the same ones; get both again from {PAGE}")
    return pd.concat(tables, axis=1)


def _read_list(path: Path, columns: tuple[str, ...], header: int = 0) -> "pd.DataFrame":
    types = {"file": str, **dict.fromkeys(columns, np.int64)}
    try:
        table = pd.read_csv(path, sep=r"\s+", skiprows=header, header=None, names=list(types), dtype=types)
    except (OSError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        raise DataError(f"{path} is damaged or another file ({reason}); get it again from {PAGE}") from None
    return table.set_index("file").sort_index()


def _select(rows: "pd.DataFrame", part: str, min_images: int) -> "pd.DataFrame":
    rows = rows[rows["partition"].isin(_PARTS[part])]
    rows = rows[rows.groupby("identity")["identity"].transform("size") >= min_images]
    if rows.empty:
        raise UserError(f"celeba: nobody in part={part} has min_images={min_images} images")
    return rows


def _landmarks(rows: "pd.DataFrame", size: int) -> dict[str, Float32[np.ndarray, " n"]]:
    """In pixels of the cropped and shrunk image; whole numbers are the centres of pixels, before as after."""
    corner = {"x": _LEFT, "y": _TOP}
    return {
        name: ((rows[name].to_numpy() - corner[name[-1]] + 0.5) * (size / _CROP) - 0.5).astype(np.float32)
        for name in TARGETS
    }


def _split(identity: Int64[np.ndarray, " n"], test: float, rng: np.random.Generator) -> UInt8[np.ndarray, " n"]:
    """A share of each person's images; single images are for training."""
    several = np.bincount(identity)[identity] > 1
    split = np.full(len(identity), TRAIN, dtype=np.uint8)
    split[several] = split_rows(int(several.sum()), rng, test=test, strata=identity[several])
    return split


def _read_images(photos: Path, names: list[str], size: int) -> Iterator[UInt8[np.ndarray, "m h w 3"]]:
    def decode(name: str) -> UInt8[np.ndarray, "h w 3"]:
        try:
            with Image.open(io.BytesIO(read(name))) as image:
                if image.size != _ALIGNED:
                    raise DataError(f"{name} in {photos} is {image.size}, expected aligned {_ALIGNED}; see {PAGE}")
                box = (_LEFT, _TOP, _LEFT + _CROP, _TOP + _CROP)
                return np.asarray(image.convert("RGB").resize((size, size), Image.Resampling.BOX, box=box))
        except (OSError, SyntaxError, zipfile.BadZipFile, zlib.error) as error:
            raise DataError(f"cannot read {name} in {photos} ({error}); get it again from {PAGE}") from None

    with _open(photos, names) as read, ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        starts = range(0, len(names), _CHUNK)
        console = Console(stderr=True)
        for start in track(starts, "reading", console=console, disable=len(starts) < 20, transient=True):
            yield np.stack(list(pool.map(decode, names[start : start + _CHUNK])))


@contextmanager
def _open(photos: Path, names: list[str]) -> Iterator[Callable[[str], bytes]]:
    """A function from an image's name to its bytes, in a folder or a .zip."""
    if photos.is_dir():
        _check_present(photos, names, {file.name for file in photos.iterdir()})
        yield lambda name: (photos / name).read_bytes()
        return
    try:
        archive = zipfile.ZipFile(photos)
    except (OSError, zipfile.BadZipFile) as error:
        raise DataError(f"cannot read {photos} ({error}); get it again from {PAGE}") from None
    with archive:
        _check_present(photos, names, {name.removeprefix(f"{photos.stem}/") for name in archive.namelist()})
        yield lambda name: archive.read(f"{photos.stem}/{name}")


def _check_present(photos: Path, names: list[str], present: set[str]) -> None:
    if missing := [name for name in names if name not in present]:
        raise DataError(f"{photos} lacks {len(missing)} of {len(names)} images: {first_three(missing)}; see {PAGE}")
