"""Codes and labels from anywhere -> ``Codes``: files, arrays, data frames; which column means what; the split."""

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32, UInt8

from unbraid import seeds
from unbraid.errors import DataError, UserError, did_you_mean
from unbraid.tables import SPLITS, Codes, Column, DataSpec

TEST_SHARE = 0.3  # where the labels bring no split


def read_codes(
    codes: Any,
    labels: Any = None,
    *,
    domain: str | None = None,
    factors: Iterable[str] | None = None,
    circular: Iterable[str] = (),
    label: str | None = None,
    bias: str | None = None,
    seed: int = 0,
) -> Codes:
    """One table of codes, labels and a split.

    Integer, string and boolean columns are categories; real-valued columns are targets. A missing cell (empty, None,
    NaN) leaves its row out of the scores of that column. A column "split" holding train, validation and test is used;
    without one a share of 0.3 of the rows, stratified by the domain, is the test.

    Args:
        codes: `Codes`; an array (N, D); or a path: .npy, .npz, .csv, .parquet, .safetensors. A file of several arrays
            holds them under "codes" and, if there is a classifier, "logits" (N, K), K values of the label in their
            sorted order.
        labels: A mapping of columns; a pandas DataFrame; or a path: .csv, .parquet, .npz. None if `Codes` are given.
        domain: The column that the code should not tell.
        factors: The columns that it should; default: every other one.
        circular: Factors whose last value is next to the first.
        label: The column that a classifier predicts.
        bias: The column that goes along with the label in most rows.
        seed: Of the split that is drawn.

    Raises:
        UserError: If the input cannot be read or does not fit together; says where.
    """
    name, logits = "codes", None
    if isinstance(codes, str | Path):
        name, (codes, logits) = Path(codes).stem, _read_arrays(Path(codes))
    if isinstance(codes, Codes):
        if labels is not None:
            raise UserError("these codes bring their own labels; leave the other labels out")
        table = codes
    elif labels is None:
        raise UserError("codes without labels cannot be audited; give a table of labels with one row per code")
    else:
        if isinstance(labels, str | Path):
            labels = _read(Path(labels), {".csv": _csv, ".parquet": _parquet, ".npz": _npz})
        logits = None if logits is None else _matrix(logits, "logits")
        table = _from_table(_matrix(codes, "codes"), logits, labels, domain, seed, name)
    return _assign_roles(table, domain, None if factors is None else tuple(factors), frozenset(circular), label, bias)


def read_array(path: Path) -> Codes | Float32[np.ndarray, "n d"]:
    """The codes of a file, without labels; `Codes` if the file is a run's."""
    codes, _ = _read_arrays(path)
    return codes if isinstance(codes, Codes) else _matrix(codes, "codes")


def missing_values(codes: Codes) -> dict[str, int]:
    """Column -> rows without a value, of the columns that have such rows."""
    rows = {name: len(codes) - len(codes.known(name)) for name in codes.columns}
    return {name: num for name, num in rows.items() if num}


# --- files


def _read_arrays(path: Path) -> tuple[Any, Any]:
    """The codes of a file, and the logits if it has any."""
    content = _read(
        path, {".npy": np.load, ".npz": _npz, ".csv": _csv, ".parquet": _parquet, ".safetensors": _safetensors}
    )
    if not isinstance(content, dict):
        return content, None
    if "spec" in content and "z" in content:
        return Codes.load(path), None
    logits = content.pop("logits", None)
    names = list(content) if len(content) == 1 else [name for name in ("codes", "z") if name in content]
    if len(names) != 1:
        raise UserError(f"{path} holds the arrays {', '.join(content)}; call the one to audit 'codes'")
    return content[names[0]], logits


def _read(path: Path, readers: Mapping[str, Callable[[Path], Any]]) -> Any:
    """An array, a data frame or a dictionary of arrays."""
    if path.suffix not in readers:
        raise UserError(f"cannot read {path.name!r}: the name must end in one of {', '.join(readers)}")
    if not path.is_file():
        raise UserError(f"no file {path}")
    try:
        return readers[path.suffix](path)
    except Exception as error:  # each library has its own for a damaged file
        complaint = (str(error) or type(error).__name__).splitlines()[0]
        raise DataError(f"{path} is damaged or of another kind: {complaint}") from None


def _npz(path: Path) -> dict[str, np.ndarray]:
    with path.open("rb") as file:  # np.load would leave a damaged file open
        return dict(np.load(file, allow_pickle=False))


def _csv(path: Path) -> Any:
    import pandas

    with path.open() as file:
        first = file.readline().split(",")
    try:
        [float(cell) for cell in first]
    except ValueError:
        frame = pandas.read_csv(path)
        index = frame.columns[0] == "Unnamed: 0" and np.array_equal(frame.iloc[:, 0], np.arange(len(frame)))
        return frame.iloc[:, 1:] if index else frame  # the row numbers that pandas writes
    return pandas.read_csv(path, header=None)  # numbers only: an array written as text


def _parquet(path: Path) -> Any:
    import pandas

    return pandas.read_parquet(path)


def _safetensors(path: Path) -> dict[str, np.ndarray]:
    from safetensors.numpy import load_file

    return dict(load_file(path))


# --- columns and split


def _matrix(array: Any, name: str) -> Float32[np.ndarray, "n d"]:
    try:
        with np.errstate(over="ignore"):  # beyond float32: infinite, and reported as such
            z = np.asarray(array).astype(np.float32)
    except (TypeError, ValueError, RuntimeError) as error:  # the last is a tensor's that carries a gradient
        raise UserError(f"{name} must be numbers: {str(error).splitlines()[0]}") from None
    if z.ndim != 2 or not z.size:
        raise UserError(f"{name} must be a table of N rows and D columns, not of shape {z.shape}")
    return z


def _from_table(
    z: Float32[np.ndarray, "n d"],
    logits: Float32[np.ndarray, "m k"] | None,
    labels: Any,
    domain: str | None,
    seed: int,
    name: str,
) -> Codes:
    if not hasattr(labels, "keys"):
        raise UserError("labels must be a data frame or a mapping of column names to columns")
    if logits is not None and len(logits) != len(z):
        raise UserError(f"there are {len(z)} codes, but {len(logits)} rows of logits; match the rows")
    columns: dict[str, Column] = {}
    values: dict[str, tuple[str, ...]] = {}
    split = None
    for key in labels:
        if len(labels[key]) != len(z):
            raise UserError(
                f"there are {len(z)} codes, but {len(labels[key])} labels in column {key!r}; match the rows"
            )
        if key == "split":
            split = _read_split(labels[key])
        else:
            columns[str(key)], names = _column(str(key), labels[key])
            if names is not None:
                values[str(key)] = names
    if not columns:
        raise UserError("the labels have no column besides the split")
    _require(columns, [domain] if domain else [])
    if split is None:
        split = _draw_split(len(z), domain, columns, values, seed)
    spec = DataSpec(
        name=name,
        image_shape=(0, 0, 0),  # no images
        num_train=int(np.sum(split == 0)),
        sizes={key: len(names) for key, names in values.items()},
        values=values,
        factors=tuple(values),
        targets=tuple(key for key in columns if key not in values),
    )
    return Codes(spec=spec, z=z, columns=columns, split=split, logits=logits)


def _column(name: str, cells: Any) -> tuple[Column, tuple[str, ...] | None]:
    """Numbers 0 .. size-1, -1 where missing, and the names of the values in ascending order; for real values the
    values and None."""
    import pandas

    if np.ndim(cells) != 1:
        raise UserError(f"label column {name!r} must hold one value per row, not an array of shape {np.shape(cells)}")
    cells = pandas.Series(np.asarray(cells) if not isinstance(cells, pandas.Series) else cells).reset_index(drop=True)
    known = cells.notna()
    if not known.any():
        raise UserError(f"column {name!r} holds no value at all; drop it")
    if not known.all():
        cells = cells.convert_dtypes()  # integers that a table made real numbers to hold NaN
    if pandas.api.types.is_float_dtype(cells):
        numbers = cells.to_numpy(np.float32, na_value=np.nan)
        if np.isinf(numbers).any():
            raise UserError(f"column {name!r} holds infinity, first in row {int(np.argmax(np.isinf(numbers)))}")
        return numbers, None
    if not (pandas.api.types.is_integer_dtype(cells) or pandas.api.types.is_bool_dtype(cells)):
        cells = cells.astype(str).where(known)
    indices, names = pandas.factorize(cells, sort=True)
    return indices.astype(np.int64), tuple(str(name) for name in names)


def _read_split(cells: Any) -> UInt8[np.ndarray, " n"]:
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
    strata = None
    if domain is not None and domain in values:
        names = values[domain]
        if int(num * TEST_SHARE) < len(names):
            raise UserError(
                f"domain {domain!r} has {len(names)} values, too many for {num} rows: "
                f"a test split of {TEST_SHARE} cannot hold each; merge values or give a column 'split'"
            )
        if (counts := np.bincount(columns[domain][columns[domain] >= 0])).min() < 2:
            name = names[int(np.argmin(counts))]
            raise UserError(
                f"domain {domain!r} has one row only of {name!r}; it needs one to train on and one to test on"
            )
        alone = np.sum(columns[domain] < 0) == 1  # the one row without a domain cannot be on both sides
        strata = np.maximum(columns[domain], 0) if alone else columns[domain]
    state = seeds.integer(seed, "audit", "split") % 2**32
    _, test = train_test_split(np.arange(num), test_size=TEST_SHARE, stratify=strata, random_state=state)
    split = np.zeros(num, dtype=np.uint8)
    split[test] = SPLITS.index("test")
    return split


def _assign_roles(
    codes: Codes,
    domain: str | None,
    factors: Sequence[str] | None,
    circular: frozenset[str],
    label: str | None,
    bias: str | None,
) -> Codes:
    """The same codes with the asked roles; those not asked for stay."""
    spec = codes.spec
    single = {"domain": domain, "label": label, "bias": bias}
    _require(codes.columns, [*filter(None, single.values()), *(factors or ()), *sorted(circular)])
    for role, name in single.items():
        if name and name not in spec.sizes:
            raise UserError(f"{role} {name!r} holds real numbers; sort them into a few bins first")
    if real := [name for name in sorted(circular) if name not in spec.sizes]:
        raise UserError(f"{real[0]!r} holds real numbers and cannot be a circular factor")
    names = (*spec.factors, *spec.targets) if factors is None else factors
    spec = dataclasses.replace(
        spec,
        domain=domain or spec.domain,
        factors=tuple(name for name in names if name in spec.sizes),
        targets=tuple(name for name in names if name not in spec.sizes),
        circular=circular or spec.circular,
        label=label or spec.label,
        bias=bias or spec.bias,
    )
    if codes.logits is not None and spec.label and codes.logits.shape[1] != spec.sizes[spec.label]:
        raise UserError(
            f"the logits have {codes.logits.shape[1]} columns, but label {spec.label!r} has {spec.sizes[spec.label]} "
            "values; give one column per value"
        )
    return dataclasses.replace(codes, spec=spec)


def _require(columns: Mapping[str, Column], names: Iterable[str]) -> None:
    for name in names:
        if name not in columns:
            raise UserError(f"the labels have no column {name!r}.{did_you_mean(name, columns)}")
