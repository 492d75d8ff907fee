"""Names to objects: tables of text rows, so that listing names imports nothing heavy."""

import functools
import importlib
import importlib.util
import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from unbraid.errors import UserError, did_you_mean


def lookup(kind: str, table: Mapping[str, str], name: str, package: str) -> Any:
    """The object behind a row ``name: "module:Object"`` of ``table``, whose modules live in ``package``.

    Raises:
        UserError: If the table has no such row; names the nearest.
    """
    if name not in table:
        raise UserError(f"unknown {kind} {name!r}.{did_you_mean(name, table)}")
    module, _, attribute = table[name].partition(":")
    return getattr(importlib.import_module(f"{package}.{module}"), attribute)


def is_own(name: str) -> bool:
    """Whether a name stands for a user's own object: ``folder/file.py:Object`` or ``package.module:Object``."""
    return ":" in name


def full_name(name: str) -> str:
    """The name with the path of a user's own file made absolute, so that it is found from any folder."""
    place, _, attribute = name.rpartition(":")
    return f"{Path(place).resolve()}:{attribute}" if place.endswith(".py") else name


def own(kind: str, name: str) -> Any:
    """The object of a user's own code that ``is_own`` names.

    Raises:
        UserError: If there is no such file, module or object, or it cannot be imported; says why.
    """
    place, _, attribute = name.rpartition(":")
    try:
        module = _file(Path(place).resolve()) if place.endswith(".py") else importlib.import_module(place)
    except Exception as error:  # whatever the user's module raises
        raise UserError(f"{kind} {name}: cannot import {place} ({type(error).__name__}: {error})") from None
    if not hasattr(module, attribute):
        raise UserError(f"{kind} {name}: {place} has no {attribute!r}")
    return getattr(module, attribute)


@functools.cache
def _file(path: Path) -> ModuleType:
    if not path.is_file():
        raise FileNotFoundError(f"no file {path}")
    name = f"unbraid_own_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up there
    spec.loader.exec_module(module)
    return module
