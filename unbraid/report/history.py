"""What the files of a population tell: who was trained when, after whom, with what success. No run is opened."""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from unbraid.lineage import Line, alive, ancestry, best_line, by_place, read_history
from unbraid.records import read_json
from unbraid.report.tables import number

_ENDED = {
    "generations": "All generations were trained.",
    "converged": "It ended because the best was flat for six generations.",
    "worthless": "It ended because the best of a generation was below 0.1: there was nothing to select.",
}


@dataclass(frozen=True, kw_only=True)
class History:
    """A population, ended or not. A member that diverged has the fitness None."""

    folder: Path
    config: Mapping[str, Any]
    seed: int
    fitness: str  # its name
    most_generations: int
    asynchronous: bool
    lines: Sequence[Line]
    reason: str  # why it ended; empty if it has not

    @property
    def names(self) -> list[str]:
        """The hyper-parameters that were explored."""
        return list(dict.fromkeys(name for line in self.lines for name in line["hparams"]))

    @cached_property
    def by_place(self) -> dict[str, Line]:
        return by_place(self.lines)

    @cached_property
    def generations(self) -> dict[int, list[Line]]:
        numbers = sorted({line["generation"] for line in self.lines})
        return {one: [line for line in self.lines if line["generation"] == one] for one in numbers}

    @cached_property
    def best(self) -> Line | None:
        return best_line(self.lines)

    @cached_property
    def winners(self) -> list[Line]:
        """The best after all that it goes on from."""
        return [] if self.best is None else self.ancestry(self.best)

    @cached_property
    def last(self) -> list[Line]:
        """The members as they were at the end, the best first, those that diverged last."""
        if self.asynchronous:
            lines = list({line["member"]: line for line in self.lines}.values())
        else:
            lines = next(reversed(self.generations.values()), [])
        return sorted(lines, key=lambda line: (line["fitness"] is None, -(line["fitness"] or 0)))

    def ancestry(self, line: Line) -> list[Line]:
        return ancestry(self.by_place, line)

    @cached_property
    def links(self) -> list[tuple[Line, Line]]:
        """Each line with the one that it goes on from."""
        return [(self.by_place[line["parent"]], line) for line in self.lines if line["parent"]]


def open_history(folder: Path) -> History:
    """Raises: UserError if a file is missing or damaged."""
    lines, result = read_history(folder), folder / "result.json"
    reason = read_json(result, lambda values: str(values["reason"])) if result.is_file() else ""

    def make(config: Mapping[str, Any]) -> History:
        settings = config["settings"]
        return History(
            folder=folder,
            config=config,
            seed=config["member"]["settings"]["seed"],
            fitness=settings["fitness"],
            most_generations=settings["generations"],
            asynchronous=settings["asynchronous"],
            lines=lines,
            reason=reason,
        )

    return read_json(folder / "population.json", make)  # type: ignore[no-any-return]


def sentences(history: History) -> list[str]:
    """The outcome in words, the best first."""
    if history.best is None:
        return ["Every training has diverged." if history.lines else "No member is trained yet.", _state(history)]
    best, last = history.best, [line["fitness"] for line in alive(history.last)]
    said = [
        f"The best {history.fitness} is {number(best['fitness'])}, of member {best['member']} in generation "
        f"{best['generation']}" + (f" ({_numbers(best)})." if best["hparams"] else ".")
    ]
    first = [line["fitness"] for line in alive(history.generations[0])]
    if len(history.generations) > 1 and first and last:
        said.append(f"As drawn, in generation 0, the members had {_range(first)}; at the end they have {_range(last)}.")
    said += [*_descent(history), *_diverged(history), _state(history)]
    return said


def _range(values: Sequence[float]) -> str:
    return f"{number(min(values))} to {number(max(values))}, {number(statistics.median(values))} in the median"


def _descent(history: History) -> list[str]:
    if len(history.generations) < 2:
        return []
    founders = {history.ancestry(line)[0]["member"] for line in history.last}
    copies = sum(line["donor"] is not None for line in history.winners)
    founder = history.winners[0]
    times = {0: "never", 1: "once", 2: "twice"}.get(copies, f"{copies} times")
    return [
        f"The best descends from member {founder['member']} of generation 0 and was {times} a copy of another. "
        f"All {len(history.last)} members at the end descend from {len(founders)} of "
        f"{len(history.generations[0])} that were drawn at first."
    ]


def _diverged(history: History) -> list[str]:
    lost = len(history.lines) - len(alive(history.lines))
    redrawn = sum(line["attempt"] for line in history.lines)
    said = [f"{lost} of {len(history.lines)} trainings diverged."] if lost else []
    return said + ([f"{redrawn} diverged in generation 0 and {_was(redrawn)} drawn anew."] if redrawn else [])


def _was(num: int) -> str:
    return "was" if num == 1 else "were"


def _state(history: History) -> str:
    seconds = math.fsum(line["seconds"] for line in history.lines)
    spent = f" All trainings together took {_duration(seconds)}." if seconds else ""
    if history.reason:
        return _ENDED.get(history.reason, f"It ended: {history.reason}.") + spent
    done = len(history.generations)
    return f"It has not ended: {done} of at most {history.most_generations} generations are there." + spent


def _duration(seconds: float) -> str:
    minutes = seconds / 60
    return f"{seconds:.0f} s" if minutes < 2 else f"{minutes:.0f} min" if minutes < 120 else f"{minutes / 60:.1f} h"


def _numbers(line: Line) -> str:
    return ", ".join(f"{name} {short(value)}" for name, value in line["hparams"].items())


def short(value: Any) -> str:
    """A hyper-parameter in three digits."""
    return f"{value:.3g}" if isinstance(value, float) else str(value)


@dataclass(frozen=True)
class Ranking:
    """The members at the end, and before them the best ever if it was another."""

    headers: list[str]
    rows: list[list[str]]
    numbers: list[bool]  # which columns hold some


def ranking(history: History) -> Ranking:
    """Rank, run, fitness, hyper-parameters, whom it goes on from, seconds."""
    headers = ["rank", "run", history.fitness, *history.names, "copy of", "seconds"]
    lines = history.last
    rows = [_row(history, line, str(rank)) for rank, line in enumerate(lines, start=1)]
    if history.best is not None and history.best not in lines:
        rows.insert(0, _row(history, history.best, "best ever"))
    words = {name for line in lines for name, value in line["hparams"].items() if not isinstance(value, int | float)}
    return Ranking(headers, rows, [name not in {"rank", "run", *words} for name in headers])


def _row(history: History, line: Line, rank: str) -> list[str]:
    fitness = "diverged" if line["fitness"] is None else number(line["fitness"])
    values = [short(line["hparams"][name]) if name in line["hparams"] else "" for name in history.names]
    donor = "" if line["donor"] is None else f"member {line['donor']}"
    return [rank, f"{line['generation']:03d}/{line['member']:03d}", fitness, *values, donor, f"{line['seconds']:.1f}"]
