"""Accuracies by group at three moments of training, against sums by hand."""

import numpy as np
import pytest

from unbraid.metrics.intervals import sum_of_shares
from unbraid.selection import accuracies, selected

ALIGNED = np.eye(2, dtype=bool)


def line(step, split, right, rows=((90, 10), (10, 90))):
    return {"step": step, "split": split, "rows": [list(r) for r in rows], "right": [list(r) for r in right]}


LINES = [
    line(10, "validation", ((80, 2), (2, 80))),
    line(10, "test", ((50, 25), (20, 50)), ((50, 50), (50, 50))),
    line(20, "validation", ((85, 6), (6, 85))),
    line(20, "test", ((45, 30), (30, 45)), ((50, 50), (50, 50))),
    line(30, "validation", ((90, 3), (3, 90))),
    line(30, "test", ((50, 40), (40, 48)), ((50, 50), (50, 50))),
    line(40, "validation", ((90, 2), (2, 90))),
    line(40, "test", ((50, 10), (10, 50)), ((50, 50), (50, 50))),
]


def test_accuracies_by_hand():
    found = accuracies(np.array([[50, 50], [50, 0]]), np.array([[50, 25], [20, 0]]), ALIGNED)
    assert found["plain"].value == pytest.approx(95 / 150)
    assert found["balanced"].value == pytest.approx((75 / 100 + 20 / 50) / 2)
    assert found["unbiased"].value == pytest.approx((1 + 0.5 + 0.4) / 3)  # the empty cell is left out
    assert found["worst group"].value == pytest.approx(0.4)
    assert found["aligned"].value == 1
    assert found["conflicting"].value == pytest.approx(45 / 100)
    assert found["gap"].value == pytest.approx(0.55)
    assert found["plain"].with_interval() == pytest.approx(sum_of_shares(np.array([95]), np.array([150]), np.ones(1)))


def test_three_rules():
    scores = {score.variant: score for score in selected(LINES, "y", ALIGNED)}
    assert scores["unbiased, last"].value == pytest.approx((1 + 0.2 + 0.2 + 1) / 4)
    assert scores["unbiased, best on validation"].value == pytest.approx((0.9 + 0.6 + 0.6 + 0.9) / 4)  # step 20
    assert scores["unbiased, best on test (oracle)"].value == pytest.approx((1 + 0.8 + 0.8 + 0.96) / 4)  # step 30
    assert scores["unbiased, best on validation"].note == "step 20 of 40, chosen by the unbiased accuracy"
    assert scores["gap, last"].higher_is_better is False
    over = {score.variant: score.over for score in selected(LINES, "y", ALIGNED, bias="b")}
    assert (over["unbiased, last"], over["plain, last"]) == (("y", "b"), ())


def test_without_bias_and_without_validation():
    lines = [one for one in LINES if one["split"] == "test"]
    variants = {score.variant for score in selected(lines, "y", None)}
    assert variants == {
        f"{name}, {rule}" for name in ("plain", "balanced") for rule in ("last", "best on test (oracle)")
    }
    assert selected([], "y", None) == []


def test_where_alignment_is_a_tie_neither_is_defined():
    found = accuracies(np.full((2, 2), 50), np.full((2, 2), 25), np.array([[True, False], [False, False]]))
    assert {"aligned", "conflicting", "gap"}.isdisjoint(found)
    assert found["unbiased"].value == 0.5
