"""Where a run stands, from its files."""

import json
import os

import pytest

from unbraid.progress import progress
from unbraid.records import RunDir, append_line

NOW = 1_000_000.0


@pytest.fixture
def run(tmp_path):
    run = RunDir(tmp_path / "run")
    run.path.mkdir()
    run.config.write_text(json.dumps({"hparams": {"epochs": 10}}))
    os.utime(run.config, (NOW, NOW))
    return run


def trained(run, *places):
    """A log with these (epoch, seconds), written just now."""
    for epoch, seconds in places:
        append_line(run.log, {"step": 1, "epoch": epoch, "seconds": seconds, "main/contrast": 2.5})
    os.utime(run.log, (NOW, NOW))


def test_before_the_first_line(run):
    found = progress(run, now=NOW)
    assert (found.state, found.fraction, found.seconds_left) == ("starting", 0.0, None)


def test_time_left_at_the_pace_so_far(run):
    trained(run, (1.0, 30.0), (2.0, 50.0), (4.0, 90.0))
    found = progress(run, now=NOW + 1)
    assert (found.state, found.fraction) == ("training", 0.4)
    assert found.seconds_left == pytest.approx(6 * 20.0)
    assert found.terms == {"main/contrast": 2.5}


def test_the_clock_begins_anew_when_a_run_is_resumed(run):
    trained(run, (1.0, 1000.0), (2.0, 2000.0), (3.0, 10.0), (4.0, 20.0))
    assert progress(run, now=NOW).seconds_left == pytest.approx(60.0)


def test_states_to_the_end(run):
    trained(run, (9.0, 90.0), (10.0, 100.0))
    assert progress(run, now=NOW).state == "scoring"
    assert progress(run, now=NOW + 301).state == "quiet"
    run.done.touch()
    found = progress(run, now=NOW + 1e6)
    assert (found.state, found.fraction, found.seconds_left) == ("done", 1.0, None)


def test_a_line_cut_short_and_a_long_log(run):
    trained(run, *((epoch / 100, float(epoch)) for epoch in range(1, 800)))
    with run.log.open("a") as file:
        file.write('{"step": 2, "epo')
    os.utime(run.log, (NOW, NOW))
    found = progress(run, now=NOW)
    assert found.fraction == pytest.approx(0.799)
    assert found.seconds_left == pytest.approx(201.0)
