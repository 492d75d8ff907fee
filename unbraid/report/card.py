"""One card as a page, a Markdown table or a LaTeX table."""

import datetime
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from unbraid.records import Score

HEADINGS = ("score", "column", "how", "value", "95 % interval", "chance", "better", "rows", "note")


@dataclass(frozen=True)
class Row:
    """A score as text, and as a bar: where on a scale from 0 to 1 its value, interval and chance lie, in percent."""

    cells: tuple[str, ...]  # in the order of HEADINGS
    value: float | None = None
    low: float | None = None
    high: float | None = None
    chance: float | None = None


@dataclass(frozen=True)
class Group:
    """The scores of one metric on the page, with what it means."""

    name: str
    meaning: str
    definition: dict[str, str]  # heading -> text
    source: str
    rows: list[Row]


def grouped(scores: Iterable[Score]) -> dict[str, list[Row]]:
    """Metric -> its rows, those of one column together, all in the order in which they first occur."""
    groups: dict[str, dict[str, list[Row]]] = {}
    for score in scores:
        groups.setdefault(score.metric, {}).setdefault(score.column, []).append(_row(score))
    return {metric: [row for rows in columns.values() for row in rows] for metric, columns in groups.items()}


def page(
    title: str, summary: Sequence[str], scores: Sequence[Score], explanations: Mapping[str, dict[str, str]]
) -> str:
    """An HTML file that needs nothing beside it.

    Args:
        explanations: Metric -> its docstring by section.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    sources = {score.metric: score.source for score in scores}
    groups = []
    for name, rows in grouped(scores).items():
        meaning, *more = explanations.get(name, {}).get("", "").split("\n\n", 1)
        sections = {"": "".join(more)} | {
            heading: text for heading, text in explanations.get(name, {}).items() if heading not in ("", *_INTERNAL)
        }
        definition = {heading: text for heading, text in sections.items() if text}
        groups.append(Group(name, " ".join(meaning.split()), definition, sources[name], rows))
    return environment.get_template("card.html.j2").render(
        title=title, date=datetime.date.today().isoformat(), summary=summary, groups=groups, headings=HEADINGS
    )


_INTERNAL = ("Args", "Raises", "Returns")  # of interest to a caller, not to a reader


def markdown(scores: Iterable[Score]) -> str:
    """One table, a row per score."""
    rows = [row.cells for found in grouped(scores).values() for row in found]
    lines = [HEADINGS, tuple("---:" if name in _NUMBERS else "---" for name in HEADINGS), *rows]
    return "".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |\n" for line in lines)


def html_table(scores: Iterable[Score]) -> str:
    """A bare table, for a notebook."""
    import pandas

    rows = [row.cells for found in grouped(scores).values() for row in found]
    return str(pandas.DataFrame(rows, columns=list(HEADINGS)).to_html(index=False))


def latex(scores: Iterable[Score]) -> str:
    """A tabular for the booktabs package, without the notes."""
    import pandas

    rows = [row.cells[:-1] for found in grouped(scores).values() for row in found]
    frame = pandas.DataFrame(rows, columns=list(HEADINGS[:-1]))
    formats = "".join("r" if name in _NUMBERS else "l" for name in HEADINGS[:-1])
    style = frame.style.format(escape="latex").format_index(escape="latex", axis=1).hide(axis="index")
    return style.to_latex(hrules=True, column_format=formats)


_NUMBERS = ("value", "95 % interval", "chance", "rows")


def _row(score: Score) -> Row:
    interval = "" if score.low is None or score.high is None else f"{_text(score.low)} to {_text(score.high)}"
    cells = (
        score.metric,
        score.column or (f"all {len(score.over)}" if score.over else "whole code"),
        score.variant,
        "not defined" if score.value is None else _text(score.value),
        interval,
        _text(score.chance),
        "higher" if score.higher_is_better else "lower",
        str(score.num or ""),
        score.note,
    )
    ends = [number for number in (score.value, score.low, score.high, score.chance) if number is not None]
    if score.value is None or min(ends) < -0.05 or max(ends) > 1.05:
        return Row(cells)
    return Row(cells, *(_percent(number) for number in (score.value, score.low, score.high, score.chance)))


def _text(value: float | None) -> str:
    """Three decimals, fewer where the number is large."""
    if value is None:
        return ""
    return f"{value:.3f}" if abs(value) < 100 else f"{value:.0f}"


def _percent(value: float | None) -> float | None:
    return None if value is None else round(100 * min(max(value, 0.0), 1.0), 2)
