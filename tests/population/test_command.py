"""unbraid population on the command line."""

import io
from contextlib import contextmanager

import pytest
from fake_members import Inline
from rich.console import Console

from unbraid.cli import main
from unbraid.population import executors
from unbraid.population.member import train_member
from unbraid.population.presets import PRESETS
from unbraid.population.table import LiveTable
from unbraid.records import read_json

DATA = ("--data", "digits:source=sklearn,num=200", "--preset", "tiny", "--label", "digit")
SMALL = ("--members", "2", "--generations", "2", "--images", "80", "--metrics", "mig")
PBT = ("population", "pbt", "vanilla", *DATA, *SMALL, "--fitness", "mig")


@pytest.fixture
def inline(monkeypatch, tmp_path):
    """Members are trained in this process."""

    @contextmanager
    def open_inline(name, work, folder, **options):
        yield Inline(train_member)

    monkeypatch.setattr(executors, "open_executor", open_inline)
    monkeypatch.chdir(tmp_path)


@pytest.mark.usefixtures("inline")
def test_a_population_and_its_replay(capsys, tmp_path):
    words = [*PBT, "--batch-size", "16", "--out", "pop"]
    assert main(words) == 0
    first = capsys.readouterr()
    assert "best mig: " in first.out
    assert "generation 1: best" in first.err
    settings = read_json(tmp_path / "pop" / "population.json")["settings"]
    assert settings["explore"] == ["lr"]  # the batch size was given
    assert main(words) == 0
    assert capsys.readouterr().out == first.out
    table = Console(width=140, file=io.StringIO())
    table.print(LiveTable(tmp_path / "pop", 4, ["lr"])())
    assert "4 of 4 done" in table.file.getvalue()
    assert main(["population", "replay", "pop", "--seed", "2"]) == 0
    assert "replay-2" in capsys.readouterr().out


def refuse(capsys, words, message):
    assert main(list(words)) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert message in lines[0]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("population", "pbd"), "unknown action 'pbd'. Did you mean 'pbt'?"),
        (("population",), "action"),
        (("population", "pbt"), "arguments are required: method"),
        (("population", "pbt", "--data", "digits"), "name a method first"),
        (("population", "pbt", "vanila"), "Did you mean 'vanilla'?"),
        ((*PBT, "--epochs", "3"), "leave out --epochs"),
        ((*PBT, "--member", "3"), "Did you mean '--members'?"),
        ((*PBT, "--members", "1"), "members must be at least 2"),
        ((*PBT, "--fitness", "migg"), "Did you mean 'mig'?"),
        ((*PBT, "--executor", "rey"), "Did you mean 'ray'?"),
        ((*PBT, "--executor_options", "x"), "--executor_options takes NAME=VALUE"),
        ((*PBT, "--fitness_options", "labels=3"), "has no hyper-parameter 'labels'"),
        ((*PBT, "--explore", "weight_decay"), "'weight_decay' is no hyper-parameter with a range"),
        ((*PBT, "--explore", "lr", "batch_size", "--lr", "0.01"), "--lr is given, and cannot be explored too"),
        ((*PBT, "--lr", "0.01", "--batch_size", "32"), "all that have a range were given: batch_size, lr"),
        (("population", "pu", "beta-tcvae", "--preset", "published-pbt"), "is of unbraid population pbt"),
        (("population", "pu", "vanilla", *DATA, *SMALL), "which only beta-tcvae trains: give num_models=5"),
        (("population", "pbt", "beta-tcvae", *DATA, *SMALL, "--z_dim", "1"), "MIG compares the two best dimensions"),
        (("population", "pbt", "vanilla", "--preset", "published-pbd"), "no preset 'published-pbd'"),
        (("population", "replay", "nowhere"), "no finished population at nowhere"),
    ],
)
def test_mistakes(capsys, tmp_path, monkeypatch, words, message):
    monkeypatch.chdir(tmp_path)
    refuse(capsys, words, message)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("preset", PRESETS)
def test_published_populations(preset, capsys):
    with pytest.raises(SystemExit):
        main(["population", preset.removeprefix("published-"), "beta-tcvae", "--preset", preset, "--help"])
    text = " ".join(capsys.readouterr().out.split())
    assert f"default: {PRESETS[preset].population['members']})" in text
    assert "default: published)" in text
