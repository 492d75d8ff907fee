"""factors.yaml: the factors that a network has learned, for a person to accept, merge and rename."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unbraid.atomic import atomic_file
from unbraid.errors import UserError, did_you_mean

_HEADER = """\
# What the network has learned, one entry for each dimension in use; each has its picture beside this file.
#   accept: yes       the column is written when the same command is run again
#   name              of the column; factors of one name become one column of joint values
#   values            names, from the lowest codes to the highest; values of one name become one
#   bounds            codes between neighbouring values; none: the column keeps real numbers
"""
_KEYS = ("dimension", "accept", "name", "values", "bounds")
_TOLD = ("rows", "confidence", "picture")  # for the reader only
_RESERVED = ("path", "row", "split")


@dataclass(frozen=True, kw_only=True)
class Factor:
    """One dimension of the code as a column."""

    dimension: int
    name: str
    accept: bool = False
    values: tuple[str, ...] = ()  # one more than bounds; none of both: real-valued
    bounds: tuple[float, ...] = ()


def write_factors(path: Path, factors: Sequence[Factor], told: Sequence[Mapping[str, Any]], network: str) -> None:
    """A file in which nothing is accepted yet.

    Args:
        told: What it says beside each factor.
        network: Tells the network whose codes the bounds are of.
    """
    import yaml

    entries = [
        {
            "dimension": factor.dimension,
            "accept": factor.accept,
            "name": factor.name,
            "values": list(factor.values),
            "bounds": list(factor.bounds),
            **more,
        }
        for factor, more in zip(factors, told, strict=True)
    ]
    text = yaml.safe_dump({"network": network, "factors": entries}, sort_keys=False, default_flow_style=None, width=120)
    with atomic_file(path) as temporary:
        temporary.write_text(_HEADER + text)


def read_factors(path: Path, width: int, network: str) -> list[Factor]:
    """The factors of an edited file.

    Args:
        width: Of the code.
        network: As it was written.

    Raises:
        UserError: If the file is missing, of another network, or says something that cannot be; names the factor.
    """
    import yaml

    try:
        content = yaml.safe_load(path.read_text())
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not YAML: {error}") from None
    if not isinstance(content, dict) or not isinstance(content.get("factors"), list):
        raise UserError(f"{path} needs a list 'factors'; delete it and run again for a new one")
    if content.get("network") != network:
        raise UserError(f"{path} does not say that its bounds are of this network; choose another --out, or delete it")
    factors = [_factor(entry, f"{path}, factor {place}", width) for place, entry in enumerate(content["factors"], 1)]
    seen = [factor.dimension for factor in factors]
    if twice := {dimension for dimension in seen if seen.count(dimension) > 1}:
        raise UserError(f"{path} has dimension {min(twice)} twice; delete one of both")
    for factor in factors:
        others = [other for other in factors if other.accept and other.name == factor.name]
        if factor.accept and len(others) > 1 and not factor.values:
            raise UserError(f"{path}: {factor.name!r} joins factors, and one has no values; give it values and bounds")
    return factors


def _factor(entry: Any, where: str, width: int) -> Factor:
    if not isinstance(entry, dict):
        raise UserError(f"{where} must have {', '.join(_KEYS)}")
    for key in entry:
        if key not in (*_KEYS, *_TOLD):
            raise UserError(f"{where} has no {key!r}.{did_you_mean(str(key), _KEYS)}")
    if missing := [key for key in ("dimension", "name") if key not in entry]:
        raise UserError(f"{where} lacks {missing[0]!r}")
    dimension, accept = entry["dimension"], entry.get("accept", False)
    if not isinstance(dimension, int) or isinstance(dimension, bool) or not 0 <= dimension < width:
        raise UserError(f"{where}: dimension must be 0 to {width - 1}, not {dimension!r}")
    if not isinstance(accept, bool):
        raise UserError(f"{where}: accept must be yes or no, not {accept!r}")
    name = _text(entry["name"], f"{where}: name")
    if name in _RESERVED:
        raise UserError(f"{where}: a column cannot be named {name!r}; choose another name")
    values, bounds = (entry.get(key) or [] for key in ("values", "bounds"))
    if not isinstance(values, list) or not isinstance(bounds, list):
        raise UserError(f"{where}: values and bounds are lists, [a, b, c] and [0.5, 1.5]")
    if not all(isinstance(bound, int | float) and not isinstance(bound, bool) for bound in bounds):
        raise UserError(f"{where}: bounds must be numbers, not {bounds}")
    if any(low >= high for low, high in itertools.pairwise(bounds)):
        raise UserError(f"{where}: bounds must rise, not {bounds}")
    if len(values) != (len(bounds) + 1 if bounds or values else 0):
        raise UserError(f"{where}: {len(bounds)} bounds part {len(bounds) + 1} values, and {len(values)} are named")
    names = tuple(_text(value, f"{where}: each of its values") for value in values)
    return Factor(dimension=dimension, name=name, accept=accept, values=names, bounds=tuple(map(float, bounds)))


def _text(value: Any, what: str) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int | float) or not str(value).strip():
        raise UserError(f"{what} must be a word, not {value!r}; put it in quotes")
    return str(value).strip()
