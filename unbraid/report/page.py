"""Run directories -> tables, figures and images -> one HTML file that needs nothing beside it."""

import datetime
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template
from markupsafe import Markup
from rich.console import Console
from rich.progress import track

from unbraid.records import Found, find, read_lines
from unbraid.report import pictures, plots
from unbraid.report.bias import BiasView, bias_view
from unbraid.report.changes import HEADERS, NUMBERS, changes_since, scores_of
from unbraid.report.explorer import Explorer, Gallery, explore, read_gallery
from unbraid.report.partitions import PartitionsView, across_seeds, partitions_view
from unbraid.report.populations import PopulationView, population_view
from unbraid.report.recursions import RecursionView, recursion_view
from unbraid.report.runs import Run, flatten, open_runs, read_arrays, read_mapping, rows_of, write_text
from unbraid.report.selection import Selection, headed, selection, summary, validation_kind
from unbraid.report.tables import Table, Tradeoff, tables, tradeoff
from unbraid.tables import Codes


@dataclass(frozen=True, kw_only=True)
class RunView:
    """Everything the page shows of one run, drawn."""

    title: str
    label: str
    color: str
    folder: str
    gallery: Gallery | str
    strips: list[list[pictures.Thumb]]
    swap: pictures.Swap | None
    traversal: list[pictures.Dimension]
    bias: BiasView | None
    partitions: PartitionsView | None
    validation: str
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
    selection: Selection | None
    tradeoff: Tradeoff | None
    scatter: Markup | None
    tables: list[Table]
    explorer: Explorer | None
    groups: list[list[RunView]]

    @property
    def agreement(self) -> list[tuple[RunView, str]]:
        """How far the partitions of a method agree over its seeds, with the first of its runs."""
        found = [(group[0], [view.partitions for view in group if view.partitions]) for group in self.groups]
        return [(view, said) for view, parts in found if (said := across_seeds(parts))]

    @property
    def parts(self) -> list[tuple[str, str]]:
        """What there is something to show of: the end of each part's anchor, and its title."""
        views = [view for group in self.groups for view in group]
        shown = {
            "selection": self.selection is not None,
            "scatter": self.scatter is not None,
            "bias": any(view.bias for view in views),
            "partitions": any(view.partitions for view in views),
            "strips": any(view.strips for view in views),
            "swaps": any(view.swap for view in views),
            "traversals": any(view.traversal for view in views),
            "maps": any(view.map_caption for view in views),
            "curves": any(view.curves for view in views),
        }
        return [(part, title) for part, title in _PARTS.items() if shown.get(part, True)]


_PARTS = {
    "selection": "Accuracy",
    "scatter": "Leakage against content",
    "scores": "Scores",
    "bias": "What it thought the bias was",
    "partitions": "Partitions it found",
    "strips": "Nearest neighbours",
    "swaps": "Swaps",
    "traversals": "Traversals",
    "maps": "Maps",
    "curves": "Training curves",
    "repeat": "How to repeat",
}


def write_page(folders: Iterable[Path | str], out: Path | str, against: Path | str | None = None) -> Path:
    """Read every run and population, draw, and write the page in one go."""
    found = find(folders)
    runs = open_runs([folder for folder in found.runs if folder.is_done()])
    rows = rows_of(runs)
    scores = scores_of(runs, rows)
    changes = changes_since(against, scores) if against else None
    sections = _sections(runs, rows)
    page = _template().render(
        date=datetime.date.today().isoformat(),
        sections=sections,
        scores=scores.as_json(),
        changes=changes,
        headers=HEADERS,
        numbers=NUMBERS,
        searches=_searches(found),
        shown={view.folder: (section, view) for section in sections for group in section.groups for view in group},
        colors={run.label: run.style.color for run in runs},
        unfinished=[str(folder.path) for folder in found.runs if not folder.is_done()],
    )
    return write_text(Path(out), page)


def _searches(found: Found) -> list[RecursionView | PopulationView]:
    return [
        *(recursion_view(folder) for folder in found.recursions),
        *(population_view(folder, folder.name) for folder in found.populations),
    ]


def _template() -> Template:
    loader = FileSystemLoader(Path(__file__).parent)
    environment = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.get_template("page.html.j2")


def _sections(runs: Sequence[Run], rows: pd.DataFrame) -> list[Section]:
    styles = {run.label: run.style for run in runs}
    terminal = Console(stderr=True)
    firsts = {(run.data, run.label): run for run in reversed(runs)}
    drawn = [
        (run.data, _view(run, in_full=run is firsts[run.data, run.label]))
        for run in track(runs, "drawing", console=terminal, transient=True, disable=not terminal.is_terminal)
    ]
    sections = []
    for number, data in enumerate(dict.fromkeys(run.data for run in runs), start=1):
        views = [view for owner, view in drawn if owner == data]
        found = tradeoff(rows, data)
        chosen = selection(rows, data, next((view.validation for view in views if view.validation), ""))
        scatter = plots.tradeoff_figure(found, styles) if found and found.plotted else None
        order = list(found.methods) if found else []
        order += sorted({view.label for view in views} - set(order))
        groups = [[view for view in views if view.label == label] for label in order]
        sections.append(
            Section(
                data=data,
                anchor=f"data-{number}",
                summary=summary(chosen, found),
                selection=chosen,
                tradeoff=found,
                scatter=scatter,
                tables=headed(chosen, tables(rows[rows["data"] == data]))[1 if chosen else 0 :],
                explorer=explore((view.title, view.color, view.gallery) for group in groups for view in group),
                groups=groups,
            )
        )
    return sections


def _view(run: Run, *, in_full: bool) -> RunView:
    """
    Args:
        in_full: Draw the images by the dozen, too, as of the first run of a method: a page has to stay small.
    """
    folder = run.folder
    env = dict(read_mapping(folder.env)) if folder.env.is_file() else {}
    codes = Codes.load(folder.codes) if folder.codes.is_file() else None
    samples, bias, sides = map(read_arrays, (folder.samples, folder.bias, folder.partitions))
    maps, map_caption = _maps(run, codes)
    return RunView(
        title=f"{run.label}, seed {run.seed}",
        label=run.label,
        color=run.style.color,
        folder=str(folder.path),
        gallery=read_gallery(samples, codes),
        strips=list(pictures.strips(samples, codes)),
        swap=pictures.swap(samples, codes),
        traversal=list(pictures.traversal(samples)),
        bias=bias_view(bias, codes, f"weights {folder.path}", images=in_full) if bias and codes else None,
        partitions=partitions_view(sides, codes, images=in_full) if sides and codes else None,
        validation=validation_kind(codes) if codes else "",
        maps=maps,
        map_caption=map_caption,
        curves=plots.curves_figure(list(read_lines(folder.log)), run.style.color, f"curves {folder.path}"),
        command=env.pop("command", ""),
        notes=env.pop("notes", []),
        facts={key: str(value) for key, value in flatten(env).items()},
        config=json.dumps(run.config, indent=2),
    )


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
