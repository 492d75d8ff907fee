"""More columns for a data set, from a table that names its rows by number."""

import dataclasses
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Int64

from unbraid.data.labels import encode, read_table
from unbraid.errors import DataError
from unbraid.tables import Dataset

ROW = "row"


def with_columns(dataset: Dataset, path: Path, numbers: Int64[np.ndarray, " n"], num_rows: int) -> Dataset:
    """The data set with the columns of a CSV, TSV or Parquet table, whose column ``row`` counts its rows from 0.

    A column that the data have already must agree with them: the table was made for these data. In a categorical column
    rows without a value, or that the table leaves out, have "missing" for a value.

    Args:
        numbers: What the table calls each row of the data set, which may be a part of what the table is of.
        num_rows: Of all that the table is of.

    Raises:
        DataError: If the table is no such table, or was made for other data.
    """
    table = read_table(path)
    if ROW not in table or not pd.api.types.is_integer_dtype(table[ROW]):
        raise DataError(f"{path} has no column {ROW!r} of whole numbers, which says to which row each line belongs")
    if table[ROW].duplicated().any() or table[ROW].min() < 0 or table[ROW].max() >= num_rows:
        raise DataError(f"column {ROW!r} of {path} must name each row once, of 0 to {num_rows - 1}")
    table = table.set_index(ROW)
    given = np.flatnonzero(np.isin(numbers, table.index))
    for name in table.columns.intersection(list(dataset.columns)):
        _check_same(dataset, name, table[name].loc[numbers[given]], given, path)
    new = table.drop(columns=list(dataset.columns), errors="ignore").reindex(numbers)
    labels = encode(new, [Path(f"row {row}") for row in numbers])
    spec = dataset.spec
    spec = dataclasses.replace(
        spec,
        sizes={**spec.sizes, **{name: len(names) for name, names in labels.values.items()}},
        values={**spec.values, **labels.values},
    )
    return dataclasses.replace(dataset, spec=spec, columns={**dataset.columns, **labels.columns})


def _check_same(dataset: Dataset, name: str, given: "pd.Series", which: Int64[np.ndarray, " _"], path: Path) -> None:
    own = dataset.columns[name][which]
    own = value_names(dataset, name)[own] if name in dataset.spec.sizes else own
    if pd.api.types.is_numeric_dtype(given):  # 7 is 7.0 and "07"
        same = np.isclose(given, pd.to_numeric(pd.Series(own), errors="coerce"), rtol=1e-4, equal_nan=True)
    else:
        same = given.fillna("").astype(str).to_numpy() == own
    if not same.all():
        differ = np.flatnonzero(~same)
        raise DataError(
            f"{path} was made for other data: row {given.index[differ[0]]} has {name} {given.iloc[differ[0]]} there"
        )


def value_names(dataset: Dataset, name: str) -> np.ndarray:
    """What the values of a categorical column are called, a missing one last."""
    return np.array([*dataset.spec.names_of(name), ""], dtype=object)
