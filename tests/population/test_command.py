"""unbraid population on the command line."""

import io
from contextlib import contextmanager

import pytest
from fake_members import Inline
from jsonargparse import ArgumentParser
from rich.console import Console

from unbraid.cli import main, population
from unbraid.cli.parsing import parse
from unbraid.population import executors
from unbraid.population.fitness import fitness_of
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
        ((*PBT, "--explore=lr", "--lr", "0.01"), "--lr is given, and cannot be explored too"),
        ((*PBT, "--explore"), "or --explore names none of them: batch_size, lr"),
        ((*PBT, "--metrics", "migg"), "Did you mean 'mig'?"),
        ((*PBT, "--fitness_options", "seed=5000000000"), "seed must be at least 0, and at most 4294967295"),
        (
            (*PBT, "--lr", "0.01", "--batch_size", "32"),
            "each with a range was given, or --explore names none of them: batch_size, lr",
        ),
        (("population", "pu", "beta-tcvae", "--preset", "published-pbt"), "is of unbraid population pbt"),
        (("population", "pu", "vanilla", *DATA, *SMALL), "which only beta-tcvae trains: give num_models=5"),
        (("population", "pbt", "beta-tcvae", *DATA, *SMALL, "--z_dim", "1"), "MIG compares the two best dimensions"),
        (("population", "pbt", "vanilla", "--preset", "published-pbd"), "no preset 'published-pbd'"),
        ((*PBT, "--fitness", "dci", "--factors", "digit"), "dci compares factors, and digits names one"),
        (("population", "replay", "nowhere"), "no finished population at nowhere"),
    ],
)
def test_mistakes(capsys, tmp_path, monkeypatch, words, message):
    monkeypatch.chdir(tmp_path)
    refuse(capsys, words, message)
    assert list(tmp_path.iterdir()) == []


def asked(words):
    """The population that a line comes to."""
    parser = ArgumentParser(prog="unbraid population")
    population.parser(parser, list(words))
    return population.population_config(parse(parser, words))


def test_options_that_follow_from_others():
    pu = ("pu", "beta-tcvae", "--data", "sprites:size=16")
    assert asked(pu).settings.until_converged
    alone = asked((*pu, "--asynchronous", "--fidelity", "fixed")).settings
    assert (alone.asynchronous, alone.until_converged) == (True, False)
    assert fitness_of(asked((*pu, "--fidelity", "fixed"))).fidelity == "fixed"
    assert fitness_of(asked((*pu, "--fidelity", "fixed", "--fitness_options", "fidelity=published"))).fidelity == (
        "published"
    )
    pbt = ("pbt", "beta-tcvae", "--preset", "published-pbt", "--data", "sprites:size=16")
    assert asked(pbt).fitness_options == {"num_labels": 50_000}
    assert asked((*pbt, "--fitness", "udr", "--num_models", "5")).fitness_options == {}


def test_a_replay_of_a_member_of_several_networks_trains_one(inline, tmp_path):
    words = ["population", "pu", "beta-tcvae", *DATA, *SMALL, "--num_models", "2", "--batch_size", "16", "--out", "pu"]
    assert main(words) == 0
    assert main(["population", "replay", "pu"]) == 0
    assert read_json(tmp_path / "pu/replay-0/000/config.json")["hparams"]["num_models"] == 1


@pytest.mark.parametrize("preset", PRESETS)
def test_published_populations(preset, capsys):
    with pytest.raises(SystemExit):
        main(["population", preset.removeprefix("published-"), "beta-tcvae", "--preset", preset, "--help"])
    text = " ".join(capsys.readouterr().out.split())
    assert f"default: {PRESETS[preset].population['members']})" in text
    assert "default: published)" in text
