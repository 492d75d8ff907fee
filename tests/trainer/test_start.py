"""A run that goes on from another one: its weights, moments and epochs, under its own hyper-parameters."""

import pytest
import torch

import unbraid
from unbraid import checkpoint
from unbraid.errors import UserError
from unbraid.methods.vanilla import Vanilla
from unbraid.records import read_lines

DATA = "digits:source=sklearn,num=200"
TINY = {"preset": "tiny", "precision": "fp32", "label": "digit", "metrics": ["mig"], "log_every": 2}


@pytest.fixture(scope="module")
def first(tmp_path_factory):
    return unbraid.train("vanilla", DATA, out=tmp_path_factory.mktemp("runs") / "first", **TINY, max_steps=5, epochs=10)


def train(first, out, **options):
    return unbraid.train("vanilla", DATA, out=out, **TINY, start_from=str(first.path), **options)


def test_max_steps_end_training_early(first):
    state = checkpoint.load_state(first.checkpoint)
    assert (state["step"], state["num_steps"], state["epochs"]) == (5, 5, 0.5)


def test_weights_moments_and_epochs_go_on(first, tmp_path):
    second = train(first, tmp_path / "second", lr=0.0, epochs=2)
    state = checkpoint.load_state(second.checkpoint)
    assert (state["step"], state["epochs_before"], state["epochs"]) == (15, 0.5, 2.0)
    assert [line["epoch"] for line in read_lines(second.log)][:2] == [0.7, 0.9]
    before, after = checkpoint.load_weights(first.checkpoint), checkpoint.load_weights(second.checkpoint)
    same = {name for name in before if torch.equal(before[name], after[name])}
    assert {name for name in before if "running" not in name and "num_batches" not in name} == same
    moments = checkpoint.load_optimizers(second.checkpoint)["main"]["state"]
    assert {float(one["step"]) for one in moments.values()} == {20.0}


def test_the_start_is_needed_only_once(first, tmp_path):
    second = train(first, tmp_path / "second", epochs=2)
    (second.path / "DONE").unlink()
    moved = first.path.with_name("moved")
    first.path.rename(moved)
    train(first, second.path, epochs=2)
    moved.rename(first.path)


def test_what_cannot_be_gone_on_from(first, tmp_path):
    with pytest.raises(UserError, match="no run at nowhere"):
        unbraid.train("vanilla", DATA, out=tmp_path / "a", **TINY, start_from="nowhere")
    with pytest.raises(UserError, match="is a run of vanilla, not of simclr"):
        unbraid.train("simclr", DATA, out=tmp_path / "b", **TINY, start_from=str(first.path))
    with pytest.raises(UserError, match=r"do not fit this method and data \(.*Missing key"):
        train(first, tmp_path / "c", backbone="mlp", epochs=3)
    with pytest.raises(UserError, match=r"trained 0\.5 epochs; give --epochs above that"):
        train(first, tmp_path / "d", epochs=0)


def test_each_epoch_begins_once_in_whatever_pieces_it_is_trained(tmp_path, monkeypatch):
    begun = []
    monkeypatch.setattr(Vanilla, "begin_epoch", lambda method, epoch, passes, step: begun.append(epoch))
    before = ""
    for piece, steps in enumerate((3, 4, 3, 10, 7)):  # of ten batches an epoch
        run = unbraid.train(
            "vanilla", DATA, out=tmp_path / str(piece), **TINY, start_from=before, max_steps=steps, epochs=9
        )
        before = str(run.path)
    assert begun == [0, 1, 2]
