"""The table of losses: published values, a loop over every row, and the greatest of each class to the last bit."""

import numpy as np
import pytest
import torch

from unbraid.errors import UserError
from unbraid.losses.generalized_cross_entropy import relative_difficulty
from unbraid.nets.loss_table import LossTable


def update(table, index, losses, label):
    index = torch.tensor(index)
    table.update(torch.tensor(losses, dtype=torch.float32), index, torch.tensor(label)[index])
    return index, torch.tensor(label)[index]


def test_published_averages():  # G2
    label = [0, 0, 1, 1, 2, 2, 0, 1]
    table = LossTable(1, 8, 3, 0.7)
    assert table.class_maximum().tolist() == [[0, 0, 0]]
    update(table, [0, 2, 4], [[1, 2, 3]], label)
    assert table.averages[0, :8].tolist() == [1, 0, 2, 0, 3, 0, 0, 0]
    assert table.class_maximum().tolist() == [[1, 2, 3]]
    update(table, [0, 3, 5], [[4, 0.5, 0.25]], label)
    update(table, [0, 2, 7], [[0.1, 0, 6]], label)
    want = torch.tensor([1.36, 0, 1.4, 0.5, 3, 0.25, 0, 6])
    torch.testing.assert_close(table.averages[0, :8], want, rtol=1e-6, atol=0)
    torch.testing.assert_close(table.class_maximum(), torch.tensor([[1.36, 6.0, 3.0]]), rtol=1e-6, atol=0)


def test_published_weights():  # G3
    label, table = [0, 0, 1, 1, 2, 2], LossTable(2, 6, 3, 0.7)
    steps = [
        ([0, 2, 4, 5], [2, 0.01, 1, 0.5], [0.2, 0.3, 1, 0.25], [1, 1, 1, 0.5], [0.5, 0.5, 0.5, 0.6666667]),
        (
            [1, 2, 3, 4],
            [0.1, 0.02, 3, 0.8],
            [1.5, 0.1, 0.4, 0.2],
            [0.05, 0.00433333, 1, 1],
            [0.04761905, 0.00717044, 0.5, 0.5],
        ),
        ([0], [0], [0], [1], [0.91463411]),
    ]
    for rows, bias, intrinsic, normalised, weight in steps:
        rows, chosen = update(table, rows, [bias, intrinsic], label)
        found = table.relative(rows, chosen)
        torch.testing.assert_close(found[0], torch.tensor(normalised, dtype=torch.float32), rtol=2e-6, atol=0)
        torch.testing.assert_close(relative_difficulty(*found), torch.tensor(weight), rtol=2e-6, atol=0)


def test_a_class_without_loss_has_weight_0_where_published_is_nan():
    table = LossTable(2, 4, 2, 0.7)
    rows, label = update(table, [0, 1], [[0, 0], [0, 0]], [0, 0, 1, 1])
    assert relative_difficulty(*table.relative(rows, label)).tolist() == [0, 0]


@pytest.mark.parametrize(("num_rows", "top"), [(5, 1024), (64, 1024), (65, 1024), (5000, 1024), (5000, 64), (5000, 8)])
def test_greatest_of_each_class_is_exact_after_every_batch(num_rows, top, monkeypatch):
    """Against a dictionary, with trees of one to three levels and falling losses, so that it must be found anew."""
    monkeypatch.setattr("unbraid.nets.loss_table._TOP", max(top, 64))
    monkeypatch.setattr("unbraid.nets.loss_table._FAN", 64 if top >= 64 else 8)
    rng = np.random.default_rng(num_rows)
    label = rng.integers(4, size=num_rows)
    table, known = LossTable(2, num_rows, 4, 0.6), [{}, {}]
    for step in range(60):
        index = rng.permutation(num_rows)[: rng.integers(1, min(num_rows, 300))]
        losses = rng.exponential(size=(2, len(index))).astype(np.float32) * 0.9**step
        table.update(torch.from_numpy(losses), torch.from_numpy(index), torch.from_numpy(label[index]))
        for one, row in zip(known, losses, strict=True):
            for i, value in zip(index.tolist(), row.tolist(), strict=True):
                one[i] = 0.6 * one[i] + 0.4 * value if i in one else value
        for network in range(2):
            averages = table.averages[network, :num_rows].numpy()
            np.testing.assert_allclose([averages[i] for i in known[network]], list(known[network].values()), rtol=1e-5)
            greatest = [averages[label == k].max(initial=0) for k in range(4)]
            np.testing.assert_array_equal(table.class_maximum()[network], greatest)


def test_a_table_is_part_of_a_checkpoint():
    first, second = (LossTable(1, 100, 2, 0.7) for _ in range(2))
    update(first, [3, 99], [[1, 2]], [0] * 50 + [1] * 50)
    second.load_state_dict(first.state_dict())
    for table in (first, second):
        update(table, [99, 4], [[0, 1]], [0] * 50 + [1] * 50)
    assert torch.equal(first.class_maximum(), second.class_maximum())
    assert second.class_maximum()[0, 1].item() == pytest.approx(1.4)


def test_several_processes_store_the_rows_of_all(monkeypatch):
    rows = torch.tensor([[0.5, 3.0, 7.0, 1.0], [0.25, 4.0, 70.0, 0.0]], dtype=torch.float64)
    monkeypatch.setattr("unbraid.nets.loss_table.num_processes", lambda: 2)
    monkeypatch.setattr("unbraid.nets.loss_table.gather", lambda x: torch.cat([x, rows[1:]]))
    table = LossTable(2, 100, 2, 0.7)
    update(table, [7], [[0.5], [3.0]], [1] * 100)
    assert table.averages[:, [7, 70]].tolist() == [[0.5, 0.25], [3.0, 4.0]]
    assert table.class_maximum().tolist() == [[0.25, 0.5], [4.0, 3.0]]


@pytest.mark.parametrize("rate", [-0.1, 1.0])
def test_a_rate_that_averages_nothing_is_refused(rate):
    with pytest.raises(UserError, match="at least 0 and below 1"):
        LossTable(1, 4, 2, rate)
