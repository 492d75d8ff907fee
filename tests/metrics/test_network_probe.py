"""The six-layer probe: recorded numbers of the published one, and side by side equals one after the other."""

import dataclasses

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from unbraid.metrics.network_probe import PUBLISHED, Protocol, SixLayerProbes, fit


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
