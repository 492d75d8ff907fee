"""Samplers against the published draws, and batches that depend on the seed and the step alone."""

import itertools

import numpy as np
import pytest
import torch
from fake_training import tiny_dataset, tiny_loader

from unbraid import augment
from unbraid.errors import UserError
from unbraid.loader import Loader, domain_balanced, shuffled
from unbraid.methods import method


def take(sampler, num):
    return [np.concatenate(groups).tolist() for groups in itertools.islice(sampler, num)]


def published_num_batches(num, batch):
    """The published sampler stops while count + batch < num holds no more."""
    return -(-num // batch) - 1


def test_published_draws():  # S1
    labels = np.array([0] * 5 + [1] * 7 + [2] * 4)
    sampler = domain_balanced(labels, 2, 3, np.random.RandomState(0))
    assert published_num_batches(16, 6) == 16 // 6 == 2
    assert take(sampler, 2) == [[5, 7, 6, 2, 0, 1], [3, 0, 1, 9, 10, 11]]
    assert take(sampler, 2) == [[15, 12, 14, 2, 1, 4], [3, 4, 1, 12, 14, 15]]


def test_batch_that_is_the_whole_data_set():  # S2: the published sampler yields none, ours one
    labels = np.repeat(np.arange(4), 32)
    assert published_num_batches(128, 128) == 0
    (batch,) = take(domain_balanced(labels, 4, 32, np.random.default_rng(0)), 1)
    assert sorted(batch) == list(range(128))


def test_short_domains_give_all_they_have():  # S3
    labels = np.repeat(np.arange(4), [20, 40, 40, 64])
    assert published_num_batches(164, 64) == 164 // 64 == 2
    sizes = {len(batch) for batch in take(domain_balanced(labels, 2, 32, np.random.default_rng(0)), 40)}
    assert sizes == {52, 64}


def test_fewer_domains_than_asked():  # S4
    labels = np.repeat(np.arange(2), 100)
    assert published_num_batches(200, 64) == 200 // 64 == 3
    assert [len(batch) for batch in take(domain_balanced(labels, 4, 32, np.random.default_rng(0)), 3)] == [64] * 3


def test_domain_balanced_uses_every_image_before_it_repeats():
    labels = np.repeat(np.arange(3), 8)
    batches = take(domain_balanced(labels, 1, 4, np.random.default_rng(1)), 60)
    for domain in range(3):
        mine = [batch for batch in batches if labels[batch[0]] == domain]
        for first, second in zip(mine[0::2], mine[1::2]):
            assert sorted(first + second) == list(range(8 * domain, 8 * domain + 8))


def test_shuffled_is_a_pass_over_the_data():
    sampler = shuffled(10, 3, np.random.default_rng(0))
    first, second = take(sampler, 3), take(sampler, 3)
    assert len(np.unique(first)) == len(np.unique(second)) == 9
    assert first != second
    assert take(shuffled(2, 128, np.random.default_rng(0)), 1)[0] in ([0, 1], [1, 0])


def tiny_model(name="dcodr-norec"):
    kind = method(name)
    return kind(kind.config_class(**kind.presets["tiny"]), tiny_dataset().spec)


def test_a_batch_is_what_was_declared():
    batch = next(tiny_loader(tiny_model()).batches())
    data = tiny_dataset()
    assert batch.x.shape == (16, 3, 32, 32)
    assert batch.views.shape == (16, 1, 3, 32, 32)
    assert batch.weight == 1.0
    np.testing.assert_array_equal(batch.domain, data.columns["camera"][batch.index])
    np.testing.assert_array_equal((batch.x.permute(0, 2, 3, 1) * 255).round().byte(), data.images[batch.index])
    assert batch.label is None
    assert sorted(np.unique(batch.domain, return_counts=True)[1]) == [8, 8]


def test_starting_late_is_the_same_as_waiting():
    model = tiny_model()
    waited = next(itertools.islice(tiny_loader(model).batches(), 7, None))
    begun = next(tiny_loader(model).batches(start=7))
    assert torch.equal(waited.index, begun.index)
    assert torch.equal(waited.views, begun.views)
    other = next(tiny_loader(model, seed=1).batches(start=7))
    assert not torch.equal(waited.index, other.index)


@pytest.mark.parametrize("name", ["dcodr-norec", "simclr"])
def test_two_processes_share_one_batch(name):
    model = tiny_model(name)
    whole = next(tiny_loader(model).batches(start=3))
    parts = [next(tiny_loader(model, rank=rank, world=2).batches(start=3)) for rank in range(2)]
    assert torch.equal(torch.cat([part.index for part in parts]), whole.index)
    assert torch.equal(torch.cat([part.views for part in parts]), whole.views)
    if name == "dcodr-norec":
        assert not set(parts[0].domain.tolist()) & set(parts[1].domain.tolist())


def test_in_order_is_one_pass():
    passes = tiny_loader(tiny_model()).in_order(10)
    for _ in range(2):
        index = torch.cat([batch.index for batch in passes])
        assert torch.equal(index, torch.arange(72))


def test_passes_with_views_are_drawn_anew_for_each_epoch_and_turn_alike_in_every_process():
    model = tiny_model("simclr")

    def drawn(turn, epoch=0, **options):
        return [(b.index, b.views) for b in tiny_loader(model, **options).in_order(10, epoch).with_views(turn)]

    first = drawn(0)
    assert torch.equal(torch.cat([index for index, _ in first]), torch.arange(72))
    assert first[0][1].shape == (10, 2, 3, 32, 32)
    same = [drawn(0), drawn(0, rank=1, world=2)]
    assert all(torch.equal(a[1], b[1]) for other in same for a, b in zip(first, other))
    for other in (drawn(1), drawn(0, epoch=1), drawn(0, seed=1)):
        assert not torch.equal(first[0][1], other[0][1])
    shuffled_pass = list(tiny_loader(model).in_order(10).with_views(3, batch_size=30, shuffle=True))
    assert [len(batch.index) for batch in shuffled_pass] == [30, 30]
    assert len(torch.cat([batch.index for batch in shuffled_pass]).unique()) == 60


def test_bad_batches_are_named():
    with pytest.raises(UserError, match="cannot be dealt to 3 processes"):
        next(tiny_loader(tiny_model(), rank=0, world=3).batches())
    with pytest.raises(UserError, match="cannot be dealt to 3 processes"):
        next(tiny_loader(tiny_model("simclr"), rank=0, world=3).batches())
    kind = method("dcodr-norec")
    odd = kind(kind.config_class(backbone="tiny", batch_size=10, domains_per_batch=4), tiny_dataset().spec)
    with pytest.raises(UserError, match="not a multiple of domains_per_batch"):
        tiny_loader(odd)


def test_one_image_of_a_domain_has_no_negative():
    kind = method("dcodr-norec")
    single = kind(kind.config_class(backbone="tiny", batch_size=4, domains_per_batch=4), tiny_dataset().spec)
    with pytest.raises(UserError, match="leaves one image to each of 4 domains"):
        tiny_loader(single)
    data = tiny_dataset()
    alone = np.flatnonzero((data.columns["camera"] != 3) | (np.arange(96) == 3))
    with pytest.raises(UserError, match="domains with one training image: 1, first number 3"):
        Loader(
            data.take(alone),
            single.needs,
            kind.config_class(batch_size=8),
            augment.views("dcodr"),
            seed=0,
            device=torch.device("cpu"),
        )
