"""Scores of many runs: mean and standard error over seeds, the intervals they allow us to compare, and Markdown.

An interval here is the span of the seeds' own 95 % intervals: from the lowest lower end to the highest upper end.
Two methods are called apart only where these spans do not touch.
"""

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from unbraid.records import Record

KEYS = ["data", "method", "metric", "column", "variant"]
CONTROL = "shuffled labels"  # a variant that ends so should score chance; it ranks nobody
UNDEFINED = "not defined"
TITLES = {"leakage": "Leakage of {}", "informativeness": "Content: {}", "retrieval": "Retrieval: {}"}

CENTRAL = {*TITLES, "selected-accuracy"}

Point = dict[str, float]  # leakage and content, each also with _low, _high and _chance


@dataclass(frozen=True, kw_only=True)
class Cell:
    """What a table shows of one score, as text; ``best`` where no other interval reaches it."""

    value: str = ""
    spread: str = ""  # standard error of several seeds, or the interval of one
    best: bool = False

    def __str__(self) -> str:
        return f"{f'**{self.value}**' if self.best else self.value} {self.spread}".strip()


@dataclass(frozen=True, kw_only=True)
class Table:
    """Methods by scores, on one data set."""

    data: str
    metric: str
    title: str
    columns: list[str]
    better: list[str]  # per column "higher" or "lower"; "" for a control
    rows: dict[str, list[Cell]]  # method -> cells
    chance: list[str]
    notes: list[str]

    @property
    def is_central(self) -> bool:
        """What a page shows at once; the rest it shows when asked."""
        return self.metric in CENTRAL and not self.is_control

    @property
    def is_control(self) -> bool:
        return not any(self.better)


@dataclass(frozen=True, kw_only=True)
class Tradeoff:
    """Leakage against content on one data set."""

    data: str
    domain: str
    probe: str  # of the leakage
    content_probe: str
    factors: list[str]  # what content is the mean over
    seeds: dict[str, list[Point]]  # method -> one point per seed
    methods: dict[str, Point]  # method -> mean over seeds, span of the intervals; least leakage first

    @property
    def plotted(self) -> dict[str, Point]:
        """The methods that have both coordinates."""
        return {name: point for name, point in self.methods.items() if not np.isnan(point["content"])}


def score_rows(records: Iterable[Record]) -> pd.DataFrame:
    """One row per score. Of scores with the same data, method, seed and meaning the last one counts."""
    names = [field.name for field in dataclasses.fields(Record)]
    rows = pd.DataFrame([dataclasses.asdict(record) for record in records], columns=names)
    rows = rows.astype(dict.fromkeys(["value", "low", "high", "chance"], float))
    defined = rows["value"].notna()  # a value without an interval may lie anywhere
    rows.loc[defined, "low"] = rows.loc[defined, "low"].fillna(-np.inf)
    rows.loc[defined, "high"] = rows.loc[defined, "high"].fillna(np.inf)
    return rows.drop_duplicates([*KEYS, "seed"], keep="last", ignore_index=True)


def means(rows: pd.DataFrame) -> pd.DataFrame:
    """Scores over seeds, one row per data, method, metric, column and variant.

    Returns:
        Columns ``mean``, ``error`` (standard error, NaN for one seed), ``low``, ``high``, ``chance``, ``num_seeds``,
        ``higher_is_better`` and ``note``.
    """
    return (
        rows.groupby(KEYS, sort=False)
        .agg(
            mean=("value", "mean"),
            error=("value", "sem"),
            low=("low", "min"),
            high=("high", "max"),
            chance=("chance", "mean"),
            num_seeds=("value", "count"),
            higher_is_better=("higher_is_better", "first"),
            note=("note", lambda notes: "; ".join(dict.fromkeys(note for note in notes if note))),
        )
        .reset_index()
    )


def tables(rows: pd.DataFrame) -> list[Table]:
    """Every score of ``rows``, per data set: leakage, content, retrieval, then whatever else was measured."""
    found = []
    for data in rows["data"].unique():
        here = means(rows[rows["data"] == data])
        order = _method_order(rows, data)
        metrics = list(here["metric"].unique())
        for metric in sorted(metrics, key=lambda name: [*TITLES, *metrics].index(name)):
            for part, group in _parts(here[here["metric"] == metric], metric):
                title = TITLES.get(metric, f"{metric}: {{}}").format(part).removesuffix(": ")
                whole = "all" if metric == "retrieval" else metric  # a score of the whole code has no column
                scores = group.assign(header=group["header"].replace("", whole)).to_dict("records")
                found.append(_table(data, metric, title, scores, order))
    return found


def _parts(rows: pd.DataFrame, metric: str) -> Iterator[tuple[str, pd.DataFrame]]:
    """The rows of each table of a metric, with what heads their columns.

    Content and retrieval have a table per probe or gallery and a column per factor; the accuracies that a rule of
    selection chose have a table per accuracy and a column per rule; every other metric has one table per label column.
    """
    split, header = rows["column"], rows["variant"]
    if metric in ("informativeness", "retrieval"):
        split, header = header, split
    elif metric == "selected-accuracy":
        words = rows["variant"].str.split(", ", n=1)
        split, header = words.str[0], words.str[1]
    parts = list(rows.assign(header=header).groupby(split, sort=False))
    for part, group in sorted(parts, key=lambda one: one[0] != ""):  # what is said of the whole code first
        yield str(part), group


def _method_order(rows: pd.DataFrame, data: str) -> list[str]:
    found = tradeoff(rows, data)
    return list(dict.fromkeys([*(found.methods if found else ()), *rows.loc[rows["data"] == data, "method"]]))


def _table(data: str, metric: str, title: str, scores: Sequence[Mapping[Any, Any]], order: Sequence[str]) -> Table:
    methods = {score["method"] for score in scores}
    cells: dict[str, list[Cell]] = {name: [] for name in order if name in methods}
    headers = sorted(dict.fromkeys(score["header"] for score in scores), key=lambda name: name.endswith(CONTROL))
    better, chance = [], []
    for header in headers:
        column = {score["method"]: score for score in scores if score["header"] == header}
        control = any(score["variant"].endswith(CONTROL) for score in column.values())
        best = None if control else clear_best(list(column.values()))
        for name, row in cells.items():
            row.append(cell(column[name], best=name == best) if name in column else Cell())
        higher = next(iter(column.values()))["higher_is_better"]
        better.append("" if control else "higher" if higher else "lower")
        known = [score["chance"] for score in column.values() if not np.isnan(score["chance"])]
        chance.append(number(float(np.mean(known))) if known else "")
    return Table(
        data=data,
        metric=metric,
        title=title,
        columns=headers,
        better=better,
        rows=cells,
        chance=chance,
        notes=_notes(scores),
    )


def clear_best(scores: Sequence[Mapping[Any, Any]]) -> str | None:
    """The method whose interval lies on the better side of every other's, if there is one.

    Args:
        scores: Rows of ``means`` about one thing, one per method.
    """
    scores = [score for score in scores if not np.isnan(score["mean"])]
    if len(scores) < 2:
        return None
    higher = scores[0]["higher_is_better"]
    best = (max if higher else min)(scores, key=lambda score: score["mean"])
    others = [score for score in scores if score is not best]
    apart = all(best["low"] > score["high"] if higher else best["high"] < score["low"] for score in others)
    return str(best["method"]) if apart else None


def cell(score: Mapping[Any, Any], *, best: bool = False) -> Cell:
    """A row of ``means``: with its standard error over seeds, or with the interval of one seed."""
    if np.isnan(score["mean"]):
        return Cell(value=UNDEFINED)
    spread = f"\u00b1 {score['error']:.3f}" if score["num_seeds"] > 1 else interval(score["low"], score["high"])
    return Cell(value=number(score["mean"]), spread=spread, best=best)


def _notes(scores: Sequence[Mapping[Any, Any]]) -> list[str]:
    """Each reason once, with the columns and methods that it is about where a score is not defined."""
    undefined: dict[tuple[str, str], list[str]] = {}
    scores = [score for score in scores if score["metric"] != "selected-accuracy"]  # its notes stand in the headline
    for score in scores:
        if np.isnan(score["mean"]):
            reason = score["note"] or "no reason was recorded"
            undefined.setdefault((score["header"], reason), []).append(score["method"])
    said = dict.fromkeys(
        f"{score['header']}: {score['note']}" for score in scores if score["note"] and not np.isnan(score["mean"])
    )
    return [f"{header} is {UNDEFINED} for {_list(who)}: {why}" for (header, why), who in undefined.items()] + [*said]


def number(value: float) -> str:
    """Three decimals, and no minus before a zero."""
    text = f"{value:.3f}"
    return text.removeprefix("-") if float(text) == 0 else text


def interval(low: float, high: float) -> str:
    """``[0.312, 0.348]``, or a word where there is none."""
    return f"[{number(low)}, {number(high)}]" if np.isfinite([low, high]).all() else "[no interval]"


def markdown(tables: Iterable[Table]) -> str:
    """The tables as GitHub Markdown, one heading each; the numbers are those of the page."""
    parts = []
    for table in tables:
        heads = [f"{name} ({way})" if way else name for name, way in zip(table.columns, table.better)]
        lines = [[name, *map(str, cells)] for name, cells in table.rows.items()]
        lines += [["chance", *table.chance]] if any(table.chance) else []
        notes = "".join(f"\n{note}.\n" for note in table.notes)
        parts.append(f"### {table.data}: {table.title}\n\n{markdown_table(['method', *heads], lines)}{notes}")
    return "\n".join(parts)


def markdown_table(
    headers: Sequence[str], rows: Iterable[Sequence[str]], to_right: Sequence[bool] | None = None
) -> str:
    """A GitHub Markdown table; columns to the right as asked, or all but the first."""
    to_right = [False] + [True] * (len(headers) - 1) if to_right is None else to_right
    lines = [headers, ["---:" if right else "---" for right in to_right], *rows]
    return "".join("| " + " | ".join(text.replace("|", "\\|") for text in line) + " |\n" for line in lines)


def tradeoff(rows: pd.DataFrame, data: str) -> Tradeoff | None:
    """Leakage by the probe that reads most of the domain, and mean content by the probe that reads most of that.

    Returns:
        None if no leakage is defined for this data set.
    """
    rows = rows[(rows["data"] == data) & rows["value"].notna() & ~rows["variant"].str.endswith(CONTROL)]
    leakage = rows[rows["metric"] == "leakage"]
    if leakage.empty:
        return None
    probe = _widest(leakage)
    leakage = leakage[leakage["variant"] == probe]
    domain = str(leakage["column"].iloc[0])
    leakage = leakage[leakage["column"] == domain]
    content = rows[(rows["metric"] == "informativeness") & rows["higher_is_better"] & (rows["column"] != domain)]
    regressed = content["variant"].str.contains("R2")  # another scale than accuracy: only where there is nothing else
    content = content if regressed.all() else content[~regressed]
    content_probe = _widest(content)
    content = content[content["variant"] == content_probe]
    runs = content.groupby("column", sort=False)["run"].nunique()
    factors = [str(name) for name in runs.index[runs == runs.max()]]  # one mean for all: the factors everybody has
    seeds = _by_seed(leakage, "leakage").join(_by_seed(content[content["column"].isin(factors)], "content"))
    ends = {
        name: "min" if name.endswith("_low") else "max" if name.endswith("_high") else "mean"
        for name in map(str, seeds)
    }
    methods = seeds.groupby("method").agg(ends).sort_values("leakage")
    return Tradeoff(
        data=data,
        domain=domain,
        probe=probe,
        content_probe=content_probe,
        factors=factors,
        seeds={str(name): _points(seeds.loc[[name]]) for name in methods.index},
        methods=dict(zip(map(str, methods.index), _points(methods))),
    )


def _points(frame: pd.DataFrame) -> list[Point]:
    return [{str(name): float(value) for name, value in row.items()} for row in frame.to_dict("records")]


def _widest(scores: pd.DataFrame) -> str:
    """The variant that most methods have; of several, the one that reads most: any probe is only a lower bound."""
    if scores.empty:
        return ""
    stats = scores.groupby("variant").agg(methods=("method", "nunique"), value=("value", "mean"))
    return str(stats.sort_values(["methods", "value"]).index[-1])


def _by_seed(scores: pd.DataFrame, name: str) -> pd.DataFrame:
    columns = {"value": name, "low": f"{name}_low", "high": f"{name}_high", "chance": f"{name}_chance"}
    return scores.groupby(["method", "seed"])[list(columns)].mean().rename(columns=columns)


def sentences(found: Tradeoff) -> list[str]:
    """The comparison in words. Says "least" and "more" only where intervals are apart."""
    name, *rest = found.methods
    own = found.methods[name]
    tied = [other for other in rest if _touch(own, found.methods[other], "leakage")]
    apart = [other for other in rest if other not in tied]
    rank = "is the only method scored" if not rest else "has the lowest measured leakage" if tied else "leaks least"
    text = f"{name} {rank}: a {found.probe} probe predicts {found.domain} from its code at {_span(own, 'leakage')}"
    lines = [f"{text}{_against_chance(own, 'leakage')}."]
    if tied:
        lines.append(f"That interval overlaps {_whose(tied)}: these runs do not tell them apart.")
    if apart:
        lines.append(f"{_list(apart)} {'leaks' if len(apart) == 1 else 'leak'} more, beyond the intervals.")
    return [*lines, *_content_sentences(found, name), _seed_sentence(found)]


def _content_sentences(found: Tradeoff, name: str) -> list[str]:
    if name not in found.plotted:
        return [f"The content of {name} was not scored, so its low leakage may be that of an empty code."]
    own = found.plotted[name]
    text = f"{name} keeps content of {_span(own, 'content')} (mean over {_list(found.factors)})"
    lines = [f"{text}{_against_chance(own, 'content')}."]
    if own["content_low"] <= own["content_chance"]:
        lines.append("Such a code may be empty, and then its low leakage is no achievement.")
    most, *others = sorted(found.plotted, key=lambda other: -found.plotted[other]["content"])
    if most != name:
        touch = _touch(own, found.plotted[most], "content")
        verdict = f"whose interval overlaps that of {name}" if touch else f"beyond the interval of {name}"
        lines.append(
            f"The highest measured content is that of {most}, {_span(found.plotted[most], 'content')}, {verdict}."
        )
    elif others:
        tied = [other for other in others if _touch(own, found.plotted[other], "content")]
        overlap = f"its interval overlaps {_whose(tied)}" if tied else "beyond the intervals of all others"
        lines.append(f"That is the highest measured content; {overlap}.")
    return lines


def _seed_sentence(found: Tradeoff) -> str:
    fewest, most = min(map(len, found.seeds.values())), max(map(len, found.seeds.values()))
    if most == 1:
        return "One seed per method: intervals cover the choice of test images, not the luck of training."
    count = str(most) if fewest == most else f"{fewest} to {most}"
    return f"Means over {count} seeds; an interval spans the 95 % intervals of all seeds of its method."


def _touch(one: Point, other: Point, name: str) -> bool:
    return one[f"{name}_low"] <= other[f"{name}_high"] and other[f"{name}_low"] <= one[f"{name}_high"]


def _span(row: Point, name: str) -> str:
    return f"{row[name]:.3f} {interval(row[f'{name}_low'], row[f'{name}_high'])}"


def _against_chance(row: Point, name: str) -> str:
    chance, low, high = row[f"{name}_chance"], row[f"{name}_low"], row[f"{name}_high"]
    if np.isnan(chance):
        return ""
    if low > chance:
        return f", above chance ({chance:.3f})"
    if high < chance:
        return f", below chance ({chance:.3f}), which speaks against the probe or the split rather than for the code"
    return f", not told apart from chance ({chance:.3f})"


def _whose(names: Sequence[str]) -> str:
    return f"{'that' if len(names) == 1 else 'those'} of {_list(names)}"


def _list(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
