"""unbraid watch: a live view of what is training, with the time left."""

import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jsonargparse import ArgumentParser, Namespace
    from rich.table import Table

    from unbraid.progress import Progress

_ROWS = 30  # runs that are shown; those that train come first


def parser(parser: "ArgumentParser", words: Sequence[str]) -> None:
    parser.add_argument("folders", type=str, nargs="*", default=["runs"], help="folders of runs; default: runs")
    parser.add_argument("--every", type=float, default=2.0, help="seconds between two looks")
    parser.add_argument(
        "--once", action="store_true", help="look once and end; always so where the output is no terminal"
    )


def run(args: "Namespace") -> object:
    from rich.console import Console
    from rich.live import Live

    found = _look(args.folders)
    if args.once or not sys.stdout.isatty() or all(one.state == "done" for one in found):
        Console().print(_table(found))
        return found
    with Live(_table(found), auto_refresh=False) as live:
        while any(one.state != "done" for one in found):
            time.sleep(max(0.1, args.every))
            found = _look(args.folders)
            live.update(_table(found), refresh=True)
    return found


def _look(folders: Sequence[str]) -> "list[Progress]":
    from unbraid.progress import population_progress, progress, recursion_progress
    from unbraid.records import find

    now, found = time.time(), find(folders)
    return [
        *(one for folder in found.recursions for one in recursion_progress(folder, now=now)),
        *(population_progress(folder, folder.name, now=now) for folder in found.populations),
        *(progress(run, now=now) for run in found.single),
    ]


def _table(found: "list[Progress]") -> "Table":
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("run", overflow="fold")
    table.add_column("")
    table.add_column("trained", justify="right")
    table.add_column("left", justify="right")
    table.add_column("last terms", overflow="fold")
    order = ("training", "starting", "scoring", "quiet", "done")
    shown = sorted(found, key=lambda one: order.index(one.state))
    for one in shown[:_ROWS]:
        state = f"no news for {_duration(one.quiet)}" if one.state == "quiet" else one.state
        left = "" if one.seconds_left is None else _duration(one.seconds_left)
        terms = ", ".join(f"{name.rpartition('/')[2]} {value:.3g}" for name, value in one.terms.items())
        table.add_row(one.name, state, f"{one.fraction:.0%}", left, terms)
    if len(shown) > _ROWS:
        table.caption = f"and {len(shown) - _ROWS} more"
    return table


def _duration(seconds: float) -> str:
    minutes, hours = seconds / 60, seconds / 3600
    return f"{seconds:.0f} s" if minutes < 1 else f"{minutes:.0f} min" if hours < 2 else f"{hours:.1f} h"
