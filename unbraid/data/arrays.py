"""Numeric arrays of .npz files, without pickles and, where they are large, a piece at a time."""

import zipfile
import zlib
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from unbraid.errors import DataError

_CHUNK = 1024  # rows


def read_arrays(path: Path, *, required: Collection[str] = (), without: Collection[str] = ()) -> dict[str, np.ndarray]:
    """Every array of the file but ``without``.

    Raises:
        DataError: If the file is damaged, holds Python objects or lacks a required array.
    """
    with _naming(path), path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
        if missing := sorted(set(required) - set(file.files)):
            raise DataError(f"{path} has no {', '.join(missing)}; it holds {', '.join(sorted(file.files))}")
        return {key: file[key] for key in file.files if key not in without}


def shape_of(path: Path, key: str) -> tuple[int, ...]:
    """The shape of an array that is not read."""
    with _naming(path), zipfile.ZipFile(path) as archive, archive.open(f"{key}.npy") as file:
        return _header(file)[0]


def read_chunks(path: Path, key: str) -> Iterator[np.ndarray]:
    """An array in pieces of some rows."""
    with _naming(path), zipfile.ZipFile(path) as archive, archive.open(f"{key}.npy") as file:
        (num_rows, *rest), dtype = _header(file)
        for start in range(0, num_rows, _CHUNK):
            shape = (min(_CHUNK, num_rows - start), *rest)
            data = file.read(int(np.prod(shape)) * dtype.itemsize)
            yield np.frombuffer(data, dtype=dtype).reshape(shape)


def _header(file: Any) -> tuple[tuple[int, ...], np.dtype[Any]]:
    read = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    shape, fortran, dtype = read[np.lib.format.read_magic(file)](file)
    if dtype.hasobject:
        raise ValueError("Object arrays cannot be loaded")
    if fortran:
        raise ValueError("arrays in Fortran order are not supported")
    return shape, dtype


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    try:
        yield
    except DataError:
        raise
    except FileNotFoundError:
        raise DataError(f"no file at {path}") from None
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        if "Object arrays" in str(error):
            reason = "it holds Python objects, which are never loaded; save its arrays as numbers"
        else:
            reason = f"the file is damaged or no .npz ({error}); get it again"
        raise DataError(f"cannot read {path}: {reason}") from None
