"""The one prepared format: a folder with images.npy (memory-mapped), labels.parquet and spec.json."""

import errno
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8

from unbraid.atomic import atomic_folder
from unbraid.errors import DataError, UserError
from unbraid.tables import SPLITS, Column, Dataset, DataSpec

FILES = ("images.npy", "labels.parquet", "spec.json")
_FORMAT = 1  # raise it when the meaning of the files changes: older stores are then built anew
_CHUNK = 1024  # rows


def is_store(folder: Path) -> bool:
    return any((folder / name).is_file() for name in ("images.npy", "spec.json"))


def write(dataset: Dataset, folder: Path) -> None:
    """Write a data set; the folder appears only when it is complete."""
    chunks = (dataset.images[start : start + _CHUNK] for start in range(0, len(dataset), _CHUNK))
    write_chunks(dataset.spec, dataset.columns, dataset.split, chunks, folder)


def write_chunks(
    spec: DataSpec,
    columns: Mapping[str, Column],
    split: UInt8[np.ndarray, " n"],
    images: Iterable[UInt8[np.ndarray, "m h w c"]],
    folder: Path,
) -> None:
    """The same for images that come in pieces and never need to be in memory together.

    Raises:
        DataError: If a column is called split, or the pieces do not add up to the rows.
    """
    import pyarrow
    import pyarrow.parquet

    if "split" in columns:
        raise DataError(f"{spec.name}: a label column cannot be called 'split'; rename it")
    channels, height, width = spec.image_shape
    shape = (len(split), height, width, channels)
    with atomic_folder(folder) as temporary:
        with (temporary / "images.npy").open(
            "wb"
        ) as file:  # written, not mapped: a full disk is then an error, no crash
            header = {"descr": "|u1", "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(file, header)
            size = sum(file.write(np.ascontiguousarray(chunk).data) for chunk in images)
        if size != np.prod(shape, dtype=np.int64):
            raise DataError(f"{spec.name}: {size} bytes of images do not fill {shape}")
        pyarrow.parquet.write_table(pyarrow.table({**columns, "split": split}), temporary / "labels.parquet")
        (temporary / "spec.json").write_text(json.dumps(spec.to_dict(), indent=2) + "\n")


def read(folder: Path) -> Dataset:
    """Open a prepared folder; no image is read yet.

    Raises:
        DataError: If a file is missing or damaged, or if the three do not belong together.
    """
    import pyarrow.parquet

    try:
        spec = DataSpec.from_dict(json.loads((folder / "spec.json").read_text()))
        images = np.load(folder / "images.npy", mmap_mode="r", allow_pickle=False)
        table = pyarrow.parquet.read_table(folder / "labels.parquet")
        columns = {name: table[name].to_numpy().copy() for name in table.column_names}
        split = columns.pop("split")
        channels, height, width = spec.image_shape
        if images.dtype != np.uint8 or images.shape != (len(split), height, width, channels):
            raise ValueError(f"images are {images.dtype} {images.shape}")
        if split.dtype != np.uint8 or split.max() >= len(SPLITS) or np.sum(split == 0) != spec.num_train:
            raise ValueError("the split is not the one of spec.json")
        return Dataset(spec=spec, images=images, columns=columns, split=split)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DataError(
            f"the prepared data in {folder} is damaged ({reason}); delete that folder and try again"
        ) from None


def code(*names: str) -> list[Path]:
    """Files of this folder, as sources of ``cached``: the code that the rows depend on."""
    return [Path(__file__).with_name(name) for name in names]


def cached(name: str, parameters: Mapping[str, Any], sources: Iterable[Path], build: Callable[[Path], None]) -> Dataset:
    """The prepared form of a data set, built on first use.

    Args:
        name: First part of the folder's name, for people.
        parameters: Plain values that the rows depend on.
        sources: Files that the rows depend on; one that is changed gives a new store.
        build: Writes the folder it is given, with ``write`` or ``write_chunks``.

    Raises:
        UserError: If the cache cannot be written.
        DataError: If the store is damaged.
    """
    key = json.dumps([_FORMAT, name, parameters, [_fingerprint(path) for path in sources]], sort_keys=True)
    folder = cache_folder() / f"{name}-{hashlib.sha256(key.encode()).hexdigest()[:12]}"
    if not folder.is_dir():
        _build(folder, build)
    return read(folder)


def _fingerprint(path: Path) -> tuple[str, int, int]:
    state = path.stat()
    return str(path.resolve()), state.st_size, state.st_mtime_ns


def cache_folder() -> Path:
    return Path(os.environ.get("UNBRAID_CACHE") or Path.home() / ".cache" / "unbraid")


def _build(folder: Path, build: Callable[[Path], None]) -> None:
    """Two processes may do this at once: each builds its own, the first to end gives the folder its name."""
    own = folder.with_name(f".{folder.name}.{os.getpid()}")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        build(own)
        own.rename(folder)
    except OSError as error:
        if folder.is_dir():
            return
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.ENOTDIR, errno.EEXIST):
            reason = f"cannot write to {folder.parent} ({error.strerror})"
            raise UserError(f"{reason}; set UNBRAID_CACHE to a folder with room that you may write to") from None
        raise
    finally:
        shutil.rmtree(own, ignore_errors=True)
