"""Finished runs as a report sees them: what each is called, its scores and its arrays."""

import dataclasses
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from unbraid.atomic import atomic_file
from unbraid.errors import DataError, UserError
from unbraid.records import Record, RunDir, best_run, read_json
from unbraid.report import plots
from unbraid.report.tables import score_rows


@dataclass(frozen=True, kw_only=True)
class Run:
    """A finished run: where it lies and what it is called on the page."""

    folder: RunDir
    config: Mapping[str, Any]
    label: str  # the method, and what sets this run apart from others of the same method
    seed: int  # its own or, of the best of a population, the population's
    style: plots.MethodStyle

    @property
    def data(self) -> str:
        return str(self.config["data"])


def open_runs(folders: Sequence[RunDir]) -> list[Run]:
    """Finished runs under the names that tell those of one method apart."""
    configs = [read_mapping(folder.config) for folder in folders]
    for folder, config in zip(folders, configs):
        if missing := [key for key in ("method", "data") if key not in config]:
            raise UserError(f"{folder.config} does not say its {' and '.join(missing)}; it was not written by unbraid")
    asked = [_asked(folder) or config for folder, config in zip(folders, configs)]
    labels = _labels(asked)
    styles = plots.method_styles(set(labels))
    return [
        Run(folder=folder, config=config, label=label, seed=int(settings_of(one).get("seed", 0)), style=styles[label])
        for folder, config, label, one in zip(folders, configs, labels, asked)
    ]


def _asked(folder: RunDir) -> Mapping[str, Any] | None:
    """What a population was asked for if this is its best run, or a recursion if this is its model.

    The run's own hyper-parameters and seed were found on the way: by them, two seeds of a population would be two
    methods.
    """
    place = folder.path.resolve()
    for owner in (place.parent, *place.parents[2:3]):
        best = best_run(owner)
        if best is None or best.path.resolve() != place:
            continue
        population, recursion = owner / "population.json", owner / "recursion.json"
        asked: dict[str, Any] = read_json(population if population.is_file() else recursion, _as_run)
        return asked
    return None


def _as_run(asked: Mapping[str, Any]) -> dict[str, Any]:
    member, settings = asked["member"], asked["settings"]
    kind = "recursion" if "recursion" in asked else f"population by {settings['fitness']}"
    return {
        **member,
        "method": f"{member['method'].rpartition(':')[2]}, {kind}",
        "search": {**settings, **asked.get("fitness_options", {}), **asked.get("recursion", {})},
    }


def _labels(configs: Sequence[Mapping[str, Any]]) -> list[str]:
    """The method of each run, plus the settings in which runs of one method on one data set differ."""
    named = ("views", "clip_norm", "hparams", "options", "search")
    settings = [flatten({key: settings_of(config).get(key) for key in named}) for config in configs]
    owners = [(config["method"].rpartition(":")[2], config["data"]) for config in configs]
    labels = []
    for owner, own in zip(owners, settings):
        peers = [other for peer, other in zip(owners, settings) if peer == owner]
        differ = [key for key in own if any(other.get(key) != own[key] for other in peers)]
        said = ", ".join(f"{key.rpartition('.')[2]}={own[key]}" for key in differ)
        labels.append(f"{owner[0]} ({said})" if said else str(owner[0]))
    return labels


def settings_of(config: Mapping[str, Any]) -> dict[str, Any]:
    return {**config, **config.get("settings", {})}


def flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in values.items():
        flat |= flatten(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return flat


def read_mapping(path: Path) -> Mapping[str, Any]:
    values = read_json(path)
    if not isinstance(values, Mapping):
        raise UserError(f"{path} is damaged: it holds no JSON object")
    return values


def labelled_records(folders: Sequence[RunDir]) -> list[Record]:
    """Every score of these runs, under the name that tells the runs of one method apart."""
    return [record for run in open_runs(folders) for record in records_of(run)]


def records_of(run: Run) -> list[Record]:
    try:
        records = run.folder.records()
    except TypeError as error:
        raise UserError(f"{run.folder.scores} is damaged or of another version: {error}") from None
    return [dataclasses.replace(record, method=run.label, data=run.data, seed=run.seed) for record in records]


def rows_of(runs: Iterable[Run]) -> pd.DataFrame:
    """All their scores, one row each."""
    return score_rows(record for run in runs for record in records_of(run))


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    if not path.is_file():
        return {}
    try:
        with np.load(path, allow_pickle=False) as file:
            return dict(file)
    except (ValueError, EOFError, OSError, zipfile.BadZipFile) as error:
        raise DataError(f"{path} is damaged ({error}); delete it and evaluate again") from None


def write_text(out: Path, text: str) -> Path:
    try:
        with atomic_file(out) as temporary:
            temporary.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UserError(f"cannot write {out}: {error.strerror}") from None
    return out
