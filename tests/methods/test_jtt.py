"""JTT: whose errors are noted and when, what they weigh, and that a run resumes between its stages."""

import pytest
import torch
import torch.nn.functional as F
from fake_training import RecordingStep, tiny_batch, tiny_dataset, tiny_loader

from unbraid.errors import UserError
from unbraid.methods.jtt import JTT, Config

SMALL = (3, 16, 16)


def build(**values):
    torch.manual_seed(0)
    return JTT(Config(**JTT.presets["tiny"] | values), tiny_dataset(SMALL).spec).train()


def begin(model, epoch):
    model.begin_epoch(epoch, tiny_loader(model, SMALL).in_order(10), lambda *_: None)


def test_the_first_stage_leaves_epochs_for_the_second():
    with pytest.raises(UserError, match="with 4 of 4 epochs in the first stage none is left for the second network"):
        build(epochs=4, identification_epochs=4)


def test_the_first_stage_trains_the_first_network_alone():
    model = build(epochs=4, identification_epochs=2)
    step, batch = RecordingStep(model), tiny_batch(model, SMALL)
    second = [param.clone() for param in model.encoder.parameters()]
    stages = []
    for epoch in range(4):
        begin(model, epoch)
        model.update(batch, step)
        stages.append(step.losses[-1][0])
        if epoch == 1:
            assert all(torch.equal(a, b) for a, b in zip(second, model.encoder.parameters()))
            assert model.errors.sum() == 0
    assert stages == ["first", "first", "second", "second"]


def test_errors_are_the_first_networks_on_images_as_they_are():
    model = build()
    begin(model, 1)
    assert model.training
    data = tiny_dataset(SMALL)
    x = torch.from_numpy(data.images[:72]).permute(0, 3, 1, 2) / 255
    with torch.no_grad():
        model.eval()
        answers = model.first_head(model.first_encoder(x)).argmax(1)
    want = (answers != torch.from_numpy(data.columns["shape"][:72])).float()
    assert 0 < want.sum() < 72
    assert torch.equal(model.errors, want)
    model.errors.zero_()
    begin(model, 2)  # noted once
    assert model.errors.sum() == 0


def test_an_error_weighs_as_if_drawn_so_many_times_as_often():
    model = build(upweight=7.0)
    begin(model, 1)
    model.errors[::3] = 1.0
    model.eval()
    batch, found = tiny_batch(model, SMALL), {}
    model.update(batch, lambda optimizer, terms, *, log=None: found.update(terms, **log))
    factors = [7 if error else 1 for error in model.errors.tolist()]
    with torch.no_grad():
        losses = F.cross_entropy(model.predict(batch.x), batch.label, reduction="none")
    want = sum(factors[i] * loss for i, loss in zip(batch.index.tolist(), losses.tolist())) / 16 / (sum(factors) / 72)
    assert found["cross_entropy"].item() == pytest.approx(want, rel=1e-5)
    assert found["errors"] == model.errors[batch.index].mean()


def test_stage_and_errors_are_in_the_checkpoint():
    model, other = build(), build()
    begin(model, 1)
    other.load_state_dict(model.state_dict())
    assert not other.identifying
    assert torch.equal(other.errors, model.errors)
