"""How far runs are, read from their files alone: nothing that trains is asked or disturbed."""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from unbraid.lineage import Line, place_of
from unbraid.records import RunDir, best_run, populations_of, read_json, read_lines

_TAIL = 1 << 14  # bytes of a log that hold more than enough of its last lines
_QUIET = 300.0  # seconds without a line after which a run may have died


@dataclass(frozen=True, kw_only=True)
class Progress:
    """One run, or one population, at one moment."""

    name: str
    state: str  # starting, training, quiet, scoring or done
    fraction: float  # of training
    seconds_left: float | None  # of training, at its pace since it was last started; None before it has one
    quiet: float  # seconds since its last sign of life
    terms: Mapping[str, float] = field(default_factory=dict)  # of the last line of its log


def progress(run: RunDir, *, now: float) -> Progress:
    """Where the run stands at the time ``now``, in seconds since 1970. Raises: UserError if its config is damaged."""
    unit, whole = read_json(run.config, _length)
    lines = _last_lines(run)
    files = [file for file in (run.log, run.config, run.scores, run.done) if file.exists()]
    quiet = max(0.0, now - max(file.stat().st_mtime for file in files))
    last: dict[str, Any] = lines[-1] if lines else {}
    fraction = 1.0 if run.is_done() or not whole else min(1.0, last.get(unit, 0.0) / whole)
    pace = _pace(lines, unit)
    return Progress(
        name=run.name,
        state=_state(run, fraction, bool(lines), quiet),
        fraction=fraction,
        seconds_left=None if pace is None or run.is_done() else pace * whole * (1 - fraction),
        quiet=quiet,
        terms={name: value for name, value in last.items() if "/" in name},
    )


def _length(config: Mapping[str, Any]) -> tuple[str, float]:
    """What a run is measured by, and how much of it there is to train."""
    if steps := config.get("settings", {}).get("max_steps", 0):
        return "step", float(steps)
    return "epoch", float(config["hparams"]["epochs"])


def population_progress(folder: Path, name: str, *, now: float) -> Progress:
    """A population as one line: its fraction is of all trainings that it may need, so that its time left is at most.

    Raises: UserError if a file is damaged.
    """
    total, asynchronous = read_json(folder / "population.json", _size)
    lines, ended = list(read_lines(folder / "history.jsonl")), (folder / "result.json").is_file()
    generation = lines[-1]["generation"] if lines else -1
    if not (ended or asynchronous):
        generation += 1  # a whole one is in the history; this one is under way
    files = list((folder / f"generations/{generation:03d}").glob("*/*"))
    done = len(lines) + (0 if ended or asynchronous else sum(file.name == "DONE" for file in files))
    known = [line["fitness"] for line in lines if line["fitness"] is not None]
    pace = _gap([line for line in lines if line["generation"] >= generation - 2], folder)
    signs = [file for file in (folder / "population.json", folder / "history.jsonl", *files) if file.exists()]
    quiet = max(0.0, now - max(file.stat().st_mtime for file in signs))
    return Progress(
        name=name,
        state="done" if ended else "quiet" if quiet > _QUIET else "training" if files or lines else "starting",
        fraction=1.0 if ended else min(1.0, done / total),
        seconds_left=None if pace is None or ended else pace * (total - done),
        quiet=quiet,
        terms={"generation": float(max(0, generation))} | ({"best": float(max(known))} if known else {}),
    )


def _size(config: Mapping[str, Any]) -> tuple[int, bool]:
    """How many trainings a population has at most, and whether nobody waits for the end of a generation."""
    settings = config["settings"]
    first = settings["first_members"] or settings["members"]
    return first + settings["members"] * (settings["generations"] - 1), settings["asynchronous"]


def _gap(lines: Sequence[Line], folder: Path) -> float | None:
    """Seconds from the end of one training to that of the next, on average; several may run at once."""
    marks = [folder / place_of(line) / "DONE" for line in lines]
    ends = [mark.stat().st_mtime for mark in marks if mark.exists()]
    return (max(ends) - min(ends)) / (len(ends) - 1) if len(ends) > 1 else None


def recursion_progress(folder: Path, *, now: float) -> list[Progress]:
    """A line for each population that has begun, in their order."""
    found = [
        population_progress(path, f"{folder.name}/{path.relative_to(folder).as_posix()}", now=now)
        for path in populations_of(folder)
    ]
    if found and found[-1].state == "done" and best_run(folder) is None:
        found[-1] = replace(found[-1], state="scoring")  # or labelling, before the next one
    return found


def _state(run: RunDir, fraction: float, begun: bool, quiet: float) -> str:
    if run.is_done():
        return "done"
    if quiet > _QUIET:
        return "quiet"
    if fraction >= 1:
        return "scoring"
    return "training" if begun else "starting"


def _last_lines(run: RunDir) -> list[dict[str, Any]]:
    """The whole lines at the end of the log."""
    if not run.log.is_file():
        return []
    with run.log.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        start = file.seek(max(0, size - _TAIL))
        lines = file.read().decode(errors="replace").splitlines(keepends=True)
    found = []
    for line in lines[1 if start else 0 :]:
        try:
            found.append(json.loads(line))
        except json.JSONDecodeError:
            continue  # being written at this moment
    return found


def _pace(lines: list[dict[str, Any]], unit: str) -> float | None:
    """Seconds per epoch, or step; the clock of a log begins anew when its run is resumed."""
    last = len(lines) - 1
    first = last
    while first > 0 and lines[first - 1]["seconds"] < lines[first]["seconds"]:
        first -= 1
    if first >= last or lines[last][unit] <= lines[first][unit]:
        return None
    return (lines[last]["seconds"] - lines[first]["seconds"]) / (lines[last][unit] - lines[first][unit])
