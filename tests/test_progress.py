"""Where a run stands, from its files."""

import json
import os
import shutil

import pytest

from unbraid.errors import UserError
from unbraid.progress import population_progress, progress, recursion_progress
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


def test_a_run_of_so_many_steps_is_measured_by_these(run):
    run.config.write_text(json.dumps({"hparams": {"epochs": 900}, "settings": {"max_steps": 4}}))
    for step in (1, 2, 3):
        append_line(run.log, {"step": step, "epoch": 40.0 + step, "seconds": 10.0 * step})
    os.utime(run.log, (NOW, NOW))
    found = progress(run, now=NOW)
    assert found.fraction == 0.75
    assert found.seconds_left == pytest.approx(10.0)


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


@pytest.fixture
def population(tmp_path):
    """Two generations of three members are done, 10 s apart, and one member of the third."""
    folder = tmp_path / "pbt"
    settings = {"members": 3, "first_members": 0, "generations": 5, "asynchronous": False}
    (folder / "generations").mkdir(parents=True)
    (folder / "population.json").write_text(json.dumps({"settings": settings}))
    for place in range(7):
        run = RunDir(folder / f"generations/{place // 3:03d}/{place % 3:03d}")
        run.path.mkdir(parents=True)
        run.done.touch()
        os.utime(run.done, (NOW + 10 * place, NOW + 10 * place))
        if place < 6:
            fitness = None if place == 5 else place / 10
            append_line(folder / "history.jsonl", {"generation": place // 3, "member": place % 3, "fitness": fitness})
    for file in ("population.json", "history.jsonl"):
        os.utime(folder / file, (NOW + 50, NOW + 50))
    return folder


def test_a_population_is_one_line(population):
    found = population_progress(population, "pbt", now=NOW + 70)
    assert (found.name, found.state, found.quiet) == ("pbt", "training", 10.0)
    assert found.fraction == pytest.approx(7 / 15)
    assert found.seconds_left == pytest.approx(8 * 10.0)
    assert found.terms == {"generation": 2, "best": 0.4}
    assert population_progress(population, "pbt", now=NOW + 1000).state == "quiet"


def test_a_population_that_begins_and_one_that_has_ended_early(population):
    (population / "result.json").write_text(json.dumps({"best": "generations/001/001", "reason": "converged"}))
    found = population_progress(population, "pbt", now=NOW + 1e6)
    assert (found.state, found.fraction, found.seconds_left) == ("done", 1.0, None)
    assert found.terms == {"generation": 1, "best": 0.4}
    for file in ("result.json", "history.jsonl"):
        (population / file).unlink()
    shutil.rmtree(population / "generations")
    begun = population_progress(population, "pbt", now=NOW + 60)
    assert (begun.state, begun.fraction, begun.seconds_left) == ("starting", 0.0, None)


def test_members_that_do_not_wait_are_counted_once(population):
    config = json.loads((population / "population.json").read_text())
    config["settings"]["asynchronous"] = True
    (population / "population.json").write_text(json.dumps(config))
    assert population_progress(population, "pbt", now=NOW + 70).fraction == pytest.approx(6 / 15)


def test_a_damaged_population_is_named(population):
    (population / "population.json").write_text("{}")
    with pytest.raises(UserError, match=r"population\.json is damaged"):
        population_progress(population, "pbt", now=NOW)


def test_populations_of_a_recursion(population, tmp_path):
    folder = tmp_path / "rpu"
    folder.mkdir()
    population.rename(folder / "x")
    shutil.copytree(folder / "x", folder / "leaf-0/0")
    (folder / "x/result.json").write_text(json.dumps({"best": "generations/001/001", "reason": "converged"}))
    found = recursion_progress(folder, now=NOW + 70)
    assert [(one.name, one.state) for one in found] == [("rpu/x", "done"), ("rpu/leaf-0/0", "training")]
    shutil.copy(folder / "x/result.json", folder / "leaf-0/0")
    assert [one.state for one in recursion_progress(folder, now=NOW + 70)] == ["done", "scoring"]
