"""The plain classifier: its published traces, its presets, and an image's view in its place."""

import dataclasses

import pytest
import torch
import torch.nn.functional as F
from fake_training import tiny_batch, tiny_dataset
from published_debias import PlainStep, published_fill, published_images

from unbraid.encode import encode_dataset
from unbraid.hparams import parse
from unbraid.methods.vanilla import Config, Vanilla
from unbraid.tables import DataSpec
from unbraid.types import Batch

ALIGNED = [i for k in range(3) for i in range(256) if i % 3 == k and i % 8]
CONFLICTING = [i for k in range(3) for i in range(256) if i % 3 == k and not i % 8]


def golden_model(num_train, backbone):
    spec = DataSpec(name="golden", image_shape=(3, 28, 28), num_train=num_train, sizes={"target": 3}, label="target")
    model = Vanilla(Config(backbone=backbone, lr=2e-3), spec).train()
    published_fill([model.encoder, model.head], 0)
    return model, PlainStep(model)


def batch_of(ids):
    x = published_images(ids)
    return Batch(index=torch.tensor(ids), x=x, views=x[:, None][:, :0], label=torch.tensor(ids) % 3)


def accuracy(model, num):
    with torch.no_grad():
        answers = model.predict(published_images(range(2000, 2000 + num))).argmax(1)
    return (answers == torch.arange(num) % 3).float().mean().item()


def test_published_steps_of_lee():  # G8v
    model, step = golden_model(256, "mlp")
    found = []
    for _ in range(4):
        model.update(batch_of(ALIGNED + CONFLICTING), step)
        found.append((step.logs[-1]["cross_entropy"], accuracy(model, 60)))
    assert [loss for loss, _ in found] == pytest.approx([1.1033874, 1.1067833, 1.0842106, 1.0774658], rel=1e-5)
    assert [share for _, share in found] == pytest.approx([0.3, 0.35, 0.4, 0.3166667], abs=1e-6)


def test_published_steps_of_nam():  # G10
    model, step = golden_model(100, "mlp-wide")
    shares = []
    for t in range(11):
        model.update(batch_of(list(range(40 * (t % 3), min(40 * (t % 3) + 40, 100)))), step)
        shares.append(accuracy(model, 45))
    losses = [log["cross_entropy"] for log in step.logs]
    assert [losses[0], losses[10]] == pytest.approx([1.09934, 1.051264], rel=1e-5)
    assert shares[::5] == pytest.approx([0.355556, 0.377778, 0.444444], abs=1e-6)


def test_published_numbers_of_parameters():
    for backbone, num in (("mlp", 247_186), ("mlp-wide", 256_510), ("resnet18", 11_181_642)):
        spec = DataSpec(name="x", image_shape=(3, 28, 28), num_train=4, sizes={"target": 10}, label="target")
        assert sum(param.numel() for param in Vanilla(Config(backbone=backbone), spec).parameters()) == num


def test_every_share_has_its_preset():
    names = {
        f"{data}-{share}" for data in ("cmnist", "cifar10c", "bffhq") for share in ("0.5pct", "1pct", "2pct", "5pct")
    }
    assert names < set(Vanilla.presets)
    step_sizes = [parse(Config, Vanilla.presets[n], owner="vanilla").lr for n in ("cmnist", "cifar10c", "bffhq")]
    assert step_sizes == [1e-2, 1e-3, 1e-4]


def test_with_augment_the_view_is_seen():
    model = Vanilla(Config(**Vanilla.presets["tiny"] | {"augment": True}), tiny_dataset((3, 16, 16)).spec).eval()
    batch, found = tiny_batch(model, (3, 16, 16)), {}
    assert batch.views.shape[1] == 1
    batch = dataclasses.replace(batch, views=batch.views / 2)
    model.update(batch, lambda optimizer, terms, *, log=None: found.update(terms))
    want = F.cross_entropy(model.predict(batch.views[:, 0]), batch.label)
    assert found["cross_entropy"].item() == pytest.approx(want.item(), rel=1e-6)
    assert found["cross_entropy"].item() != pytest.approx(F.cross_entropy(model.predict(batch.x), batch.label).item())


def test_codes_come_with_the_models_own_logits():
    data = tiny_dataset((3, 16, 16))
    model = Vanilla(Config(**Vanilla.presets["tiny"]), data.spec).eval()
    codes = encode_dataset(model, data)
    z, logits = torch.from_numpy(codes.z), torch.from_numpy(codes.logits)
    assert logits.shape == (96, 3)
    with torch.no_grad():
        torch.testing.assert_close(logits, model.head(z), rtol=1e-4, atol=1e-5)
