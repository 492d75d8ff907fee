"""Nearest-neighbour classification: the weighted vote that contrastive learning is followed by during training."""

import numpy as np
from jaxtyping import Float32, Float64, Int64

from unbraid.errors import UserError
from unbraid.metrics import metric
from unbraid.metrics.intervals import share
from unbraid.metrics.nearest import search, usable
from unbraid.records import Score
from unbraid.tables import SPLITS, Codes


@metric(
    needs={"content or label"},
    higher_is_better=True,
    source="Wu et al. 2018, arXiv:1805.01978; settings of Wang et al. 2021, arXiv:2110.15255",
)
def knn(codes: Codes, rng: np.random.Generator, *, k: int = 200, temperature: float = 0.5) -> list[Score]:
    """Accuracy of a weighted vote of the k nearest train rows, for the label, or for each content factor without one.

    Queries are the test rows; rows with a missing value or an all-zero code are left out. Top-5, where the train rows
    hold more than five values: the query's value is among the five with the most votes. Nothing is trained. Interval:
    Wilson's, over test rows.

    Formula:
        score_c = sum over the k nearest train rows i of class c of exp(cos(z_i, z_q) / temperature)
        Prediction: the largest score; of equal ones the value that comes first. With fewer than k train rows all vote.

    Range:
        0 to 1, higher is better. Chance is what the most frequent value of the train rows, or five, get on test rows.

    Misleads:
        Numbers at different k or temperature do not compare; published ones take the temperature of training (0.5, or
        0.2 in the mixup runs), Wu et al. 0.07. A class of fewer than k / 2 train rows can be outvoted even where it
        forms a cluster of its own. A neighbour may be near for being of the same domain.

    Raises:
        UserError: If k or the temperature is not positive.
    """
    if k < 1:
        raise UserError(f"k, the number of neighbours, must be at least 1, not {k}")
    if not temperature > 0:
        raise UserError(f"the temperature of knn must be above 0, not {temperature}")
    columns = codes.spec.content if codes.spec.label is None else (codes.spec.label,)
    return [
        score for name in columns if name in codes.spec.sizes for score in _classify(codes, name, k, float(temperature))
    ]


def _classify(codes: Codes, column: str, k: int, temperature: float) -> list[Score]:
    rows, note = usable(codes, (column,))
    labels, test = codes.columns[column], codes.split[rows] == SPLITS.index("test")
    queries, train = rows[test], rows[~test]
    frequent = np.argsort(-np.bincount(labels[train], minlength=codes.spec.sizes[column]), kind="stable")
    num_values, settings = len(np.unique(labels[train])), f"k = {k}, temperature {temperature:g}"
    if reason := _problem(labels[train], labels[queries]):
        reason = "; ".join(filter(None, (reason, note)))
        return [knn.score(None, column=column, variant=f"top-1, {settings}", note=reason)]
    if k > len(train):
        note = "; ".join(filter(None, (note, f"all {len(train)} train rows vote, k is {k}")))
    ranks = np.zeros(len(queries), dtype=np.int64)
    for places, found, similarity in search(codes, queries, train, min(k, len(train))):
        scores = votes(similarity, labels[found], codes.spec.sizes[column], temperature)
        ranks[places] = (np.argsort(-scores, axis=1, kind="stable") == labels[queries[places], None]).argmax(axis=1)
    given = []
    for top in (1, 5) if num_values > 5 else (1,):
        value, low, high = share(ranks < top)
        given.append(
            knn.score(
                value,
                column=column,
                variant=f"top-{top}, {settings}",
                low=low,
                high=high,
                chance=float(np.isin(labels[queries], frequent[:top]).mean()),
                num=len(queries),
                note=note,
            )
        )
    return given


def _problem(train: Int64[np.ndarray, " n"], test: Int64[np.ndarray, " m"]) -> str:
    """Why these labels cannot be classified; empty if they can."""
    if not len(test):
        return "no test row has a value and a code"
    if len(np.unique(train)) < 2:
        return "the train rows hold fewer than two values"
    return "" if np.isin(test, train).any() else "no test row has a value that occurs in the train split"


def votes(
    similarity: Float32[np.ndarray, "q k"], labels: Int64[np.ndarray, "q k"], num_values: int, temperature: float
) -> Float64[np.ndarray, "q c"]:
    """Each value's score in each query's vote, over the weight of the nearest neighbour, so that none overflows."""
    weights = np.exp((similarity - similarity[:, :1]).astype(np.float64) / temperature)
    cells = np.arange(len(labels))[:, None] * num_values + labels
    return np.bincount(cells.ravel(), weights.ravel(), minlength=len(labels) * num_values).reshape(-1, num_values)
