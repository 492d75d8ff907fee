"""Run directories -> tables, figures and images -> one HTML file that needs nothing beside it."""

import dataclasses
import datetime
import json
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template
from markupsafe import Markup
from rich.console import Console
from rich.progress import track

from unbraid.atomic import atomic_file
from unbraid.errors import DataError, UserError
from unbraid.records import Record, RunDir, find_runs, read_json, read_lines
from unbraid.report import plots
from unbraid.report.tables import Table, Tradeoff, score_rows, sentences, tables, tradeoff
from unbraid.tables import Codes

MAX_QUERIES = 8
MAX_NEIGHBOURS = 7


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
        return int(_settings(self.config).get("seed", 0))


@dataclass(frozen=True)
class Thumb:
    """One image of a retrieval strip; ``match`` is None for the query."""

    uri: str
    domain: str
    match: bool | None


@dataclass(frozen=True, kw_only=True)
class RunView:
    """Everything the page shows of one run, drawn."""

    title: str
    label: str
    color: str
    folder: str
    strips: list[list[Thumb]]
    swap: str | None
    maps: list[plots.Map]
    map_caption: str
    curves: Markup | None
    command: str
    notes: list[str]
    facts: dict[str, str]
    config: str


@dataclass(frozen=True, kw_only=True)
class Section:
    """One data set: ``groups`` are its runs, those of one method together."""

    data: str
    anchor: str
    summary: list[str]
    tradeoff: Tradeoff | None
    scatter: Markup | None
    tables: list[Table]
    groups: list[list[RunView]]


def write_page(folders: Iterable[Path | str], out: Path | str) -> Path:
    """Read every run, draw, and write the page in one go."""
    found = find_runs(folders)
    runs = _runs([folder for folder in found if folder.is_done()])
    page = _template().render(
        date=datetime.date.today().isoformat(),
        sections=_sections(runs),
        colors={run.label: run.style.color for run in runs},
        unfinished=[str(folder.path) for folder in found if not folder.is_done()],
    )
    out = Path(out)
    try:
        with atomic_file(out) as temporary:
            temporary.write_text(page, encoding="utf-8")
    except OSError as error:
        raise UserError(f"cannot write {out}: {error.strerror}") from None
    return out


def _template() -> Template:
    loader = FileSystemLoader(Path(__file__).parent)
    environment = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.get_template("page.html.j2")


def _runs(folders: Sequence[RunDir]) -> list[Run]:
    configs = [_mapping(folder.config) for folder in folders]
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
    settings = [_flatten({key: _settings(config).get(key) for key in named}) for config in configs]
    owners = [(config["method"], config["data"]) for config in configs]
    labels = []
    for owner, own in zip(owners, settings):
        peers = [other for peer, other in zip(owners, settings) if peer == owner]
        differ = [key for key in own if any(other.get(key) != own[key] for other in peers)]
        said = ", ".join(f"{key.rpartition('.')[2]}={own[key]}" for key in differ)
        labels.append(f"{owner[0]} ({said})" if said else str(owner[0]))
    return labels


def _settings(config: Mapping[str, Any]) -> dict[str, Any]:
    return {**config, **config.get("settings", {})}


def _flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in values.items():
        flat |= _flatten(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return flat


def _mapping(path: Path) -> Mapping[str, Any]:
    values = read_json(path)
    if not isinstance(values, Mapping):
        raise UserError(f"{path} is damaged: it holds no JSON object")
    return values


def _sections(runs: Sequence[Run]) -> list[Section]:
    rows = score_rows(record for run in runs for record in _records(run))
    styles = {run.label: run.style for run in runs}
    terminal = Console(stderr=True)
    drawn = [
        (run.data, _view(run))
        for run in track(runs, "drawing", console=terminal, transient=True, disable=not terminal.is_terminal)
    ]
    sections = []
    for number, data in enumerate(dict.fromkeys(run.data for run in runs), start=1):
        views = [view for owner, view in drawn if owner == data]
        found = tradeoff(rows, data)
        scatter = plots.tradeoff_figure(found, styles) if found and found.plotted else None
        order = list(found.methods) if found else []
        order += sorted({view.label for view in views} - set(order))
        sections.append(
            Section(
                data=data,
                anchor=f"data-{number}",
                summary=sentences(found) if found else ["No leakage is defined for these runs."],
                tradeoff=found,
                scatter=scatter,
                tables=tables(rows[rows["data"] == data]),
                groups=[[view for view in views if view.label == label] for label in order],
            )
        )
    return sections


def labelled_records(folders: Sequence[RunDir]) -> list[Record]:
    """Every score of these runs, under the name that tells the runs of one method apart."""
    return [record for run in _runs(folders) for record in _records(run)]


def _records(run: Run) -> list[Record]:
    try:
        records = run.folder.records()
    except TypeError as error:
        raise UserError(f"{run.folder.scores} is damaged or of another version: {error}") from None
    return [dataclasses.replace(record, method=run.label, data=run.data, seed=run.seed) for record in records]


def _view(run: Run) -> RunView:
    folder = run.folder
    env = dict(_mapping(folder.env)) if folder.env.is_file() else {}
    codes = Codes.load(folder.codes) if folder.codes.is_file() else None
    samples = _samples(folder.samples)
    maps, map_caption = _maps(run, codes)
    return RunView(
        title=f"{run.label}, seed {run.seed}",
        label=run.label,
        color=run.style.color,
        folder=str(folder.path),
        strips=list(_strips(samples, codes)),
        swap=plots.swap_uri(samples["swap_images"]) if "swap_images" in samples else None,
        maps=maps,
        map_caption=map_caption,
        curves=plots.curves_figure(list(read_lines(folder.log)), run.style.color, f"curves {folder.path}"),
        command=env.pop("command", ""),
        notes=env.pop("notes", []),
        facts={key: str(value) for key, value in _flatten(env).items()},
        config=json.dumps(run.config, indent=2),
    )


def _samples(path: Path) -> dict[str, np.ndarray]:
    if not path.is_file():
        return {}
    try:
        with np.load(path, allow_pickle=False) as file:
            return dict(file)
    except (ValueError, EOFError, OSError, zipfile.BadZipFile) as error:
        raise DataError(f"{path} is damaged ({error}); delete it and evaluate again") from None


def _strips(samples: Mapping[str, np.ndarray], codes: Codes | None) -> Iterator[list[Thumb]]:
    if "strip_images" not in samples or (codes and not codes.spec.content):
        return  # without content factors no neighbour is right or wrong
    images = samples["strip_images"][:MAX_QUERIES, : 1 + MAX_NEIGHBOURS]
    domains = samples.get("strip_domain")
    names = codes.spec.values.get(codes.spec.domain or "", ()) if codes else ()
    for row, (strip, matches) in enumerate(zip(images, samples["strip_match"])):
        values = [] if domains is None else domains[row].tolist()
        said = [names[value] if value < len(names) else str(value) for value in values] or [""] * len(strip)
        yield [Thumb(*thumb) for thumb in zip(map(plots.thumb_uri, strip), said, [None, *matches.tolist()])]


def _maps(run: Run, codes: Codes | None) -> tuple[list[plots.Map], str]:
    """Figures coloured by the domain and by the first content factor, and what to say under them."""
    if codes is None or len(codes.rows("test")) < 2:
        return [], ""
    columns = [name for name in (codes.spec.domain, *codes.spec.content[:1]) if name is not None]
    if not np.isfinite(codes.z).all():
        return [], "Some codes are not finite, so there is no map."
    codes, points, how = plots.project(codes, run.seed)
    figures = [plots.map_figure(codes, points, name, f"map {name} {run.folder.path}") for name in columns]
    return figures, f"{how} of {len(codes)} test codes, coloured by {' and by '.join(columns)}."
