"""Rows with label columns and a split: what a data set is, and what it becomes behind an encoder. NumPy only."""

import dataclasses
import html
import json
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float32, Int64, UInt8

from unbraid.atomic import atomic_file
from unbraid.errors import DataError

SPLITS = ("train", "validation", "test")

Column = Int64[np.ndarray, " n"] | Float32[np.ndarray, " n"]


@dataclass(frozen=True, kw_only=True)
class DataSpec:
    """What is fixed about a data set. A method is built from this and never sees the data set itself.

    Categorical columns hold 0 .. size-1, real-valued columns are float32; a missing value is -1 or NaN. Letters: N
    rows, D code width, G factors.
    """

    name: str
    image_shape: tuple[int, int, int]  # (C, H, W)
    num_train: int  # rows of the train split; sizes per-sample state
    sizes: Mapping[str, int]  # categorical column -> number of values
    values: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # categorical column -> names of its values
    factors: tuple[str, ...] = ()  # generative factors; "content" is the factors less the domain
    targets: tuple[str, ...] = ()  # real-valued columns: regressed, never classified
    circular: frozenset[str] = frozenset()  # factors whose last value is next to the first
    domain: str | None = None  # column to be invariant to
    label: str | None = None  # column to predict
    bias: str | None = None  # column spuriously correlated with the label

    @property
    def content(self) -> tuple[str, ...]:
        """What a domain-invariant code should keep."""
        return tuple(name for name in self.factors if name != self.domain)

    def names_of(self, column: str) -> Sequence[str]:
        """What the values of a categorical column are called; their numbers where they have no names."""
        return self.values.get(column) or tuple(map(str, range(self.sizes[column])))

    def to_dict(self) -> dict[str, Any]:
        """Plain containers for JSON; ``from_dict`` is the inverse."""
        return dataclasses.asdict(self) | {"circular": sorted(self.circular)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "DataSpec":
        return cls(
            **{
                **values,
                "image_shape": tuple(values["image_shape"]),
                "values": {name: tuple(names) for name, names in values["values"].items()},
                "factors": tuple(values["factors"]),
                "targets": tuple(values["targets"]),
                "circular": frozenset(values["circular"]),
            }
        )


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """Images and labels as rows. Images are a memory map: opening one costs nothing."""

    spec: DataSpec
    images: UInt8[np.ndarray, "n h w c"]
    columns: Mapping[str, Column]
    split: UInt8[np.ndarray, " n"]  # index into SPLITS

    def __post_init__(self) -> None:
        _check_rows(self.spec, self.columns, self.split, len(self.images))

    def __len__(self) -> int:
        return len(self.images)

    def __repr__(self) -> str:
        return f"Dataset({_said(self.spec, self.split)}; images {self.spec.image_shape})"

    def rows(self, split: str) -> Int64[np.ndarray, " m"]:
        """Row numbers of a split, in ascending order."""
        return np.flatnonzero(self.split == SPLITS.index(split))

    def take(self, rows: Int64[np.ndarray, " m"]) -> "Dataset":
        """These rows alone, in this order; copies the images."""
        split = self.split[rows]
        return Dataset(
            spec=dataclasses.replace(self.spec, num_train=int(np.sum(split == 0))),
            images=self.images[rows],
            columns={name: column[rows] for name, column in self.columns.items()},
            split=split,
        )


@dataclass(frozen=True, kw_only=True)
class Codes:
    """A data set seen through an encoder: same rows, same columns, a code in place of the image."""

    spec: DataSpec
    z: Float32[np.ndarray, "n d"]  # eval mode, no augmentation
    columns: Mapping[str, Column]
    split: UInt8[np.ndarray, " n"]
    logits: Float32[np.ndarray, "n k"] | None = None  # if the method predicts the label
    kl: Float32[np.ndarray, " d"] | None = None  # mean KL per dimension in nats, if the method is a VAE

    def __post_init__(self) -> None:
        _check_rows(self.spec, self.columns, self.split, len(self.z))

    def __len__(self) -> int:
        return len(self.z)

    def __repr__(self) -> str:
        return f"Codes({_said(self.spec, self.split)}; {self.z.shape[1]} dimensions)"

    def _repr_html_(self) -> str:
        """In a notebook: how many there are, and what each column is."""
        rows = "".join(
            f"<tr>{''.join(f'<td>{html.escape(text)}</td>' for text in texts)}</tr>" for texts in _described(self)
        )
        head = "".join(f"<th>{name}</th>" for name in ("column", "role", "values", "missing"))
        title = f"{len(self)} codes of {self.z.shape[1]} dimensions, {_said(self.spec, self.split)}"
        return f"<p>{html.escape(title)}</p><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"

    @property
    def factors(self) -> Int64[np.ndarray, "n g"]:
        return np.stack([self.columns[name] for name in self.spec.factors], axis=1)

    def rows(self, *splits: str) -> "Codes":
        """The rows of these splits, in their original order."""
        return self.take(np.flatnonzero(np.isin(self.split, [SPLITS.index(name) for name in splits])))

    def known(self, *columns: str) -> "Codes":
        """The rows in which none of these columns is missing; the same object if none is."""
        known = np.ones(len(self), dtype=bool)
        for name in columns:
            known &= self.is_known(name)
        return self if known.all() else self.take(np.flatnonzero(known))

    def is_known(self, column: str) -> Bool[np.ndarray, " n"]:
        """In which rows this column is not missing."""
        values = self.columns[column]
        return values >= 0 if column in self.spec.sizes else ~np.isnan(values)

    def take(self, rows: Int64[np.ndarray, " m"]) -> "Codes":
        """These rows alone, in this order."""
        return dataclasses.replace(
            self,
            z=self.z[rows],
            columns={name: column[rows] for name, column in self.columns.items()},
            split=self.split[rows],
            logits=None if self.logits is None else self.logits[rows],
        )

    def save(self, path: Path) -> None:
        arrays: dict[str, Any] = {f"column:{name}": column for name, column in self.columns.items()}
        optional = {name: getattr(self, name) for name in ("logits", "kl") if getattr(self, name) is not None}
        with atomic_file(path) as temporary, temporary.open("wb") as file:
            spec = np.array(json.dumps(self.spec.to_dict()))
            np.savez(file, spec=spec, z=self.z, split=self.split, **arrays, **optional)

    @classmethod
    def load(cls, path: Path) -> "Codes":
        """Raises: DataError if the file is missing, damaged or not one of ours."""
        try:
            with np.load(path, allow_pickle=False) as file:
                return cls(
                    spec=DataSpec.from_dict(json.loads(str(file["spec"]))),
                    z=file["z"],
                    columns={key.removeprefix("column:"): file[key] for key in file if key.startswith("column:")},
                    split=file["split"],
                    logits=file.get("logits"),
                    kl=file.get("kl"),
                )
        except FileNotFoundError:
            raise DataError(f"no codes at {path}") from None
        except (KeyError, ValueError, TypeError, AttributeError, EOFError, zipfile.BadZipFile) as error:
            raise DataError(f"{path} is damaged or not unbraid's ({error}); delete it and evaluate again") from None


def _said(spec: DataSpec, split: UInt8[np.ndarray, " n"]) -> str:
    """Rows and columns in a line: what a person wants to see of arrays."""
    counts = [f"{num} {name}" for name, num in zip(SPLITS, np.bincount(split, minlength=3), strict=True) if num]
    roles = [f"domain {spec.domain!r}"] * bool(spec.domain) + [f"label {spec.label!r}"] * bool(spec.label)
    columns = ", ".join([*spec.sizes, *spec.targets]) or "none"
    return "; ".join([f"{spec.name}: {', '.join(counts)}", *roles, f"columns {columns}"])


def _described(codes: Codes) -> list[tuple[str, str, str, str]]:
    """Name, roles, number or range of values, and number of missing values of each column."""
    spec, lines = codes.spec, []
    for name, column in codes.columns.items():
        roles = {"domain": (spec.domain,), "label": (spec.label,), "bias": (spec.bias,), "factor": spec.factors}
        known = codes.is_known(name)
        if name in spec.sizes:
            values = str(spec.sizes[name])
        else:
            values = f"{column[known].min():.3g} to {column[known].max():.3g}" if known.any() else ""
        said = ", ".join(role for role, names in roles.items() if name in names)
        lines.append((name, said, values, str(np.sum(~known))))
    return lines


def _check_rows(spec: DataSpec, columns: Mapping[str, Column], split: UInt8[np.ndarray, " n"], num_rows: int) -> None:
    for name, column in {**columns, "split": split}.items():
        if len(column) != num_rows:
            raise DataError(f"column {name!r} has {len(column)} rows, there are {num_rows} images or codes")
    roles = {*spec.factors, *spec.targets, *spec.sizes, spec.domain, spec.label, spec.bias}
    if missing := sorted(role for role in roles if role is not None and role not in columns):
        raise DataError(f"{spec.name} names columns that it does not have: {', '.join(missing)}")
