"""Edges2Shoes: 50,025 shoes, a photo of each and its edges (Isola et al. 2017). Domain: the modality, photo or edges.

Read from three original folders that lie side by side: ``edges2shoes`` of pix2pix, with ``train`` and ``val`` of
512 x 256 images, the edges left and the photo right; and, for the labels, ``ut-zap50k-data`` (``meta-data.csv`` and
``image-path.mat``) and ``ut-zap50k-images-square`` of UT Zappos50K. Factors are five of its columns: shoe_type
(Category), gender, closure, material, toe_style; of several values the first, and "Other" for a missing value or one
that 250 shoes or fewer have. The pairs do not say which shoe they show, so each takes the labels of the Zappos image
nearest to its photo, in pixels at 32 x 32.

As published, dark lines are made two pixels wider on each side before shrinking, in photos too; here shrinking is
antialiased, there it is not. Rows are photo, edges, photo, edges, by number of the pair. A tenth of the images, drawn
at random, is the test split; as published (without a seed) a photo may be in one split and its edges in the other,
which helps probes of the content. ``split=pairs`` keeps them together. ``modality=photo`` or ``edges`` takes one of the
two, and has no domain then; the published autoencoders are trained on photos alone.

Source
    Isola, Zhu, Zhou & Efros, CVPR 2017; Yu & Grauman, CVPR 2014. Licence: non-commercial research.
    Labels and lines: Kahana & Hoshen, ECCV 2022, arXiv:2203.11284, and its published data preparation.
"""

import os
import re
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from jaxtyping import Int64, UInt8
from PIL import Image
from rich.console import Console
from rich.progress import track

from unbraid.data import store
from unbraid.data.labels import read_table
from unbraid.data.pictures import first_three
from unbraid.data.raw_files import find_raw, shrink
from unbraid.data.splits import TRAIN, split_rows
from unbraid.errors import DataError, UserError
from unbraid.seeds import stream
from unbraid.tables import Dataset, DataSpec

NAMES = ("edges2shoes",)
PAGE = "https://phillipi.github.io/pix2pix/"
ZAPPOS_PAGE = "https://vision.cs.utexas.edu/projects/finegrained/utzap50k/"
METADATA, PATHS, ZAPPOS = "ut-zap50k-data/meta-data.csv", "ut-zap50k-data/image-path.mat", "ut-zap50k-images-square"
PAIRS = 50_025
FACTORS = {
    "shoe_type": "Category",
    "gender": "Gender",
    "closure": "Closure",
    "material": "Material",
    "toe_style": "ToeStyle",
}
_MODALITIES = ("photo", "edges")
_RARE = 250  # shoes; values with so few become _OTHER
_OTHER = "Other"
_SIDE, _SMALL = 256, 32  # of the images, and of those that are compared
_CHUNK = 256  # images in memory at a time


def edges2shoes(
    *,
    size: int = 64,
    pairs: int = PAIRS,
    modality: Literal["both", "photo", "edges"] = "both",
    split: Literal["images", "pairs"] = "images",
    seed: int = 0,
    raw: str | None = None,
) -> Dataset:
    """The first ``pairs`` pairs, ``size`` pixels square.

    Args:
        split: What is dealt to the splits; with "pairs" the photo and the edges of a shoe stay together.
        seed: Of the split.

    Raises:
        DataError: If the files are missing, incomplete or damaged.
    """
    if not (2 <= pairs <= PAIRS and size >= 8):
        raise UserError(f"edges2shoes: pairs={pairs} must be 2 to {PAIRS} and size={size} at least 8")
    kept = [0, 1] if modality == "both" else [_MODALITIES.index(modality)]
    path = find_raw("edges2shoes", NAMES, raw, PAGE)
    files = _find_pairs(path, pairs)
    metadata, paths, zappos = (_find_zappos(path.parent, name) for name in (METADATA, PATHS, ZAPPOS))

    def build(folder: Path) -> None:
        labels = _read_labels(metadata)
        shoes = _find_shoes(paths, zappos)
        if len(shoes) != len(labels):
            raise DataError(f"{paths} lists {len(shoes)} images, {metadata} {len(labels)}; get both from {ZAPPOS_PAGE}")
        nearest = _nearest(files, shoes)
        pair, columns, values = np.repeat(np.arange(len(files)), len(kept)), {}, {}
        if modality == "both":
            columns["modality"], values["modality"] = np.tile(kept, len(files)), _MODALITIES
        for name in FACTORS:
            found, codes = np.unique(labels[name].to_numpy(dtype=str)[nearest], return_inverse=True)
            columns[name], values[name] = codes[pair], tuple(found.tolist())
        groups = pair if split == "pairs" else None
        rows = split_rows(len(pair), stream(seed, "edges2shoes", "split"), test=0.1, groups=groups)
        spec = DataSpec(
            name="edges2shoes",
            image_shape=(3, size, size),
            num_train=int(np.sum(rows == TRAIN)),
            sizes={name: len(names) for name, names in values.items()},
            values=values,
            factors=tuple(values),
            domain="modality" if modality == "both" else None,
        )
        images = (chunk.reshape(-1, size, size, 3) for chunk in _each(lambda file: _read_pair(file, size)[kept], files))
        store.write_chunks(spec, columns, rows, images, folder)

    parameters = {"size": size, "pairs": pairs, "modality": modality, "split": split, "seed": seed}
    return store.cached("edges2shoes", parameters, [*files, metadata, paths, zappos, Path(__file__)], build)


def _find_pairs(path: Path, pairs: int) -> list[Path]:
    """By number, of both folders; where both have one, val comes second."""
    files = [file for name in ("train", "val") for file in sorted((path / name).glob("*.jpg"))]
    if strange := [file.name for file in files if not re.fullmatch(r"\d+_AB\.jpg", file.name)]:
        raise DataError(f"{path}: expected names like 12_AB.jpg, found {first_three(strange)}; remove them")
    if len(files) < pairs or len(files) > PAIRS:
        raise DataError(f"{path} holds {len(files)} pairs in train and val, expected {PAIRS}; get it from {PAGE}")
    return sorted(files, key=lambda file: int(file.name.partition("_")[0]))[:pairs]


def _find_zappos(root: Path, name: str) -> Path:
    if not (root / name).exists():
        raise DataError(f"edges2shoes: no {name} in {root}, where the labels come from; get it from {ZAPPOS_PAGE}")
    return root / name


def _read_labels(path: Path) -> "pd.DataFrame":
    """The columns of FACTORS, rare values pooled."""
    table = read_table(path)
    if missing := sorted(set(FACTORS.values()) - set(table.columns)):
        raise DataError(f"{path} has no column {', '.join(missing)}; get it again from {ZAPPOS_PAGE}")
    labels = pd.DataFrame()
    for name, column in FACTORS.items():
        first = table[column].fillna(_OTHER).astype(str).str.partition(";")[0]
        labels[name] = first.where(first.map(first.value_counts()) > _RARE, _OTHER)
    return labels


def _find_shoes(paths: Path, zappos: Path) -> list[Path]:
    """The Zappos images in the order of the labels. Unpacking renames some folders, so files go by their own name."""
    from scipy.io import loadmat

    try:
        names = [Path(str(cell[0])).name for cell in loadmat(paths)["imagepath"].ravel()]
    except Exception as error:  # scipy raises almost anything on a damaged file
        raise DataError(f"cannot read imagepath of {paths} ({error}); get it again from {ZAPPOS_PAGE}") from None
    found = {file.name: file for file in zappos.rglob("*.jpg")}
    if missing := [name for name in names if name not in found]:
        raise DataError(
            f"{zappos} lacks {len(missing)} of {len(names)} images: {first_three(missing)}; get it from {ZAPPOS_PAGE}"
        )
    return [found[name] for name in names]


def _nearest(files: list[Path], shoes: list[Path]) -> Int64[np.ndarray, " n"]:
    """For each pair the shoe whose image is nearest to its photo."""
    from sklearn.metrics import pairwise_distances_argmin

    def small(file: Path) -> UInt8[np.ndarray, "h w 3"]:
        return shrink(_open(file, ZAPPOS_PAGE), _SMALL)

    def small_photo(file: Path) -> UInt8[np.ndarray, "h w 3"]:
        return shrink(_open_pair(file)[0], _SMALL)

    gallery = np.concatenate(list(_each(small, shoes))).reshape(len(shoes), -1).astype(np.float32)
    chunks = (photos.reshape(len(photos), -1).astype(np.float32) for photos in _each(small_photo, files))
    return np.concatenate([pairwise_distances_argmin(chunk, gallery) for chunk in chunks]).astype(np.int64)


def _read_pair(file: Path, size: int) -> UInt8[np.ndarray, "2 h w 3"]:
    return np.stack([shrink(_thicken(image), size) for image in _open_pair(file)])


def _thicken(image: Image.Image) -> Image.Image:
    """The darkest of the 5 x 5 pixels around each, channel by channel: the published 3 x 3 twice."""
    padded = np.pad(np.asarray(image), ((2, 2), (2, 2), (0, 0)), mode="edge")
    rows = np.minimum.reduce([padded[shift : shift + _SIDE] for shift in range(5)])
    return Image.fromarray(np.minimum.reduce([rows[:, shift : shift + _SIDE] for shift in range(5)]))


def _open_pair(file: Path) -> tuple[Image.Image, Image.Image]:
    """The photo and the edges."""
    image = _open(file, PAGE)
    if image.size != (2 * _SIDE, _SIDE):
        raise DataError(f"{file} is {image.size}, expected {(2 * _SIDE, _SIDE)} pixels; get it again from {PAGE}")
    return image.crop((_SIDE, 0, 2 * _SIDE, _SIDE)), image.crop((0, 0, _SIDE, _SIDE))


def _open(file: Path, page: str) -> Image.Image:
    try:
        with Image.open(file) as image:
            return image.convert("RGB")
    except (OSError, SyntaxError, ValueError) as error:
        raise DataError(f"cannot read {file} ({error}); get it again from {page}") from None


def _each(function: Callable[[Path], np.ndarray], files: Sequence[Path]) -> Iterator[np.ndarray]:
    """``function`` of each file, some files at a time."""
    starts = range(0, len(files), _CHUNK)
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        for start in track(starts, "reading", console=Console(stderr=True), disable=len(starts) < 20, transient=True):
            yield np.stack(list(pool.map(function, files[start : start + _CHUNK])))
