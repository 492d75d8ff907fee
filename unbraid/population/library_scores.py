"""Any score of the library, or the difference of two, as what selects in a population."""

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int64

from unbraid.encode import encode_dataset
from unbraid.encoder import Encoder
from unbraid.errors import UserError
from unbraid.hparams import hp
from unbraid.metrics import METRICS, score
from unbraid.records import RunDir, Score
from unbraid.seeds import MOST_SEED
from unbraid.tables import Dataset, DataSpec
from unbraid.trainer import DivergedError
from unbraid.types import Method

_TRAIN, _TEST = 0, 2
_HELD = 5  # one row in so many is scored, if there is no validation split


def library_names() -> tuple[str, ...]:
    """Names that a score may be asked by: "content" and "leakage" as shares of what can be known, and every metric."""
    return ("content", *METRICS)  # leakage is one of them


@dataclass(frozen=True, kw_only=True)
class LibraryScore:
    """A score of rows that were not trained on, if there is a validation split; else of every fifth of the train rows.

    "content" is the mean over content columns, "leakage" that of the domain, of what the best quick probe reads, as a
    share of the way from chance to all of it. Other names are metrics: of their variants the first, which is their
    total or the mean over their columns. A metric of which less is better counts negatively where it is the only one;
    a difference is what it says. A member whose code is not finite, or whose score is not defined, has diverged.
    """

    names: list[str]  # one score, or two whose difference it is
    seed: int = hp(0, most=MOST_SEED, doc="draws the images and what the metrics draw")
    num_labels: int = hp(10_000, least=50, doc="labelled images that the fitness may see; all, if there are fewer")

    def check(self, method: Method, spec: DataSpec) -> None:
        for name in self.names:
            if missing := METRICS["informativeness" if name == "content" else name].missing(spec):
                raise UserError(f"{name} cannot select: {missing}")

    def __call__(self, run: RunDir, encoder: Encoder, dataset: Dataset) -> float:
        codes = encode_dataset(encoder.method, _held_out(dataset, self.num_labels, self.seed))
        if not np.isfinite(codes.z).all():
            raise DivergedError("a code is not finite")
        metrics = dict.fromkeys("informativeness" if name == "content" else name for name in self.names)
        scores = score(codes, metrics, seed=self.seed)
        first, *second = (_value(scores, name) for name in self.names)
        if not second:
            return first if self.names[0] == "content" or METRICS[self.names[0]].higher_is_better else -first
        return first - second[0]


def _held_out(dataset: Dataset, num: int, seed: int) -> Dataset:
    """Some labelled rows without the test rows, whose place others take."""
    random = np.random.RandomState(seed)
    train, held = dataset.rows("train"), dataset.rows("validation")
    if not len(held):
        train = random.permutation(train)
        held, train = train[::_HELD], np.delete(train, np.s_[::_HELD])
    share = min(1.0, num / (len(train) + len(held)))
    train, held = (_some(rows, share, random) for rows in (train, held))
    part = dataset.take(np.concatenate([train, held]))
    split = np.repeat(np.array([_TRAIN, _TEST], dtype=np.uint8), [len(train), len(held)])
    return dataclasses.replace(part, split=split, spec=dataclasses.replace(part.spec, num_train=len(train)))


def _some(rows: Int64[np.ndarray, " n"], share: float, random: np.random.RandomState) -> Int64[np.ndarray, " m"]:
    return np.sort(random.permutation(rows)[: max(1, round(share * len(rows)))])


def _value(scores: Iterable[Score], name: str) -> float:
    """Raises: DivergedError where the score is not defined, so that no code gains by having none."""
    metric = "informativeness" if name == "content" else name
    up = METRICS[metric].higher_is_better
    told = [one for one in scores if one.metric == metric and one.higher_is_better == up and not _is_control(one)]
    columns: dict[str, list[Score]] = {}
    for one in told:
        columns.setdefault(one.column, []).append(one)
    if name in ("content", "leakage"):
        found = [[_progress(one) for one in column if one.value is not None] for column in columns.values()]
        values = [max(column) for column in found if column]
    else:
        firsts = [columns[""][0]] if "" in columns else [column[0] for column in columns.values()]
        values = [one.value for one in firsts if one.value is not None]
    if not values:
        raise DivergedError(f"{name} is not defined: {told[0].note if told else 'no column has it'}")
    return float(np.mean(values))


def _is_control(score: Score) -> bool:
    return "shuffled" in score.variant


def _progress(score: Score) -> float:
    """The share of the way from chance to 1."""
    value, chance = score.value or 0.0, score.chance or 0.0
    return max(0.0, (value - chance) / (1 - chance)) if chance < 1 else 0.0
