"""Hyper-parameters: default, search range and meaning of a number in one line of a method's ``Config``."""

import dataclasses
import math
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from unbraid.errors import UserError, did_you_mean


@dataclass(frozen=True)
class Choice:
    """One of several values; when ``ordered`` a perturbation moves to a neighbour, otherwise to any other value."""

    options: tuple[Any, ...]
    ordered: bool = False
    firm: bool = False  # narrowed by the user: not left by populations whose published rules leave ranges

    def narrowed(self, low: float, high: float) -> "Choice":
        """The options from ``low`` to ``high``. Raises: ValueError if there is none, or they are no numbers."""
        if not all(isinstance(option, int | float) for option in self.options):
            raise ValueError(f"its values are {', '.join(map(str, self.options))}, no numbers")
        if not (kept := tuple(option for option in self.options if low <= option <= high)):
            raise ValueError(f"none of its values is in there: {', '.join(f'{one:.3g}' for one in self.options)}")
        return Choice(kept, self.ordered, firm=True)

    def sample(self, rng: np.random.Generator) -> Any:
        return self.options[int(rng.integers(len(self.options)))]

    def perturb(self, value: Any, rng: np.random.Generator) -> Any:
        if not self.ordered or value not in self.options:
            return self.sample(rng)
        place = self.options.index(value) + int(rng.choice([-1, 1]))
        return self.options[min(max(place, 0), len(self.options) - 1)]


@dataclass(frozen=True)
class Range:
    """A real number in ``[low, high]``, drawn evenly, or evenly in its logarithm."""

    low: float
    high: float
    log: bool = False
    firm: bool = False  # as in Choice

    def narrowed(self, low: float, high: float) -> "Range":
        """From ``low`` to ``high``, which may be wider. Raises: ValueError where a logarithm has no such range."""
        if self.log and low <= 0:
            raise ValueError("it is drawn evenly in its logarithm, which begins above 0")
        return Range(low, high, self.log, firm=True)

    def sample(self, rng: np.random.Generator) -> float:
        if self.log:
            return float(math.exp(rng.uniform(math.log(self.low), math.log(self.high))))
        return float(rng.uniform(self.low, self.high))

    def perturb(self, value: float, rng: np.random.Generator) -> float:
        return float(min(max(value * rng.choice([0.8, 1.25]), self.low), self.high))


def choice(*options: Any) -> Choice:
    return Choice(options)


def grid(*options: Any) -> Choice:
    """A paper's own ordered list of values."""
    return Choice(options, ordered=True)


def uniform(low: float, high: float) -> Range:
    return Range(low, high)


def log_uniform(low: float, high: float) -> Range:
    return Range(low, high, log=True)


def hp(
    default: Any,
    *,
    doc: str,
    search: Choice | Range | None = None,
    least: int | float = 0,
    most: int | float = math.inf,
) -> Any:
    """A field of a ``Config``. Without ``search`` the number is never explored; out of its bounds it is refused."""
    return dataclasses.field(default=default, metadata={"doc": doc, "search": search, "least": least, "most": most})


def sample(config: Any, rng: np.random.Generator) -> Any:
    """A copy of ``config`` with every searchable field drawn anew."""
    drawn = {f.name: f.metadata["search"].sample(rng) for f in _searchable(config)}
    return dataclasses.replace(config, **drawn)


def perturb(config: Any, rng: np.random.Generator) -> Any:
    """A copy of ``config`` with every searchable field moved a little inside its range."""
    moved = {f.name: f.metadata["search"].perturb(getattr(config, f.name), rng) for f in _searchable(config)}
    return dataclasses.replace(config, **moved)


def parse(config_type: type, values: Mapping[str, Any], *, owner: str) -> Any:
    """Build a ``Config`` from plain values.

    Raises:
        UserError: On an unknown name, or a value of the wrong type or too low; ``owner`` is named in the message.
    """
    hints = typing.get_type_hints(config_type)
    known = {f.name: f.metadata for f in dataclasses.fields(config_type)}
    for name, value in values.items():
        if name not in known:
            raise UserError(f"{owner} has no hyper-parameter {name!r}.{did_you_mean(name, known)}")
        if not _fits(value, hints[name]):
            raise UserError(f"{owner}: {name} must be {_say(hints[name])}, not {value!r}")
        least, most = known[name].get("least", 0), known[name].get("most", math.inf)
        if isinstance(value, int | float) and not (least <= value <= most and value < math.inf):
            end = "finite" if most == math.inf else f"at most {most}"
            raise UserError(f"{owner}: {name} must be at least {least}, and {end}, not {value!r}")
    floats = {name: float(value) for name, value in values.items() if hints[name] is float}
    return config_type(**{**values, **floats})


def _searchable(config: Any) -> list[dataclasses.Field[Any]]:
    return [f for f in dataclasses.fields(config) if f.metadata.get("search") is not None]


def _fits(value: Any, hint: Any) -> bool:
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return any(_fits(value, option) for option in typing.get_args(hint))
    if typing.get_origin(hint) is typing.Literal:
        return value in typing.get_args(hint)
    if typing.get_origin(hint) is list:
        return isinstance(value, list) and all(_fits(one, typing.get_args(hint)[0]) for one in value)
    if hint is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, hint)


def _say(hint: Any) -> str:
    if typing.get_origin(hint) is typing.Literal:
        return "one of " + ", ".join(map(repr, typing.get_args(hint)))
    return getattr(hint, "__name__", str(hint))
