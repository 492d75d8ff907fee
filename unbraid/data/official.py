"""The published .npz files of DCoDR's data sets, read and written.

A pair ``X_train.npz``, ``X_test.npz`` becomes the two splits of one data set; of a file alone, a fifth of each domain
is the test split. Keys: ``imgs`` (N,H,W,C, 0 to 255, uint8 or float), ``classes`` (N, the domain), ``n_classes``,
``contents`` (N or N x columns, integers), ``landmarks`` (N x coordinates). Files that ``write`` makes hold, beside the
published keys, ``spec`` and one ``column:NAME`` for each column, so that reading them back gives the same data set.

Source
    Kahana & Hoshen, ECCV 2022, arXiv:2203.11284; the file format as its data preparation describes it.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8

from unbraid.atomic import atomic_file
from unbraid.data import store
from unbraid.data.arrays import read_arrays, read_chunks, shape_of
from unbraid.data.splits import TRAIN, split_rows
from unbraid.errors import DataError, UserError
from unbraid.seeds import stream
from unbraid.tables import SPLITS, Column, Dataset, DataSpec

CONTENTS = {  # names of the columns of `contents`, which the files do not carry
    "cars3d": ("pose",),
    "smallnorb": ("azimuth", "elevation", "lighting"),
    "shapes3d": ("floor_hue", "wall_hue", "object_hue", "scale", "orientation"),
    "edges2shoes": ("shoe_type", "gender", "closure", "material", "toe_style"),
}
CIRCULAR = {"smallnorb": frozenset({"azimuth"})}
_NAME = re.compile(r"(?P<stem>.+?)(?P<gap>_+)(?P<split>train|validation|test)(__reduced_\w+)?")

Arrays = dict[str, np.ndarray]


def stem(path: Path) -> str:
    """The data set's name: ``cars3d_train.npz`` -> ``cars3d``."""
    match = _NAME.fullmatch(path.stem)
    return match["stem"] if match else path.stem


def read(path: Path) -> Dataset:
    """The data set that ``path`` belongs to, with the files of its other splits beside it.

    Raises:
        DataError: If a file is damaged, lacks a key, holds Python objects or images of another range.
    """
    files = _find_splits(path)

    def build(folder: Path) -> None:
        parts = [_read_part(file) for file in files.values()]
        arrays = _join(list(files.values()), parts)
        numbers = np.array([SPLITS.index(name) for name in files], dtype=np.uint8)
        split = np.repeat(numbers, [len(part["classes"]) for part in parts])
        _, *size, channels = shape_of(path, "imgs")
        spec, columns = _own_columns(arrays) if "spec" in arrays else _published_columns(arrays, stem(path))
        if len(files) == 1:
            split = split_rows(len(split), stream(0, "official", "split"), strata=columns[spec["domain"]])
        spec = {**spec, "image_shape": (channels, *size), "num_train": int(np.sum(split == TRAIN))}
        chunks = (chunk for file in files.values() for chunk in _read_images(file))
        store.write_chunks(DataSpec.from_dict(spec), columns, split, chunks, folder)

    return store.cached(stem(path), {}, [*files.values(), Path(__file__)], build)


def write(dataset: Dataset, path: Path) -> list[Path]:
    """Write ``X_train.npz``, ``X_test.npz`` (and ``X_validation.npz``) for ``path`` = X or X.npz.

    Raises:
        UserError: If the data set has no domain; the format cannot do without.
    """
    spec = dataset.spec
    if spec.domain is None:
        raise UserError(f"{spec.name} has no domain, which the published format calls classes; give --domain")
    written = []
    for name in SPLITS:
        rows = dataset.rows(name)
        if not len(rows):
            continue
        columns = {column: values[rows] for column, values in dataset.columns.items()}
        arrays = {
            "imgs": dataset.images[rows],
            "classes": columns[spec.domain],
            "n_classes": np.array(spec.sizes[spec.domain]),
            "spec": np.array(json.dumps(spec.to_dict())),
            **{f"column:{column}": values for column, values in columns.items()},
        }
        if spec.content:
            arrays["contents"] = np.stack([columns[column] for column in spec.content], axis=1)
        if spec.targets:
            arrays["landmarks"] = np.stack([columns[column] for column in spec.targets], axis=1)
        written.append(path.with_name(f"{path.name.removesuffix('.npz')}_{name}.npz"))
        with atomic_file(written[-1]) as temporary, temporary.open("wb") as file:
            np.savez(file, **arrays)
    return written


def _find_splits(path: Path) -> dict[str, Path]:
    match = _NAME.fullmatch(path.stem)
    if match is None:
        return {"train": path}
    others = {name: path.with_name(f"{match['stem']}{match['gap']}{name}.npz") for name in SPLITS}
    files = {**others, match["split"]: path}
    return {name: file for name, file in files.items() if file == path or file.is_file()}


def _read_part(path: Path) -> Arrays:
    """The arrays of one file but for its images, checked against their number."""
    arrays = read_arrays(path, required=("imgs", "classes", "n_classes"), without=("imgs",))
    shape = shape_of(path, "imgs")
    if len(shape) != 4 or shape[3] not in (1, 3):
        raise DataError(f"{path}: imgs are {shape}, expected (N, H, W, 1 or 3)")
    for key in ("classes", "contents", "landmarks"):
        if key in arrays and (arrays[key].ndim == 0 or len(arrays[key]) != shape[0]):
            raise DataError(f"{path}: {key} are {arrays[key].shape} for {shape[0]} imgs")
    return arrays


def _join(files: list[Path], parts: list[Arrays]) -> Arrays:
    """Raises: DataError if the files are not splits of one data set."""
    same = [(sorted(part), int(part["n_classes"]), shape_of(file, "imgs")[1:]) for file, part in zip(files, parts)]
    if any(one != same[0] for one in same):
        names = " and ".join(map(str, files))
        raise DataError(f"{names} differ in keys, n_classes or image size; to read one alone, rename it")
    return {
        key: np.concatenate([part[key] for part in parts]) if first.ndim else first for key, first in parts[0].items()
    }


def _own_columns(arrays: Arrays) -> tuple[dict[str, Any], dict[str, Column]]:
    columns = {key.removeprefix("column:"): values for key, values in arrays.items() if key.startswith("column:")}
    return json.loads(str(arrays["spec"])), columns


def _published_columns(arrays: Arrays, name: str) -> tuple[dict[str, Any], dict[str, Column]]:
    num_domains = int(arrays["n_classes"])
    domain = arrays["classes"].astype(np.int64)
    if not (domain.min() >= 0 and domain.max() < num_domains):
        raise DataError(f"{name}: classes run from {domain.min()} to {domain.max()}, but n_classes is {num_domains}")
    columns: dict[str, Column] = {"domain": domain}
    sizes, values = {"domain": num_domains}, {}
    contents = arrays.get("contents", np.empty((len(domain), 0), dtype=np.int64)).reshape(len(domain), -1)
    if contents.dtype.kind not in "iub":
        raise DataError(f"{name}: contents are {contents.dtype}, expected whole numbers; save them as integer codes")
    known = next((key for key in CONTENTS if name.startswith(key) and len(CONTENTS[key]) == contents.shape[1]), None)
    plain = ["content"] if contents.shape[1] == 1 else [f"content{i}" for i in range(contents.shape[1])]
    for column, raw in zip(CONTENTS[known] if known else plain, contents.T):
        unique, columns[column] = np.unique(raw, return_inverse=True)
        sizes[column], values[column] = len(unique), tuple(map(str, unique.tolist()))
    landmarks = arrays.get("landmarks", np.empty((len(domain), 0))).reshape(len(domain), -1).astype(np.float32)
    targets = {f"landmark{i}": column.copy() for i, column in enumerate(landmarks.T)}
    spec = DataSpec(
        name=name,
        image_shape=(0, 0, 0),
        num_train=0,
        sizes=sizes,
        values=values,
        factors=tuple(sizes),
        targets=tuple(targets),
        circular=CIRCULAR.get(known or "", frozenset()),
        domain="domain",
    )
    return spec.to_dict(), {**columns, **targets}


def _read_images(path: Path) -> Iterator[UInt8[np.ndarray, "m h w c"]]:
    for images in read_chunks(path, "imgs"):
        if images.dtype != np.uint8:
            if not (images.min() >= 0 and 1 < images.max() <= 255):
                low, high = images.min(), images.max()
                raise DataError(f"{path}: imgs run from {low:g} to {high:g}, expected 0 to 255; save them as uint8")
            images = np.round(images).astype(np.uint8)
        yield images
