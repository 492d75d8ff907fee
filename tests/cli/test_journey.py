"""From a folder of photos to a report, as a person would go: each test is a command typed in the same folder."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from desk import DATA, PHOTOS, TINY, say, write_desk
from fakes import perfect_codes

from unbraid.cli import main
from unbraid.records import RunDir

RUN = RunDir("runs/dcodr-norec-photos-0")


@pytest.fixture(scope="module", autouse=True)
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("desk")
    write_desk(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for method in ("dcodr-norec", "untrained"):
            assert main(["train", method, "--domain", "camera", *map(str, PHOTOS)]) == 0
        yield folder


def test_the_run_is_named_after_method_data_and_seed():
    assert sorted(path.name for path in Path("runs").iterdir()) == [RUN.name, "untrained-photos-0"]
    assert RUN.is_done()


def test_training_again_says_what_to_do_next(capsys):
    said = say(capsys, "train", "dcodr-norec", "--domain", "camera", *PHOTOS)
    assert said == f"{RUN.path} is done: unbraid audit {RUN.path}\n"


def test_audit_of_the_run(capsys):
    said = say(capsys, "audit", RUN.path, "--out", "run.json")
    assert "domain 'camera'" in said
    assert "The domain 'camera' can be read from the code with" in said
    assert len(json.loads(Path("run.json").read_text())["scores"]) == len(RUN.records())


def test_audit_of_the_run_for_another_domain(capsys):
    said = say(capsys, "audit", RUN.path, "--domain", "subject", "--metrics", "leakage")
    assert "domain 'subject'" in said


def test_audit_of_a_folder_of_runs_compares_them(capsys):
    said = say(capsys, "audit", "runs")
    assert "dcodr-norec" in said
    assert "untrained" in said


def test_evaluate_again_gives_the_same_scores(capsys):
    run = RunDir("runs/untrained-photos-0")
    before = {(record.metric, record.column, record.variant): record.value for record in run.records()}
    say(capsys, "evaluate", run.path, "--metrics", "retrieval")
    after = {(record.metric, record.column, record.variant): record.value for record in run.records()}
    assert after == before
    assert len(run.records()) == len(before)


def test_report(capsys):
    said = say(capsys, "report", "runs/", "--out", "report.html")
    assert said.startswith(str(Path("report.html").resolve()))
    assert "dcodr-norec" in Path("report.html").read_text()


def test_audit_of_codes_from_elsewhere(capsys):
    codes = perfect_codes()
    np.save("codes.npy", codes.z)
    columns = {"scanner": codes.columns["domain"], "shape": codes.columns["shape"], "pose": codes.columns["pose"]}
    pd.DataFrame(columns).to_csv("labels.csv", index=False)
    words = ("audit", "codes.npy", "labels.csv", "--domain", "scanner", "--metrics", "leakage", "informativeness")
    said = say(capsys, *words, "--factors", "shape", "--out", "card.json")
    assert "The domain 'scanner' can be read from the code with" in said
    card = json.loads(Path("card.json").read_text())
    assert card["spec"]["factors"] == ["shape"]
    assert {score["column"] for score in card["scores"]} == {"scanner", "shape"}
    say(capsys, *words, "--circular", "pose", "--out", "card.csv")
    assert set(pd.read_csv("card.csv")["column"].dropna()) == {"scanner", "shape", "pose"}


def test_data_is_prepared_and_described(capsys):
    said = say(capsys, "data", "prepare", "photos", "--labels", "photos.csv", "--size", 32)
    assert said.splitlines() == [
        "photos: 48 images (3, 32, 32), 38 train, 0 validation, 10 test",
        "columns: camera (4 values), subject (3 values)",
    ]
    assert say(capsys, "data", "prepare", DATA).startswith("digits: 300 images (3, 32, 32), 240 train")


def test_data_is_exported_in_the_published_format_and_read_back(capsys):
    words = ("data", "export", "photos", "--labels", "photos.csv", "--size", 32, "--domain", "camera")
    assert say(capsys, *words, "--out", "mine.npz") == "mine_train.npz is written\nmine_test.npz is written\n"
    with np.load("mine_train.npz") as file:
        assert file["imgs"].shape == (38, 32, 32, 3)
        assert file["classes"].max() == file["n_classes"] - 1 == 3
    assert "38 train, 0 validation, 10 test" in say(capsys, "data", "prepare", "mine_train.npz")
    said = say(capsys, "train", "untrained", "--data", "mine_train.npz", *TINY)
    assert "runs/untrained-mine-0 is done" in said
