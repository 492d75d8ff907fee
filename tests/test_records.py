"""The files of a run directory: what is read is what was written, and damage is named."""

import dataclasses
import math
import os
import shutil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unbraid.errors import UserError
from unbraid.records import (
    Record,
    RunDir,
    Score,
    append_line,
    best_run,
    find,
    find_runs,
    keep_lines,
    populations_of,
    read_json,
    read_lines,
    write_json,
)

SCORE = Score(metric="leakage", column="camera", value=0.5, higher_is_better=False, source="us")
RECORD = Record.of(SCORE, run="r", method="m", data="d", seed=0, epoch=3, version="1")


def test_a_record_is_a_score_with_its_run(tmp_path):
    run = RunDir(tmp_path)
    other = dataclasses.replace(RECORD, value=None, note="no such factor")
    keep_lines(run.scores, map(dataclasses.asdict, (RECORD, other)))
    assert run.records() == [RECORD, other]
    assert dataclasses.asdict(SCORE).items() <= dataclasses.asdict(RECORD).items()
    assert RunDir(tmp_path / "none").records() == []


def test_lines_are_added_at_the_end(tmp_path):
    log = tmp_path / "train.jsonl"
    for step in range(3):
        append_line(log, {"step": step, "loss": 1 / 3})
    assert list(read_lines(log)) == [{"step": step, "loss": 1 / 3} for step in range(3)]
    keep_lines(log, [{"step": 0}])
    append_line(log, {"step": 1, "loss": math.inf})
    assert list(read_lines(log)) == [{"step": 0}, {"step": 1, "loss": math.inf}]


def test_no_log_is_an_empty_one(tmp_path):
    assert list(read_lines(tmp_path / "train.jsonl")) == []


@given(st.integers(1, 60))
def test_a_last_line_cut_short_is_left_out(tmp_path_factory, cut):
    log = tmp_path_factory.mktemp("log") / "train.jsonl"
    lines = [{"step": step, "loss": 0.125} for step in range(2)]
    for line in lines:
        append_line(log, line)
    content = log.read_bytes()
    log.write_bytes(content[:-cut] if cut < len(content) else b"")
    assert list(read_lines(log)) == lines[: log.read_bytes().count(b"}")]


def test_damage_before_the_last_line_is_named(tmp_path):
    log = tmp_path / "train.jsonl"
    log.write_text('{"step": 0}\n{"st\n{"step": 2}\n')
    with pytest.raises(UserError, match=r"train\.jsonl, line 2, is damaged"):
        list(read_lines(log))


def test_records_of_another_version_are_named(tmp_path):
    run = RunDir(tmp_path)
    for line in ({"metric": "leakage"}, {**dataclasses.asdict(RECORD), "colour": "red"}):
        keep_lines(run.scores, [line])
        with pytest.raises(UserError, match=r"scores\.jsonl is damaged or of another version"):
            run.records()


def test_json(tmp_path):
    path = tmp_path / "config.json"
    write_json(path, {"a": [1, None, 0.1]})
    assert read_json(path) == {"a": [1, None, 0.1]}
    assert read_json(path, lambda values: values["a"][0]) == 1
    with pytest.raises(UserError, match=r"config\.json is damaged or of another version of unbraid \('b'\)"):
        read_json(path, lambda values: values["b"])
    with pytest.raises(UserError, match=r"no file .*none\.json"):
        read_json(tmp_path / "none.json")
    for content in (b'{"a": ', b"\xff\xfe"):
        path.write_bytes(content)
        with pytest.raises(UserError, match=r"config\.json is damaged: "):
            read_json(path)


def test_runs_are_found_at_any_depth_and_once(tmp_path):
    for name in ("b", "a/2", "a/10"):
        write_json(tmp_path / name / "config.json", {})
    (tmp_path / "notes").mkdir()
    found = find_runs([tmp_path, tmp_path / "b"])
    assert [run.path for run in found] == [tmp_path / "a" / "10", tmp_path / "a" / "2", tmp_path / "b"]
    assert [run.path for run in find_runs([tmp_path / "b"])] == [tmp_path / "b"]
    with pytest.raises(UserError, match=r"no run directory .* in .*notes"):
        find_runs([tmp_path / "notes"])
    with pytest.raises(UserError, match=r"no folder at .*nowhere"):
        find_runs([tmp_path, tmp_path / "nowhere"])


def test_of_a_population_only_the_best_and_of_a_recursion_the_model_is_found(tmp_path):
    population, recursion = tmp_path / "pbt", tmp_path / "rpu"
    for run in ("pbt/generations/000/000", "pbt/generations/000/001", "rpu/x/generations/000/000", "rpu/model", "one"):
        write_json(tmp_path / run / "config.json", {})
        (tmp_path / run / "DONE").touch()
    for file in (population / "population.json", recursion / "recursion.json", recursion / "x/population.json"):
        write_json(file, {})
    with pytest.raises(UserError, match=r"the population in .*pbt has not ended; the command that began it goes on"):
        find_runs([population])
    write_json(population / "result.json", {"best": "generations/000/001"})
    found = find([tmp_path])
    assert (found.populations, found.recursions) == ([population], [recursion])
    assert [run.path for run in found.single] == [tmp_path / "one"]
    assert [str(run.path.relative_to(tmp_path)) for run in found.runs] == [
        "one",
        "pbt/generations/000/001",
        "rpu/model",
    ]
    assert populations_of(recursion) == [recursion / "x"]
    assert len(find_runs([population / "generations"])) == 2
    shutil.rmtree(population / "generations/000/001")
    assert best_run(population) is None


def test_a_run_is_done_when_it_says_so(tmp_path):
    run = RunDir(str(tmp_path / "run"))
    assert (run.name, os.fspath(run)) == ("run", str(tmp_path / "run"))
    assert not run.exists()
    write_json(run.config, {})
    assert run.exists()
    assert not run.is_done()
    run.done.touch()
    assert run.is_done()


def test_a_notebook_shows_a_run_and_its_scores(tmp_path):
    run = RunDir(tmp_path / "<run>")
    run.path.mkdir()
    assert run._repr_html_() == f"<p><b>{tmp_path}/&lt;run&gt;</b>: not done</p>"
    owner = {"run": "run", "method": "dcodr", "data": "digits", "seed": 0, "epoch": 1, "version": "1"}
    for column, value in (("<b>", 0.25), ("undefined", None)):
        score = Score(metric="leakage", column=column, value=value, low=0.2, chance=0.1, higher_is_better=False)
        append_line(run.scores, vars(Record.of(score, **owner)))
    shown = run._repr_html_()
    assert "<tr><td>leakage</td><td>&lt;b&gt;</td><td></td><td>0.250</td><td></td><td>0.100</td></tr>" in shown
    assert "undefined" not in shown
    run.scores.write_text("{}\n{}\n")
    assert run._repr_html_().endswith("not done</p>")
