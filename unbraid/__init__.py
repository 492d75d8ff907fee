"""unbraid: encoders that keep what you want and drop what you do not, and honest measurement of how well."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from unbraid.card import audit, score
    from unbraid.encoder import load
    from unbraid.run import train

__version__ = "0.1.0"
__all__ = ["audit", "load", "score", "train"]

_HOMES = {
    "audit": "unbraid.card",
    "load": "unbraid.encoder",
    "score": "unbraid.card",
    "train": "unbraid.run",
}


def __getattr__(name: str) -> Any:
    """The public names, imported when they are first used: torch takes seconds, an audit does not need it."""
    if name not in _HOMES:
        raise AttributeError(f"module 'unbraid' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
