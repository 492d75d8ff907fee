"""unbraid list: names."""

import typing
from collections.abc import Sequence
from typing import TYPE_CHECKING

from unbraid.cli.parsing import say

if TYPE_CHECKING:
    from jsonargparse import ArgumentParser, Namespace


def parser(parser: "ArgumentParser", words: Sequence[str]) -> None:
    kinds = typing.Literal["methods", "data", "views", "metrics"]
    parser.add_argument("kind", type=kinds, help="methods, data, views or metrics")


def _tables(kind: str) -> list[str]:
    from unbraid import augment, data, methods, metrics

    tables = {
        "methods": lambda: methods.METHODS,
        "data": lambda: data.DATASETS,
        "views": lambda: augment.VIEWS,
        "metrics": lambda: metrics.METRICS,  # imports their files
    }
    return list(tables[kind]())


def run(args: "Namespace") -> None:
    say("\n".join(_tables(args.kind)))
