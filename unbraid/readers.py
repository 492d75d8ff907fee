"""Codes and labels from anywhere -> ``Codes``: files, arrays, data frames; which column means what; the split."""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32, UInt8

from unbraid import seeds
from unbraid.errors import UserError, did_you_mean
from unbraid.read_files import read_arrays, read_labels, refuse_duplicates
from unbraid.records import RunDir
from unbraid.tables import SPLITS, Codes, Column, DataSpec

TEST_SHARE = 0.3  # where the labels bring no split

Name = str | int  # of a column; a data frame may number them


def read_codes(codes: Any, labels: Any = None, **roles: Any) -> Codes:
    """`read_input` without the word on the split."""
    return read_input(codes, labels, **roles)[0]


def read_input(
    codes: Any,
    labels: Any = None,
    *,
    domain: Name | None = None,
    factors: Iterable[Name] | None = None,
    circular: Iterable[Name] = (),
    label: Name | None = None,
    bias: Name | None = None,
    seed: int = 0,
) -> tuple[Codes, str]:
    """One table of codes, labels and a split; and where the split is from, in words.

    Integer, string and boolean columns are categories, and so are real numbers that are all whole: what a table makes
    of integers with holes. Other real numbers are targets. A missing cell (empty, blank, None, NaN) leaves its row out
    of the scores of that column. A column "split" holding train, validation and test is used; without one a share of
    0.3 of the rows, stratified by the domain, is the test.

    Args:
        codes: `Codes`; a run; an array (N, D); or a path: .npy, .npz, .csv, .parquet, .safetensors. A file of several
            arrays holds them under "codes" and, if there is a classifier, "logits" (N, K), K values of the label in
            their order.
        labels: A mapping of columns; a pandas DataFrame; or a path: .csv, .parquet, .npz. None if the codes bring them.
        domain: The column that the code should not tell.
        factors: The columns that it should, or one; default: every other one.
        circular: Factors whose last value is next to the first, or one.
        label: The column that a classifier predicts.
        bias: The column that goes along with the label in most rows.
        seed: Of the split that is drawn.

    Raises:
        UserError: If the input cannot be read or does not fit together; says where.
    """
    if seed < 0:
        raise UserError(f"seed must be at least 0, not {seed}")
    single = {
        role: str(name) for role, name in (("domain", domain), ("label", label), ("bias", bias)) if name is not None
    }
    name, logits = "codes", None
    if isinstance(codes, RunDir):
        codes = codes.codes
    if isinstance(codes, str | Path):
        name, (codes, logits) = Path(codes).stem, read_arrays(Path(codes))
    if isinstance(codes, Codes) and labels is not None and not codes.columns:
        name, codes, logits = codes.spec.name, codes.z, codes.logits
    if isinstance(codes, Codes):
        if labels is not None:
            raise UserError("these codes bring their own labels; leave the other labels out")
        table, split = codes, "comes with the codes"
    elif labels is None:
        raise UserError("codes without labels cannot be audited; give a table of labels with one row per code")
    else:
        if isinstance(labels, str | Path):
            labels = read_labels(Path(labels))
        logits = None if logits is None else _matrix(logits, "logits")
        table, split = _from_table(_matrix(codes, "codes"), logits, labels, single.get("domain"), seed, name)
    return _assign_roles(table, single, None if factors is None else names(factors), frozenset(names(circular))), split


def read_array(path: Path) -> Codes | Float32[np.ndarray, "n d"]:
    """The codes of a file, without labels; `Codes` if the file is a run's."""
    codes, _ = read_arrays(path)
    return codes if isinstance(codes, Codes) else _matrix(codes, "codes")


def names(words: Iterable[Name] | int) -> tuple[str, ...]:
    """One name or several, as several."""
    return (str(words),) if isinstance(words, str | int) else tuple(map(str, words))


def missing_values(codes: Codes) -> dict[str, int]:
    """Column -> rows without a value, of the columns that have such rows."""
    rows = {name: len(codes) - len(codes.known(name)) for name in codes.columns}
    return {name: num for name, num in rows.items() if num}


def _matrix(array: Any, name: str) -> Float32[np.ndarray, "n d"]:
    try:
        full = np.asarray(array)
        if np.iscomplexobj(full):
            raise UserError(f"{name} must be real numbers, not complex; give real and imaginary parts as dimensions")
        with np.errstate(over="ignore"):  # beyond float32: infinite, and reported as such
            z = full.astype(np.float32)
    except (TypeError, ValueError, RuntimeError) as error:  # the last is a tensor's that carries a gradient
        if isinstance(error, UserError):
            raise
        raise UserError(f"{name} must be numbers: {str(error).splitlines()[0]}") from None
    if z.ndim != 2 or not z.size:
        hint = f"; give {name}.reshape({len(z)}, -1)" if z.size and z.ndim else ""
        raise UserError(f"{name} must be a table of N rows and D columns, not of shape {z.shape}{hint}")
    _refuse_offset(full, z, name)
    return z


def _refuse_offset(full: np.ndarray, z: Float32[np.ndarray, "n d"], name: str) -> None:
    """Raises: UserError if a dimension lies so far from 0 that its variation does not survive in 32 bits."""
    if full.dtype.kind not in "iuf" or full.dtype.itemsize < 8 or not np.isfinite(z).all():
        return
    spread, distance = np.ptp(full, axis=0).astype(np.float64), np.abs(full.mean(axis=0, dtype=np.float64))
    rounding = 100 * distance  # times the precision: fewer than some hundred distinct values are left
    lost = (spread > rounding * np.finfo(np.float64).eps) & (spread < rounding * np.finfo(np.float32).eps)
    lost &= (z != full).any(axis=0)
    if lost.any():
        first = int(np.argmax(lost))
        raise UserError(
            f"column {first} of the {name} varies by {spread[first]:.2g} about {distance[first]:.2g}, too little for "
            "32 bits; subtract the mean of each column first"
        )


def _from_table(
    z: Float32[np.ndarray, "n d"],
    logits: Float32[np.ndarray, "m k"] | None,
    labels: Any,
    domain: str | None,
    seed: int,
    name: str,
) -> tuple[Codes, str]:
    if not isinstance(labels, Mapping) and not (hasattr(labels, "keys") and hasattr(labels, "columns")):
        kind = type(labels).__name__
        raise UserError(
            f"labels must be a data frame or a mapping of column names to columns, not of type {kind}; "
            'of one column make {"name": column}'
        )
    if logits is not None and len(logits) != len(z):
        raise UserError(f"there are {len(z)} codes, but {len(logits)} rows of logits; match the rows")
    refuse_duplicates(map(str, labels))
    columns: dict[str, Column] = {}
    values: dict[str, tuple[str, ...]] = {}
    split, origin = None, "is the labels' own column"
    for key in labels:
        cells = _series(str(key), labels[key])
        if len(cells) != len(z):
            turned = ", or transpose the codes" if len(cells) == z.shape[1] else ""
            raise UserError(
                f"there are {len(z)} codes, but {len(cells)} labels in column {key!r}; match the rows{turned}"
            )
        if key == "split":
            split = _read_split(cells)
        else:
            columns[str(key)], found = _column(str(key), cells)
            if found is not None:
                values[str(key)] = found
    if not columns:
        raise UserError("the labels have no column besides the split")
    _require(columns, [] if domain is None else [domain])
    if split is None:
        split = _draw_split(len(z), domain, columns, values, seed)
        origin = f"is drawn with seed {seed}, {100 * TEST_SHARE:.0f} % for the test" + (
            f", alike in each {domain!r}" if domain else ""
        )
    spec = DataSpec(
        name=name,
        image_shape=(0, 0, 0),  # no images
        num_train=int(np.sum(split == 0)),
        sizes={key: len(names) for key, names in values.items()},
        values=values,
        factors=tuple(values),
        targets=tuple(key for key in columns if key not in values),
    )
    return Codes(spec=spec, z=z, columns=columns, split=split, logits=logits), origin


def _series(name: str, cells: Any) -> Any:
    """A pandas Series, empty and blank strings as missing values, numbered from 0."""
    import pandas

    if not isinstance(cells, pandas.Series):
        listed = isinstance(cells, list | tuple)  # which NumPy would make strings of, NaN included
        cells = pandas.Series(cells, dtype=object) if listed else np.asarray(cells)
    if cells.ndim != 1 or (cells.dtype.kind == "O" and any(map(pandas.api.types.is_list_like, cells))):
        raise UserError(f"label column {name!r} must hold one value per row, not an array of shape {np.shape(cells)}")
    cells = pandas.Series(cells).reset_index(drop=True)
    if isinstance(cells.dtype, pandas.CategoricalDtype):
        blank = [value for value in cells.cat.categories if isinstance(value, str) and not value.strip()]
        return cells.cat.remove_categories(blank)
    if pandas.api.types.is_object_dtype(cells) or pandas.api.types.is_string_dtype(cells):
        return cells.mask(cells.map(lambda cell: isinstance(cell, str) and not cell.strip()).astype(bool), None)
    return cells


def _column(name: str, cells: Any) -> tuple[Column, tuple[str, ...] | None]:
    """Numbers 0 .. size-1, -1 where missing, and the names of the values in their order: that of a categorical type,
    else ascending; for real values the values and None."""
    import pandas

    known = cells.notna()
    if not known.any():
        raise UserError(f"column {name!r} holds no value at all; drop it")
    if isinstance(cells.dtype, pandas.CategoricalDtype):
        cells = cells.cat.remove_unused_categories()
        return cells.cat.codes.to_numpy(np.int64), tuple(map(str, cells.cat.categories))
    if pandas.api.types.infer_dtype(cells, skipna=True) == "decimal":
        cells = cells.astype(np.float64)
    cells = cells.convert_dtypes()  # what the values are, however they were held; whole numbers become integers
    if pandas.api.types.is_float_dtype(cells):
        numbers = cells.to_numpy(np.float32, na_value=np.nan)
        if np.isinf(numbers).any():
            raise UserError(f"column {name!r} holds infinity, first in row {int(np.argmax(np.isinf(numbers)))}")
        return numbers, None
    if not (pandas.api.types.is_integer_dtype(cells) or pandas.api.types.is_bool_dtype(cells)):
        cells = cells.astype(str).where(known)
    indices, found = pandas.factorize(cells, sort=True)
    return indices.astype(np.int64), tuple(map(str, found))


def _read_split(cells: Iterable[Any]) -> UInt8[np.ndarray, " n"]:
    words = [str(word) for word in cells]
    if unknown := sorted(set(words) - set(SPLITS)):
        raise UserError(f"column 'split' holds {unknown[0]!r}; it may hold {', '.join(SPLITS)}")
    return np.array([SPLITS.index(word) for word in words], dtype=np.uint8)


def _draw_split(
    num: int, domain: str | None, columns: Mapping[str, Column], values: Mapping[str, Sequence[str]], seed: int
) -> UInt8[np.ndarray, " n"]:
    from sklearn.model_selection import train_test_split

    if num < 4:
        raise UserError(f"{num} rows are too few to audit")
    strata = None if domain is None or domain not in values else _strata(num, domain, columns[domain], values[domain])
    state = seeds.integer(seed, "audit", "split") % 2**32
    _, test = train_test_split(np.arange(num), test_size=TEST_SHARE, stratify=strata, random_state=state)
    split = np.zeros(num, dtype=np.uint8)
    split[test] = SPLITS.index("test")
    return split


def _strata(num: int, domain: str, column: Column, values: Sequence[str]) -> Column:
    """The domain, with the rows that have none as one more value. Raises: UserError if a split cannot hold each."""
    without = int(np.sum(column < 0))
    if int(num * TEST_SHARE) < len(values) + (without > 1):
        raise UserError(
            f"domain {domain!r} has {len(values)} values{' and rows without one' if without > 1 else ''}, too many for "
            f"{num} rows: a test split of {TEST_SHARE} cannot hold each; merge values or give a column 'split'"
        )
    if (counts := np.bincount(column[column >= 0])).min() < 2:
        name = values[int(np.argmin(counts))]
        raise UserError(f"domain {domain!r} has one row only of {name!r}; it needs one to train on and one to test on")
    return np.maximum(column, 0) if without == 1 else column  # a single row cannot be on both sides


def _assign_roles(
    codes: Codes, single: Mapping[str, str], factors: Sequence[str] | None, circular: frozenset[str]
) -> Codes:
    """The same codes with the asked roles; those not asked for stay.

    Args:
        single: Of "domain", "label" and "bias", those that are asked for.
    """
    spec = codes.spec
    _require(codes.columns, [*single.values(), *(factors or ()), *sorted(circular)])
    for role, name in single.items():
        if name not in spec.sizes:
            raise UserError(f"{role} {name!r} holds real numbers; sort them into a few bins first")
    if real := [name for name in sorted(circular) if name not in spec.sizes]:
        raise UserError(f"{real[0]!r} holds real numbers and cannot be a circular factor")
    chosen = (*spec.factors, *spec.targets) if factors is None else factors
    spec = dataclasses.replace(
        dataclasses.replace(spec, **dict[str, Any](single)),
        factors=tuple(name for name in chosen if name in spec.sizes),
        targets=tuple(name for name in chosen if name not in spec.sizes),
        circular=circular or spec.circular,
    )
    if codes.logits is not None and spec.label and codes.logits.shape[1] != spec.sizes[spec.label]:
        raise UserError(
            f"the logits have {codes.logits.shape[1]} columns, but label {spec.label!r} has {spec.sizes[spec.label]} "
            "values; give one column per value"
        )
    return dataclasses.replace(codes, spec=spec)


def _require(columns: Mapping[str, Column], names: Iterable[str]) -> None:
    for name in names:
        if not columns:
            raise UserError(f"there is no column {name!r}: these codes bring no labels; give a table of them")
        if name not in columns:
            raise UserError(f"the labels have no column {name!r}.{did_you_mean(name, columns)}")
