"""The sentences and the tables of the page as Markdown."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import pandas as pd

from unbraid.records import find_runs
from unbraid.report import bias, partitions
from unbraid.report.runs import Run, open_runs, read_arrays, records_of, write_text
from unbraid.report.selection import headed, selection, summary, validation_kind
from unbraid.report.tables import markdown, score_rows, tables, tradeoff
from unbraid.tables import Codes


def write_markdown(folders: Iterable[Path | str], out: Path | str) -> Path:
    """Every finished run, data set by data set."""
    runs = open_runs([folder for folder in find_runs(folders) if folder.is_done()])
    rows = score_rows(record for run in runs for record in records_of(run))
    parts = [
        _part(data, [run for run in runs if run.data == data], rows) for data in dict.fromkeys(run.data for run in runs)
    ]
    return write_text(Path(out), "\n".join(parts) or "No run is finished.\n")


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
    lines = "".join(f"- {line}\n" for line in summary(chosen, tradeoff(rows, data)) + found)
    return f"## {data}\n\n{lines}\n{markdown(headed(chosen, tables(rows[rows['data'] == data])))}"
