"""A user's own method: a file and a class, and nothing registered."""

from pathlib import Path

import pytest
from desk import DATA, say

from unbraid.cli import main
from unbraid.config import RunConfig
from unbraid.encoder import load
from unbraid.errors import UserError
from unbraid.methods import method
from unbraid.records import RunDir

EXAMPLE = Path(__file__).parents[1] / "examples" / "own_method.py"
NAME = f"{EXAMPLE}:RotationPrediction"


def test_training_with_a_method_of_ones_own(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(EXAMPLE.parent)
    words = ("--data", DATA, "--epochs", "1", "--backbone", "tiny", "--precision", "fp32")
    out = tmp_path / "run"
    say(capsys, "train", "own_method.py:RotationPrediction", *words, "--metrics", "leakage", "--out", out)
    monkeypatch.chdir(tmp_path)  # the run finds the file from anywhere
    assert type(load(out).method) is method(NAME)
    assert {record.method for record in RunDir(out).records()} == {"RotationPrediction"}


def test_a_run_is_named_after_the_class():
    assert RunConfig.make(NAME, "digits").name == "RotationPrediction-digits-0"


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("nowhere.py:Mine", "no file"),
        ("no_such_package.module:Mine", "ModuleNotFoundError"),
        (f"{EXAMPLE}:Mine", "has no 'Mine'"),
        (f"{EXAMPLE}:Config", "no subclass of unbraid.types.Method"),
        ("json:loads", "no subclass of unbraid.types.Method"),
    ],
)
def test_a_mistake_says_what_is_missing(name, complaint):
    with pytest.raises(UserError, match=complaint):
        method(name)


def test_a_file_that_fails_is_one_line(tmp_path, capsys):
    (tmp_path / "mine.py").write_text("1 / 0\n")
    assert main(["train", f"{tmp_path}/mine.py:Mine"]) == 2
    said = capsys.readouterr().err
    assert "ZeroDivisionError" in said
    assert said.count("\n") == 1
