"""Who was trained after whom in a population: the lines of its ``history.jsonl``. No run is opened."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from unbraid.errors import UserError
from unbraid.records import read_lines

Line = Mapping[str, Any]  # one member in one generation; one that diverged has the fitness None

_NEEDED = {"generation", "member", "hparams", "stream", "parent", "donor", "attempt", "fitness", "error", "seconds"}


def read_history(folder: Path) -> list[Line]:
    """The lines of a population, in the order in which they were written; none before the first is done.

    Raises:
        UserError: If the file is damaged.
    """
    path = folder / "history.jsonl"
    lines: list[Line] = list(read_lines(path))
    whole = all(isinstance(line, dict) and line.keys() >= _NEEDED for line in lines)
    if not whole or {line["parent"] for line in lines} - {"", *map(place_of, lines)}:
        raise UserError(f"{path} is damaged or of another version of unbraid")
    return lines


def place(generation: int, member: int) -> str:
    """The run directory of a member in a generation, below the population's folder."""
    return f"generations/{generation:03d}/{member:03d}"


def place_of(line: Line) -> str:
    return place(line["generation"], line["member"])


def alive(lines: Iterable[Line]) -> list[Line]:
    """Those that did not diverge."""
    return [line for line in lines if line["fitness"] is not None]


def best_line(lines: Iterable[Line]) -> Line | None:
    """The line of the highest fitness ever, the first of equals; None if all diverged."""
    return max(alive(lines), key=lambda line: line["fitness"], default=None)


def by_place(lines: Iterable[Line]) -> dict[str, Line]:
    return {place_of(line): line for line in lines}


def ancestry(found: Mapping[str, Line], line: Line) -> list[Line]:
    """The line after all those that it goes on from, from the first generation on.

    Args:
        found: All lines, ``by_place``.
    """
    steps = [line]
    while steps[0]["parent"]:
        steps.insert(0, found[steps[0]["parent"]])
    return steps


def lineage(lines: Sequence[Line], line: Line) -> list[Line]:
    return ancestry(by_place(lines), line)
