"""Tables of labels as people bring them to columns of numbers with named values."""

import logging
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Int64

from unbraid.data.pictures import first_three
from unbraid.errors import DataError
from unbraid.tables import Column

MISSING = "missing"

_log = logging.getLogger("unbraid")


@dataclass(frozen=True)
class Labels:
    columns: dict[str, Column] = field(default_factory=dict)
    values: dict[str, tuple[str, ...]] = field(default_factory=dict)  # of the categorical columns


def read_table(path: Path) -> pd.DataFrame:
    """A CSV, TSV or Parquet table; only an empty cell is a missing value.

    Raises:
        DataError: If the table is missing, of another kind, damaged or empty.
    """
    if not path.is_file():
        raise DataError(f"no table of labels at {path}")
    try:
        if path.suffix.lower() == ".parquet":
            frame = pd.read_parquet(path)
        elif path.suffix.lower() in (".csv", ".tsv"):
            separator = "\t" if path.suffix.lower() == ".tsv" else ","
            frame = pd.read_csv(path, sep=separator, keep_default_na=False, na_values=[""], low_memory=False)
        else:
            raise DataError(f"cannot read labels from {path}: expected .csv, .tsv or .parquet")
    except DataError:
        raise
    except (OSError, ValueError) as error:
        raise DataError(f"cannot read the table {path}: {str(error).splitlines()[0]}") from None
    if frame.empty:
        raise DataError(f"the table {path} has no rows")
    return frame.rename(columns=str).reset_index(drop=True)


def encode(
    frame: pd.DataFrame, files: Sequence[Path], *, complete: Collection[str] = (), kept: Collection[str] = ()
) -> Labels:
    """Every column as numbers: categories 0 .. K-1 in sorted order, or float32 if a value has a fraction.

    Args:
        files: The rows' images, to name those that lack a value.
        complete: Columns in which a missing value is an error. In other columns missing is a category of its own.
        kept: Columns to keep however many values they have. Another one in which more than half of the rows have a
            value of their own (an id, a note) is left out.

    Raises:
        DataError: If a complete column has missing values.
    """
    labels = Labels()
    for name in frame.columns:
        series = frame[name].replace([np.inf, -np.inf], np.nan) if _is_float(frame[name]) else frame[name]
        missing = np.flatnonzero(series.isna()).tolist()
        if len(missing) and (name in complete or (_is_real(series) and name in kept)):
            which = first_three([files[row] for row in missing])
            raise DataError(f"{len(missing)} image(s) have no {name!r}: {which}; fill in the column or leave them out")
        if _is_real(series):
            if len(missing):
                _log.warning("column %r is left out: %d missing values", name, len(missing))
            else:
                labels.columns[name] = series.to_numpy(dtype=np.float32)
        elif name not in kept and series.nunique() > max(len(series) / 2, 2):
            _log.warning("column %r is left out: %d values in %d rows", name, series.nunique(), len(series))
        else:
            if len(missing):
                _log.warning("column %r: %d missing values are a category of their own", name, len(missing))
            labels.columns[name], labels.values[name] = categories(series)
    return labels


def categories(series: "pd.Series") -> tuple[Int64[np.ndarray, " n"], tuple[str, ...]]:
    """Codes and the names of the values in sorted order; missing, if any, comes first."""
    present = series.notna().to_numpy()
    values = series[present]
    if _is_float(values):
        values = values.astype("int64")
    elif not pd.api.types.is_integer_dtype(values):
        values = values.astype(str)
    unique, codes = np.unique(values.to_numpy(), return_inverse=True)
    names = tuple(str(value) for value in unique)
    if present.all():
        return codes.astype(np.int64), names
    all_codes = np.zeros(len(series), dtype=np.int64)
    all_codes[present] = codes + 1
    return all_codes, (MISSING, *names)


def _is_float(series: "pd.Series") -> bool:
    return bool(pd.api.types.is_float_dtype(series))


def _is_real(series: "pd.Series") -> bool:
    return _is_float(series) and bool((series.dropna() % 1 != 0).any())
