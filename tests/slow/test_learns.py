"""Methods learn what they promise on real images, in minutes: the presets of the embedded digits, one seed."""

import pytest

import unbraid

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def scores(tmp_path_factory):
    found = {}
    for name in ("untrained", "simclr", "dcodr-norec", "dcodr"):
        run = unbraid.train(name, "digits", out=tmp_path_factory.mktemp("runs") / name)
        for record in run.records():
            found[name, record.metric, record.column, record.variant] = record.value
    return found


def leakage(scores, name):
    return max(scores[name, "leakage", "paint", probe] for probe in ("linear", "six-layer"))


@pytest.mark.parametrize("name", ["dcodr-norec", "dcodr"])
def test_dcodr_forgets_the_paint_and_keeps_the_digit(scores, name):
    assert leakage(scores, name) < 0.5 * leakage(scores, "simclr")
    digit = [scores[which, "informativeness", "digit", "linear"] for which in (name, "simclr")]
    assert digit[0] > 0.8
    assert digit[0] > digit[1] - 0.03


@pytest.mark.parametrize("name", ["dcodr-norec", "dcodr"])
def test_dcodr_finds_the_digit_in_other_paints(scores, name):
    key = ("retrieval", "digit", "top-1, other domains")
    assert scores[(name, *key)] > scores[("simclr", *key)] > scores[("untrained", *key)] - 0.05
