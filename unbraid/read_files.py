"""Arrays and tables from the files of any framework, by their suffix."""

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from unbraid.errors import DataError, UserError
from unbraid.tables import Codes


def read_arrays(path: Path) -> tuple[Any, Any]:
    """The codes of a file, and the logits if it has any; `Codes` and None if the file is a run's."""
    content = _read(
        path, {".npy": _npy, ".npz": _npz, ".csv": _csv, ".parquet": _parquet, ".safetensors": _safetensors}
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


def read_labels(path: Path) -> Any:
    """A data frame, or a dictionary of arrays."""
    return _read(path, {".csv": _csv, ".parquet": _parquet, ".npz": _npz})


def refuse_duplicates(names: Iterable[str]) -> None:
    """Raises: UserError if two columns have one name."""
    names = list(names)
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise UserError(f"there are two columns {twice!r}; rename one")


def _read(path: Path, readers: Mapping[str, Callable[[Path], Any]]) -> Any:
    suffix = path.suffix.lower()
    if suffix == ".npy" and suffix not in readers:
        raise UserError(
            f"{path.name!r} has no names of columns; np.savez('labels.npz', name=...) writes a table of labels"
        )
    if suffix not in readers:
        raise UserError(f"cannot read {path.name!r}: the name must end in one of {', '.join(readers)}")
    if not path.is_file():
        raise UserError(f"no file {path}")
    try:
        return readers[suffix](path)
    except UserError as error:
        raise type(error)(f"{path}: {error}") from None
    except Exception as error:  # each library has its own for a damaged file
        complaint = (str(error) or type(error).__name__).splitlines()[0]
        raise DataError(f"{path} is damaged or of another kind: {complaint}") from None


def _npy(path: Path) -> np.ndarray:
    with path.open("rb") as file:  # np.load would leave a damaged file open
        return _unpickled(partial(np.load, file, allow_pickle=False), "the array")


def _npz(path: Path) -> dict[str, np.ndarray]:
    with path.open("rb") as file:
        arrays = np.load(file, allow_pickle=False)
        return {name: _unpickled(partial(arrays.__getitem__, name), f"array {name!r}") for name in arrays}


def _unpickled(load: Callable[[], Any], what: str) -> Any:
    try:
        return load()
    except ValueError as error:
        if "Object arrays" not in str(error):
            raise
        raise DataError(
            f"{what} holds Python objects, which are not read; save the strings with .astype(str)"
        ) from None


def _csv(path: Path) -> Any:
    import csv

    import pandas

    with path.open(encoding="utf-8-sig", newline="") as file:
        first = next(csv.reader(file), [])
    try:
        [float(cell) for cell in first]
    except ValueError:
        refuse_duplicates(filter(None, first))  # pandas would rename the second
        frame = pandas.read_csv(path)
        index = frame.columns[0] == "Unnamed: 0" and np.array_equal(frame.iloc[:, 0], np.arange(len(frame)))
        return frame.iloc[:, 1:] if index else frame  # the row numbers that pandas writes
    return pandas.read_csv(path, header=None)  # numbers only: an array written as text


def _parquet(path: Path) -> Any:
    import pandas

    return pandas.read_parquet(path)


def _safetensors(path: Path) -> dict[str, np.ndarray]:
    from safetensors import safe_open
    from safetensors.numpy import load_file

    with safe_open(path, framework="np") as file:
        kinds = {name: file.get_slice(name).get_dtype() for name in file.keys()}  # noqa: SIM118 - is no mapping
    if half := next((name for name, kind in kinds.items() if kind == "BF16"), None):
        raise DataError(f"tensor {half!r} is bfloat16, which NumPy does not have; save it with .float()")
    return dict(load_file(path))
