"""What a user may say about data: the roles of columns, and how own images are read and split."""

import dataclasses
from dataclasses import dataclass, field
from typing import Any, Literal

from unbraid.errors import UserError

SIDE, MIN_SIDE = 64, 8  # of images, in pixels: by default, and at least


def _role(doc: str) -> dict[str, Any]:
    return {"doc": doc, "own_images": False}


def _own(doc: str) -> dict[str, Any]:
    return {"doc": doc, "own_images": True}


@dataclass(frozen=True, kw_only=True)
class DataOptions:
    """Roles, ``rows`` and ``columns`` are for every data set; fields marked ``own_images`` for own images only."""

    domain: str | None = field(default=None, metadata=_role("column to be invariant to"))
    label: str | None = field(default=None, metadata=_role("column to predict"))
    bias: str | None = field(default=None, metadata=_role("column spuriously correlated with the label"))
    factors: list[str] | None = field(
        default=None, metadata=_role("categorical columns whose content the code should keep; default: all")
    )
    targets: list[str] | None = field(default=None, metadata=_role("real-valued columns to regress; default: all"))
    circular: list[str] | None = field(default=None, metadata=_role("factors whose last value is next to the first"))
    rows: str | None = field(
        default=None,
        metadata=_role("a .npy file of row numbers, counted from 0 over all splits: these rows only, in its order"),
    )
    columns: str | None = field(
        default=None,
        metadata=_role(
            "CSV or Parquet table of more columns; its column 'row' counts all rows from 0, also under --rows"
        ),
    )

    labels: str | None = field(default=None, metadata=_own("CSV or Parquet table with one row per image"))
    path_column: str | None = field(
        default=None, metadata=_own("column of the table that holds the image paths; default: found by itself")
    )
    split_column: str | None = field(
        default=None, metadata=_own("column that says train, validation or test; default: 'split' if there")
    )
    size: int | None = field(
        default=None,
        metadata=_own("side of the square the images are resized to, in pixels; default: 64; published naming: as is"),
    )
    color: Literal["auto", "rgb", "grey"] = field(
        default="auto", metadata=_own("channels to keep; auto: grey if every image is grey")
    )
    test_fraction: float = field(default=0.2, metadata=_own("share of the rows held out for testing"))
    validation_fraction: float = field(default=0.0, metadata=_own("share of the rows held out for validation"))
    stratify: str | None = field(
        default=None, metadata=_own("column whose values get equal shares of each split; default: the domain")
    )
    group: str | None = field(
        default=None, metadata=_own("column whose rows stay together in one split, for example a patient")
    )
    split_seed: int = field(default=0, metadata=_own("seed of the split"))

    def side(self) -> int | None:
        """The size that was asked for. Raises: UserError if it is too small."""
        if self.size is not None and self.size < MIN_SIDE:
            raise UserError(f"--size {self.size}: the side of an image is at least {MIN_SIDE} pixels")
        return self.size

    def changed(self) -> dict[str, Any]:
        """The fields that are not at their default."""
        pairs = ((f.name, getattr(self, f.name)) for f in dataclasses.fields(self))
        return {name: value for name, value in pairs if value != getattr(DataOptions, name)}

    def refuse_own_images(self, name: str) -> None:
        """Raises: UserError if an option was given that only own images can follow."""
        own = {f.name for f in dataclasses.fields(self) if f.metadata["own_images"]}
        if given := [f"--{option.replace('_', '-')}" for option in self.changed() if option in own]:
            raise UserError(
                f"{', '.join(given)}: for a folder or table of own images only, and {name} is not; leave out"
            )
