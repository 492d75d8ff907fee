"""Codes from anywhere, with labels, to one card: what leaks of the domain, what is kept of the rest. Without torch,
unless the six-layer probe is asked for."""

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float32, UInt8

from unbraid import metrics, seeds
from unbraid.atomic import atomic_file
from unbraid.errors import DataError, UserError, did_you_mean
from unbraid.metrics.summary import summary
from unbraid.records import RunDir, Score, read_json, write_json
from unbraid.tables import SPLITS, Codes, Column, DataSpec

if TYPE_CHECKING:
    import pandas
    import rich.table

PROBES: Mapping[str, tuple[str, ...]] = {"linear": ("leakage", "informativeness"), "six-layer": ("six-layer-probe",)}
TEST_SHARE = 0.3  # where the labels bring no split


@dataclass(frozen=True, kw_only=True)
class Card:
    """The scores of one audit."""

    spec: DataSpec
    scores: tuple[Score, ...]

    @property
    def table(self) -> "pandas.DataFrame":
        """One row per score."""
        import pandas

        return pandas.DataFrame(
            {
                "name": score.metric,
                "column": score.column,
                "variant": score.variant,
                "value": score.value,
                "low": score.low,
                "high": score.high,
                "chance": score.chance,
                "direction": "higher" if score.higher_is_better else "lower",
                "note": score.note,
            }
            for score in self.scores
        )

    def summary(self) -> list[str]:
        """The card in sentences."""
        return summary(self.scores, self.spec.domain)

    def to_dict(self) -> dict[str, Any]:
        """Plain containers for JSON."""
        scores = [dataclasses.asdict(score) for score in self.scores]
        return {"spec": self.spec.to_dict(), "summary": self.summary(), "scores": scores}

    def save(self, path: Path | str) -> None:
        """Raises: UserError if the file is neither .json nor .csv."""
        path = Path(path)
        check_format(path)
        if path.suffix == ".json":
            write_json(path, self.to_dict())
        else:
            with atomic_file(path) as temporary:
                self.table.to_csv(temporary, index=False)

    def render(self) -> "rich.table.Table":
        """The card for the terminal."""
        from rich.table import Table

        table = Table(title=f"{self.spec.name}: domain {self.spec.domain!r}" if self.spec.domain else self.spec.name)
        for heading in ("score", "column", "how"):
            table.add_column(heading)
        for heading in ("value", "95 % interval", "chance"):
            table.add_column(heading, justify="right")
        table.add_column("better", justify="center")
        table.add_column("note")
        previous = None
        order = list(dict.fromkeys(score.metric for score in self.scores))
        for score in sorted(self.scores, key=lambda score: order.index(score.metric)):
            if previous not in (None, score.metric):
                table.add_section()
            previous = score.metric
            interval = "" if score.low is None else f"{score.low:.3f} to {score.high:.3f}"
            better = "higher" if score.higher_is_better else "lower"
            column = score.column or "all at once"
            table.add_row(
                score.metric,
                column,
                score.variant,
                _text(score.value),
                interval,
                _text(score.chance),
                better,
                score.note,
            )
        return table


def check_format(path: Path) -> None:
    """Raises: UserError if a card cannot be saved under that name."""
    if path.suffix not in (".json", ".csv"):
        raise UserError(f"a card is saved as .json or .csv, not as {path.name!r}")


def of_run(run: RunDir) -> Card:
    """The card of a trained run, from the scores in its directory. Raises: UserError if it has none yet."""
    if not run.scores.is_file():
        raise UserError(f"{run.path} has no scores yet; run the command that began it again, it goes on")
    return Card(spec=read_json(run.spec, DataSpec.from_dict), scores=tuple(run.records()))


def audit(
    codes: Any,
    labels: Any = None,
    *,
    domain: str | None = None,
    factors: Iterable[str] | None = None,
    circular: Iterable[str] = (),
    margins: Mapping[str, int] | None = None,
    probes: Sequence[str] = ("linear", "six-layer"),
    seed: int = 0,
) -> Card:
    """What codes tell about the domain and about everything else.

    Integer, string and boolean columns are categories; real-valued columns are targets. A column "split" holding
    train, validation and test is used; without one a share of 0.3 of the rows, stratified by the domain, is the test.
    Without a domain there is no leakage, and every factor is content.

    Args:
        codes: `Codes`; an array (N, D); or a path: .npy, .npz, .csv, .parquet, .safetensors.
        labels: A mapping of columns; a pandas DataFrame; or a path: .csv, .parquet, .npz. None if `Codes` are given.
        domain: The column that the code should not tell.
        factors: The columns that it should; default: every other one.
        circular: Factors whose last value is next to the first.
        margins: Factor -> difference that still counts as the same value in retrieval.
        probes: Of "linear" and "six-layer". The second takes seconds to minutes.

    Raises:
        UserError: If the input cannot be read or does not fit together; says where.
    """
    for name in probes:
        if name not in PROBES:
            raise UserError(f"unknown probe {name!r}.{did_you_mean(name, PROBES)}")
    table = _load(codes, labels, domain, seed)
    table = _assign_roles(table, domain, None if factors is None else tuple(factors), frozenset(circular))
    _check(table)
    names = [metric for name in probes for metric in PROBES[name]] + ["retrieval"]
    known = [name for name in names if not metrics.METRICS[name].missing(table.spec)]
    scores = metrics.score(table, known, seed, {"retrieval": {"margins": margins}} if margins else None)
    return Card(spec=table.spec, scores=tuple(score for score in scores if score.column or score.value is not None))


def _text(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def _load(codes: Any, labels: Any, domain: str | None, seed: int) -> Codes:
    name = "codes"
    if isinstance(codes, str | Path):
        name, codes = Path(codes).stem, _read_codes(Path(codes))
    if isinstance(codes, Codes):
        if labels is not None:
            raise UserError("these codes bring their own labels; leave the other labels out")
        return codes
    if labels is None:
        raise UserError("codes without labels cannot be audited; give a table of labels with one row per code")
    if isinstance(labels, str | Path):
        labels = _read_labels(Path(labels))
    return _from_table(_matrix(codes), labels, domain, seed, name)


def _read_codes(path: Path) -> Any:
    content = _read(
        path, {".npy": np.load, ".npz": _npz, ".csv": _csv, ".parquet": _parquet, ".safetensors": _safetensors}
    )
    if not isinstance(content, dict):
        return content
    if "spec" in content and "z" in content:
        return Codes.load(path)
    names = list(content) if len(content) == 1 else [name for name in ("codes", "z") if name in content]
    if len(names) != 1:
        raise UserError(f"{path} holds the arrays {', '.join(content)}; call the one to audit 'codes'")
    return content[names[0]]


def _read_labels(path: Path) -> Any:
    return _read(path, {".csv": _csv, ".parquet": _parquet, ".npz": _npz})


def _read(path: Path, readers: Mapping[str, Callable[[Path], Any]]) -> Any:
    """An array, a data frame or a dictionary of arrays."""
    if path.suffix not in readers:
        raise UserError(f"cannot read {path.name!r}: the name must end in one of {', '.join(readers)}")
    if not path.is_file():
        raise UserError(f"no file {path}")
    try:
        return readers[path.suffix](path)
    except Exception as error:  # each library has its own for a damaged file
        raise DataError(f"{path} is damaged or of another kind: {str(error).splitlines()[0]}") from None


def _npz(path: Path) -> dict[str, np.ndarray]:
    with np.load(path, allow_pickle=False) as file:
        return dict(file)


def _csv(path: Path) -> Any:
    import pandas

    with path.open() as file:
        first = file.readline().split(",")
    try:
        [float(cell) for cell in first]
    except ValueError:
        return pandas.read_csv(path)
    return pandas.read_csv(path, header=None)  # numbers only: an array written as text


def _parquet(path: Path) -> Any:
    import pandas

    return pandas.read_parquet(path)


def _safetensors(path: Path) -> dict[str, np.ndarray]:
    from safetensors.numpy import load_file

    return dict(load_file(path))


def _matrix(codes: Any) -> Float32[np.ndarray, "n d"]:
    try:
        with np.errstate(over="ignore"):  # beyond float32: infinite, and reported as such
            z = np.asarray(codes).astype(np.float32)
    except (TypeError, ValueError) as error:
        raise UserError(f"codes must be numbers: {error}") from None
    if z.ndim != 2 or not z.size:
        raise UserError(f"codes must be a table of N rows and D columns, not of shape {z.shape}")
    return z


def _from_table(z: Float32[np.ndarray, "n d"], labels: Any, domain: str | None, seed: int, name: str) -> Codes:
    if not hasattr(labels, "keys"):
        raise UserError("labels must be a data frame or a mapping of column names to columns")
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
    return Codes(spec=spec, z=z, columns=columns, split=split)


def _column(name: str, cells: Any) -> tuple[Column, tuple[str, ...] | None]:
    """Numbers 0 .. size-1 and the names of the values in ascending order; for real values the values and None."""
    import pandas

    if np.ndim(cells) != 1:
        raise UserError(f"label column {name!r} must hold one value per row, not an array of shape {np.shape(cells)}")
    cells = pandas.Series(np.asarray(cells) if not isinstance(cells, pandas.Series) else cells).reset_index(drop=True)
    if (missing := cells.isna()).any():
        raise UserError(
            f"column {name!r} has {missing.sum()} missing values, first in row {missing.argmax()}; drop them"
        )
    if pandas.api.types.is_float_dtype(cells):
        if not np.isfinite(cells).all():
            raise UserError(f"column {name!r} holds infinity, first in row {np.argmin(np.isfinite(cells))}")
        return cells.to_numpy(np.float32), None
    if not (pandas.api.types.is_integer_dtype(cells) or pandas.api.types.is_bool_dtype(cells)):
        cells = cells.astype(str)
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
        strata, names = columns[domain], values[domain]
        if int(num * TEST_SHARE) < len(names):
            raise UserError(
                f"domain {domain!r} has {len(names)} values, too many for {num} rows: "
                f"a test split of {TEST_SHARE} cannot hold each; merge values or give a column 'split'"
            )
        if (counts := np.bincount(strata)).min() < 2:
            name = names[int(np.argmin(counts))]
            raise UserError(
                f"domain {domain!r} has one row only of {name!r}; it needs one to train on and one to test on"
            )
    state = seeds.integer(seed, "audit", "split") % 2**32
    _, test = train_test_split(np.arange(num), test_size=TEST_SHARE, stratify=strata, random_state=state)
    split = np.zeros(num, dtype=np.uint8)
    split[test] = SPLITS.index("test")
    return split


def _assign_roles(codes: Codes, domain: str | None, factors: Sequence[str] | None, circular: frozenset[str]) -> Codes:
    """The same codes with the asked roles; those not asked for stay."""
    spec = codes.spec
    _require(codes.columns, [*([domain] if domain else []), *(factors or ()), *sorted(circular)])
    if domain and domain not in spec.sizes:
        raise UserError(f"domain {domain!r} holds real numbers; sort them into a few bins first")
    if real := [name for name in sorted(circular) if name not in spec.sizes]:
        raise UserError(f"{real[0]!r} holds real numbers and cannot be a circular factor")
    names = (*spec.factors, *spec.targets) if factors is None else factors
    spec = dataclasses.replace(
        spec,
        domain=domain or spec.domain,
        factors=tuple(name for name in names if name in spec.sizes),
        targets=tuple(name for name in names if name not in spec.sizes),
        circular=circular or spec.circular,
    )
    return dataclasses.replace(codes, spec=spec)


def _require(columns: Mapping[str, Column], names: Iterable[str]) -> None:
    for name in names:
        if name not in columns:
            raise UserError(f"the labels have no column {name!r}.{did_you_mean(name, columns)}")


def _check(codes: Codes) -> None:
    """Raises: UserError if there is nothing to learn from these codes."""
    metrics.check_finite(codes.z)
    if np.ptp(codes.z, axis=0).max() == 0:
        raise UserError("all codes are the same; the encoder has collapsed, or the wrong array was given")
    domain = codes.spec.domain
    if domain and np.ptp(codes.columns[domain]) == 0:
        raise UserError(f"domain {domain!r} has one value only; there is nothing to be invariant to")
