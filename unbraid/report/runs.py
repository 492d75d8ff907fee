"""Finished runs as a report sees them: what each is called, its scores and its arrays."""

import dataclasses
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from unbraid.atomic import atomic_file
from unbraid.errors import DataError, UserError
from unbraid.records import Record, RunDir, read_json
from unbraid.report import plots


@dataclass(frozen=True, kw_only=True)
class Run:
    """A finished run: where it lies and what it is called on the page."""

    folder: RunDir
    config: Mapping[str, Any]
    label: str  # the method, and what sets this run apart from others of the same method
    style: plots.MethodStyle

    @property
    def data(self) -> str:
        return str(self.config["data"])

    @property
    def seed(self) -> int:
        return int(settings_of(self.config).get("seed", 0))


def open_runs(folders: Sequence[RunDir]) -> list[Run]:
    """Finished runs under the names that tell those of one method apart."""
    configs = [read_mapping(folder.config) for folder in folders]
    for folder, config in zip(folders, configs):
        if missing := [key for key in ("method", "data") if key not in config]:
            raise UserError(f"{folder.config} does not say its {' and '.join(missing)}; it was not written by unbraid")
    labels = _labels(configs)
    styles = plots.method_styles(set(labels))
    return [
        Run(folder=folder, config=config, label=label, style=styles[label])
        for folder, config, label in zip(folders, configs, labels)
    ]


def _labels(configs: Sequence[Mapping[str, Any]]) -> list[str]:
    """The method of each run, plus the settings in which runs of one method on one data set differ."""
    named = ("views", "clip_norm", "hparams", "options")
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


def labelledrecords_of(folders: Sequence[RunDir]) -> list[Record]:
    """Every score of these runs, under the name that tells the runs of one method apart."""
    return [record for run in open_runs(folders) for record in records_of(run)]


def records_of(run: Run) -> list[Record]:
    try:
        records = run.folder.records()
    except TypeError as error:
        raise UserError(f"{run.folder.scores} is damaged or of another version: {error}") from None
    return [dataclasses.replace(record, method=run.label, data=run.data, seed=run.seed) for record in records]


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
