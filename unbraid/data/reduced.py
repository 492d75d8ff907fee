"""A part of a data set, given by the numbers of its rows."""

import dataclasses
import hashlib
from pathlib import Path

import numpy as np
from jaxtyping import Int64, UInt8

from unbraid.data import store
from unbraid.data.splits import TRAIN
from unbraid.errors import DataError
from unbraid.tables import Dataset, DataSpec

_CHUNK = 1024  # rows


def reduced(dataset: Dataset, rows: Int64[np.ndarray, " m"]) -> Dataset:
    """These rows, in their order; each keeps its columns and its split.

    Their images are stored once for all who name the same rows: only neighbouring rows of a memory map could be had
    without reading it, and a copy beside it is read in order.
    """
    split = dataset.split[rows]
    return Dataset(
        spec=dataclasses.replace(dataset.spec, num_train=int(np.sum(split == TRAIN))),
        images=_images(dataset, rows),
        columns={name: column[rows] for name, column in dataset.columns.items()},
        split=split,
    )


def read_rows(path: Path, num_rows: int) -> Int64[np.ndarray, " m"]:
    """The row numbers in a .npy file, of a data set of ``num_rows``.

    Raises:
        DataError: If the file is missing, damaged or empty, or names a row that the data set does not have.
    """
    try:
        with path.open("rb") as file:
            rows = np.lib.format.read_array(file, allow_pickle=False)
    except OSError as error:
        raise DataError(f"cannot read row numbers from {path}: {error.strerror}") from None
    except (ValueError, EOFError):
        raise DataError(f"{path} is damaged or holds no row numbers; write them with numpy.save") from None
    if rows.ndim != 1 or rows.dtype.kind not in "iu" or not len(rows):
        raise DataError(f"{path} holds {rows.dtype} {rows.shape}; expected one line of whole numbers")
    if rows.min() < 0 or rows.max() >= num_rows:
        raise DataError(f"{path} names rows {rows.min()} to {rows.max()}; the data set has rows 0 to {num_rows - 1}")
    return rows.astype(np.int64)


def _images(dataset: Dataset, rows: Int64[np.ndarray, " m"]) -> UInt8[np.ndarray, "m h w c"]:
    whole = dataset.images
    if not isinstance(whole, np.memmap) or whole.filename is None:
        return whole[rows]

    def build(folder: Path) -> None:
        spec = DataSpec(name="rows", image_shape=dataset.spec.image_shape, num_train=len(rows), sizes={})
        chunks = (whole[rows[start : start + _CHUNK]] for start in range(0, len(rows), _CHUNK))
        store.write_chunks(spec, {}, np.full(len(rows), TRAIN, dtype=np.uint8), chunks, folder)

    digest = hashlib.sha256(rows.tobytes()).hexdigest()
    return store.cached(f"{dataset.spec.name}-rows", {"rows": digest}, [Path(whole.filename)], build).images
