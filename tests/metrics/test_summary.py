"""What is said follows from where the score lies between chance and one."""

import pytest

from unbraid.metrics.summary import summary
from unbraid.records import Score


def leak(value: float | None, low: float | None = None, **rest) -> Score:
    facts = {"metric": "leakage", "column": "paint", "variant": "linear", "chance": 0.1, "higher_is_better": False}
    return Score(value=value, low=value if low is None else low, **{**facts, **rest})


def kept(value: float | None, low: float | None = None, **rest) -> Score:
    return leak(value, low, **{"metric": "informativeness", "column": "digit", "higher_is_better": True, **rest})


@pytest.mark.parametrize(
    ("value", "low", "verdict"),
    [
        (0.12, 0.09, "no leak found"),
        (0.12, 0.11, "it hardly leaks"),
        (0.40, 0.35, "it leaks in part"),
        (0.70, 0.65, "it leaks"),
        (0.98, 0.97, "it leaks almost entirely"),
        (1.0, 1.0, "it leaks almost entirely"),
    ],
)
def test_leak(value, low, verdict):
    (sentence,) = summary([leak(value, low)], "paint")
    percent = round(100 * value)
    start = f"The domain 'paint' can be read from the code with {percent} % accuracy (linear probe; chance 10 %): "
    assert sentence == f"{start}{verdict}."


@pytest.mark.parametrize(
    ("value", "low", "verdict"), [(0.1, 0.05, "lost"), (0.5, 0.4, "kept in part"), (1.0, 1.0, "kept")]
)
def test_content(value, low, verdict):
    (sentence,) = summary([kept(value, low)])
    assert sentence.endswith(f": {verdict}.")


def test_the_probe_that_reads_most_is_reported_and_controls_and_errors_never():
    scores = [
        leak(0.3),
        leak(0.8, variant="six-layer"),
        leak(0.7, variant="random features"),
        leak(0.6, variant="six-layer, standardised"),
        leak(0.9, variant="linear, shuffled labels"),
        leak(0.9, variant="six-layer, standardised, shuffled labels"),
        kept(None, note="one value only"),
        kept(0.52, variant="linear, R2", column="age"),
        kept(0.62, variant="random features, R2", column="age"),
        kept(0.99, variant="random features, R2, shuffled labels", column="age"),
        kept(5.0, variant="linear, mean absolute error", column="age"),
        kept(5.0, variant="six-layer, mean absolute error over batches", column="", over=("age",)),
    ]
    first, second, third = summary(scores, "paint")
    assert "80 % accuracy (six-layer probe" in first
    assert second == "What the code keeps of 'digit' is not defined: one value only."
    assert third == "'age' can be read with R2 0.62 (random features probe): mostly kept."


def test_retrieval():
    facts = {"metric": "retrieval", "variant": "top-1, other domains"}
    (sentence,) = summary([kept(0.83, **facts), kept(0.5, **{**facts, "column": "", "chance": 0.01})])
    assert sentence == (
        "The nearest neighbour in the other domains agrees with the query for 83 % in 'digit' (chance 10 %), "
        "50 % in all of these at once (chance 1 %)."
    )


def test_the_leak_of_another_column_is_left_out():
    assert summary([leak(0.3)], "camera") == []
    assert summary([leak(None, note="one value only")]) == [
        "The leak of the domain 'paint' is not defined: one value only."
    ]
