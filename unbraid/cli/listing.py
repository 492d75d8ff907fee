"""unbraid list: names; of metrics, with what they mean."""

import re
import typing
from collections.abc import Sequence
from typing import TYPE_CHECKING

from unbraid.cli.parsing import say

if TYPE_CHECKING:
    from jsonargparse import ArgumentParser, Namespace


def parser(parser: "ArgumentParser", words: Sequence[str]) -> None:
    kinds = typing.Literal["methods", "data", "views", "metrics"]
    parser.add_argument("kind", type=kinds, help="what to list")


def _tables(kind: str) -> list[str]:
    from unbraid import augment, data, methods

    tables = {
        "methods": lambda: methods.METHODS,
        "data": lambda: data.DATASETS,
        "views": lambda: augment.VIEWS,
    }
    return list(tables[kind]())


def _metrics() -> dict[str, str]:
    """Names, each with the first sentence on it."""
    from unbraid.metrics import METRICS, udr

    meanings = {name: metric.explanation[""] for name, metric in METRICS.items()} | {"udr": udr.__doc__ or ""}
    return {name: _first_sentence(text) for name, text in meanings.items()}


def _first_sentence(text: str) -> str:
    line = " ".join(text.partition("\n\n")[0].split())
    return re.split(r"(?<=[.?]) ", line)[0].removesuffix(".")


def run(args: "Namespace") -> object:
    if args.kind != "metrics":
        names = _tables(args.kind)
        say("\n".join(names))
        return names
    meanings = _metrics()
    width = max(map(len, meanings))
    say("\n".join(f"{name:<{width}}  {text}" for name, text in meanings.items()))
    return meanings
