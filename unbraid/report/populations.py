"""What a page shows of a population, drawn; from its files and those of its best run."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup

from unbraid.errors import DataError
from unbraid.lineage import place_of
from unbraid.records import best_run
from unbraid.report.history import History, Ranking, open_history, ranking, sentences
from unbraid.report.population_figures import fitness_figure, lineage_figure, schedule_figures
from unbraid.report.runs import read_arrays, read_mapping
from unbraid.report.tables import number

_FACTS = ("version", "commit", "torch", "platform", "device")


@dataclass(frozen=True)
class Networks:
    """How far the networks of a member agree, as text."""

    scores: list[str]  # UDR of each
    active: list[str]  # dimensions of each that took part
    pairs: list[list[tuple[str, int]]]  # agreement of each two, and in per cent how strongly to shade it


@dataclass(frozen=True)
class Repeat:
    """What it takes to have it again."""

    commands: list[str]
    facts: dict[str, str]
    config: str


@dataclass(frozen=True, kw_only=True)
class PopulationView:
    """Everything the page shows of one population."""

    title: str
    sentences: list[str]
    fitness: Markup | None
    lineage: Markup | None
    schedules: list[Markup]
    ranking: Ranking
    networks: Networks | None
    best: str  # the folder of the best run; empty if the population has not ended
    repeat: Repeat


def population_view(folder: Path, title: str) -> PopulationView:
    """Raises: UserError if a file is damaged."""
    history = open_history(folder)
    best = best_run(folder)
    run = folder / place_of(history.lines[0]) if history.lines else folder
    return PopulationView(
        title=title,
        sentences=sentences(history),
        fitness=fitness_figure(history),
        lineage=lineage_figure(history),
        schedules=schedule_figures(history),
        ranking=ranking(history),
        networks=_networks(history),
        best=str(best.path) if best else "",
        repeat=repeat(folder, history.config, history.seed, run, f"unbraid population replay {folder}" if best else ""),
    )


def _networks(history: History) -> Networks | None:
    """From ``udr.npz`` of the best member, if it is there: ``scores`` (M), ``active`` (M), ``pairwise`` (M, M)."""
    if history.best is None:
        return None
    path = history.folder / place_of(history.best) / "udr.npz"
    if not (arrays := read_arrays(path)):
        return None
    if missing := {"scores", "active", "pairwise"} - set(arrays):
        raise DataError(f"{path} holds no {' and '.join(sorted(missing))}; delete it")
    pairs: list[list[float]] = arrays["pairwise"].tolist()
    return Networks(
        scores=[number(score) for score in arrays["scores"]],
        active=[str(num) for num in arrays["active"]],
        pairs=[
            [("", 0) if i == j else (number(value), round(100 * np.clip(value, 0, 1))) for j, value in enumerate(row)]
            for i, row in enumerate(pairs)
        ],
    )


def repeat(folder: Path, config: Mapping[str, Any], seed: int, run: Path, *others: str) -> Repeat:
    """
    Args:
        run: One that knows the command and the machine.
        others: Further commands, or empty text.
    """
    env = read_mapping(run / "env.json") if (run / "env.json").is_file() else {}
    facts = {"folder": str(folder), "seed": str(seed)}
    facts |= {name: str(env[name]) for name in _FACTS if env.get(name)}
    commands = [command for command in (str(env.get("command", "")), *others) if command]
    return Repeat(commands, facts, json.dumps(config, indent=2))
