"""One card as a page, a Markdown table or a LaTeX table."""

import datetime
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from unbraid.records import Score

HEADINGS = ("score", "column", "how", "value", "95 % interval", "chance", "better", "rows", "note")
NUMBERS = ("value", "95 % interval", "chance", "rows")  # those that stand at the right


@dataclass(frozen=True)
class Row:
    """A score as text, and as a bar: where on a scale from 0 to 1 its value, interval and chance lie, in percent."""

    cells: tuple[str, ...]  # in the order of HEADINGS
    value: float | None = None
    low: float | None = None
    high: float | None = None
    chance: float | None = None


@dataclass(frozen=True)
class Paragraph:
    """A piece of a definition: runs of words and of `code` by turns, or a formula, whose lines stay as they are."""

    runs: list[str]
    formula: bool = False


@dataclass(frozen=True)
class Definition:
    """What a metric means, on the page."""

    name: str
    meaning: list[str]  # runs
    sections: dict[str, list[Paragraph]]  # by heading
    source: str


@dataclass(frozen=True)
class Group:
    """The scores of one metric on the page, with its definition and those of the probes filed under it."""

    name: str
    definitions: list[Definition]
    rows: list[Row]


def without_repeats(scores: Iterable[Score]) -> list[Score]:
    """Less the totals over a single column, which stands there itself."""
    scores = list(scores)
    single = {(score.metric, score.variant, (score.column,)) for score in scores if score.column}
    return [score for score in scores if score.column or (score.metric, score.variant, tuple(score.over)) not in single]


def grouped(scores: Iterable[Score]) -> dict[str, list[Row]]:
    """Metric -> its rows, those of one column together, all in the order in which they first occur."""
    groups: dict[str, dict[str, list[Row]]] = {}
    for score in without_repeats(scores):
        groups.setdefault(score.metric, {}).setdefault(score.column, []).append(_row(score))
    return {metric: [row for rows in columns.values() for row in rows] for metric, columns in groups.items()}


def page(
    title: str,
    data: Mapping[str, str],
    summary: Sequence[str],
    scores: Sequence[Score],
    explanations: Mapping[str, dict[str, str]],
) -> str:
    """An HTML file that needs nothing beside it.

    Args:
        data: What the scores were computed on, by heading.
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
    sources: dict[tuple[str, bool], str] = {}
    for score in scores:
        sources.setdefault((score.metric, score.variant.startswith(_SIX_LAYER)), score.source)
    groups = []
    for name, rows in grouped(scores).items():
        definitions = []
        if (name, False) in sources:
            definitions.append(_definition(name, explanations, sources[name, False]))
        if (name, True) in sources:
            definitions.append(_definition(f"{_SIX_LAYER}-probe", explanations, sources[name, True]))
        groups.append(Group(name, definitions, rows))
    today = datetime.date.today().isoformat()
    return environment.get_template("card.html.j2").render(
        title=title, date=today, data=data, summary=summary, groups=groups, headings=HEADINGS, numbers=NUMBERS
    )


_INTERNAL = ("Args", "Raises", "Returns")  # of interest to a caller, not to a reader
_SIX_LAYER = "six-layer"  # the probe whose scores stand among those of other metrics


def _definition(name: str, explanations: Mapping[str, dict[str, str]], source: str) -> Definition:
    explanation = explanations.get(name, {})
    meaning, _, more = explanation.get("", "").partition("\n\n")
    sections = {
        heading: _paragraphs(heading, text, explanations)
        for heading, text in {**explanation, "": more}.items()
        if text and heading not in _INTERNAL
    }
    return Definition(name, _runs(meaning), sections, source)


def _paragraphs(heading: str, text: str, explanations: Mapping[str, dict[str, str]]) -> list[Paragraph]:
    """The text; in place of "As `mig`.", or after "As `mig`, but ...", what is said there."""
    reference = re.match(r"As ((`[\w-]+`(, )?)+)", text)
    named = re.findall(r"`([\w-]+)`", reference[1]) if reference else []
    quoted = {name: explanations[name][heading] for name in named if heading in explanations.get(name, {})}
    parts = [] if quoted and reference and text[reference.end() :] in ("", ".") else [("", text)]
    parts += [(f"`{name}`:", other) for name, other in quoted.items()]
    found = []
    for introduction, body in parts:
        found += [Paragraph(_runs(introduction))] if introduction else []
        if heading == "Formula":
            found.append(Paragraph([body.replace("`", "")], formula=True))
        else:
            found += [Paragraph(_runs(part)) for part in body.split("\n\n")]
    return found


def _runs(text: str) -> list[str]:
    """Words and `code` by turns, on one line."""
    return re.split(r"`+([^`]+)`+", " ".join(text.split()))


def markdown(scores: Iterable[Score], data: Mapping[str, str]) -> str:
    """What the scores were computed on, and one table with a row per score."""
    from unbraid.report.tables import markdown_table  # which loads pandas

    rows = [row.cells for found in grouped(scores).values() for row in found]
    above = "".join(f"- {heading}: {_one_line(text)}\n" for heading, text in data.items())
    table = markdown_table(HEADINGS, rows, to_right=[name in NUMBERS for name in HEADINGS])
    return f"{above}\n{table}"


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
    formats = "".join("r" if name in NUMBERS else "l" for name in HEADINGS[:-1])
    style = frame.style.format(escape="latex").format_index(escape="latex", axis=1).hide(axis="index")
    return style.to_latex(hrules=True, column_format=formats)


def _row(score: Score) -> Row:
    interval = "" if score.low is None or score.high is None else f"{_text(score.low)} to {_text(score.high)}"
    cells = (
        score.metric,
        score.column or _over(score.over),
        score.variant,
        "not defined" if score.value is None else _text(score.value),
        interval,
        _text(score.chance),
        "higher" if score.higher_is_better else "lower",
        f"{score.num} {score.split}" if score.num else "",
        score.note,
    )
    ends = [number for number in (score.value, score.low, score.high, score.chance) if number is not None]
    if score.value is None or min(ends) < -0.05 or max(ends) > 1.05:
        return Row(tuple(map(_one_line, cells)))
    return Row(
        tuple(map(_one_line, cells)),
        *(_percent(number) for number in (score.value, score.low, score.high, score.chance)),
    )


def _over(columns: Sequence[str]) -> str:
    if len(columns) == 1:
        return columns[0]
    return f"all {len(columns)}" if columns else "whole code"


def _text(value: float | None) -> str:
    """Three decimals, fewer where the number is large, three digits where it is small."""
    if value is None:
        return ""
    if abs(value) < 1e-9:
        return "0.000"  # what is left of a rounding, and no negative zero
    if abs(value) < 0.01:
        return f"{value:#.3g}"
    return f"{value:.3f}" if abs(value) < 100 else f"{value:.0f}"


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _percent(value: float | None) -> float | None:
    return None if value is None else round(100 * min(max(value, 0.0), 1.0), 2)
