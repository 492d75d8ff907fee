"""Group DRO: algorithm 1 as a loop, group reweighting as its limit, empty groups, and a run that cannot be built."""

import math

import pytest
import torch
import torch.nn.functional as F
from fake_training import RecordingStep, tiny_batch, tiny_dataset, tiny_loader

from unbraid.config import RunConfig
from unbraid.encoder import build
from unbraid.errors import UserError
from unbraid.methods.group_dro import Config, GroupDRO
from unbraid.tables import DataSpec
from unbraid.types import Batch

SMALL = (3, 16, 16)


def build_tiny(**values):
    torch.manual_seed(0)
    model = GroupDRO(Config(**GroupDRO.presets["tiny"] | values), tiny_dataset(SMALL).spec).eval()
    model.begin_epoch(0, tiny_loader(model, SMALL).in_order(10), lambda *_: None)
    return model


def test_sizes_are_of_the_train_split():
    model, data = build_tiny(), tiny_dataset(SMALL)
    train = data.rows("train")
    for shape in range(3):
        for camera in range(4):
            want = sum((data.columns["shape"][i], data.columns["camera"][i]) == (shape, camera) for i in train)
            assert model.groups.sizes[4 * shape + camera] == want


@pytest.mark.parametrize("adjustment", [0.0, 2.0])
def test_weights_and_risk_follow_algorithm_1(adjustment):
    model = build_tiny(group_step=0.3, adjustment=adjustment, epochs=9)
    sizes = model.groups.sizes.tolist()
    q = [1 / 12] * 12
    for batch, _ in zip(tiny_loader(model, SMALL).batches(), range(3)):
        found = {}
        model.update(batch, lambda o, terms, *, log=None: found.update(terms, **log))  # noqa: B023
        with torch.no_grad():
            losses = F.cross_entropy(model.predict(batch.x), batch.label, reduction="none").tolist()
        groups = [4 * y + b for y, b in zip(batch.label.tolist(), batch.bias.tolist())]
        means = [sum(v for v, of in zip(losses, groups) if of == g) * 72 / sizes[g] / 16 for g in range(12)]
        q = [q[g] * math.exp(0.3 * (means[g] + adjustment / math.sqrt(sizes[g]))) for g in range(12)]
        q = [one / sum(q) for one in q]
        assert found["risk"].item() == pytest.approx(sum(a * b for a, b in zip(q, means)), rel=1e-5)
        assert found["greatest_weight"].item() == pytest.approx(max(q), rel=1e-5)


def test_without_steps_every_group_counts_the_same():
    """Over the whole train split: the plain mean of the groups' mean losses."""
    model = build_tiny(group_step=0.0)
    data, found = tiny_dataset(SMALL), {}
    keep = torch.arange(72)[5:]  # groups of different size
    x = torch.from_numpy(data.images[:72]).permute(0, 3, 1, 2)[keep] / 255
    label, bias = (torch.from_numpy(data.columns[name])[:72][keep] for name in ("shape", "camera"))
    batch = Batch(index=keep, x=x, views=x[:, None][:, :0], label=label, bias=bias)
    model.groups.count([batch])
    assert len(model.groups.sizes.unique()) > 1
    model.update(batch, lambda optimizer, terms, *, log=None: found.update(terms, **log))
    with torch.no_grad():
        losses = F.cross_entropy(model.predict(x), label, reduction="none")
    means = [losses[(label == y) & (bias == b)].mean() for y in range(3) for b in range(4)]
    assert found["risk"].item() == pytest.approx((sum(means) / 12).item(), rel=1e-5)


def test_an_empty_group_has_no_weight():
    model = build_tiny()
    batch = tiny_batch(model, SMALL)
    model.groups.count([Batch(index=batch.index, x=batch.x, views=batch.views, label=batch.label * 0, bias=batch.bias)])
    weights = model._reweigh(torch.zeros(12))
    assert weights[4:].sum() == 0
    assert weights.sum().item() == pytest.approx(1)


def test_the_worst_group_gains_weight():
    model = build_tiny(group_step=0.5, epochs=9)
    step, batch = RecordingStep(model), tiny_batch(model, SMALL)
    for _ in range(3):
        model.update(batch, step)
        with torch.no_grad():
            losses = F.cross_entropy(model.predict(batch.x), batch.label, reduction="none")
        means = model.groups.mean_losses(losses, model.groups(batch))
    assert model.log_weights[means.argmax()] > model.log_weights[means.argmin()]


def test_data_without_a_bias_are_refused():
    spec = DataSpec(name="x", image_shape=SMALL, num_train=4, sizes={"shape": 3, "camera": 2}, label="shape")
    with pytest.raises(UserError, match="group-dro needs a bias: give --bias, one of shape, camera"):
        build(RunConfig.make("group-dro", "digits", preset="tiny"), spec)
