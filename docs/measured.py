"""The tables of Markdown pages, and what they say about a method. Numbers on generated pages come from here alone."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

DOCS = Path(__file__).parent


@dataclass(frozen=True)
class Table:
    """A table under its headings, the page's title first."""

    page: str  # below docs/
    headings: tuple[str, ...]
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def rows_of(self, name: str) -> list[tuple[str, ...]]:
        return [row for row in self.rows if any(_names(cell, name) for cell in row)]


def tables(page: Path) -> list[Table]:
    headings: list[str] = []
    found = []
    lines = page.read_text().splitlines()
    for number, line in enumerate(lines):
        if heading := re.match(r"(#+) (.+)", line):
            headings = [*headings[: len(heading[1]) - 1], heading[2]]
        elif re.fullmatch(r"\|[-:| ]+\|", line) and number:
            rows = []
            for row in lines[number + 1 :]:
                if not row.startswith("|"):
                    break
                rows.append(_cells(row))
            place = page.relative_to(DOCS).as_posix()
            found.append(Table(place, tuple(headings), _cells(lines[number - 1]), tuple(rows)))
    return found


def results() -> list[Table]:
    return [table for page in sorted((DOCS / "results").glob("*.md")) for table in tables(page)]


def measured(name: str, found: Iterable[Table], root: str = "../") -> str:
    """Every row about a method, as one table for each page of results. ``root`` leads to docs/."""
    by_page: dict[str, list[str]] = {}
    titles = {}
    for table in found:
        titles[table.page] = table.headings[0]
        for row in table.rows_of(name):
            by_page.setdefault(table.page, []).extend(_lines(table, row, name))
    head = "| where | what | value | chance |\n|---|---|---:|---:|\n"
    return "\n\n".join(
        f"[{titles[page]}]({root}{page}), with setting and command:\n\n{head}" + "\n".join(lines)
        for page, lines in by_page.items()
    )


def _lines(table: Table, row: tuple[str, ...], name: str) -> Iterator[str]:
    """A line for each number of the row, with the number of the table's row called chance."""
    where = ": ".join(table.headings[1:])
    told = [cell for cell in row if not _is_number(cell)]
    if told != [name]:
        where = ": ".join(filter(None, [where, ", ".join(filter(None, told))]))
    chance = next((other for other in table.rows if other[0].strip("*` ") == "chance"), ("",) * len(row))
    for title, cell, by_chance in zip(table.header, row, chance):
        if _is_number(cell):
            yield f"| {where} | {title} | {cell} | {by_chance} |"


def _cells(line: str) -> tuple[str, ...]:
    return tuple(cell.strip() for cell in re.split(r"(?<!\\)\|", line.strip().strip("|")))


def _names(cell: str, name: str) -> bool:
    return re.match(rf"[`*]*{re.escape(name)}(?![\w-])", cell) is not None


def _is_number(cell: str) -> bool:
    return re.match(r"[*]*[-+]?\d", cell) is not None
