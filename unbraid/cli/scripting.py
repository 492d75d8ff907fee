"""What a script asks of any command: ``--quiet``, and ``--json`` for what ``run`` returned."""

import argparse
import dataclasses
import json
import logging
import math
import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jsonargparse import ArgumentParser


def add_options(parser: "ArgumentParser") -> None:
    """Both, absent from the arguments and from printed configurations unless they are given."""
    group = parser.add_argument_group("for scripts")
    flag: dict[str, Any] = {"action": "store_true", "default": argparse.SUPPRESS}
    group.add_argument("--quiet", **flag, help="print nothing but errors")
    group.add_argument("--json", **flag, help="print the result as one JSON document, in place of words")


@contextmanager
def silence(*, output: bool, progress: bool) -> Iterator[None]:
    """Nothing but logged errors reaches stdout, or stderr, while the block runs; a terminal is none to it then."""
    with open(os.devnull, "w") as nowhere, ExitStack() as stack:  # noqa: PTH123 - no path
        if output:
            stack.enter_context(redirect_stdout(nowhere))
        if progress:
            stack.enter_context(redirect_stderr(nowhere))
            root = logging.getLogger()  # its handler writes to the stderr of before
            stack.callback(root.setLevel, root.level)
            root.setLevel(logging.ERROR)
        yield


def document(result: Any) -> str:
    """JSON of containers, data classes, paths and NumPy's numbers; what is not a number becomes null."""
    return json.dumps(_plain(result), indent=2) + "\n"


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(name): _plain(one) for name, one in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(one) for one in value]
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if hasattr(value, "tolist"):  # NumPy's numbers and arrays
        return _plain(value.tolist())
    return None if isinstance(value, float) and not math.isfinite(value) else value
