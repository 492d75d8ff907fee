"""Studies as a person meets them: what is trained, what is written, what happens after a kill, what is refused."""

import json
from dataclasses import replace

import pandas as pd
import pytest
import yaml
from desk import DATA, refuse, say

from unbraid.cli import COMMANDS, Command, main
from unbraid.studies import STUDIES, find_study, plan, study
from unbraid.studies.published import INVARIANCE, PROBES, RETRIEVAL

WORDS = ("--data", DATA, "--preset", "tiny", "--options", "precision=fp32", "epochs=1", 'metrics=["retrieval"]')


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(COMMANDS, "study", Command("many runs and what they say together", "study"))


def test_tables_beside_the_published_numbers(training, tmp_path):
    outcome = study("dcodr-tables", "smallnorb", methods=["dcodr", "untrained"], seeds=[0, 1], out=tmp_path / "o")
    assert training.trained == [f"{name}-smallnorb-{seed}" for name in ("dcodr", "untrained") for seed in (0, 1)]
    rows = pd.DataFrame(outcome.rows).set_index(["table", "method", "column"]).sort_index()
    for title, table in (("What the six-layer probe reads", PROBES), ("What retrieval finds", RETRIEVAL)):
        columns, printed = table["smallnorb"].columns, table["smallnorb"].rows["dcodr"]
        assert dict(rows.loc[(title, "dcodr")]["published"]) == dict(zip(columns, printed))
        assert set(rows.loc[(title, "untrained")]["published"]) == {""}
    assert (rows["num_seeds"] == 2).all()
    assert "| dcodr | " in outcome.text
    assert "as printed in Table 3 and Table 5" in outcome.text
    assert "| optimal |  | .021 |  | 1 |" in outcome.text


def test_retrieval_is_by_the_published_protocol(training, tmp_path):
    kinds = [study("dcodr-tables", name, methods=["untrained"], seeds=[0], out=tmp_path / name).rows
             for name in ("smallnorb", "sprites")]  # fmt: skip
    published, ours = ({row["column"]: row for row in rows if "retrieval" in row["table"]} for rows in kinds)
    assert {row["variant"] for row in (*published.values(), *ours.values())} == {"top-1, all, as published"}
    assert published["azimuth"]["chance"] > 0.7  # five of six values are within the margin
    assert ours["azimuth"]["chance"] < 0.3


def test_the_numbers_written_are_the_means_of_the_runs(training, tmp_path):
    study("dcodr-tables", "toys", methods=["untrained"], seeds=[0, 1, 2], out=tmp_path)
    written = json.loads((tmp_path / "dcodr-tables.json").read_text())
    runs = [plan.RunDir(tmp_path / f"untrained-toys-{seed}") for seed in range(3)]
    values = [r.value for run in runs for r in run.records() if r.column == "azimuth" and r.variant == "six-layer"]
    row = next(row for row in written if row["column"] == "azimuth")
    assert row["mean"] == pytest.approx(sum(values) / 3)
    assert row["published"] == ""
    assert len(pd.read_csv(tmp_path / "dcodr-tables.csv")) == len(written)
    assert "has no numbers" in (tmp_path / "dcodr-tables.md").read_text()


def test_a_killed_study_goes_on(training, tmp_path):
    training.stop_at = 2
    options = {"methods": ["simclr", "untrained"], "seeds": [0, 1], "out": tmp_path}
    with pytest.raises(KeyboardInterrupt):
        study("dcodr-tables", "toys", **options)
    training.stop_at = -1
    study("dcodr-tables", "toys", **options)
    assert training.trained == ["simclr-toys-0", "simclr-toys-1", "untrained-toys-0", "untrained-toys-1"]
    study("dcodr-tables", "toys", **options)
    assert len(training.trained) == 4


def test_ablations(training, tmp_path):
    outcome = study("ablations", "toys", out=tmp_path, preset="tiny", batch_size=128)
    assert len(training.trained) == 8
    configs = {name: json.loads((tmp_path / name / "config.json").read_text()) for name in training.trained}
    alike = configs["dcodr-toys-0"]
    assert (alike["hparams"]["negatives"], alike["hparams"]["positives"]) == ("same_domain", 1)
    everyone = configs["dcodr-negatives-of-all-domains-toys-0"]["hparams"]
    assert (everyone["negatives"], everyone["batch_size"]) == ("all_domains", 64)
    assert configs["dcodr-norec-no-positives-toys-0"]["hparams"]["positives"] == 0
    assert configs["dcodr-norec-views-dcodr-simsiam-toys-0"]["settings"]["views"] == "dcodr-simsiam"
    assert "| dcodr: no positives |" in outcome.text
    weights = tmp_path / "other"
    study("ablations", "toys", out=weights, preset="tiny", weights="imagenet")
    config = json.loads((weights / "dcodr-no-pretraining-toys-0/config.json").read_text())
    assert config["hparams"]["weights"] == "none"


def test_single_augmentation_draws_bars(training, tmp_path):
    outcome = study("single-augmentation", "toys", out=tmp_path, preset="tiny")
    assert len(training.trained) == 14
    drawn = (tmp_path / "single-augmentation.svg").read_text()
    for view in (*INVARIANCE, "dcodr-simsiam"):
        assert f">{view}<" in drawn
        assert f"\n| {view} | " in outcome.text
    again = study("single-augmentation", "toys", out=tmp_path, preset="tiny")
    assert again.files == outcome.files


def test_a_real_study_of_an_autoencoder_and_its_memory(capsys, monkeypatch):
    words = ("study", "augmentations", *WORDS, "--images", 9, "--perceptual", "random", "--out", "o")
    said = say(capsys, *words)
    for name in INVARIANCE:
        assert f"\n| {name} | " in said
    for line in ("(not VGG-16)", "prints 0.315 and 0.0378 for gaussian-blur", "where another image was reconstructed"):
        assert line in said
    monkeypatch.setattr(plan, "train_config", None)
    monkeypatch.setattr("unbraid.studies.augmentations.invariance", None)
    assert say(capsys, *words) == said


def test_real_advice_is_a_recipe_that_train_reads(capsys, monkeypatch):
    monkeypatch.setattr("unbraid.metrics.random_features.WIDTH", 64)
    words = ("study", "advise", *WORDS, "--tolerance", 1.0, "--out", "o")
    said = say(capsys, *words)
    assert "Judge: an untrained encoder (tiny, weights none); 60 test images." in said
    text = say(capsys, "train", "dcodr-norec", "--config", "o/advise.yaml", "--print_config")
    options = yaml.safe_load(text)
    assert (options["data"], options["epochs"], options["backbone"]) == (DATA, 1, "tiny")
    assert set(options["views"].split(",")) <= set(INVARIANCE)
    monkeypatch.setattr("unbraid.studies.advise.Bench.rows", None)
    assert say(capsys, *words) == said


MISTAKES = {
    "no study": ((), "name a study first, unbraid study NAME ...: one of dcodr-tables"),
    "study": (("ablation",), "unknown study 'ablation'. Did you mean 'ablations'?"),
    "method": (("dcodr-tables", "--methods", "lorrd", *WORDS), "unknown method 'lorrd'. Did you mean 'lord'?"),
    "option": (("ablations", *WORDS, "epoch=3"), "no method of this study has an option 'epoch'. Did you mean 'epochs"),
    "value": (("ablations", *WORDS, "epochs=many"), "epochs must be int, not 'many'"),
    "no value": (("ablations", *WORDS, "fast"), "--options takes NAME=VALUE, not 'fast'"),
    "seed": (("ablations", *WORDS, "seed=3"), "give --seeds in place of the option 'seed'"),
    "seeds": (("ablations", *WORDS, "--seeds", 1, 1), "a study needs seeds that differ, not [1, 1]"),
    "twice": (("ablations", "--domain", "digit", *WORDS, "domain=paint"), "domain: given as an option of the study"),
    "preset": (("ablations", *WORDS, "--preset", "tinny"), "there is no preset 'tinny'"),
    "data": (("ablations", "--data", "digitz"), "unknown data set 'digitz'"),
    "images": (("augmentations", *WORDS, "--images", 1), "images must be at least 2"),
    "judge": (("advise", *WORDS, "--judge", "nowhere"), "no run at nowhere"),
}  # fmt: skip


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes_get_one_line(capsys, mistake):
    words, line = MISTAKES[mistake]
    main(["data", "prepare", DATA])
    assert line in refuse(capsys, "study", *words)


def test_data_without_a_domain_are_refused_before_training(training, capsys):
    training.data = replace(training.data, spec=replace(training.data.spec, domain=None))
    line = refuse(capsys, "study", "dcodr-tables", "--data", "toys", "--preset", "tiny")
    assert "this study needs a domain: give --domain, one of instance, azimuth" in line
    assert training.trained == []


def test_a_folder_with_another_run_is_refused_before_training(training, tmp_path, capsys):
    study("dcodr-tables", "toys", methods=["untrained"], seeds=[0], out=tmp_path / "o", preset="tiny")
    words = ("--methods", "simclr", "untrained", "--seeds", 0, "--out", "o", "--preset", "tiny")
    line = refuse(capsys, "study", "dcodr-tables", "--data", "toys", *words, "--options", "z_dim=4")
    assert "o/untrained-toys-0 holds a run of another configuration (z_dim: 8 -> 4)" in line
    assert training.trained == ["untrained-toys-0"]


@pytest.mark.parametrize("name", STUDIES)
def test_help(capsys, name):
    text = say(capsys, "study", name, "--help")
    for field in find_study(name).__dataclass_fields__.values():
        assert f"--{field.name} " in text
