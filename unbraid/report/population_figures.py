"""The figures of a population: fitness, lineage and hyper-parameters over its generations."""

import math
import statistics
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import matplotlib
import numpy as np
from jaxtyping import Float64
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter

from unbraid.lineage import Line, alive
from unbraid.report.history import History, short
from unbraid.report.plots import STYLE, svg

_BEST, _MEDIAN, _WORST, _LOST = "#0072b2", "#3d3d3d", "#e69f00", "#d55e00"
_FAINT, _DARK = "#bfc3c8", "#6b7078"
_SPREAD = 5  # the greatest value over the least from which on an axis is logarithmic
_MOST_DOTS = 1000  # beyond, trainings are lines only: a page has to stay small

Height = Callable[[Line], float | None]


def fitness_figure(history: History) -> Markup | None:
    """Best, median and worst of each generation, and every training as a thin line from the one it goes on from."""
    found = {one: [line["fitness"] for line in alive(lines)] for one, lines in history.generations.items()}
    found = {one: values for one, values in found.items() if values}
    if not found:
        return None
    best, median, worst = (
        {one: rule(values) for one, values in found.items()} for rule in (max, statistics.median, min)
    )
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(5.2, 3.8))
        axes = figure.add_subplot()
        _thin(axes, history, lambda line: line["fitness"])
        for name, values, color, style in (
            ("best", best, _BEST, "-"),
            ("median", median, _MEDIAN, "--"),
            ("worst", worst, _WORST, ":"),
        ):
            axes.plot(
                *zip(*values.items()), style, color=color, marker=_mark(history), markersize=3.5, label=name, zorder=4
            )
        top = max(best, key=lambda one: best[one])
        axes.plot(top, best[top], "o", color=_BEST, markersize=9, markerfacecolor="none", zorder=5)
        if lost := [line["generation"] for line in history.lines if line["fitness"] is None]:
            axes.plot(lost, [min(worst.values())] * len(lost), "x", color=_LOST, label="diverged", zorder=5)
        _generations(axes)
        axes.set(ylabel=history.fitness)
        figure.legend(loc="outside lower center", ncols=4, handlelength=1.6, columnspacing=1.2)
        first, last = min(found), max(found)
        said = "; ".join(
            f"{name} {values[first]:.3f} in generation {first} and {values[last]:.3f} in {last}"
            for name, values in (("best", best), ("median", median), ("worst", worst))
        )
        return svg(figure, f"{history.fitness} over generations: {said}.", f"fitness {history.folder}")


def lineage_figure(history: History) -> Markup | None:
    """The tree of who goes on from whom, its ends named by members. None before there is a second generation."""
    if len(history.generations) < 2:
        return None
    spots = _tree(history)
    lasting = {id(line) for last in history.last for line in history.ancestry(last)}
    members = max(map(len, history.generations.values()))
    size = 3.5 if members <= 30 else 2.0
    with matplotlib.rc_context({**STYLE, "axes.grid": False}):
        figure = Figure(figsize=(5.2, min(8.0, max(3.8, 1.4 + 0.2 * members))))
        axes = figure.add_subplot()
        for color, kept, label in ((_FAINT, False, "died out"), (_DARK, True, "lasts to the end")):
            links = [(spots[id(a)], spots[id(b)]) for a, b in history.links if (id(b) in lasting) == kept]
            axes.plot(*_joined(links), color=color, linewidth=1.1, label=label)
            if len(history.lines) <= _MOST_DOTS:
                nodes = _columns(spots[id(line)] for line in alive(history.lines) if (id(line) in lasting) == kept)
                axes.plot(*nodes, "o", color=color, markersize=size, markeredgewidth=0)
        if chosen := history.winners:
            path = _columns(spots[id(line)] for line in chosen)
            axes.plot(
                *path,
                color=_BEST,
                marker=_mark(history),
                linewidth=2.6,
                markersize=size + 1.5,
                label="the best",
                zorder=4,
            )
        if lost := [spots[id(line)] for line in history.lines if line["fitness"] is None]:
            axes.plot(*_columns(lost), "x", color=_LOST, label="diverged", zorder=3)
        _generations(axes)
        _name_ends(axes, history, spots, members)
        figure.legend(loc="outside lower center", ncols=4, handlelength=1.6, columnspacing=1.2)
        copies = sum(line["donor"] is not None for line in history.lines)
        path_said = ", ".join(str(line["member"]) for line in chosen)
        alt = f"Lineage of {members} members, with {copies} copies. Along its ancestry the best was member {path_said}."
        return svg(figure, alt, f"lineage {history.folder}")


def _tree(history: History) -> dict[int, tuple[float, float]]:
    """Where each line (by its id) stands: in the generations' order from the root down, so that no branches cross."""
    heirs: dict[int, list[Line]] = {}
    for parent, line in history.links:
        heirs.setdefault(id(parent), []).append(line)
    ranks = dict.fromkeys(history.generations, 0)
    spots = {}
    left = [line for line in reversed(history.lines) if not line["parent"]]
    while left:
        line = left.pop()
        spots[id(line)] = (float(line["generation"]), float(ranks[line["generation"]]))
        ranks[line["generation"]] += 1
        left += sorted(heirs.get(id(line), []), key=lambda heir: heir["donor"] is None)  # its own goes on on top
    return spots


def _name_ends(axes: Axes, history: History, spots: dict[int, tuple[float, float]], members: int) -> None:
    """The members of the first generation to the left, those of the last to the right, if there is room."""
    axes.set_ylim(members - 0.5, -0.5)
    axes.set_ylabel("member")
    sides = (axes, axes.twinx())
    sides[1].set_ylim(axes.get_ylim())
    first, *_, last = history.generations.values()
    for side, lines in zip(sides, (first, last)):
        side.set_yticks([spots[id(line)][1] for line in lines], [str(line["member"]) for line in lines])
        side.tick_params("y", length=0, labelsize=9 if members <= 30 else 5.5)
    for side in sides:
        side.spines[["left", "right"]].set_visible(False)


def schedule_figures(history: History) -> list[Markup]:
    """Of each hyper-parameter, its values over the generations: of all members, and of the best's ancestry."""
    return [_schedule(history, name) for name in history.names] if history.winners else []


def _schedule(history: History, name: str) -> Markup:
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(5.2, 2.7))
        axes = figure.add_subplot()
        height = _height(axes, name, history.lines)
        _thin(axes, history, height)
        spots = [(line["generation"], height(line)) for line in history.winners]
        axes.plot(*_columns(spots), color=_BEST, marker=_mark(history), linewidth=2.4, markersize=4.5, zorder=4)
        _generations(axes)
        axes.set_title(name, loc="left", fontsize=11)
        values = ", ".join(short(line["hparams"].get(name)) for line in history.winners)
        alt = f"{name} of the best, from generation to generation: {values}."
        return svg(figure, alt, f"schedule {name} {history.folder}")


def _height(axes: Axes, name: str, lines: Sequence[Line]) -> Height:
    """Where a hyper-parameter of a line stands; the axis is made logarithmic, or one of words, as the values are."""
    values = [line["hparams"].get(name) for line in lines]
    if all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
        if min(values) > 0 and max(values) >= _SPREAD * min(values):
            axes.set_yscale("log")
            steps = (1,) if max(values) >= 100 * min(values) else (1, 2, 5)
            axes.yaxis.set_major_locator(LogLocator(subs=steps))
            axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")  # the default one writes in TeX
            axes.yaxis.set_minor_formatter(NullFormatter())
        return lambda line: float(line["hparams"][name])
    words = sorted(set(map(str, values)))
    axes.set_yticks(range(len(words)), words)
    return lambda line: float(words.index(str(line["hparams"].get(name))))


def _thin(axes: Axes, history: History, height: Height) -> None:
    """A faint line for each training from the one that it goes on from."""
    ends = [((a["generation"], height(a)), (b["generation"], height(b))) for a, b in history.links]
    axes.plot(*_joined(ends), color=_FAINT, linewidth=0.9, alpha=0.8)
    if len(history.lines) <= _MOST_DOTS:
        spots = [(line["generation"], height(line)) for line in history.lines]
        axes.plot(*_columns(spots), "o", color=_FAINT, markersize=2.5, markeredgewidth=0)


def _mark(history: History) -> str:
    """Of each generation, unless there are too many."""
    return "o" if len(history.generations) <= 40 else ""


def _joined(links: Iterable[tuple[Any, Any]]) -> Float64[np.ndarray, "2 n"]:
    """Many lines as one with gaps, which draws quickly and takes little of a page."""
    return _columns(spot for link in links for spot in (*link, (math.nan, math.nan)))


def _columns(spots: Iterable[tuple[Any, Any]]) -> Float64[np.ndarray, "2 n"]:
    """None becomes NaN, a gap."""
    return np.array(list(spots), dtype=np.float64).reshape(-1, 2).T


def _generations(axes: Axes) -> None:
    axes.set_xlabel("generation")
    low, high = axes.get_xlim()
    if high - low < 1:  # a single generation
        axes.set_xlim(low - 0.5, high + 0.5)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
