"""The six-layer probe: recorded numbers of the published one, and side by side equals one after the other."""

import copy
import dataclasses

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.model_selection import train_test_split
from torch import nn

from unbraid.metrics.network_probe import (
    PUBLISHED,
    STANDARDISED,
    Protocol,
    SixLayerProbes,
    fit,
    linear_evaluation,
    published_rate,
    regress,
)


def short(epochs: int) -> Protocol:
    return dataclasses.replace(PUBLISHED, epochs=epochs)


def formula(shape: tuple[int, ...], k: int) -> torch.Tensor:
    """2 frac(43758.5453 sin(12.9898 i + 78.233 k)) - 1 for i = 1, 2, ..., row by row."""
    wave = np.sin(12.9898 * np.arange(1, np.prod(shape) + 1) + 78.233 * k) * 43758.5453
    return torch.tensor(2 * (wave - np.floor(wave)) - 1, dtype=torch.float32).reshape(shape)


def formula_probe() -> SixLayerProbes:
    """Weight number k (each hidden layer has three: linear, batch-norm scale, batch-norm shift) from the formula."""
    probe = SixLayerProbes(128, [18])
    with torch.no_grad():
        *hidden, _, out = probe.parts()
        for layer, weight in enumerate([*hidden, out[..., :128]]):
            weight[0] = formula(tuple(weight[0].shape), 3 * layer) * (6 / weight.shape[2]) ** 0.5
        out[..., 128] = 0
    return probe


def test_recorded_outputs():
    probe, x = formula_probe(), F.normalize(formula((16, 128), 1))
    train_out = probe(x)[0].T  # (B, K)
    expected = torch.tensor([-0.1452976763, -0.3109329045, 1.0419580936, 0.7405253053])
    torch.testing.assert_close(train_out[0, :4], expected, rtol=1e-4, atol=1e-5)
    eval_out = probe.eval()(x)[0].T
    expected = torch.tensor([0.0701815113, 0.0345312133, 0.068717964, 0.1008734331])
    torch.testing.assert_close(eval_out[0, :4], expected, rtol=1e-4, atol=1e-5)
    assert F.cross_entropy(eval_out, torch.arange(16)).item() == pytest.approx(2.8857703207, rel=1e-4)


def test_number_of_parameters():
    assert sum(p.numel() for p in SixLayerProbes(128, [18]).parameters()) == 85_522


def test_initial_weights_are_drawn_as_by_a_linear_layer():
    first, *_, out = SixLayerProbes(20, [3, 7], seed=1).parts()
    assert torch.equal(first[0], first[1])
    assert first.abs().max().item() == pytest.approx(20**-0.5, rel=0.01)
    assert out.abs().max().item() == pytest.approx(128**-0.5, rel=0.01)
    assert torch.equal(out[0, :3], SixLayerProbes(20, [3], seed=1).parts()[-1][0])


def test_side_by_side_is_one_after_the_other():
    rng = np.random.default_rng(0)
    z = rng.normal(size=(300, 6)).astype(np.float32)
    easy, noise = (z[:, 0] > 0).astype(int), rng.integers(0, 5, 300)  # stop at different epochs
    both = fit(z, np.stack([easy, noise]), [2, 5], seed=3, protocol=short(30))
    for place, (labels, size) in enumerate([(easy, 2), (noise, 5)]):
        alone = fit(z, labels[None], [size], seed=3, protocol=short(30))
        together, single = both.eval()(torch.tensor(z)), alone.eval()(torch.tensor(z))
        torch.testing.assert_close(together[place, :size], single[0], rtol=1e-3, atol=1e-3)
        assert torch.isneginf(together[place, size:]).all()


def test_the_global_random_state_is_left_alone():
    state = torch.get_rng_state()
    fit(np.eye(20, 4, dtype=np.float32), np.zeros((1, 20), dtype=int), [2], seed=0, protocol=short(1))
    assert torch.equal(state, torch.get_rng_state())


def test_a_last_batch_of_one_row_is_survived():
    z = np.random.default_rng(0).normal(size=(144, 4)).astype(np.float32)  # 129 rows to train on
    assert fit(z, np.arange(144)[None] % 2, [2], seed=0, protocol=short(2)).predict(z).shape == (1, 144)


def test_what_no_line_can_read_is_read():
    rng = np.random.default_rng(0)
    z = rng.normal(size=(800, 4)).astype(np.float32)
    labels = ((z[:, 0] > 0) ^ (z[:, 1] > 0)).astype(int)
    predicted = fit(z[:600], labels[None, :600], [2], seed=0).predict(z[600:])
    assert (predicted[0] == labels[600:]).mean() > 0.85


@pytest.mark.parametrize(
    ("loss", "rate"),
    [(3.2, 1e-3), (24.99, 1e-3), (25.0, 3e-4), (32.0, 3e-4), (45.0, 9e-5), (2.0, 1e-3), (95.0, 2.187e-7)],
)
def test_published_step_size(loss, rate):
    assert published_rate(loss) == pytest.approx(rate)


def plain(probe: SixLayerProbes) -> nn.Sequential:
    """The first probe as ordinary layers."""
    *hidden, _, out = probe.parts()
    layers: list[nn.Module] = []
    for weight in hidden:
        linear = nn.Linear(weight.shape[2], 128, bias=False)
        linear.weight.data = weight[0].detach().clone()
        layers += [linear, nn.BatchNorm1d(128), nn.LeakyReLU(0.01)]
    last = nn.Linear(128, out.shape[1])
    last.weight.data, last.bias.data = out[0, :, :128].detach().clone(), out[0, :, 128].detach().clone()
    return nn.Sequential(*layers, last)


@pytest.mark.parametrize("regression", [False, True])
def test_training_is_that_of_ordinary_layers(regression):
    rng = np.random.default_rng(0)
    z = rng.normal(size=(300, 6)).astype(np.float32)
    targets = (40 * z[:, :2] + 60).astype(np.float32).T  # a loss above the published milestones
    labels = (z[:, 0] > 0).astype(int)
    net = plain(SixLayerProbes(6, [2], seed=3))
    train, held_out = train_test_split(np.arange(300), test_size=0.1, random_state=0)
    optimizer, generator = torch.optim.Adam(net.parameters(), lr=1e-3), torch.Generator().manual_seed(3)
    x, best, kept = F.normalize(torch.tensor(z)), None, net.state_dict()
    for _ in range(3):
        losses = []
        net.train()
        for rows in torch.tensor(train)[torch.randperm(270, generator=generator)].split(128):
            y = torch.tensor(targets.T[rows] if regression else labels[rows])
            loss = F.l1_loss(net(x[rows]), y) if regression else F.cross_entropy(net(x[rows]).double(), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        net.eval()
        out = net(x[held_out]).detach().numpy()
        result = -np.abs(out - targets.T[held_out]).mean() if regression else (out.argmax(1) == labels[held_out]).mean()
        if best is None or result > best:
            best, kept = result, copy.deepcopy(net.state_dict())
        optimizer.param_groups[0]["lr"] = published_rate(float(np.mean(losses)))
    net.load_state_dict(kept)
    expected = net(x).detach().numpy().T
    if regression:
        assert np.mean(losses) > 40
        found = regress(z, targets[None], z, seed=3, protocol=short(3))[0]
    else:
        found = fit(z, labels[None], [2], seed=3, protocol=short(3)).outputs(z)[0].numpy()
    np.testing.assert_allclose(found, expected, rtol=2e-3, atol=2e-3)


def test_narrow_codes_are_read_once_standardised():
    """At unit length they vary a hundred times less than batch norm's running mean moves from batch to batch."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 4, 600)
    z = (5 + 0.005 * (np.eye(4)[labels] + 0.1 * rng.normal(size=(600, 4)))).astype(np.float32)
    accuracy = {
        protocol: np.mean(
            fit(z[:400], labels[None, :400], [4], seed=0, protocol=protocol).predict(z[400:]) == labels[400:]
        )
        for protocol in (PUBLISHED, STANDARDISED)
    }
    assert accuracy[PUBLISHED] < 0.5
    assert accuracy[STANDARDISED] > 0.95


def test_versions_of_targets_are_trained_as_each_alone():
    rng = np.random.default_rng(0)
    z, targets = rng.normal(size=(150, 3)).astype(np.float32), rng.normal(size=(2, 1, 150)).astype(np.float32)
    for protocol in (short(3), dataclasses.replace(STANDARDISED, epochs=3, least_steps=0)):
        both = regress(z, targets, z, seed=0, protocol=protocol)
        alone = regress(z, targets[1:], z, seed=0, protocol=protocol)
        np.testing.assert_allclose(both[1:], alone, atol=1e-4)


def test_linear_evaluation_is_that_of_an_ordinary_layer():
    rng = np.random.default_rng(0)
    z, labels = rng.normal(size=(90, 5)).astype(np.float32), rng.integers(0, 3, 90)
    found = linear_evaluation(z, labels, z, 3, seed=4, epochs=2, batch_size=40, least_steps=10)
    generator, layer = torch.Generator().manual_seed(4), nn.Linear(5, 3)
    layer.weight.data = (2 * torch.rand(3, 5, generator=generator) - 1) / 5**0.5
    layer.bias.data = (2 * torch.rand(3, generator=generator) - 1) / 5**0.5
    optimizer = torch.optim.Adam(layer.parameters(), lr=1e-3, weight_decay=1e-6)
    for _ in range(4):  # 3 batches an epoch, 10 steps at least
        for rows in torch.randperm(90, generator=generator).split(40):
            optimizer.zero_grad()
            F.cross_entropy(layer(torch.tensor(z[rows])), torch.tensor(labels[rows])).backward()
            optimizer.step()
    np.testing.assert_allclose(found, layer(torch.tensor(z)).detach().numpy(), atol=1e-5)
