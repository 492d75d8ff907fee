"""rPU-VAE: the whole recursion, from images without labels to a model trained for surrogate labels.

A population finds some factors by agreement alone (the x-run). Leaf runs fix these factors, each at other values, and
new populations look for further ones in the images that are left, until nothing is left to find. What all of them have
found becomes surrogate labels, and the last population is judged by these.

Everything is a file below one folder, written whole: whatever is killed, the same call goes on to the same result.

    recursion.json            what was asked
    x/, x-model/              the first population and its best network
    leaf-C/labels-T.npz       surrogate labels of the rows that are left, in leaf run C after T reductions
    leaf-C/rows-T.npy         rows of the next reduction; T/ and T-model/ are its population and best network
    leaf-C/bundle.npz, leaf.json    all labels of a leaf run, and how it ended
    merged.npz                (fixed) the labels of all leaf runs as one
    final/, model/            the last population; its best run, with scores

Source
    Estermann, Marks & Yanik 2020, arXiv:2010.13527, and the behaviour of its published code.
Differences
    1. The published pipeline is started by hand, run by run; one call does it here.
    2. ``fidelity="published"`` takes the median over leaf runs that are not aligned, drops the labels of a leaf run's
       last network if the data could not be reduced by them, cuts intervals off by one and takes for the KL what is
       none. ``"fixed"`` merges aligned labels and keeps them all, with exact intervals and the KL.
    3. A leaf run whose first reduction fails is left out; if that is so for all, the labels of the first network serve
       alone. The published code crashes.
    4. A population ends once the best of a generation is below 0.1. The best that it ever had is kept, as published;
       in a leaf run ``"published"`` drops it and ends the run, ``"fixed"`` labels by it and goes on.
    5. A leaf run ends with fewer than 40 images, on which nothing can be compared. The published code trains on 10.
"""

import os
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float64, Int64

from unbraid.atomic import atomic_file
from unbraid.data.splits import TRAIN
from unbraid.encoder import build, load, load_data
from unbraid.errors import UserError
from unbraid.evaluation import evaluate
from unbraid.population.config import PopulationConfig
from unbraid.population.engine import Population, checked, of_a_beginning, run_population
from unbraid.population.executors import Executor
from unbraid.population.exports import export_agreed, export_network
from unbraid.population.fitness import LEAST_UDR_ROWS, Agreement, check_width, fitness_of
from unbraid.population.intervals import reduce
from unbraid.population.merging import merge
from unbraid.population.pbt import is_worthless
from unbraid.population.posteriors import posterior
from unbraid.population.recursion import RecursionConfig
from unbraid.population.surrogate import Block, Bundle, Labels, surrogate_labels
from unbraid.records import RunDir, read_json, write_json
from unbraid.tables import Dataset

SCORES = ("mig", "nmig", "dci", "sap")
_MOST_SHARED = 2000  # rows on which the labels of leaf runs are compared

Rows = Int64[np.ndarray, " _"]
Shown = Callable[[PopulationConfig, Path], AbstractContextManager[None]]


@dataclass(frozen=True)
class Step:
    """Rows, labelled by the network that was learned from them."""

    rows: Rows
    labels: Labels
    model: Path


@dataclass(frozen=True, kw_only=True)
class Leaf:
    """A finished leaf run."""

    folder: Path
    steps: tuple[Step, ...]
    sizes: tuple[int, ...]  # rows after each reduction
    reason: str  # why it ended

    @property
    def bundle(self) -> Bundle:
        return Bundle(tuple(Block(step.rows, step.labels.values) for step in self.steps))


@dataclass(frozen=True, kw_only=True)
class Recursion:
    """A finished recursion."""

    folder: Path
    model: RunDir
    leaves: tuple[Leaf, ...]
    fitness: float  # of the model, against surrogate labels


def run_rpu(
    config: RecursionConfig, folder: os.PathLike[str] | str, executor: Executor, shown: Shown | None = None
) -> Recursion:
    """The whole recursion; one that was stopped goes on, one that is done is returned.

    Args:
        shown: Entered around each population, to show how it gets on.

    Raises:
        UserError: If ``folder`` holds another recursion, the member cannot be trained or judged so, or the first
            population finds no factor.
        OSError: If the disk is full; the same call goes on.
    """
    place = Path(folder).resolve()
    if not _begun(config, place):
        _check(config)
        write_json(place / "recursion.json", config.to_dict())
    work = _Work(config, place, load_data(config.member), executor, shown)
    first = work.learn(place / "x", None, "x")
    if first is None:
        raise UserError("the networks of no member agree (UDR below 0.1); train longer, or with more members")
    leaves = tuple(work.leaf(choice, first) for choice in range(config.recursion.leaf_runs))
    population = work.population(config.final(work.bundles(leaves)), place / "final")
    model = export_network(population.best, place / "model")
    if not model.is_done():
        evaluate(model, config.member.settings.metrics or SCORES, dataset=work.dataset)
        model.done.touch()
    return Recursion(folder=place, model=model, leaves=leaves, fitness=population.fitness)


def _check(config: RecursionConfig) -> None:
    """Raises: UserError if the first population or the last could not be trained or judged."""
    checked(config.unsupervised(None, "x"))
    final, spec = config.final([]).member, load_data(config.member).spec
    check_width(build(final, spec), spec)


def _begun(config: RecursionConfig, place: Path) -> bool:
    written = place / "recursion.json"
    if written.is_file():
        if names := config.differences(read_json(written, RecursionConfig.from_dict)):
            raise UserError(
                f"{place} holds a recursion that differs in {', '.join(names)}; choose another --out, or delete it"
            )
        return True
    if place.exists() and not (place.is_dir() and all(map(of_a_beginning, place.iterdir()))):
        raise UserError(f"{place} is in use and holds no recursion; choose another --out")
    return False


@dataclass(frozen=True)
class _Work:
    """A recursion that is under way. Row numbers are those of ``dataset``."""

    config: RecursionConfig
    place: Path
    dataset: Dataset
    executor: Executor
    shown: Shown | None

    def population(self, config: PopulationConfig, folder: Path) -> Population:
        with self.shown(config, folder) if self.shown else nullcontext():
            return run_population(config, folder, self.executor)

    def learn(self, folder: Path, rows: Rows | None, *name: str | int) -> RunDir | None:
        """The network that agrees most with the others of the best member; None if hardly any does."""
        given = self.config.member.options.rows
        seen = self.dataset if rows is None else self.dataset.take(rows)
        if rows is not None:
            whole = rows if given is None else np.load(given, allow_pickle=False)[rows]
            given = str(folder.parent / f"rows-{folder.name}.npy")
            with atomic_file(Path(given)) as temporary, temporary.open("wb") as file:
                np.save(file, whole)
        population = self.population(self.config.unsupervised(given, *name), folder)
        dropped = population.reason == "worthless" and rows is not None
        if is_worthless(population.fitness) or (dropped and self.config.settings.fidelity == "published"):
            return None
        agreement = fitness_of(self.config.unsupervised(given, *name))
        assert isinstance(agreement, Agreement)
        return export_agreed(population.best, folder.with_name(f"{folder.name}-model"), agreement, seen)

    def leaf(self, choice: int, first: RunDir) -> Leaf:
        """Label, reduce and learn, again and again."""
        folder, options = self.place / f"leaf-{choice}", self.config.recursion
        if (folder / "leaf.json").is_file():
            return _read_leaf(folder)
        model: RunDir | None = first
        rows, steps, sizes = np.arange(len(self.dataset)), list[Step](), list[int]()
        reason = "hardly any networks agree on what is left"
        while model is not None:
            steps.append(Step(rows, self._labels(folder / f"labels-{len(sizes)}.npz", model, rows), model.path))
            if options.depth and len(sizes) == options.depth:
                reason = f"{options.depth} reduction(s), as asked"
                break
            found = reduce(
                steps[-1].labels.values,
                choice=choice,
                first=not sizes,
                side_cutoff=options.side_cutoff,
                fidelity=self.config.settings.fidelity,
            )
            if found.rows is None:
                reason = found.reason
                if sizes and self.config.settings.fidelity == "published":
                    steps.pop()
                break
            rows = rows[found.rows]
            place = folder / str(len(sizes))
            sizes.append(len(rows))
            if len(rows) < LEAST_UDR_ROWS:
                reason = f"{len(rows)} images are left, and networks are compared on {LEAST_UDR_ROWS} at least"
                break
            if np.sum(self.dataset.split[rows] == TRAIN) < 2:
                reason = f"of the {len(rows)} images that are left, fewer than 2 are of the train split"
                break
            model = self.learn(place, rows, "leaf", choice, len(sizes))
        learned = tuple(step for step in steps if len(step.labels.dimensions))
        leaf = Leaf(folder=folder, steps=learned, sizes=tuple(sizes), reason=reason)
        _write_leaf(leaf)
        return leaf

    def _labels(self, path: Path, model: RunDir, rows: Rows) -> Labels:
        if not path.is_file():
            whole = len(rows) == len(self.dataset)
            first = self.place / "leaf-0" / path.name
            if whole and first.is_file():  # all leaf runs begin with the same labels
                Labels.load(first).save(path)
            else:
                images = self.dataset.images if whole else self.dataset.images[rows]
                surrogate_labels(load(model.path).method, images, self.config.settings.fidelity).save(path)
        return Labels.load(path)

    def bundles(self, leaves: Sequence[Leaf]) -> list[str]:
        """The files of labels that the last population is judged by.

        Raises:
            UserError: If not a single factor was learned.
        """
        used = [leaf for leaf in leaves if leaf.sizes] or leaves[:1]
        if not used[0].steps:
            raise UserError("the first network has learned no factor (no dimension above 1 nat); train longer")
        if self.config.settings.fidelity == "published" or len(used) == 1:
            return [str(leaf.folder / "bundle.npz") for leaf in used]
        path = self.place / "merged.npz"
        if not path.is_file():
            shared = self._shared(used)
            merge([leaf.bundle for leaf in used], [self._labels_of(leaf, shared) for leaf in used]).save(path)
        return [str(path)]

    def _shared(self, leaves: Sequence[Leaf]) -> Rows:
        """Rows that some leaf run has learned from after the first reduction; all, if none has."""
        rows = [leaf.steps[1].rows for leaf in leaves if len(leaf.steps) > 1]
        union = np.unique(np.concatenate(rows)) if rows else np.arange(len(self.dataset))
        random = np.random.RandomState(self.config.recursion.score_seed)
        return np.sort(random.permutation(union)[:_MOST_SHARED])

    def _labels_of(self, leaf: Leaf, rows: Rows) -> Float64[np.ndarray, "n a"]:
        """Side by side, of every network of a leaf run, also on rows that it was not trained on."""
        images = self.dataset.images[rows]
        means = [posterior(load(step.model).method, images)[0][:, step.labels.dimensions] for step in leaf.steps]
        return np.concatenate(means, axis=1).astype(np.float64)


def _write_leaf(leaf: Leaf) -> None:
    leaf.bundle.save(leaf.folder / "bundle.npz")
    models = [str(step.model.relative_to(leaf.folder.parent)) for step in leaf.steps]
    dimensions = [step.labels.dimensions.tolist() for step in leaf.steps]
    write_json(
        leaf.folder / "leaf.json",
        {"reason": leaf.reason, "sizes": list(leaf.sizes), "models": models, "dimensions": dimensions},
    )


def _read_leaf(folder: Path) -> Leaf:
    def make(values: Any) -> Leaf:
        blocks = Bundle.load(folder / "bundle.npz").blocks if values["models"] else ()  # no factor was learned
        parts = zip(blocks, values["dimensions"], values["models"], strict=True)
        steps = [
            Step(block.rows, Labels(values=block.labels, dimensions=np.array(which)), folder.parent / model)
            for block, which, model in parts
        ]
        return Leaf(folder=folder, steps=tuple(steps), sizes=tuple(values["sizes"]), reason=values["reason"])

    leaf: Leaf = read_json(folder / "leaf.json", make)
    return leaf
