"""Folders of biased images in the published naming, read and written: ``<id>_<target>_<bias>.png``.

::

    bffhq/0.5pct/{align,conflict}/<target>/...     bffhq/valid/...                      bffhq/test/...
    cmnist/0.5pct/{align,conflict}/<target>/...    cmnist/0.5pct/valid/...              cmnist/test/<target>/...
    cifar10c/0.5pct/{align,conflict}/<target>/...  cifar10c/0.5pct/valid/<target>/...   cifar10c/test/<target>/...

What is read is a folder with ``align`` and ``conflict``, the train split; ``valid`` and ``test`` stand in it or beside
it, and their files at any depth. Only the names of the files say what the label and the bias are.

``bffhq`` is the set of faces of that name. Label: the age (10 to 29, or 40 to 59 years); bias, and domain: the gender.
Young women and old men are aligned. As published, the aligned files of its test are left out.

Source
    Lee, Kim et al., NeurIPS 2021, arXiv:2107.01372; BFFHQ: Kim et al., ICCV 2021.
"""

import dataclasses
import logging
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Int64

from unbraid.atomic import atomic_folder
from unbraid.data import pictures, store
from unbraid.data.biased import biased_spec
from unbraid.data.options import MIN_SIDE, SIDE, DataOptions
from unbraid.data.pictures import first_three, from_pixels
from unbraid.data.raw_files import find_raw
from unbraid.data.splits import TEST, TRAIN, VALIDATION
from unbraid.errors import DataError, UserError, did_you_mean
from unbraid.tables import Dataset

_log = logging.getLogger("unbraid")

PAGE = "the authors of https://arxiv.org/abs/2107.01372"
PERCENTS = (0.5, 1.0, 2.0, 5.0)
_FLAT = {"cifar10c": (), "bffhq": ("valid", "test")}  # folders without one for each class; of any other set: valid
_NAME = re.compile(r".+_(\d+)_(\d+)\.[^.]+")
_BFFHQ = {"age": ("young", "old"), "gender": ("female", "male")}


def bffhq(
    *, percent: str = "0.5pct", test: Literal["conflict", "all"] = "conflict", size: int = 224, raw: str | None = None
) -> Dataset:
    """The faces, ``size`` pixels square; 224 as published.

    Args:
        percent: The folder to train on; its name is the share of conflicting files.

    Raises:
        DataError: If the files are missing, misnamed or damaged.
    """
    if size < MIN_SIDE:
        raise UserError(f"bffhq: size={size} must be at least {MIN_SIDE}")
    root = find_raw("bffhq", ("bffhq",), raw, PAGE)
    if not is_bias_folder(root / percent):
        known = [path.name for path in root.iterdir() if is_bias_folder(path)]
        raise DataError(f"{root / percent} has no folders align and conflict.{did_you_mean(percent, known)}")
    return _read(root / percent, "bffhq", size, "rgb", values=_BFFHQ, conflict_only=test == "conflict")


def is_bias_folder(path: Path) -> bool:
    return (path / "align").is_dir() and (path / "conflict").is_dir()


def read(path: Path, options: DataOptions, *, name: str) -> Dataset:
    """The data set of a folder with ``align`` and ``conflict``: columns target and bias. ``cmnist/1pct`` is cmnist.

    Images keep their size if it is a square, the same for all, and no other is asked for.

    Raises:
        UserError: If an option is given that such a folder answers itself.
        DataError: If files are missing, misnamed or damaged.
    """
    dataclasses.replace(options, size=DataOptions.size, color=DataOptions.color).refuse_own_images(name)
    place = path.resolve()
    named = place.parent.name if place.name.endswith("pct") else name
    return _read(path, named, options.side(), options.color)


def write(dataset: Dataset, root: Path) -> Path:
    """Write ``root/NAME/PERCENT`` and beside it what the percents share, as the original programs read it.

    A label value's own bias value is the most frequent one among its train rows; bias values are renumbered so that it
    has the label value's number. PERCENT is the published 0.5pct, 1pct, 2pct or 5pct if the share of conflicting train
    rows is near it (of coloured MNIST it is nine tenths of it), else that share.

    Raises:
        UserError: If the label or the bias is not named, or two label values have the same own bias value.
        DataError: If a row lacks one of the two.
    """
    target, bias = _numbers(dataset)
    name, train = dataset.spec.name, dataset.split == TRAIN
    share = 100 * float(np.mean(target[train] != bias[train]))
    percent = next((nominal for nominal in PERCENTS if 0.85 <= share / nominal <= 1.15), share)
    whole = root / name
    folder = whole / f"{percent:.3g}pct"
    parts = (  # the train split comes last: a folder with align is complete
        (whole / "test", dataset.split == TEST),
        ((whole if name == "bffhq" else folder) / "valid", dataset.split == VALIDATION),
        (folder / "conflict", train & (target != bias)),
        (folder / "align", train & (target == bias)),
    )
    flat = _FLAT.get(name, ("valid",))
    for place, rows in parts:
        with atomic_folder(place) as temporary:
            for row in np.flatnonzero(rows).tolist():
                inner = temporary if place.name in flat else temporary / str(target[row])
                inner.mkdir(exist_ok=True)
                from_pixels(dataset.images[row]).save(inner / f"{row:05d}_{target[row]}_{bias[row]}.png")
    return folder


def _numbers(dataset: Dataset) -> tuple[Int64[np.ndarray, " n"], Int64[np.ndarray, " n"]]:
    """Label and bias, the bias renumbered so that aligned rows have twice the same number."""
    spec = dataset.spec
    if spec.label is None or spec.bias is None or spec.label == spec.bias:
        raise UserError(f"{spec.name}: the published naming needs a label and a bias; give --label and --bias")
    target, bias = dataset.columns[spec.label], dataset.columns[spec.bias]
    if min(target.min(), bias.min()) < 0:
        raise DataError(f"{spec.name} has rows without {spec.label} or {spec.bias}; leave them out")
    train = dataset.split == TRAIN
    count = np.zeros((spec.sizes[spec.label], spec.sizes[spec.bias]), dtype=np.int64)
    np.add.at(count, (target[train], bias[train]), 1)
    own = count.argmax(axis=1)
    if len(np.unique(own)) < len(own):
        raise UserError(
            f"{spec.name}: the published naming needs another most frequent {spec.bias!r} for each {spec.label!r}; "
            f"make the data biased first: unbraid data bias"
        )
    order = [*own.tolist(), *np.setdiff1d(np.arange(spec.sizes[spec.bias]), own).tolist()]
    return target, np.argsort(order)[bias]


def _read(
    path: Path,
    name: str,
    size: int | None,
    color: Literal["auto", "rgb", "grey"],
    values: Mapping[str, tuple[str, ...]] | None = None,
    conflict_only: bool = False,
) -> Dataset:
    parts = [_files(path / "align"), _files(path / "conflict"), _beside(path, "valid"), _beside(path, "test")]
    numbers = [_parse(files) for files in parts]
    if conflict_only:
        kept = numbers[3][:, 0] != numbers[3][:, 1]
        parts[3], numbers[3] = [file for file, keep in zip(parts[3], kept) if keep], numbers[3][kept]
    if not len(parts[0]) + len(parts[1]) or not len(parts[3]):
        raise DataError(f"{path} needs files in align or conflict, and a folder test in it or beside it")
    split = np.repeat(np.array([TRAIN, TRAIN, VALIDATION, TEST], dtype=np.uint8), [len(files) for files in parts])
    label, bias = np.concatenate(numbers).T.copy()
    sizes = (int(label.max()) + 1, int(bias.max()) + 1)
    if values is None:
        values = {"target": tuple(map(str, range(sizes[0]))), "bias": tuple(map(str, range(sizes[1])))}
    columns = dict(zip(values, (label, bias)))
    if any(size > len(names) for size, names in zip(sizes, values.values())):
        raise DataError(
            f"{path}: targets and biases go up to {sizes[0] - 1} and {sizes[1] - 1}, {name} has 0 and 1 only"
        )
    files = [file for part in parts for file in part]

    def build(folder: Path) -> None:
        side = size or pictures.common_side(files)
        if side is None:
            _log.warning("the files of %s are no squares of one size: they are resized to %d pixels", path, SIDE)
        look = pictures.survey(files, side or SIDE, color)
        spec = biased_spec(name, (look.channels, look.size, look.size), split, values)
        store.write_chunks(spec, columns, split, pictures.decode_all(files, look), folder)

    return store.cached(name, {"size": size, "color": color}, [*files, Path(__file__)], build)


def _beside(path: Path, part: str) -> list[Path]:
    return _files(path / part if (path / part).is_dir() else path.parent / part)


def _files(folder: Path) -> list[Path]:
    return sorted(file for file in folder.rglob("*") if file.suffix.lower() in pictures.SUFFIXES)


def _parse(files: list[Path]) -> Int64[np.ndarray, "n 2"]:
    matches = [_NAME.fullmatch(file.name) for file in files]
    if wrong := [file for file, match in zip(files, matches) if match is None]:
        raise DataError(f"{len(wrong)} file(s) are not named <id>_<target>_<bias>: {first_three(wrong)}; rename them")
    numbers = [(int(match[1]), int(match[2])) for match in matches if match]
    return np.array(numbers, dtype=np.int64).reshape(-1, 2)
