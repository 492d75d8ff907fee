"""Settings and tensors out of a pickle, without executing what it asks for."""

import pickle
import types
import warnings
from pathlib import Path
from typing import Any

import torch

from unbraid.errors import UserError


class Unread:
    """What stands in place of an object of any class but the plain ones: it keeps nothing and does nothing."""

    dump_patches = False  # torch asks this of a network whose source has changed

    def __init__(self, *_: Any, **__: Any) -> None: ...

    def __call__(self, *_: Any, **__: Any) -> "Unread":
        return self

    def __setstate__(self, _: Any) -> None: ...

    def __reduce__(self) -> Any:
        return Unread, ()


def _bytes(text: str, _: str) -> bytes:
    """How old pickles spell bytes, those of NumPy's numbers among them."""
    return text.encode("latin1")


class _Reader(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if name in ("scalar", "dtype") and module.partition(".")[0] == "numpy":  # a number that NumPy counted
            return super().find_class(module.replace("numpy.core", "numpy._core"), name)
        if (module, name) == ("_codecs", "encode"):
            return _bytes
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


class _TensorReader(_Reader):
    def find_class(self, module: str, name: str) -> Any:
        if module == "torch._utils" and name in ("_rebuild_tensor_v2", "_rebuild_parameter"):
            return pickle.Unpickler.find_class(self, module, name)
        return super().find_class(module, name)


def _load(file: Any, **options: Any) -> Any:
    return _TensorReader(file, **options).load()


def read_checkpoint(path: Path) -> dict[str, Any]:
    """The dictionary in a torch file that holds objects beside its tensors; these are ``Unread``.

    Raises:
        UserError: If the file is missing, damaged, or holds something else.
    """
    if not path.is_file():
        raise UserError(f"no checkpoint at {path}")
    reader = types.SimpleNamespace(__name__="restricted", Unpickler=_TensorReader, load=_load)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", torch.serialization.SourceChangeWarning)  # of networks that stay Unread
            checkpoint = torch.load(path, map_location="cpu", weights_only=False, pickle_module=reader)
    except Exception as error:  # torch raises many types on a damaged file
        raise UserError(f"{path} is damaged or no checkpoint ({str(error).splitlines()[0]})") from None
    if not isinstance(checkpoint, dict):
        raise UserError(f"{path} holds no dictionary")
    return checkpoint
