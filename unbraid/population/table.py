"""The table of a population that is shown while it runs. It reads the folder only."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.table import Table

from unbraid.encoder import open_config
from unbraid.lineage import Line, best_line, place, place_of, read_history
from unbraid.progress import progress
from unbraid.records import RunDir

_MOST_ROWS = 30
_COLUMNS = ("member", "generation", "fitness", "donor", "hyper-parameters", "now")


class LiveTable:
    """What is done, what runs, and how long it will take at the speed since this object was made."""

    def __init__(self, folder: Path, total: int, names: list[str]) -> None:
        """Total: members of all generations together. Names: the hyper-parameters to show."""
        self.folder, self.total, self.names = folder, total, names
        self.start, self.before = time.monotonic(), len(self._lines())

    def __call__(self) -> Table:
        lines = self._lines()
        latest: dict[int, Line] = {line["member"]: line for line in lines}
        running = {int(run.name): run for run in self._running(latest)}
        table = Table(*_COLUMNS, title=self._title(lines))
        order = sorted(latest.values(), key=lambda line: -1.0 if line["fitness"] is None else line["fitness"])
        members = list(dict.fromkeys([*running, *(line["member"] for line in reversed(order))]))
        for member in members[:_MOST_ROWS]:
            table.add_row(str(member), *self._row(latest.get(member), running.get(member)))
        return table

    def _lines(self) -> list[Line]:
        return read_history(self.folder)

    def _running(self, latest: Mapping[int, Line]) -> list[RunDir]:
        """What follows each member's latest line, as far as it is begun."""
        first = {int(run.name): 0 for run in self.folder.glob("generations/000/*")}
        following = first | {member: line["generation"] + 1 for member, line in latest.items()}
        runs = [RunDir(self.folder / place(generation, member)) for member, generation in sorted(following.items())]
        return [run for run in runs if run.exists() and not run.is_done()]

    def _title(self, lines: list[Line]) -> str:
        title = f"{len(lines)} of {self.total} done"
        if (winner := best_line(lines)) is not None:
            title += f", best {winner['fitness']:.3f} in {place_of(winner)}"
        if new := len(lines) - self.before:
            left = (time.monotonic() - self.start) / new * (self.total - len(lines))
            title += f", at most {left / 60:.0f} min left"
        return title

    def _row(self, line: Line | None, run: RunDir | None) -> tuple[str, ...]:
        fitness = "" if line is None else "diverged" if line["fitness"] is None else f"{line['fitness']:.3f}"
        donor = "" if line is None or line["donor"] is None else str(line["donor"])
        if run is None:
            assert line is not None
            return str(line["generation"]), fitness, donor, _numbers(line["hparams"]), "done"
        config = open_config(run)
        hparams = {name: getattr(config.hparams, name) for name in self.names}
        now = progress(run, now=time.time())
        said = "waits" if now.state == "starting" else f"{100 * now.fraction:.0f} %"
        return str(int(run.path.parent.name)), fitness, donor, _numbers(hparams), said


def _numbers(hparams: Any) -> str:
    return "  ".join(
        f"{name} {value:.3g}" if isinstance(value, float) else f"{name} {value}" for name, value in hparams.items()
    )
