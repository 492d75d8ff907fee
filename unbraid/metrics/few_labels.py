"""Semi-supervised evaluation: what the code is worth when only few of the train rows have a label."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Int64

from unbraid.errors import UserError
from unbraid.metrics import metric
from unbraid.metrics.estimators import LINEAR
from unbraid.metrics.intervals import mean_of_repeats, within
from unbraid.metrics.tasks import problem
from unbraid.records import Score
from unbraid.tables import Codes

DRAWS = 10


@metric(
    needs={"label"},
    higher_is_better=True,
    source="Chen et al. 2020, arXiv:2002.05709, section 6 for the shares; the probe is that of informativeness",
)
def few_labels(codes: Codes, rng: np.random.Generator, *, shares: Sequence[float] = (0.01, 0.1)) -> list[Score]:
    """Accuracy of logistic regression that learns the label from 1 and from 10 percent of the labelled train rows.

    The rows are drawn so that each value keeps its share, and has one row at least. The code is frozen and standardised
    by the drawn rows; Chen et al. train the encoder on too. Interval: Student's t over ten draws, at the same test
    rows.

    Formula:
        mean over draws of the mean over test rows of [probe(z) = label], the probe fitted on the draw
    Range:
        0 to 1, higher is better. Chance is the share of the most frequent train value among the test rows.
    Misleads:
        With few train rows one percent is one row of each value: the note says how many rows there were. The interval
        tells how lucky a draw can be, not how far other test rows would give another number.

    Raises:
        UserError: If a share is not above 0 and at most 1.
    """
    if not all(0 < share <= 1 for share in shares):
        raise UserError(f"a share of the labels is above 0 and at most 1, not one of {', '.join(map(str, shares))}")
    column = codes.spec.label
    assert column is not None
    known = codes.known(column)
    train, test = known.rows("train"), known.rows("test")
    if note := problem(train, test, column):
        return [few_labels.score(None, column=column, note=note)]
    return [_score(train, test, column, share, rng) for share in shares]


def _score(train: Codes, test: Codes, column: str, share: float, rng: np.random.Generator) -> Score:
    labels, truth, size = train.columns[column], test.columns[column], train.spec.sizes[column]
    right = []
    for _ in range(DRAWS):
        rows = draw(labels, share, rng)
        predicted = LINEAR.classify(train.z[rows], labels[rows][None], [size], test.z, rng)[0]
        right.append(np.mean(predicted == truth))
    value, *ends = mean_of_repeats(np.array(right))
    low, high = within(value, (ends[0], ends[1]), least=0.0)
    return few_labels.score(
        value,
        column=column,
        variant=f"{100 * share:g} % of the labels",
        low=low,
        high=high,
        chance=float(np.mean(truth == np.bincount(labels).argmax())),
        num=len(test),
        note=f"{len(rows)} labelled rows in each of {DRAWS} draws",
    )


def draw(labels: Int64[np.ndarray, " n"], share: float, rng: np.random.Generator) -> Int64[np.ndarray, " m"]:
    """Row numbers: of each value that share, rounded, and one at least."""
    rows = [np.flatnonzero(labels == value) for value in np.unique(labels)]
    return np.concatenate([rng.permutation(some)[: max(1, round(share * len(some)))] for some in rows])
