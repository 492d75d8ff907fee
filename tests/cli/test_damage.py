"""Files that are damaged, missing or cannot be written: the command line names them and says what to do."""

import errno
import resource
import shutil
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from desk import DATA, TINY, refuse, say
from fakes import perfect_codes

import unbraid
from unbraid.cli import main
from unbraid.errors import UserError

TRAIN = ("train", "simclr", "--data", DATA, *TINY, "--epochs", 1)


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def run(trained):
    """A run of our own to damage."""
    shutil.copytree(trained, "run")
    return Path("run")


@contextmanager
def small_files():
    """No file can become larger than 16 kB: not one of pytest's own either, so that a test must not end within it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (16_000, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


AUDIT, EVALUATE, REPORT = ("audit", "run"), ("evaluate", "run"), ("report", "run", "--out", "page.html")
SCORE = ("audit", "run", "--domain", "digit", "--metrics", "leakage")

DAMAGE = {
    "config cut": ("config.json", "cut", EVALUATE, "run/config.json is damaged: "),
    "config in a report": ("config.json", "cut", REPORT, "run/config.json is damaged: "),
    "config when going on": ("config.json", "cut", (*TRAIN, "--out", "run"), "run/config.json is damaged: "),
    "config empty": ("config.json", "{}", EVALUATE, "run/config.json is damaged or of another version of unbraid"),
    "config no object": ("config.json", "[1]", EVALUATE, "run/config.json is damaged or of another version"),
    "config of a method": ("config.json", '{"method": "simclrr", "data": "digits", "options": {}, "settings": {}}',
                           EVALUATE, "unknown method 'simclrr'. Did you mean 'simclr'?"),
    "no config": ("config.json", None, EVALUATE, "no run at run (a folder with config.json)"),
    "spec cut": ("spec.json", "cut", AUDIT, "run/spec.json is damaged: "),
    "spec empty": ("spec.json", "{}", EVALUATE, "run/spec.json is damaged or of another version of unbraid"),
    "no spec": ("spec.json", None, AUDIT, "no file run/spec.json"),
    "codes cut": ("codes.npz", "cut", SCORE, "run/codes.npz is damaged"),
    "codes in a report": ("codes.npz", "cut", REPORT, "run/codes.npz is damaged"),
    "no codes": ("codes.npz", None, SCORE, "no file run/codes.npz"),
    "scores": ("scores.jsonl", "{\n{\n", AUDIT, "run/scores.jsonl, line 1, is damaged"),
    "scores of something else": ("scores.jsonl", '{"a": 1}\n', AUDIT, "run/scores.jsonl is damaged or of another vers"),
    "no scores yet": ("scores.jsonl", None, AUDIT, "run has no scores yet; run the command that began it again"),
    "weights": ("checkpoint/weights.safetensors", "cut", EVALUATE, "the checkpoint run/checkpoint is damaged"),
    "state": ("checkpoint/state.json", "3", EVALUATE, "the checkpoint run/checkpoint is damaged"),
    "no checkpoint yet": ("checkpoint", None, EVALUATE, "run has no checkpoint yet; train it first"),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # numpy leaves a cut .npz open
@pytest.mark.parametrize("kind", DAMAGE)
def test_damaged_runs(capsys, run, kind):
    name, content, words, line = DAMAGE[kind]
    file = run / name
    if content is None:
        shutil.rmtree(file) if file.is_dir() else file.unlink()
    elif content == "cut":
        file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    else:
        file.write_text(content)
    assert line in refuse(capsys, *words)


def test_a_damaged_checkpoint_cannot_be_loaded(run):
    (run / "checkpoint/weights.safetensors").write_bytes(b"")
    with pytest.raises(UserError, match=r"the checkpoint run/checkpoint is damaged .*; delete that folder to train"):
        unbraid.load(run)


def test_an_unfinished_run_is_not_trained_on_a_damaged_checkpoint(capsys, run):
    (run / "DONE").unlink()
    (run / "checkpoint/optimizers.pt").write_bytes(b"")
    assert "delete that folder to train from the start" in refuse(capsys, *TRAIN, "--out", "run")


def test_runs_that_are_not_there(capsys):
    Path("empty").mkdir()
    for words in (["audit", "empty"], ["report", "empty"]):
        assert "no run directory (a folder with config.json) in empty" in refuse(capsys, *words)
    assert "no file or folder nowhere" in refuse(capsys, "audit", "nowhere")
    assert "no folder at nowhere" in refuse(capsys, "report", "nowhere")
    assert "no run at nowhere" in refuse(capsys, "evaluate", "nowhere")


def test_an_unknown_metric(capsys, run):
    assert "unknown metric 'leekage'. Did you mean 'leakage'?" in refuse(capsys, *EVALUATE, "--metrics", "leekage")


CODES, DOMAIN = perfect_codes().z, perfect_codes().columns["domain"]
HOLES = np.where(np.arange(960)[:, None] == 7, np.nan, CODES)
TABLES = {
    "fewer labels": (
        CODES,
        DOMAIN[:959],
        [],
        "there are 960 codes, but 959 labels in column 'scanner'; match",
    ),
    "NaN": (HOLES, DOMAIN, [], "row 7 of the codes holds NaN or infinity; remove these rows or find out"),
    "domain": (CODES, DOMAIN, ["--domain", "scaner"], "the labels have no column 'scaner'. Did you mean 'scanner'?"),
    "factor": (CODES, DOMAIN, ["--factors", "scan"], "the labels have no column 'scan'. Did you mean 'scanner'?"),
    "constant domain": (CODES, DOMAIN * 0, [], "domain 'scanner' has one value only"),
    "metric": (CODES, DOMAIN, ["--metrics", "leekage"], "unknown metric 'leekage'. Did you mean 'leakage'?"),
    "out": (
        CODES,
        DOMAIN,
        ["--out", "card.xls"],
        "a card is saved as .html, .md, .tex, .csv, .json, not as 'card.xls'",
    ),
    "out below a file": (CODES, DOMAIN, ["--out", "codes.npy/card.md"], "cannot write codes.npy/card.md"),
    "no metric": (CODES, DOMAIN, ["--metrics"], "--metrics needs a name"),
    "k": (CODES, DOMAIN, ["--metrics", "mig", "--k", 5], "--k: for retrieval only, which is not among --metrics"),
    "seed": (CODES, DOMAIN, ["--seed", -1], "seed must be at least 0, not -1"),
}


@pytest.mark.parametrize("mistake", TABLES)
def test_codes_and_labels_that_do_not_fit(capsys, mistake):
    codes, labels, words, line = TABLES[mistake]
    np.save("codes.npy", codes)
    pd.DataFrame({"scanner": labels}).to_csv("labels.csv", index=False)
    assert line in refuse(capsys, "audit", "codes.npy", "labels.csv", "--domain", "scanner", *words)


def test_codes_without_labels(capsys):
    np.save("codes.npy", CODES)
    assert "give a table of labels with one row per code" in refuse(capsys, "audit", "codes.npy")
    assert "no file labels.csv" in refuse(capsys, "audit", "codes.npy", "labels.csv")


def test_udr_names_the_file(capsys):
    for name, rows in (("a.npy", 100), ("b.npy", 90), ("c/a.npy", 100)):
        Path(name).parent.mkdir(exist_ok=True)
        np.save(name, CODES[:rows])
    assert "the codes of b.npy have 90 rows, the first 100" in refuse(capsys, "udr", "a.npy", "b.npy")
    assert "cannot write a.npy/r.csv" in refuse(capsys, "udr", "a.npy", "c/a.npy", "--out", "a.npy/r.csv")
    assert "seed must be at least 0" in refuse(capsys, "udr", "a.npy", "c/a.npy", "--seed", -1)
    say(capsys, "udr", "a.npy", "c/a.npy", "--out", "r.CSV")
    assert set(pd.read_csv("r.CSV")["model"]) == {"a", "c/a"}


def test_the_card_of_a_run_says_what_it_was_computed_on(capsys, run):
    said = say(capsys, "audit", "run")
    assert "300 rows x" in said
    assert "240 train" in said


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EACCES])
@pytest.mark.parametrize("words", [TRAIN, REPORT, EVALUATE, ("data", "export", DATA)], ids=lambda words: words[0])
def test_nothing_can_be_written(capsys, run, monkeypatch, number, words):
    say(capsys, "data", "prepare", DATA)

    def fail(path):
        raise OSError(number, "the disk says no", str(path))

    before = {path: path.read_bytes() for path in Path().rglob("*") if path.is_file()}
    monkeypatch.setattr("unbraid.atomic.sync", fail)
    assert main([str(word) for word in words]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "the disk says no" in error
    assert {path: path.read_bytes() for path in Path().rglob("*") if path.is_file()} == before


def test_a_disk_that_is_full_during_training(capsys):
    """The weights are larger than the largest file allowed, everything before them is not."""
    say(capsys, "data", "prepare", DATA)
    with small_files():
        assert main([*map(str, TRAIN), "--out", "new"]) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert "cannot write the checkpoint new/checkpoint; is the disk full?" in error
    left = {path.name for path in Path("new").iterdir()}
    assert left == {"config.json", "env.json", "spec.json", "train.jsonl", ".lock"}
