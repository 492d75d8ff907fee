"""Candidate groups as a table, and back as the bias of a group method."""

import pandas as pd
import pytest
from desk import DATA, say
from fake_bias import ColourReader, Divider, Untrained, biased_dataset, is_aligned

from unbraid import encoder
from unbraid import export as exporting
from unbraid.config import RunConfig
from unbraid.encoder import Encoder
from unbraid.errors import UserError

TINY = ["--preset", "tiny", "--epochs", "1", "--device", "cpu", "--precision", "fp32", "--metrics", "accuracy"]
CONFIG = RunConfig.make("vanilla", "digits")


def groups(tmp_path, monkeypatch, model, data):
    monkeypatch.setattr(exporting, "load", lambda run: Encoder(model, CONFIG, data.spec))
    monkeypatch.setattr(exporting, "load_data", lambda config: data)
    return pd.read_csv(exporting.export("run", tmp_path / "groups.csv", "groups"))


def test_groups_of_a_biased_network(tmp_path, monkeypatch):
    data = biased_dataset()
    table = groups(tmp_path, monkeypatch, ColourReader(data), data)
    assert table["row"].tolist() == list(range(len(data)))
    assert table["shape"].tolist() == [("ring", "bar", "dot")[value] for value in data.columns["shape"]]
    assert ((table["candidate_group"] == "aligned") == is_aligned(data)).all()
    assert table["biased_answer"].tolist() == [("ring", "bar", "dot")[value] for value in data.columns["colour"]]
    assert table["biased_confidence"].between(0, 1).all()


def test_partitions(tmp_path, monkeypatch):
    data = biased_dataset()
    table = groups(tmp_path, monkeypatch, Divider(data), data)
    train = data.rows("train")
    assert (table["partition_epoch_10"][train] == (data.columns["colour"][train] > 0)).all()
    assert table["partition_epoch_0"].notna().sum() == len(train)


def test_a_run_that_ended_before_its_first_search(tmp_path, monkeypatch):
    data = biased_dataset()
    model = Divider(data)
    model.bank.held = 0
    with pytest.raises(UserError, match="ended before it sought a partition"):
        groups(tmp_path, monkeypatch, model, data)


def test_a_method_without_groups(tmp_path, monkeypatch):
    data = biased_dataset()
    with pytest.raises(UserError, match="vanilla makes out no groups"):
        groups(tmp_path, monkeypatch, Untrained(data), data)


def test_the_table_works_as_the_bias_of_group_dro(tmp_path, capsys):
    run, table = tmp_path / "lff", tmp_path / "groups.csv"
    say(capsys, "train", "lff", "--data", DATA, "--out", run, *TINY)
    assert {"bias.npz", "codes.npz"} <= {path.name for path in run.iterdir()}
    assert "is written" in say(capsys, "export", run, "--format", "groups", "--out", table)
    words = ("train", "group-dro", "--data", DATA, "--columns", table, "--bias", "biased_answer")
    say(capsys, *words, "--out", tmp_path / "dro", *TINY)
    assert encoder.open_config(encoder.RunDir(tmp_path / "dro")).options.columns == str(table)
    assert encoder.load(tmp_path / "dro").spec.bias == "biased_answer"
