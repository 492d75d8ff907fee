"""The registry: names without weight, mistakes with a hint."""

import dataclasses
import subprocess
import sys

import numpy as np
import pytest
from fakes import noise_codes, perfect_codes

from unbraid import metrics
from unbraid.errors import DataError, UserError
from unbraid.metrics import METRICS, metric, score


def test_listing_names_imports_nothing_heavy():
    code = (
        "import sys; from unbraid.metrics import METRICS; assert 'leakage' in METRICS; "
        "assert not {'torch', 'sklearn', 'scipy', 'pandas'} & set(sys.modules), sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_unknown_name_is_answered_with_the_nearest():
    with pytest.raises(UserError, match=r"unknown metric 'leekage'\. Did you mean 'leakage'"):
        score(perfect_codes(), ["leekage"])
    with pytest.raises(UserError, match="unknown metric 'retrival'"):
        score(perfect_codes(), ["retrieval"], options={"retrival": {}})


def test_unknown_need_is_an_error_of_the_author():
    with pytest.raises(ValueError, match="cannot need colour"):
        metric(needs={"colour"}, higher_is_better=True, source="")


def test_a_new_score_is_one_decorated_function(monkeypatch):
    monkeypatch.setattr(metrics, "_registered", dict(METRICS))

    @metric(needs={"domain"}, higher_is_better=True, source="here")
    def first_value(codes, rng, *, scale=1.0):
        return [first_value.score(scale * float(codes.z[0, 0]), variant=str(rng.integers(1000)))]

    one, other = score(perfect_codes(), ["first-value", "first-value"], options={"first-value": {"scale": 2.0}})
    assert one == other  # a stream of its own, whatever else is scored
    assert (one.metric, one.source, one.higher_is_better) == ("first-value", "here", True)
    assert one.value == 2 * perfect_codes().z[0, 0]


def test_streams_do_not_depend_on_the_other_metrics():
    both = score(noise_codes(), ["informativeness", "leakage"])
    alone = score(noise_codes(), ["leakage"])
    assert both[-len(alone) :] == alone
    assert both != score(noise_codes(), ["informativeness", "leakage"], seed=1)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_codes_that_are_not_finite_are_refused(bad):
    codes = perfect_codes()
    z = codes.z.copy()
    z[7, 1] = bad
    with pytest.raises(DataError, match="row 7 of the codes holds NaN or infinity"):
        score(dataclasses.replace(codes, z=z), ["retrieval"])


def test_an_unknown_option_is_answered_with_the_known_ones():
    with pytest.raises(UserError, match="mig has no option 'nbins'; it takes bins"):
        score(perfect_codes(), ["mig"], options={"mig": {"nbins": 3}})
    with pytest.raises(UserError, match="leakage has no option 'k'; it takes none"):
        score(perfect_codes(), ["leakage"], options={"leakage": {"k": 3}})


def test_a_need_can_be_met_by_either():
    spec = perfect_codes().spec
    known = METRICS["knn"]
    assert known.missing(dataclasses.replace(spec, label=None)) == ""
    assert known.missing(dataclasses.replace(spec, factors=(), targets=())) == ""
    assert known.missing(dataclasses.replace(spec, factors=(), targets=(), label=None)) == (
        "the data name no content or label"
    )


def test_no_number_leaves_that_is_not_finite(monkeypatch):
    monkeypatch.setattr(metrics, "_registered", dict(METRICS))

    @metric(higher_is_better=True, source="here")
    def infinite(codes, rng):
        return [infinite.score(0.0, low=-np.inf)]

    with pytest.raises(AssertionError, match="infinite gave a number that is not finite"):
        score(perfect_codes(), ["infinite"])
