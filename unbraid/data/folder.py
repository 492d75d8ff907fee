"""Own images: a folder of them, with a table of labels or with sub-folders as labels, or a table of paths.

Images are decoded once (see ``pictures``) and kept in the cache; labels, roles and split are made anew at each load, so
that trying another domain costs nothing. Without a table the sub-folders are the labels: ``photos/cat/1.png`` has the
column ``folder``, ``photos/night/cat/1.png`` has ``folder1`` and ``folder2``.
"""

import dataclasses
import logging
import os
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import UInt8

from unbraid.data import pictures, store
from unbraid.data.labels import Labels, categories, encode, read_table
from unbraid.data.options import SIDE, DataOptions
from unbraid.data.pictures import first_three
from unbraid.data.roles import with_roles
from unbraid.data.splits import TEST, TRAIN, VALIDATION, split_rows
from unbraid.errors import DataError, UserError, did_you_mean
from unbraid.seeds import stream
from unbraid.tables import SPLITS, Dataset, DataSpec

PATH_COLUMNS = ("path", "file", "filename", "file_name", "filepath", "image", "image_path", "img", "img_path")
SPLIT_WORDS = {
    **dict.fromkeys(("train", "training"), TRAIN),
    **dict.fromkeys(("validation", "valid", "val", "dev"), VALIDATION),
    **dict.fromkeys(("test", "testing"), TEST),
}

_log = logging.getLogger("unbraid")


def read(path: Path, options: DataOptions, *, name: str) -> Dataset:
    """Images and labels of ``path``, a folder or a table.

    Raises:
        UserError: If an option is wrong or two contradict each other.
        DataError: If an image or a label is missing, unreadable or makes no sense; names the first three.
    """
    files, frame = _rows(path, options)
    _check_named(frame, options, name)
    split_column = options.split_column or ("split" if "split" in frame else None)
    given = {role for role in (options.domain, options.label, options.bias) if role is not None}
    kept = {*given, *(options.factors or ()), *(options.targets or ())}
    labels = encode(frame.drop(columns=[split_column] if split_column else []), files, complete=given, kept=kept)
    _check_domain(labels, options.domain)
    split = _make_split(frame, options) if split_column is None else _read_split(frame, files, split_column, options)
    _check_split(labels, split, options)
    spec = DataSpec(
        name=name,
        image_shape=(0, 0, 0),  # known once the images are
        num_train=int(np.sum(split == TRAIN)),
        sizes={column: len(names) for column, names in labels.values.items()},
        values=labels.values,
        factors=tuple(column for column in labels.values if column not in (options.domain, options.group)),
        targets=tuple(column for column in labels.columns if column not in labels.values),
    )
    spec = with_roles(spec, labels.columns, options)
    prepared = _prepare(files, options, name)
    spec = dataclasses.replace(spec, image_shape=prepared.spec.image_shape)
    return Dataset(spec=spec, images=prepared.images, columns=labels.columns, split=split)


def image_names(path: Path, options: DataOptions) -> list[str]:
    """The paths of a folder's images as a table of labels names them, in the order of ``read``."""
    return [os.path.relpath(file, path) for file in _rows(path, options)[0]]


def _rows(path: Path, options: DataOptions) -> tuple[list[Path], pd.DataFrame]:
    """The image files and, in the same order, their labels."""
    if not path.is_dir():
        if options.labels is not None:
            raise UserError(f"--labels belongs to a folder of images; {path} is a table and holds the labels itself")
        return _rows_of_table(read_table(path), path, path.parent, options)
    if options.labels is None:
        if options.path_column is not None:
            raise UserError("--path-column needs a table: give --labels")
        return _rows_of_tree(path)
    table = Path(options.labels).expanduser()
    files, frame = _rows_of_table(read_table(table), table, path, options)
    known = {_resolved(file) for file in files}
    if strays := [file.relative_to(path) for file in _find_images(path) if _resolved(file) not in known]:
        raise DataError(
            f"{len(strays)} image(s) in {path} have no row in {table}: {first_three(strays)}; add their rows, or take "
            "the images out of the folder"
        )
    return files, frame


def _rows_of_tree(root: Path) -> tuple[list[Path], pd.DataFrame]:
    files = _find_images(root)
    folders = [file.relative_to(root).parent.parts for file in files]
    depth = max(map(len, folders))
    names = ["folder"] if depth == 1 else [f"folder{level + 1}" for level in range(depth)]
    padded = [parts + (None,) * (depth - len(parts)) for parts in folders]
    return files, pd.DataFrame(padded, columns=names, index=range(len(files)))


def _find_images(root: Path) -> list[Path]:
    """Raises: DataError if there is none."""
    names = sorted(Path(folder) / name for folder, _, names in os.walk(root) for name in names if name[0] != ".")
    files = [name for name in names if name.suffix.lower() in pictures.SUFFIXES]
    known = (*pictures.SUFFIXES, ".csv", ".tsv", ".parquet", ".txt", ".md", ".json")
    if others := [name.relative_to(root) for name in names if name.suffix.lower() not in known]:
        _log.warning("%d file(s) are no images that can be read and are left out: %s", len(others), first_three(others))
    if not files:
        raise DataError(f"no images in {root}: expected files ending in {', '.join(pictures.SUFFIXES)}")
    return files


def _rows_of_table(
    frame: pd.DataFrame, table: Path, root: Path, options: DataOptions
) -> tuple[list[Path], pd.DataFrame]:
    column = _path_column(frame, table, root, options)
    if missing := int(frame[column].isna().sum()):
        raise DataError(f"{missing} row(s) of {table} have no {column!r}; fill in the path or delete them")
    files = [root / str(value) for value in frame[column]]
    if absent := [file for file in files if not file.is_file()]:
        raise DataError(
            f"{len(absent)} of {len(files)} images named in column {column!r} of {table} do not exist: "
            f"{first_three(absent)}; paths are relative to {root}"
        )
    again = pd.Series([_resolved(file) for file in files]).duplicated()
    if again.any():
        twice = first_three([files[row] for row in np.flatnonzero(again)])
        raise DataError(f"{int(again.sum())} row(s) of {table} name an image that has a row already: {twice}")
    return files, frame.drop(columns=column)


def _path_column(frame: pd.DataFrame, table: Path, root: Path, options: DataOptions) -> str:
    if options.path_column is not None:
        if options.path_column not in frame:
            hint = did_you_mean(options.path_column, frame.columns)
            raise UserError(f"{table} has no column {options.path_column!r} (--path-column).{hint}")
        return options.path_column
    lower = {name.lower(): name for name in reversed(frame.columns)}
    if named := [lower[name] for name in PATH_COLUMNS if name in lower]:
        return named[0]
    texts = [name for name in frame.columns if not pd.api.types.is_numeric_dtype(frame[name])]
    found = [name for name in texts if all((root / str(value)).is_file() for value in frame[name].dropna().head(20))]
    if len(found) == 1:
        return found[0]
    raise DataError(
        f"which column of {table} holds the image paths? Give --path-column, one of {', '.join(frame.columns)}"
    )


def _resolved(file: Path) -> str:
    return os.path.realpath(file)


def _check_named(frame: pd.DataFrame, options: DataOptions, name: str) -> None:
    """Every column that an option names is there."""
    no_labels = " There are no labels; give --labels."
    for option in ("domain", "label", "bias", "stratify", "group", "split_column", "factors", "targets", "circular"):
        value = getattr(options, option)
        for column in [value] if isinstance(value, str) else value or ():
            if column not in frame:
                hint = did_you_mean(column, frame.columns) if len(frame.columns) else no_labels
                raise UserError(f"{name} has no column {column!r} (--{option.replace('_', '-')}).{hint}")


def _check_domain(labels: Labels, domain: str | None) -> None:
    if domain is None or domain not in labels.values:  # a real-valued one is refused with the other roles
        return
    names = np.array(labels.values[domain], dtype=object)
    count = np.bincount(labels.columns[domain], minlength=len(names))
    lonely = names[count == 1].tolist()
    if lonely and len(names) > 1:
        raise DataError(
            f"{len(lonely)} value(s) of {domain!r} have a single image: {first_three(lonely)}; "
            "add images of them or leave them out"
        )


def _make_split(frame: pd.DataFrame, options: DataOptions) -> UInt8[np.ndarray, " n"]:
    stratify = options.stratify or options.domain or options.label
    groups = None
    if options.group is not None:
        if missing := int(frame[options.group].isna().sum()):
            raise DataError(f"{missing} image(s) have no {options.group!r}, the column of --group; fill it in")
        groups = categories(frame[options.group].astype(str))[0]
    return split_rows(
        len(frame),
        stream(options.split_seed, "folder", "split"),
        test=options.test_fraction,
        validation=options.validation_fraction,
        strata=None if stratify is None else categories(frame[stratify].astype(str))[0],
        groups=groups,
    )


def _read_split(frame: pd.DataFrame, files: list[Path], column: str, options: DataOptions) -> UInt8[np.ndarray, " n"]:
    made = {"test_fraction", "validation_fraction", "stratify", "group", "split_seed"} & set(options.changed())
    if made:
        names = ", ".join(sorted(f"--{option.replace('_', '-')}" for option in made))
        raise UserError(f"column {column!r} gives the split; leave out {names}, or rename the column")
    words = frame[column].astype(str).str.lower()
    if unknown := [row for row, word in enumerate(words) if word not in SPLIT_WORDS]:
        which = first_three([f"{files[row]} ({frame[column][row]})" for row in unknown])
        raise DataError(f"{len(unknown)} image(s) are neither train, validation nor test in {column!r}: {which}")
    return words.map(SPLIT_WORDS).to_numpy(dtype=np.uint8)


def _check_split(labels: Labels, split: UInt8[np.ndarray, " n"], options: DataOptions) -> None:
    for part in (TRAIN, TEST):
        if not (split == part).any():
            raise DataError(f"the {SPLITS[part]} split has no images; change the split column or the fractions")
    if options.domain in labels.values:
        names = labels.values[options.domain]
        trained = set(labels.columns[options.domain][split == TRAIN].tolist())
        if absent := [names[value] for value in range(len(names)) if value not in trained]:
            raise DataError(
                f"{len(absent)} value(s) of {options.domain!r} have no train image: {first_three(absent)}; "
                "change the split or leave them out"
            )
    if options.label in labels.values:
        for part in np.unique(split):
            classes = np.unique(labels.columns[options.label][split == part])
            if len(classes) == 1:
                only = labels.values[options.label][classes[0]]
                raise DataError(
                    f"every image of the {SPLITS[part]} split has {options.label!r} = {only}; change the split"
                )


def _prepare(files: list[Path], options: DataOptions, name: str) -> Dataset:
    """The decoded images, without labels, from the cache."""
    side = options.side() or SIDE

    def build(folder: Path) -> None:
        look = pictures.survey(files, side, options.color)
        spec = DataSpec(name=name, image_shape=(look.channels, look.size, look.size), num_train=len(files), sizes={})
        split = np.full(len(files), TRAIN, dtype=np.uint8)
        store.write_chunks(spec, {}, split, pictures.decode_all(files, look), folder)

    return store.cached(name, {"size": side, "color": options.color}, files, build)
