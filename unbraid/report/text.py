"""The sentences and the tables of the page as Markdown."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import pandas as pd

from unbraid.records import Found, find
from unbraid.report import bias, history, partitions, recursions
from unbraid.report.changes import HEADERS, NUMBERS, Changes, changes_since, scores_of
from unbraid.report.recursions import name_of, open_recursion
from unbraid.report.runs import Run, open_runs, read_arrays, rows_of, write_text
from unbraid.report.selection import headed, selection, summary, validation_kind
from unbraid.report.tables import markdown, markdown_table, tables, tradeoff
from unbraid.tables import Codes


def write_markdown(folders: Iterable[Path | str], out: Path | str, against: Path | str | None = None) -> Path:
    """Every population, and every finished run, data set by data set."""
    found = find(folders)
    runs = open_runs([folder for folder in found.runs if folder.is_done()])
    rows = rows_of(runs)
    parts = [
        _part(data, [run for run in runs if run.data == data], rows) for data in dict.fromkeys(run.data for run in runs)
    ]
    changed = [*_changes(changes_since(against, scores_of(runs, rows)))] if against else []
    return write_text(Path(out), "\n".join([*changed, *_searches(found), *parts]) or "No run is finished.\n")


def _changes(found: Changes) -> Iterator[str]:
    for part in found.parts:
        title = f"{part.data}: what changed since {found.since}"
        yield _headed(title, part.sentences, markdown_table(HEADERS, [*part.apart, *part.others], NUMBERS))


def _searches(found: Found) -> Iterator[str]:
    for folder in found.recursions:
        recursion = open_recursion(folder)
        yield _headed(
            folder.name, recursion.sentences, markdown_table(recursions.HEADERS, [one.cells for one in recursion.steps])
        )
        for place, one in recursion.histories.items():
            yield _population(f"{folder.name}: {name_of(place)}", one)
    for folder in found.populations:
        yield _population(folder.name, history.open_history(folder))


def _population(title: str, one: history.History) -> str:
    table = history.ranking(one)
    return _headed(title, history.sentences(one), markdown_table(table.headers, table.rows, table.numbers))


def _headed(title: str, said: Iterable[str], table: str) -> str:
    lines = "".join(f"- {line}\n" for line in said)
    return f"## {title}\n\n{lines}\n{table}"


def _part(data: str, runs: Sequence[Run], rows: pd.DataFrame) -> str:
    validation, found = "", []
    for run in runs:
        if not run.folder.codes.is_file():
            continue
        codes = Codes.load(run.folder.codes)
        validation = validation or validation_kind(codes)
        said: list[str] = []
        if arrays := read_arrays(run.folder.bias):
            said += bias.sentences(arrays, codes.spec)
        if arrays := read_arrays(run.folder.partitions):
            said += partitions.sentences(arrays)
        found += [f"{run.label}, seed {run.seed}: {line}" for line in said]
    chosen = selection(rows, data, validation)
    said = summary(chosen, tradeoff(rows, data)) + found
    return _headed(data, said, markdown(headed(chosen, tables(rows[rows["data"] == data]))))
