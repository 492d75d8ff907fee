"""Names to objects: tables of text rows, so that listing names imports nothing heavy."""

import importlib
from collections.abc import Mapping
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
