"""Data sets by name or by path. A row is text, so that listing names imports nothing heavy."""

import dataclasses
import inspect
import re
import types
import typing
from collections.abc import Callable
from pathlib import Path
from typing import Any

from unbraid.data.options import DataOptions
from unbraid.errors import DataError, UserError, did_you_mean
from unbraid.registry import lookup
from unbraid.tables import Dataset

DATASETS = {
    "bffhq": "bias_folder:bffhq",
    "cars3d": "cars3d:cars3d",
    "celeba": "celeba:celeba",
    "celeba-2000": "celeba_2000:celeba_2000",
    "cifar10": "cifar:cifar10",
    "cifar100": "cifar:cifar100",
    "cifar10c": "cifar10c:cifar10c",
    "cmnist": "cmnist:cmnist",
    "coil100": "coil100:coil100",
    "digits": "digits:digits",
    "digits-biased": "cmnist:digits_biased",
    "dsprites": "dsprites:dsprites",
    "edges2shoes": "edges2shoes:edges2shoes",
    "shapes3d": "shapes3d:shapes3d",
    "smallnorb": "small_norb:small_norb",
    "sprites": "sprites:sprites",
    "stl10": "stl10:stl10",
    "yale-b": "yale_b:yale_b",
}
TABLES = (".csv", ".tsv", ".parquet")


def load(name: str, options: DataOptions | None = None) -> Dataset:
    """Open a data set, preparing it on first use.

    Args:
        name: A row of ``DATASETS``, with parameters if wanted (``digits:bias=0.9,size=32``); or a path: a folder of
            images, a table of their paths, a published .npz file or folder of biased images, a prepared folder.

    Raises:
        UserError: If the name or an option is wrong.
        DataError: If the data is missing or damaged.
    """
    options = options or DataOptions()
    base, _, text = name.partition(":")
    if base in DATASETS:
        options.refuse_own_images(base)
        function = lookup("data set", DATASETS, base, __name__)
        dataset = function(**_parameters(base, text, function))
    else:
        dataset = _load_path(name, options)

    import numpy as np

    from unbraid.data.more_columns import with_columns
    from unbraid.data.reduced import read_rows, reduced
    from unbraid.data.roles import with_roles

    num_rows = len(dataset)
    rows = np.arange(num_rows)
    if options.rows is not None:
        rows = read_rows(Path(options.rows).expanduser(), num_rows)
        dataset = reduced(dataset, rows)
    if options.columns is not None:
        dataset = with_columns(dataset, Path(options.columns).expanduser(), rows, num_rows)
    return dataclasses.replace(dataset, spec=with_roles(dataset.spec, dataset.columns, options))


def base_name(name: str) -> str:
    """The bare name: ``digits:bias=0.9`` -> ``digits``, ``a/photos.csv`` -> ``photos``, ``x_train.npz`` -> ``x``."""
    base = name.partition(":")[0]
    if base in DATASETS:
        return base
    path = Path(name).resolve()
    if path.suffix == ".npz":
        from unbraid.data.official import stem

        return stem(path)
    return path.stem if path.suffix in TABLES else path.name


def slug(name: str) -> str:
    """The name as part of a folder's name: ``photos/`` -> ``photos``, ``digits:bias=0.9`` -> ``digits-bias-0.9``."""
    full = name if name.partition(":")[0] in DATASETS else base_name(name)
    return re.sub(r"[^A-Za-z0-9._]+", "-", full).strip("-.") or "data"


def _load_path(name: str, options: DataOptions) -> Dataset:
    from unbraid.data import bias_folder, folder, official, store

    path = Path(name).expanduser()
    if not path.exists():
        if "/" in name or "\\" in name or path.suffix in (*TABLES, ".npz"):
            raise DataError(f"no folder or file at {name}")
        raise UserError(f"unknown data set {name!r}, and no folder or file of that name.{did_you_mean(name, DATASETS)}")
    if bias_folder.is_bias_folder(path):
        return bias_folder.read(path, options, name=slug(name))
    if path.is_dir() and not store.is_store(path):
        return folder.read(path, options, name=slug(name))
    if path.suffix.lower() in TABLES:
        return folder.read(path, options, name=slug(name))
    options.refuse_own_images(name)
    if path.is_dir():
        return store.read(path)
    if path.suffix.lower() == ".npz":
        return official.read(path)
    raise DataError(f"cannot read {name}: expected a folder, a table ({', '.join(TABLES)}) or a published .npz file")


def _parameters(owner: str, text: str, function: Callable[..., Dataset]) -> dict[str, Any]:
    hints = typing.get_type_hints(function)
    known = list(inspect.signature(function).parameters)
    values: dict[str, Any] = {}
    for part in filter(None, text.split(",")):
        name, equals, value = part.partition("=")
        if not equals:
            raise UserError(f"{owner}:{text}: parameters are written {owner}:name=value,name=value, not {part!r}")
        if name not in known:
            raise UserError(f"data set {owner} has no parameter {name!r}.{did_you_mean(name, known)}")
        values[name] = _parse(f"{owner}: {name}", value, hints[name])
    return values


def _parse(what: str, text: str, hint: Any) -> Any:
    """``text`` as the type that a parameter is annotated with."""
    if typing.get_origin(hint) is typing.Literal:
        if text in typing.get_args(hint):
            return text
        raise UserError(f"{what} must be one of {', '.join(typing.get_args(hint))}, not {text!r}")
    if typing.get_origin(hint) in (typing.Union, types.UnionType):  # only X | None is used
        hint = next(option for option in typing.get_args(hint) if option is not type(None))
    try:
        return hint(text)
    except ValueError:
        raise UserError(f"{what} must be of type {hint.__name__}, not {text!r}") from None
