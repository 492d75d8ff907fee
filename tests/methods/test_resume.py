"""Every method, stopped between and within epochs and resumed, is to the last bit the run that was never stopped."""

import pytest
import torch
from accelerate import Accelerator
from fake_training import tiny_dataset, tiny_loader

from unbraid import checkpoint
from unbraid.hparams import parse
from unbraid.methods import METHODS, method
from unbraid.records import RunDir
from unbraid.seeds import integer
from unbraid.trainer import Trainer


def trainer(name, run):
    kind = method(name)
    torch.manual_seed(integer(0, "init"))
    model = kind(parse(kind.config_class, kind.presets["tiny"], owner=name), tiny_dataset().spec)
    loader = tiny_loader(model)
    return Trainer(model, loader, run, Accelerator(cpu=True), seed=0, log_every=3, checkpoint_seconds=0.0)


@pytest.mark.parametrize("name", METHODS)
def test_resumed_is_the_same(name, tmp_path, monkeypatch):
    whole = trainer(name, RunDir(tmp_path / "whole"))
    whole.fit()
    begun = Trainer._begin_epoch
    epoch = whole.loader.num_batches
    for stop_at in (1, epoch, epoch + 1):

        def stop(self, stop_at=stop_at):
            if self.done == stop_at:
                raise RuntimeError("the power went")
            begun(self)

        monkeypatch.setattr(Trainer, "_begin_epoch", stop)
        if whole.num_steps > stop_at:
            with pytest.raises(RuntimeError):
                trainer(name, RunDir(tmp_path / "resumed")).fit()
    monkeypatch.setattr(Trainer, "_begin_epoch", begun)
    trainer(name, RunDir(tmp_path / "resumed")).fit()
    first, second = (checkpoint.load_weights(tmp_path / run / "checkpoint") for run in ("whole", "resumed"))
    assert first.keys() == second.keys()
    assert all(torch.equal(first[key], second[key]) for key in first)
