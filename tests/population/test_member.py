"""Real members on tiny data: what a worker writes, what diverges, and the winner's schedule once more."""

import json
import shutil

import pytest
import torch
from fake_members import Inline

from unbraid import checkpoint
from unbraid.config import RunConfig
from unbraid.encoder import open_config
from unbraid.errors import UserError
from unbraid.population.config import PopulationConfig
from unbraid.population.engine import run_population
from unbraid.population.member import train_member
from unbraid.population.replay import replay
from unbraid.records import RunDir, read_json, read_lines

DATA = "digits:source=sklearn,num=200"


def population(**options):
    settings = {"fitness": "mig", "members": 2, "generations": 3, "images": 160, "explore": ["lr"], "fidelity": "fixed"}
    member = RunConfig.make("vanilla", DATA, preset="tiny", label="digit", metrics=["mig"], **options)
    return PopulationConfig.make(member, **settings)


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    return run_population(population(), tmp_path_factory.mktemp("pop") / "p", Inline(train_member))


def test_a_member_trains_its_share_and_is_judged(done):
    for line in done.history:
        run = RunDir(done.folder / f"generations/{line['generation']:03d}/{line['member']:03d}")
        assert list(read_lines(run.log))[-1]["step"] == 10
        assert read_json(run.path / "fitness.json")["fitness"] == line["fitness"]
        assert read_json(run.env)["seconds"] >= 0
        assert (run.path / "worker.log").exists()
        assert not run.scores.exists()


def test_passes_are_counted_through_the_generations(done):
    run = RunDir(done.folder / "generations/002/000")
    state = checkpoint.load_state(run.checkpoint)
    assert (state["epochs_before"], state["epochs"]) == (2.0, 3.0)
    moments = checkpoint.load_optimizers(run.checkpoint)["main"]["state"]
    assert {float(one["step"]) for one in moments.values()} == {30.0}


def test_a_member_that_is_done_is_not_trained_again(done):
    before = (done.best.path / "fitness.json").stat().st_mtime_ns
    train_member(done.best.path)
    assert (done.best.path / "fitness.json").stat().st_mtime_ns == before


def test_an_infinity_that_is_no_weight_is_no_divergence(tmp_path):
    """The plateau of ip-irm begins at infinity."""
    member = RunConfig.make("ip-irm", DATA, preset="tiny")
    asked = PopulationConfig.make(member, fitness="uniformity", members=2, generations=1, images=160, explore=["lr"])
    assert run_population(asked, tmp_path / "p", Inline(train_member)).history[0]["error"] == ""


def test_a_member_that_diverges_is_written_down(tmp_path):
    config = population(lr=1e30)
    path = tmp_path / "generations" / "000" / "000"
    path.mkdir(parents=True)
    (tmp_path / "population.json").write_text(json.dumps(config.to_dict()))
    (path / "config.json").write_text(json.dumps(config.member.to_dict()))
    train_member(path)
    judged = read_json(path / "fitness.json")
    assert judged["fitness"] is None
    assert "became nan" in judged["error"] or "no longer finite" in judged["error"]
    assert RunDir(path).is_done()


def test_an_error_that_is_no_divergence_keeps_its_text(tmp_path, monkeypatch):
    """Only a loss, a weight or a fitness that is not finite makes a member diverge."""

    def broken(*args, **options):
        raise ValueError("shapes (3,) and (4,) do not match")

    monkeypatch.setattr("unbraid.population.member.fitness_of", broken)
    path = tmp_path / "generations" / "000" / "000"
    path.mkdir(parents=True)
    config = population()
    (tmp_path / "population.json").write_text(json.dumps(config.to_dict()))
    (path / "config.json").write_text(json.dumps(config.member.to_dict()))
    with pytest.raises(ValueError, match="do not match"):
        train_member(path)
    assert not RunDir(path).is_done()


def test_what_a_user_can_mend_is_raised(tmp_path):
    member = RunConfig.make("vanilla", DATA, preset="tiny", label="digit", backbone="nothing")
    config = PopulationConfig.make(member, fitness="mig")
    with pytest.raises(UserError, match="unknown backbone 'nothing'"):
        run_population(config, tmp_path / "p", Inline(train_member))


def test_replay_follows_the_winner(done, tmp_path):
    last = replay(done.folder, tmp_path / "replay", seed=5)
    assert last.records()
    generations = int(done.best.path.parent.name)
    assert last.name == f"{generations:03d}"
    assert open_config(last).hparams == open_config(done.best).hparams
    assert checkpoint.load_state(last.checkpoint)["epochs"] == generations + 1
    assert [path.parent.name for path in (tmp_path / "replay").glob("*/checkpoint")] == [last.name]
    shutil.copytree(done.folder, tmp_path / "moved")  # as a leaf population, whose rows are a file beside it
    again = replay(tmp_path / "moved", tmp_path / "again", seed=5)
    first, second = (checkpoint.load_weights(run.checkpoint) for run in (last, again))
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert replay(done.folder, tmp_path / "again", seed=5).path == again.path
    if generations:
        with pytest.raises(UserError, match="holds another replay"):
            replay(done.folder, tmp_path / "again", seed=6)
