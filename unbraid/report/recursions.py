"""What a page shows of a recursion: images left and factors learned, step by step, and each of its populations."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from unbraid.records import best_run, populations_of, read_json
from unbraid.report.history import History, open_history
from unbraid.report.populations import PopulationView, Repeat, population_view, repeat
from unbraid.report.runs import read_arrays, read_mapping
from unbraid.report.tables import number

HEADERS = ["network", "images", "generations", "best UDR", "factors learned"]


@dataclass(frozen=True)
class Step:
    """A network, the images it was to learn from, and what it learned."""

    name: str
    images: str
    history: History | None  # of its population; None if there was none
    factors: int
    note: str = ""  # why there are none, or what became of them

    @property
    def cells(self) -> list[str]:
        history = self.history
        best = number(history.best["fitness"]) if history and history.best else ""
        learned = ", ".join(filter(None, [str(self.factors) if self.factors or not self.note else "", self.note]))
        return [self.name, self.images, str(len(history.generations)) if history else "", best, learned]


@dataclass(frozen=True)
class Recursion:
    """A recursion as its files tell it, ended or not."""

    config: Mapping[str, Any]
    seed: int
    steps: list[Step]
    endings: list[str]  # why each leaf run ended
    histories: Mapping[str, History]  # of each population, by its place
    has_ended: bool

    @property
    def sentences(self) -> list[str]:
        first, *later = self.steps
        said = ["The first population is under way."]
        if first.history and first.history.reason == "worthless":
            said = ["The networks of no member of the first population agree, so nothing was learned."]
        elif first.images:
            said = [f"The first network learned {_factors(first.factors)} from {first.images} images."]
        if self.endings:
            runs = "a leaf run" if len(self.endings) == 1 else f"{len(self.endings)} leaf runs"
            said.append(f"In parts of these images {runs} learned {sum(step.factors for step in later)} more.")
        if "final" in self.histories and (best := self.histories["final"].best) is not None:
            gap = number(best["fitness"])
            said.append(f"The best of the last population has a MIG of {gap}, with surrogate labels for the true ones.")
        return [*said, *self.endings, *([] if self.has_ended else ["It has not ended."])]


@dataclass(frozen=True, kw_only=True)
class RecursionView:
    """Everything the page shows of one recursion."""

    title: str
    sentences: list[str]
    headers: list[str]
    rows: list[list[str]]
    populations: list[PopulationView]
    best: str  # the folder of its model; empty if the recursion has not ended
    repeat: Repeat


def recursion_view(folder: Path) -> RecursionView:
    """Raises: UserError if a file is damaged."""
    found, model = open_recursion(folder), best_run(folder)
    run = model.path if model else folder / "x/generations/000/000"
    return RecursionView(
        title=folder.name,
        sentences=found.sentences,
        headers=HEADERS,
        rows=[step.cells for step in found.steps],
        populations=[population_view(folder / place, name_of(place)) for place in found.histories],
        best=str(model.path) if model else "",
        repeat=repeat(folder, found.config, found.seed, run),
    )


def open_recursion(folder: Path) -> Recursion:
    """Raises: UserError if a file is damaged."""
    histories = {path.relative_to(folder).as_posix(): open_history(path) for path in populations_of(folder)}
    images, factors = _learned(folder / "leaf-0", 0)
    steps, endings = [Step(name_of("x"), images, histories.get("x"), factors)], []
    for choice, leaf in enumerate(sorted(folder.glob("leaf-*"), key=lambda path: (len(path.name), path.name))):
        file = leaf / "leaf.json"
        written = read_json(file, _whole) if file.is_file() else None
        steps += _reductions(leaf, written, histories)
        endings.append(f"Leaf run {choice} {'ended: ' + written['reason'] if written else 'has not ended'}.")
    file, ended = folder / "recursion.json", best_run(folder) is not None
    seed = int(read_json(file, lambda config: config["member"]["settings"]["seed"]))
    return Recursion(read_mapping(file), seed, steps, endings, histories, ended)


def _whole(leaf: Mapping[str, Any]) -> dict[str, Any]:
    return {name: leaf[name] for name in ("reason", "sizes", "models")}


def _reductions(leaf: Path, written: Mapping[str, Any] | None, histories: Mapping[str, History]) -> list[Step]:
    rows = sorted(leaf.glob("rows-*.npy"), key=lambda path: (len(path.name), path.name))
    sizes: Sequence[int | str] = written["sizes"] if written else [len(np.load(path, mmap_mode="r")) for path in rows]
    steps = []
    for place, size in enumerate(sizes):
        history = histories.get(f"{leaf.name}/{place}")
        _, factors = _learned(leaf, place + 1)
        if history is None:
            note = "too few images to learn from"
        elif history.reason == "worthless":
            note = "hardly any networks agree"
        elif not history.reason:
            note = "under way"
        else:
            dropped = written and factors and f"{leaf.name}/{place}-model" not in written["models"]
            note = "left out: the data could not be reduced by them" if dropped else ""
        steps.append(Step(name_of(f"{leaf.name}/{place}"), str(size), history, factors, note))
    return steps


def name_of(place: str) -> str:
    """What a population of a recursion is called, by its place in the folder."""
    leaf, _, reduction = place.removeprefix("leaf-").partition("/")
    return f"leaf run {leaf}, reduction {int(reduction) + 1}" if reduction else {"x": "x-run"}.get(place, place)


def _learned(leaf: Path, reductions: int) -> tuple[str, int]:
    """The images of the network after so many reductions, and how many factors it learned."""
    arrays = read_arrays(leaf / f"labels-{reductions}.npz")
    return (str(len(arrays["values"])), len(arrays["dimensions"])) if arrays else ("", 0)


def _factors(num: int) -> str:
    return f"{num} factor{'s' if num != 1 else ''}"
