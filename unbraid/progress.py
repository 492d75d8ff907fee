"""How far runs are, read from their files alone: nothing that trains is asked or disturbed."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from unbraid.records import RunDir, read_json

_TAIL = 1 << 14  # bytes of a log that hold more than enough of its last lines
_QUIET = 300.0  # seconds without a line after which a run may have died


@dataclass(frozen=True, kw_only=True)
class Progress:
    """One run at one moment."""

    name: str
    state: str  # starting, training, quiet, scoring or done
    fraction: float  # of training
    seconds_left: float | None  # of training, at its pace since it was last started; None before it has one
    quiet: float  # seconds since its last sign of life
    terms: Mapping[str, float] = field(default_factory=dict)  # of the last line of its log


def progress(run: RunDir, *, now: float) -> Progress:
    """Where the run stands at the time ``now``, in seconds since 1970. Raises: UserError if its config is damaged."""
    epochs = read_json(run.config, lambda config: float(config["hparams"]["epochs"]))
    lines = _last_lines(run)
    files = [file for file in (run.log, run.config, run.scores, run.done) if file.exists()]
    quiet = max(0.0, now - max(file.stat().st_mtime for file in files))
    last: dict[str, Any] = lines[-1] if lines else {}
    fraction = 1.0 if run.is_done() or not epochs else min(1.0, last.get("epoch", 0.0) / epochs)
    pace = _pace(lines)
    return Progress(
        name=run.name,
        state=_state(run, fraction, bool(lines), quiet),
        fraction=fraction,
        seconds_left=None if pace is None or run.is_done() else pace * epochs * (1 - fraction),
        quiet=quiet,
        terms={name: value for name, value in last.items() if "/" in name},
    )


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


def _pace(lines: list[dict[str, Any]]) -> float | None:
    """Seconds per epoch; the clock of a log begins anew when its run is resumed."""
    last = len(lines) - 1
    first = last
    while first > 0 and lines[first - 1]["seconds"] < lines[first]["seconds"]:
        first -= 1
    if first >= last or lines[last]["epoch"] <= lines[first]["epoch"]:
        return None
    return (lines[last]["seconds"] - lines[first]["seconds"]) / (lines[last]["epoch"] - lines[first]["epoch"])
