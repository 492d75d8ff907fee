"""Scores of codes. One score is one function, decorated with ``metric``, in the file of this folder that it fits.

A file whose metrics should be found by name stands in ``_MODULES``. Those files import nothing heavy at their top.
"""

import importlib
import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from unbraid import seeds
from unbraid.errors import DataError, UserError, did_you_mean
from unbraid.records import Score
from unbraid.tables import Codes, DataSpec

_MODULES = (
    "probes",
    "retrieval",
    "knn",
    "few_labels",
    "bias",
    "information",
    "dci",
    "separability",
    "interventions",
    "irs",
    "unsupervised",
    "collapse",
)
_registered: "dict[str, Metric]" = {}

METRICS: "Mapping[str, Metric]"  # name -> metric, in the order of _MODULES; the files are imported at the first use


def __getattr__(name: str) -> Any:
    if name != "METRICS":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    for module in _MODULES:
        importlib.import_module(f"{__name__}.{module}")
    return _registered


@dataclass(frozen=True)
class Metric:
    """A function of codes with what is always true of its scores."""

    name: str
    function: Callable[..., list[Score]]
    needs: frozenset[str]
    higher_is_better: bool
    source: str
    slow: bool = False

    @property
    def explanation(self) -> dict[str, str]:
        """The docstring by section: "" for the text before the first, then "Formula", "Range", "Misleads", ..."""
        sections, current = {"": ""}, ""
        for line in (inspect.getdoc(self.function) or "").splitlines():
            if line.endswith(":") and line[:-1].isalpha() and line[0].isupper():
                current = line[:-1]
                sections[current] = ""
            else:
                sections[current] += (line[4:] if current else line) + "\n"
        return {title: text.strip() for title, text in sections.items()}

    def __call__(self, codes: Codes, rng: np.random.Generator, **options: Any) -> list[Score]:
        scores = self.function(codes, rng, **options)
        for one in scores:
            numbers = [number for number in (one.value, one.low, one.high, one.chance) if number is not None]
            assert np.isfinite(numbers).all(), f"{self.name} gave a number that is not finite: {one}"
        return scores

    @property
    def options(self) -> tuple[str, ...]:
        """The keyword arguments that it takes."""
        parameters = inspect.signature(self.function).parameters.values()
        return tuple(one.name for one in parameters if one.kind is one.KEYWORD_ONLY)

    def score(self, value: float | None, **rest: Any) -> Score:
        """A score of this metric: its name, direction and source are filled in, and can be overruled."""
        facts = {"metric": self.name, "higher_is_better": self.higher_is_better, "source": self.source}
        return Score(value=value, **{**facts, **rest})

    def missing(self, spec: DataSpec) -> str:
        """What the data would have to have and do not, in words; empty if nothing is missing."""
        lacking = [need for need in sorted(self.needs) if not any(_NEEDS[one](spec) for one in need.split(" or "))]
        return f"the data name no {' and no '.join(lacking)}" if lacking else ""


_NEEDS: Mapping[str, Callable[[DataSpec], object]] = {
    "domain": lambda spec: spec.domain,
    "factors": lambda spec: spec.factors,
    "content": lambda spec: spec.content or spec.targets,  # a factor besides the domain, or a target
    "targets": lambda spec: spec.targets,
    "label": lambda spec: spec.label,
    "bias": lambda spec: spec.bias,
}


def metric(
    *, needs: Iterable[str] = (), higher_is_better: bool, source: str, slow: bool = False
) -> Callable[[Callable[..., list[Score]]], Metric]:
    """Register ``(codes, rng, **options) -> list[Score]`` under its own name, with hyphens.

    Its docstring says what the score is, then, under headings of their own, ``Formula:``, ``Range:`` (with the
    direction and what chance gives) and ``Misleads:``; the page, the docs and ``unbraid show`` print these.

    Args:
        needs: What the data must name, all of it: of "domain", "factors", "content", "targets", "label", "bias".
            "content or label" is met by either.
        slow: Left out of an audit unless it is asked for by name.
    """
    needs = frozenset(needs)
    if unknown := {one for need in needs for one in need.split(" or ")} - set(_NEEDS):
        raise ValueError(f"a metric cannot need {', '.join(sorted(unknown))}; known: {', '.join(_NEEDS)}")

    def register(function: Callable[..., list[Score]]) -> Metric:
        name = function.__name__.replace("_", "-")
        _registered[name] = Metric(name, function, needs, higher_is_better, source, slow)
        return _registered[name]

    return register


def score(
    codes: Codes, names: Iterable[str], seed: int = 0, options: Mapping[str, Mapping[str, Any]] | None = None
) -> list[Score]:
    """The scores of these metrics, in order. Each metric draws from its own random stream.

    A metric that the data cannot answer gives one score with value None and the reason.

    Args:
        options: Metric name -> its keyword arguments.

    Raises:
        UserError: On an unknown name or option; names the nearest.
        DataError: If a code is not finite.
    """
    names, options = list(names), options or {}
    check_names([*names, *options])
    check_options(options)
    check_finite(codes.z)
    known = __getattr__("METRICS")
    return [one for name in names for one in _evaluate(known[name], codes, seed, options.get(name, {}))]


def everyday(spec: DataSpec) -> list[str]:
    """The metrics that these data allow, less the slow ones."""
    known = __getattr__("METRICS")
    return [name for name, metric in known.items() if not metric.slow and not metric.missing(spec)]


def check_names(names: Iterable[str]) -> None:
    """Raises: UserError on an unknown metric; names the nearest."""
    known = __getattr__("METRICS")
    for name in names:
        if name not in known:
            raise UserError(f"unknown metric {name!r}.{did_you_mean(name, known)}")


def check_asked(names: Iterable[str] | None) -> None:
    """As ``check_names``, of what a run is asked for: None is the default, "all" every one that is not slow."""
    check_names(name for name in names or () if name != "all")


def check_options(options: Mapping[str, Mapping[str, Any]]) -> None:
    """Raises: UserError on an option that its metric does not take; names those that it takes."""
    known = __getattr__("METRICS")
    for name, given in options.items():
        takes = known[name].options
        for option in given:
            if option not in takes:
                raise UserError(f"{name} has no option {option!r}; it takes {', '.join(takes) or 'none'}")


def check_finite(z: np.ndarray) -> None:
    """Raises: DataError if a code holds NaN or infinity; names the first row."""
    if not (finite := np.isfinite(z).all(axis=1)).all():
        others = int(np.sum(~finite)) - 1
        more = f", as do {others} more" if others else ""
        raise DataError(
            f"row {int(np.argmin(finite))} of the codes holds NaN or infinity{more}; "
            "remove these rows or find out where the encoder diverged"
        )


def _evaluate(metric: Metric, codes: Codes, seed: int, options: Mapping[str, Any]) -> list[Score]:
    if reason := metric.missing(codes.spec):
        return [metric.score(None, note=reason)]
    scores = metric(codes, seeds.stream(seed, "metric", metric.name), **options)
    return scores or [metric.score(None, note="the data name no column that it could be about")]
