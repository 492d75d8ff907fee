"""Population-based training as arithmetic: what is drawn, who is replaced, by whom, and when it ends. NumPy only.

Source: Jaderberg et al. 2017, arXiv:1711.09846; with the constants and rules of Estermann, Marks & Yanik, NeurIPS
2020, arXiv:2010.13527, and of their published code ("published").
"""

import dataclasses
import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from unbraid.errors import UserError, did_you_mean
from unbraid.hparams import Choice, Range
from unbraid.seeds import integer

FACTORS = (2, 1.2, 0.8, 0.5)
MOST_TRIES = 10  # draws of a member of the first generation whose loss becomes NaN
_DRAWN_FIRST = ("beta", "batch_size", "lr")  # the published order; further ones follow
_PERTURBED_FIRST = ("lr", "batch_size", "beta")
_SHAPES = frozenset({"z_dim", "backbone"})  # drawn once: the weights of a donor fit no other value
_MOST_BATCH, _MOST_LR, _LEAST_BATCH = 1024, 1e-2, 2
_FLAT, _WORTHLESS, FLAT_STEPS = 0.005, 0.1, 6

Hparams = Mapping[str, Any]
Space = Mapping[str, Choice | Range]


@dataclass(frozen=True, kw_only=True)
class Individual:
    """A member after a generation."""

    member: int
    hparams: Hparams
    fitness: float | None  # None: it diverged


@dataclass(frozen=True, kw_only=True)
class Heir:
    """What takes the place of a member: a donor's weights under other hyper-parameters."""

    donor: int
    hparams: Hparams


def random_state(seed: int, *name: str | int) -> np.random.RandomState:
    """The published draws come from a RandomState; here each has a named stream, so that none need be saved."""
    return np.random.RandomState(integer(seed, "population", *name) % 2**32)


def search_space(config: Any, names: Sequence[str] | None = None, *, published: bool = False) -> Space:
    """The range of each hyper-parameter that is explored, in the order in which they are drawn.

    Unless published, step sizes of a grid end at 0.01, not at 1 where every network diverges.

    Args:
        names: Those to explore, each a name or ``name=low..high``, which is never left; default: all with a range.

    Raises:
        UserError: On a name without a range, or a range that cannot be, or if there is none at all.
    """
    ranges = searchable(config)
    least = {field.name: field.metadata.get("least", 0) for field in dataclasses.fields(config)}
    for word in names or ():
        name, _, bounds = word.partition("=")
        if name not in ranges:
            raise UserError(f"{name!r} is no hyper-parameter with a range to explore.{did_you_mean(name, ranges)}")
        if bounds:
            ranges[name] = _narrowed(ranges[name], name, bounds, least[name])
    asked = ranges if names is None else explored_names(names)
    space = {name: ranges[name] for name in _ordered(ranges, _DRAWN_FIRST) if name in asked}
    if not space:
        known = f"each with a range was given, or --explore names none of them: {', '.join(ranges)}"
        why = known if ranges else "the method gives none a range"
        raise UserError(f"there is no hyper-parameter to explore: {why}")
    lr = space.get("lr")
    if isinstance(lr, Choice) and not (published or lr.firm):
        small = tuple(value for value in lr.options if value <= _MOST_LR)
        space["lr"] = Choice(small or lr.options, lr.ordered)
    return space


def explored_names(words: Sequence[str]) -> list[str]:
    """``beta=1..20`` is the name ``beta`` with a range."""
    return [word.partition("=")[0] for word in words]


def _narrowed(search: Choice | Range, name: str, bounds: str, least: int | float) -> Choice | Range:
    try:
        low, high = map(float, bounds.split(".."))
    except ValueError:
        raise UserError(
            f"--explore takes NAME or NAME=LOW..HIGH, for example {name}=1..20, not {name}={bounds}"
        ) from None
    try:
        if not least <= low < high < math.inf:
            raise ValueError(f"a range begins at {least} at least, and below its end")
        return search.narrowed(low, high)
    except ValueError as error:
        raise UserError(f"{name} cannot be explored in {bounds}: {error}") from None


def searchable(config: Any) -> dict[str, Choice | Range]:
    """The fields of a method's configuration that have a range."""
    found = {field.name: field.metadata.get("search") for field in dataclasses.fields(config)}
    return {name: search for name, search in found.items() if search is not None}


def draw(space: Space, rng: np.random.RandomState, *, multiple: int = 1) -> dict[str, Any]:
    """Hyper-parameters of a member of the first generation, each evenly from its range.

    Args:
        multiple: What the batch size must be a multiple of.
    """
    drawn = {name: _draw(search, rng) for name, search in space.items()}
    if "batch_size" in drawn:
        drawn["batch_size"] = _whole_groups(drawn["batch_size"], multiple, _ends(space["batch_size"])[1])
    return drawn


def explore(
    hparams: Hparams, space: Space, rng: np.random.RandomState, *, published: bool = False, multiple: int = 1
) -> dict[str, Any]:
    """Each number times a random factor; names are drawn anew.

    Published: beta is rounded up, batches end at 1024, and at 2, since batch normalisation fails on 1; these two and
    the step size have no other end. Otherwise, for hyper-parameters that the paper does not explore, and where the user
    gave a range, every number stays in it.

    Args:
        multiple: What the batch size must be a multiple of.
    """
    moved = dict(hparams)
    for name in _ordered(space, _PERTURBED_FIRST):
        if name in _SHAPES:
            continue
        value, search = hparams[name], space[name]
        if isinstance(value, bool) or not isinstance(value, int | float):
            moved[name] = _draw(search, rng)
            continue
        product = FACTORS[rng.randint(len(FACTORS))] * value
        whole = isinstance(value, int) or (published and name == "beta")
        new = type(value)(math.ceil(product)) if whole else product
        free = published and name in _DRAWN_FIRST and not search.firm
        if not free:
            new = _bounded(new, search)
        if name == "batch_size":
            new = _whole_groups(new, multiple, _MOST_BATCH if free else _ends(search)[1])
        moved[name] = new
    return moved


def evolve(
    individuals: Sequence[Individual],
    space: Space,
    rng: np.random.RandomState,
    *,
    cutoff: float,
    published: bool = False,
    multiple: int = 1,
) -> dict[int, Heir]:
    """Truncation selection: who is replaced, by what. Members that diverged are replaced, whatever the cutoff.

    Raises:
        UserError: If all diverged.
    """
    order = ranked(individuals)
    alive = [one for one in order if one.fitness is not None]
    if not alive:
        raise UserError("every member diverged; explore smaller step sizes, or give --clip_norm 1 or --precision fp32")
    count = min(num_replaced(len(order), cutoff), len(order) // 2)
    best = alive[: max(1, count)]
    heirs = {}
    for one in order[len(order) - max(count, len(order) - len(alive)) :]:
        donor = best[rng.randint(len(best))]
        hparams = explore(donor.hparams, space, rng, published=published, multiple=multiple)
        heirs[one.member] = Heir(donor=donor.member, hparams=hparams)
    return heirs


def ranked(individuals: Iterable[Individual]) -> list[Individual]:
    """The best first; those that diverged last."""
    return sorted(individuals, key=lambda one: -math.inf if one.fitness is None else one.fitness, reverse=True)


def num_replaced(members: int, cutoff: float) -> int:
    return math.ceil(cutoff * members)


def has_converged(best: Sequence[float]) -> bool:
    """Whether six successive differences of the generations' best fitness are each below 0.005."""
    last = best[-FLAT_STEPS - 1 :]
    return len(last) > FLAT_STEPS and all(abs(b - a) < _FLAT for a, b in itertools.pairwise(last))


def is_worthless(best: float) -> bool:
    return best < _WORTHLESS


def num_updates(rows: int, batch_size: int, images: int, *, published: bool = False) -> int:
    """Updates of a generation, at least one.

    Ours are full batches, ``images // batch_size`` of them. The published ones end a pass, and the generation, with a
    smaller batch, and leave out single images.
    """
    if not published:
        return max(1, images // min(batch_size, rows))
    in_pass = rows - (rows % batch_size == 1)
    passes, rest = divmod(images - (images % batch_size == 1), in_pass)
    return max(1, passes * math.ceil(in_pass / batch_size) + math.ceil(rest / batch_size))


def _ordered(names: Iterable[str], first: Sequence[str]) -> list[str]:
    names = list(names)
    return [name for name in first if name in names] + [name for name in names if name not in first]


def _draw(search: Choice | Range, rng: np.random.RandomState) -> Any:
    if isinstance(search, Choice):
        return search.options[rng.randint(len(search.options))]
    if search.log:
        return math.exp(rng.uniform(math.log(search.low), math.log(search.high)))
    return rng.uniform(search.low, search.high)


def _bounded(value: int | float, search: Choice | Range) -> int | float:
    low, high = _ends(search)
    return min(max(value, low), high)


def _ends(search: Choice | Range) -> tuple[Any, Any]:
    return (search.low, search.high) if isinstance(search, Range) else (min(search.options), max(search.options))


def _whole_groups(batch_size: int | float, multiple: int, most: int | float) -> int:
    """Rounded up to whole groups, or down where that is too many; two of each group are the least.

    The published rules reach a batch of 1, which batch normalisation refuses.
    """
    groups = min(math.ceil(batch_size / multiple), math.floor(most / multiple))
    return multiple * max(groups, _LEAST_BATCH)
