"""What scripts rely on: --json is one document and nothing else, --quiet is nothing, and what exit codes mean."""

import dataclasses
import io
import json
import logging
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from desk import DATA, TINY, say
from fake_runs import write_run

from unbraid.cli import COMMANDS, main, scripting
from unbraid.errors import Stopped
from unbraid.methods import METHODS
from unbraid.metrics import METRICS
from unbraid.records import RunDir, Score


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def read(capsys, *words):
    """The document that a command writes."""
    return json.loads(say(capsys, *words, "--json"))


def refuse_word(word):
    raise ValueError(f"{word} is no JSON")


def test_documents():
    score = Score(metric="m", value=float("nan"), low=1.0, higher_is_better=True)
    values = {
        "score": score,
        "run": RunDir("runs/x"),
        "path": Path("a/b"),
        "number": np.float32(0.5),
        "rows": np.arange(3),
        "names": frozenset({"a"}),
        3: (True, None, float("inf")),
    }
    found = json.loads(scripting.document(values), parse_constant=refuse_word)
    assert found.pop("score") == dataclasses.asdict(score) | {"value": None, "over": []}
    assert found == {
        "run": "runs/x", "path": "a/b", "number": 0.5, "rows": [0, 1, 2], "names": ["a"], "3": [True, None, None],
    }  # fmt: skip


def test_silence(capsys):
    with scripting.silence(output=True, progress=False):
        sys.stdout.write("a")
        sys.stderr.write("b")
    assert capsys.readouterr() == ("", "b")
    with scripting.silence(output=True, progress=True):
        sys.stdout.write("a")
        sys.stderr.write("b")
        assert not sys.stdout.isatty()
    assert capsys.readouterr() == ("", "")


def test_only_errors_are_logged_while_it_is_quiet():
    text = io.StringIO()  # as the stderr of before, which a handler keeps
    root, handler = logging.getLogger(), logging.StreamHandler(text)
    before = root.level
    root.addHandler(handler)
    try:
        with scripting.silence(output=True, progress=True):
            logging.getLogger("unbraid").warning("a")
            logging.getLogger("unbraid").error("b")
    finally:
        root.removeHandler(handler)
    assert text.getvalue() == "b\n"
    assert root.level == before


def test_names_and_meanings(capsys):
    assert read(capsys, "list", "methods") == list(METHODS)
    assert list(read(capsys, "list", "metrics")) == [*METRICS, "udr"]
    shown = read(capsys, "show", "simclr")
    assert shown["options"]["temperature"]["doc"]
    assert shown["presets"]["tiny"]
    assert read(capsys, "show", "mig")["needs"] == sorted(METRICS["mig"].needs)
    assert "Lasso" in read(capsys, "show", "udr")["text"]


def test_scores(capsys, folder):
    runs = [write_run(folder / "runs", method) for method in ("dcodr", "simclr")]
    assert {one["run"] for one in read(capsys, "audit", "runs")} == {run.name for run in runs}
    for name in "ab":
        np.save(f"{name}.npy", np.random.default_rng(0).normal(size=(60, 3)))
    ranked = read(capsys, "udr", "a.npy", "b.npy", "--num_points", 50)
    assert [one["rank"] for one in ranked["models"]] == [1, 2]
    assert [one["state"] for one in read(capsys, "watch", "runs")] == ["done", "done"]


def test_a_run_from_training_to_export(capsys, folder):
    words = ("train", "simclr", "--data", DATA, *TINY, "--epochs", 1, "--metrics", "retrieval", "--out", "run")
    assert read(capsys, *words) == {"run": "run"}
    assert {one["metric"] for one in read(capsys, "evaluate", "run", "--metrics", "leakage")["scores"]} == {"leakage"}
    assert "leakage" in {one["metric"] for one in read(capsys, "audit", "run")["scores"]}
    assert read(capsys, "linear", "run", "--epochs", 1)[0]["variant"].startswith("top-1")
    assert read(capsys, "encode", "run", "--data", DATA, "--out", "c.npz") == {"written": ["c.npz"], "codes": 300}
    file = read(capsys, "export", "run", "--format", "safetensors")["written"][0]
    assert Path(file).is_file()
    assert read(capsys, "report", "run", "--out", "r.md") == {"written": [str(folder / "r.md")]}
    data = read(capsys, "data", "prepare", DATA)
    assert data["train"] + data["validation"] + data["test"] == 300
    assert read(capsys, "data", "export", DATA, "--out", "d.npz")["written"]


def test_quiet_is_quiet(capsys, folder):
    run = write_run(folder / "runs", rows=80)
    for words in (("udr", run.codes, run.codes), ("watch", "runs"), ("report", "runs"), ("data", "prepare", DATA)):
        capsys.readouterr()
        assert main([*map(str, words), "--quiet"]) == 0
        assert capsys.readouterr() == ("", "")
    assert (folder / "report.html").is_file()
    assert say(capsys, "list", "methods", "--json", "--quiet").startswith("[")


def test_errors_are_heard(capsys):
    for words in (["--quiet"], ["--json"], ["--json", "--quiet"]):
        assert main(["audit", "nothing", *words]) == 2
        assert capsys.readouterr() == ("", "unbraid: no file or folder nothing\n")


@pytest.mark.parametrize("name", COMMANDS)
def test_which_commands_take_them(capsys, name):
    text = say(capsys, name, "--help")
    assert ("--json" in text) == ("--quiet" in text) == COMMANDS[name].scripted


def test_they_are_no_part_of_a_configuration(capsys):
    text = say(capsys, "train", "simclr", "--print_config")
    assert "quiet" not in text
    assert "json" not in text


CODES = {0: ["list", "methods"], 2: ["list", "nothing"]}


@pytest.mark.parametrize("code", CODES)
def test_exit_codes_of_the_program(code):
    words = [sys.executable, "-m", "unbraid", *CODES[code]]
    assert subprocess.run(words, capture_output=True, check=False, timeout=60).returncode == code


def test_other_exit_codes(monkeypatch, capsys):
    def stop(args):
        raise Stopped("it goes on")

    def fail(args):
        raise ZeroDivisionError

    monkeypatch.setattr("unbraid.cli.listing.run", stop)
    assert main(["list", "methods", "--quiet"]) == 130
    assert capsys.readouterr().err == "unbraid: it goes on\n"
    monkeypatch.setattr("unbraid.cli.listing.run", fail)
    with pytest.raises(ZeroDivisionError):  # Python then prints where it was, and exits with 1
        main(["list", "methods", "--quiet"])
