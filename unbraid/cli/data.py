"""unbraid data: prepare a data set, or write it in the published format."""

import dataclasses
import typing
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from unbraid.cli.parsing import add_fields, say

if TYPE_CHECKING:
    from jsonargparse import ArgumentParser, Namespace


def parser(parser: "ArgumentParser", words: Sequence[str]) -> None:
    from unbraid.data.options import DataOptions

    parser.add_argument(
        "action", type=typing.Literal["prepare", "export"], help="prepare: decode and store; export: .npz"
    )
    parser.add_argument("data", type=str, help="a data set's name, or the path of your own images")
    parser.add_argument("--out", type=str | None, default=None, help="export: the published system's file to write")
    add_fields(parser, DataOptions, "what the data mean")


def run(args: "Namespace") -> None:
    from unbraid import data
    from unbraid.data import official
    from unbraid.data.options import DataOptions

    names = [field.name for field in dataclasses.fields(DataOptions)]
    dataset = data.load(args.data, DataOptions(**{name: args[name] for name in names}))
    spec = dataset.spec
    if args.action == "export":
        written = official.write(dataset, Path(args.out or f"{spec.name}.npz"))
        return say("\n".join(f"{path} is written" for path in written))
    counts = ", ".join(f"{len(dataset.rows(name))} {name}" for name in ("train", "validation", "test"))
    columns = ", ".join([f"{name} ({size} values)" for name, size in spec.sizes.items()] + [*spec.targets])
    return say(f"{spec.name}: {len(dataset)} images {spec.image_shape}, {counts}\ncolumns: {columns}")
