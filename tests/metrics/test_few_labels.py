"""Semi-supervised evaluation against scikit-learn on the same draws."""

import dataclasses

import numpy as np
import pytest
from fakes import noise_codes, perfect_codes
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from unbraid.errors import UserError
from unbraid.metrics.few_labels import DRAWS, draw, few_labels


def run(codes, **options):
    return few_labels(codes, np.random.default_rng(0), **options)


def test_accuracy_is_that_of_scikit_learn():
    codes, rng = perfect_codes(), np.random.default_rng(0)
    train, test = codes.rows("train"), codes.rows("test")
    right = []
    for _ in range(DRAWS):
        rows = draw(train.columns["shape"], 0.05, rng)
        probe = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
        right.append(probe.fit(train.z[rows], train.columns["shape"][rows]).score(test.z, test.columns["shape"]))
    (one,) = run(codes, shares=[0.05])
    assert one.value == pytest.approx(np.mean(right), abs=0.01)
    half = 2.262 * np.std(right, ddof=1) / DRAWS**0.5  # Student's t for nine degrees of freedom
    assert one.high - one.low == pytest.approx(2 * half, abs=0.01)
    assert (one.variant, one.num, one.note) == ("5 % of the labels", 240, f"36 labelled rows in each of {DRAWS} draws")


def test_a_draw_keeps_shares_and_every_value():
    labels = np.repeat(np.arange(3), [200, 40, 3])
    rows = draw(labels, 0.1, np.random.default_rng(0))
    assert np.bincount(labels[rows]).tolist() == [20, 4, 1]
    assert len(np.unique(rows)) == len(rows)
    assert sorted(draw(labels, 1.0, np.random.default_rng(0))) == list(range(243))


def test_missing_labels_are_left_out():
    codes = perfect_codes()
    label = codes.columns["shape"].copy()
    label[::2] = -1
    holed = run(dataclasses.replace(codes, columns={**codes.columns, "shape": label}))
    assert [one.note.split()[0] for one in holed] == ["3", "24"]  # of 240 train rows, 80 of each value


def test_what_cannot_be_scored():
    codes = noise_codes()
    (one,) = run(dataclasses.replace(codes, split=np.zeros(960, dtype=np.uint8)))
    assert (one.value, "no rows in the test split" in one.note) == (None, True)
    for share in (0.0, 1.5):
        with pytest.raises(UserError, match="above 0 and at most 1"):
            run(codes, shares=[share])
