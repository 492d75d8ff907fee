"""Settings out of a pickle, without executing what it asks for."""

import pickle
from pathlib import Path
from typing import Any

from unbraid.errors import UserError


class Unread:
    """What stands in place of an object of any class but the plain ones: it keeps nothing and does nothing."""

    def __init__(self, *_: Any, **__: Any) -> None: ...

    def __call__(self, *_: Any, **__: Any) -> "Unread":
        return self

    def __setstate__(self, _: Any) -> None: ...

    def __reduce__(self) -> Any:
        return Unread, ()


class _Reader(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if name in ("scalar", "dtype") and module.partition(".")[0] == "numpy":  # a number that NumPy counted
            return super().find_class(module.replace("numpy.core", "numpy._core"), name)
        if (module, name) in (("collections", "OrderedDict"), ("builtins", "set"), ("builtins", "frozenset")):
            return super().find_class(module, name)
        return Unread


def read_settings(path: Path) -> dict[str, Any]:
    """The dictionary in a ``config.pkl``. Objects of other classes than numbers, text and containers are ``Unread``.

    Raises:
        UserError: If the file is missing, damaged, or holds something else.
    """
    try:
        with path.open("rb") as file:
            settings = _Reader(file).load()
    except FileNotFoundError:
        raise UserError(f"no file {path}; give the training folder that holds it") from None
    except Exception as error:  # a damaged pickle raises anything
        raise UserError(f"{path} is damaged or no pickle ({str(error).splitlines()[0]})") from None
    if not isinstance(settings, dict):
        raise UserError(f"{path} holds no dictionary of settings")
    return settings
