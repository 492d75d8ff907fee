"""What selects in a population: agreement without labels, scores of some labelled images, scores of the library.

A fitness is a number of one trained run, the higher the better. Which images it looks at is decided by its own seed, so
that all members and generations are judged by the same ones, and only these are encoded. Labels are read from the train
split only: scores of the test rows stay honest. For MIG and UDR a code that is not finite counts as one that is the
same everywhere, and gets 0; for other scores its member has diverged.

Source
    Estermann, Marks & Yanik 2020, arXiv:2010.13527, and the behaviour of its published code.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, Float32, Int64

from unbraid.atomic import atomic_file
from unbraid.encode import encode_pixels
from unbraid.encoder import Encoder
from unbraid.errors import DataError, UserError, did_you_mean
from unbraid.hparams import hp, parse
from unbraid.metrics.dci import completeness, disentanglement
from unbraid.metrics.importance import Learn, boosting, trees
from unbraid.metrics.information import bin_codes, information_gap, information_matrix
from unbraid.metrics.udr import CEILING, UDR, gaussian_kl, surrogate_kl, udr
from unbraid.population.config import PopulationConfig
from unbraid.population.intervals import Fidelity
from unbraid.population.library_scores import LibraryScore, library_names
from unbraid.population.posteriors import check_several, posteriors
from unbraid.population.surrogate import Bundle, draw, leaf_mig
from unbraid.records import RunDir
from unbraid.seeds import MOST_SEED, stream
from unbraid.tables import Dataset, DataSpec
from unbraid.types import Method

_UDR_BATCH = 10  # images, over which the published KL is averaged
LEAST_UDR_ROWS = 40


@runtime_checkable
class Fitness(Protocol):
    def check(self, method: Method, spec: DataSpec) -> None:
        """Raises: UserError if this method, on these data, cannot be judged so; asked before anything is trained."""

    def __call__(self, run: RunDir, encoder: Encoder, dataset: Dataset) -> float:
        """The fitness of a trained run."""


def find_fitness(name: str, **options: Any) -> Fitness:
    """The fitness of that name: a row of ``FITNESS``, a score of the library, "content", "leakage", or ``a_minus_b``.

    Raises:
        UserError: On an unknown name or option, with the nearest, or a value of the wrong type.
    """
    if name in FITNESS:
        kind, fixed = FITNESS[name]
        made: Fitness = parse(kind, {**fixed, **options}, owner=f"fitness {name}")
        return made
    parts = [part.replace("_", "-") for part in name.split("_minus_")]
    known = library_names()
    if len(parts) > 2 or not set(parts) <= set(known):
        raise UserError(f"unknown fitness {name!r}.{did_you_mean(name, {*FITNESS, *known, 'content_minus_leakage'})}")
    score: Fitness = parse(LibraryScore, {"names": parts, **options}, owner=f"fitness {name}")
    return score


def fitness_of(population: PopulationConfig) -> Fitness:
    """What judges its members: of the population's fidelity, unless the options of the fitness name another."""
    name, options = population.settings.fitness, dict(population.fitness_options)
    if name in FITNESS and "fidelity" in {field.name for field in fields(FITNESS[name][0])}:
        options.setdefault("fidelity", population.settings.fidelity)
    return find_fitness(name, **options)


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """UDR: the mean, over the networks of a member, of how far the others found the same dimensions."""

    seed: int = hp(0, most=MOST_SEED, doc="draws the images")
    num_points: int = hp(1000, least=LEAST_UDR_ROWS, doc="images that are encoded")
    threshold: float = hp(0.01, doc="KL in nats above which a dimension counts")
    fidelity: Fidelity = hp("published", doc="published: what the paper's code takes for the KL; fixed: the KL")
    coverage: bool = hp(
        False, doc="times the share of dimensions that count, over 0.9: agreement on one alone is little"
    )

    def check(self, method: Method, spec: DataSpec) -> None:
        check_several(method)

    def __call__(self, run: RunDir, encoder: Encoder, dataset: Dataset) -> float:
        found = self._agreement(encoder.method, dataset)
        if found is None:
            return 0.0
        scores, active = self._scores(found), [int(mask.sum()) for mask in found.active]
        with atomic_file(run.path / "udr.npz") as temporary, temporary.open("wb") as file:
            np.savez(file, scores=scores, active=active, pairwise=found.pairwise)
        return float(scores.mean())

    def scores(self, method: Method, dataset: Dataset) -> Float[np.ndarray, " m"]:
        """UDR of each network; 0 for fewer than 40 images, which are no evidence.

        Raises:
            UserError: If the method trains one network only.
        """
        found = self._agreement(method, dataset)
        return np.zeros(check_several(method)) if found is None else self._scores(found)

    def _scores(self, found: UDR) -> Float[np.ndarray, " m"]:
        used = np.array([np.mean(mask) for mask in found.active])
        return found.scores * used / CEILING["lasso"] if self.coverage else found.scores

    def _agreement(self, method: Method, dataset: Dataset) -> UDR | None:
        """None if the images are too few, or the codes not finite, or too much alike within themselves for the Lasso.

        Raises:
            UserError: If the method trains one network only.
        """
        num = min(self.num_points, len(dataset)) // _UDR_BATCH * _UDR_BATCH
        rows = np.random.RandomState(self.seed).permutation(len(dataset))[:num]
        means, log_variances = posteriors(method, dataset.images[rows])
        if num < LEAST_UDR_ROWS or not (np.isfinite(means).all() and np.isfinite(log_variances).all()):
            return None
        pairs = list(zip(means, log_variances))
        if self.fidelity == "fixed":
            kl = [gaussian_kl(mean, log_variance) for mean, log_variance in pairs]
        else:
            kl = [surrogate_kl(mean, log_variance / 2, _UDR_BATCH) for mean, log_variance in pairs]
        kl = [np.nan_to_num(one, posinf=1e30) for one in kl]  # exp overflows, the dimension is in use
        try:
            return udr(list(means), rng=stream(0, "order"), kl=kl, threshold=self.threshold, num_points=num)
        except DataError:  # dimensions that nearly repeat each other
            return None


@dataclass(frozen=True, kw_only=True)
class Gap:
    """MIG of all factors, the domain among them."""

    seed: int = hp(0, most=MOST_SEED, doc="draws the labelled images")
    num_labels: int = hp(50_000, least=2, doc="labelled images that the fitness may see; all, if there are fewer")

    def check(self, method: Method, spec: DataSpec) -> None:
        _check_labels(spec)
        check_width(method, spec)

    def __call__(self, run: RunDir, encoder: Encoder, dataset: Dataset) -> float:
        rows, _ = _labelled(dataset, self.num_labels, self.seed)
        z = _codes(encoder, dataset, rows)
        return float(information_gap(*information_matrix(bin_codes(z), _factors(dataset, rows))).mean())


@dataclass(frozen=True, kw_only=True)
class Importances:
    """DCI: disentanglement, alone or averaged with informativeness and completeness."""

    parts: Literal["d", "di", "dci"] = hp("d", doc="which are averaged")
    seed: int = hp(0, most=MOST_SEED, doc="draws the labelled images")
    num_labels: int = hp(10_000, least=10, doc="labelled images that the fitness may see; all, if there are fewer")
    estimator: Literal["boosting", "trees"] = hp("boosting", doc="boosting as published; trees are far quicker")
    fidelity: Fidelity = hp(
        "published", doc="published: the test draws as many images again, in part the same; fixed: a fifth is held"
    )

    def check(self, method: Method, spec: DataSpec) -> None:
        _check_labels(spec)
        if len(spec.factors) < 2:
            raise UserError(f"dci compares factors, and {spec.name} names one; take another fitness, for example mig")

    def __call__(self, run: RunDir, encoder: Encoder, dataset: Dataset) -> float:
        rows, random = _labelled(dataset, self.num_labels, self.seed)
        if self.fidelity == "published":
            train = dataset.rows("train")
            test = train[random.choice(len(train), len(rows), replace=False)]
        else:
            rows, test = np.split(rows, [len(rows) - len(rows) // 5])
        x, x_test = _codes(encoder, dataset, rows), _codes(encoder, dataset, test)
        learn: Learn = boosting if self.estimator == "boosting" else trees
        found: list[np.ndarray] = []
        hits: list[float] = []
        for labels, truth in zip(_factors(dataset, rows).T, _factors(dataset, test).T):
            known, asked = labels >= 0, truth >= 0
            if len(np.unique(labels[known])) > 1:
                one = learn(x[known], labels[known], x_test[asked], stream(self.seed, "fitness", "dci", len(found)))
                found.append(one.importance)
                hits.append(float(np.mean(one.predicted == truth[asked])))
        if len(found) < 2:
            raise UserError(f"dci compares factors; the labelled images of {dataset.spec.name} vary in {len(found)}")
        importance = np.stack(found, axis=1)
        scores = {"d": disentanglement(importance), "c": completeness(importance), "i": float(np.mean(hits))}
        return float(np.mean([scores[part] for part in self.parts]))


@dataclass(frozen=True, kw_only=True)
class SurrogateGap:
    """MIG against surrogate labels, the median over leaf runs; needs no labels of people."""

    bundles: list[str] | None = hp(None, doc="files of surrogate labels, one of each leaf run")
    seed: int = hp(0, most=MOST_SEED, doc="draws the images")
    num_labels: int = hp(50_000, least=2, doc="images of each block of labels; all, if there are fewer")

    def check(self, method: Method, spec: DataSpec) -> None:
        if not self.bundles:
            raise UserError("leaf-mig needs the surrogate labels of a leaf run: give it bundles")
        check_width(method, spec)
        for path in self.bundles:
            Bundle.load(Path(path))

    def __call__(self, run: RunDir, encoder: Encoder, dataset: Dataset) -> float:
        drawn = [draw(Bundle.load(Path(path)), self.num_labels, self.seed) for path in self.bundles or ()]
        for path, bundle in zip(self.bundles or (), drawn):
            if max(int(block.rows.max()) for block in bundle.blocks) >= len(dataset):
                raise UserError(f"{path} labels rows that {dataset.spec.name} does not have; it is of other data")
        return leaf_mig(lambda rows: _codes(encoder, dataset, rows), drawn)


def _labelled(dataset: Dataset, num: int, seed: int) -> tuple[Int64[np.ndarray, " n"], np.random.RandomState]:
    """Train rows whose labels the fitness may see, as published code draws them, and what drew them."""
    _check_labels(dataset.spec)
    random, train = np.random.RandomState(seed), dataset.rows("train")
    return train[random.choice(len(train), min(num, len(train)), replace=False)], random


def _check_labels(spec: DataSpec) -> None:
    """Raises: UserError if the data name no factor."""
    if not spec.factors:
        raise UserError(f"{spec.name} names no factor to judge by; take the fitness udr, which needs none")


def check_width(method: Method, spec: DataSpec) -> None:
    """Raises: UserError if the code has one dimension, where MIG compares the best with the second best."""
    channels, height, width = spec.image_shape
    blank = np.zeros((1, height, width, channels), dtype=np.uint8)
    training = method.training
    dimensions = encode_pixels(method.eval(), blank).shape[1]
    method.train(training)
    if dimensions < 2:
        raise UserError("MIG compares the two best dimensions of a code, and this one has a single one; widen it")


def _factors(dataset: Dataset, rows: Int64[np.ndarray, " n"]) -> Int64[np.ndarray, "n g"]:
    return np.stack([dataset.columns[name][rows] for name in dataset.spec.factors], axis=1)


def _codes(encoder: Encoder, dataset: Dataset, rows: Int64[np.ndarray, " n"]) -> Float32[np.ndarray, "n d"]:
    """Zeros if one is not finite."""
    z = encode_pixels(encoder.method, dataset.images[rows])
    return z if np.isfinite(z).all() else np.zeros_like(z)


FITNESS: Mapping[str, tuple[type, Mapping[str, Any]]] = {
    "udr": (Agreement, {}),
    "udr-coverage": (Agreement, {"coverage": True}),
    "mig": (Gap, {}),
    "dci": (Importances, {"parts": "d"}),
    "dci-with-informativeness": (Importances, {"parts": "di"}),
    "dci-with-informativeness-and-completeness": (Importances, {"parts": "dci"}),
    "leaf-mig": (SurrogateGap, {}),
}
