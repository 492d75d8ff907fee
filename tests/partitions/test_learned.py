"""The search by logits against the published runs; its stop; restarts."""

import dataclasses
import functools

import numpy as np
import pytest
import torch
from published_ip_irm import GOLDEN, features, logits, shares
from sklearn.metrics import adjusted_rand_score

from unbraid.losses.partition import SubsetTerms, contrast_of_subsets, imbalance
from unbraid.losses.partition_mixup import mixed_contrast_of_subsets, mixture_weights
from unbraid.partitions.grouped import clusters, ranked
from unbraid.partitions.learned import PUBLISHED, Schedule, learned
from unbraid.partitions.problem import FeatureBatch, Problem, mean_penalty, variance, weighed_variance


def published(batch_size=12, temperature=0.5, v_rex=False, constraint="relaxed"):
    z1, z2 = features(12, 5)

    def batches(turn):
        for rows in torch.arange(12).split(batch_size):
            yield FeatureBatch(rows, z1[rows], z2[rows])

    def terms(batch, weight):
        return contrast_of_subsets(
            batch.first,
            batch.second,
            weight,
            temperature=temperature,
            penalty_temperature=0.5,
            scale="column",
            renormalize=True,
        )

    penalty = variance if v_rex else mean_penalty
    return Problem(12, 2, batches, terms, lambda q: imbalance(q, constraint, published=True), penalty, 0.5)


@pytest.mark.parametrize(
    ("run", "options"),
    [
        ("batch_12", {}),
        ("batch_5", {"batch_size": 5}),
        ("batch_12_noconstrain", {"constraint": "none"}),
        ("batch_12_v2_variance", {"v_rex": True}),
        ("batch_12_tau02", {"temperature": 0.2}),
    ],
)
def test_published_runs(run, options):  # G8
    want = GOLDEN["G8"][run]
    start = logits(12, 2, 0.4)
    found = learned(published(**options), start[None], PUBLISHED)
    assert found.logits[:3].numpy() == pytest.approx(np.array(want["first_rows"]), rel=1e-6)
    assert found.last[0].tolist() == pytest.approx(want["final_S_row0_last_epoch"], rel=1e-6)
    assert found.environments.tolist() == want["assign"]
    assert found.turns == (52 if run == "batch_5" else 61)
    assert torch.equal(start, logits(12, 2, 0.4))
    torch.testing.assert_close(found.last.sum(1), start.sum(1))  # two logits move against each other


def test_published_run_on_mixed_images():  # G9
    z1, z2 = features(12, 5)
    partner, share = torch.arange(12).roll(1), shares(12)

    def terms(batch, weight):
        own, other = mixture_weights(weight, batch.partner, batch.share, "published-offline")
        options = {"temperature": 0.2, "scale": "key", "renormalize": True}
        return mixed_contrast_of_subsets(batch.first, batch.second, batch.partner, own, other, weight, **options)

    batch = FeatureBatch(torch.arange(12), z1, z2, partner, share)
    balance = functools.partial(imbalance, constraint="relaxed", published=True)
    problem = Problem(12, 2, lambda _: [batch], terms, balance, mean_penalty, 0.5)
    found, want = learned(problem, logits(12, 2, 0.4)[None], PUBLISHED), GOLDEN["G9"]["offline_max_batch_12"]
    assert found.logits[:3].numpy() == pytest.approx(np.array(want["first_rows"]), rel=1e-6)
    assert found.last[0].tolist() == pytest.approx(want["final_S_row0_last_epoch"], rel=1e-6)
    assert found.environments.tolist() == want["assign"]


CONVERGED = Schedule(lr=0.5, most=100, tolerance=1e-3, decays=2)


def planted(num=60, batch_size=60):
    """Two bundles of directions: the harder of all partitions keeps each bundle together."""
    rng = np.random.default_rng(0)
    truth = np.arange(num) % 2
    z = [2 * np.eye(2)[truth] @ np.eye(2, 8) + 0.3 * rng.normal(size=(num, 8)) for _ in range(2)]
    z1, z2 = (torch.nn.functional.normalize(torch.from_numpy(part).float()) for part in z)

    def batches(turn):
        order = torch.randperm(num, generator=torch.Generator().manual_seed(turn))
        for rows in order.split(batch_size):
            yield FeatureBatch(rows, z1[rows], z2[rows])

    def terms(batch, weight):
        return contrast_of_subsets(batch.first, batch.second, weight, temperature=0.5, penalty_temperature=0.5)

    return truth, Problem(num, 2, batches, terms, lambda q: imbalance(q, "relaxed", published=False), mean_penalty, 0.5)


def random_logits(restarts, num, environments=2):
    return torch.randn(restarts, num, environments, generator=torch.Generator().manual_seed(0))


def test_a_planted_factor_is_found():
    truth, problem = planted(batch_size=30)
    generator = torch.Generator().manual_seed(0)
    for found in (
        learned(problem, random_logits(4, 60), CONVERGED),
        clusters(problem, 3, generator),
        ranked(problem, 3, generator),
    ):
        assert adjusted_rand_score(truth, found.environments) == 1.0
        assert found.value == pytest.approx(problem.values(found.environments[None], found.turns).item(), rel=1e-2)


def test_searches_side_by_side_are_searches_one_by_one():
    problem, start = published(), torch.stack([logits(12, 2, phase) for phase in (0.4, 1.3, 2.2)])
    together = learned(problem, start, Schedule(lr=0.5, most=20))
    alone = [learned(problem, one[None], Schedule(lr=0.5, most=20)) for one in start]
    best = max(alone, key=lambda found: found.value)
    torch.testing.assert_close(together.logits, best.logits)
    assert together.value == pytest.approx(best.value)


def test_it_stops_when_the_objective_no_longer_grows():
    _, problem = planted()
    found = learned(problem, random_logits(1, 60), CONVERGED)
    assert 15 <= found.turns < 100
    more = learned(problem, random_logits(1, 60), Schedule(lr=0.5, most=300, least=300))
    assert found.value > more.value - 0.01 * abs(more.value)


def test_the_result_is_never_worse_than_the_first_turn():
    _, problem = planted()
    start = random_logits(1, 60)
    first = problem.risk(next(iter(problem.batches(0))), start.softmax(2)).item()
    found = learned(problem, start, CONVERGED)
    assert problem.risk(next(iter(problem.batches(0))), found.logits[None].softmax(2)).item() <= first


def test_names_of_the_environments_and_a_constant_in_a_row_change_nothing():
    _, problem = planted()
    start = random_logits(1, 60, 3)
    problem = dataclasses.replace(problem, num_environments=3)
    batch = next(iter(problem.batches(0)))
    plain = problem.risk(batch, start.softmax(2))
    torch.testing.assert_close(problem.risk(batch, start[..., [2, 0, 1]].softmax(2)), plain)
    torch.testing.assert_close(problem.risk(batch, (start + torch.randn(60, 1)).softmax(2)), plain)


@pytest.mark.parametrize("environments", [2, 3])
def test_a_ranked_partition_is_balanced(environments):
    _, problem = planted()
    problem = dataclasses.replace(problem, num_environments=environments)
    found = ranked(problem, 1, torch.Generator().manual_seed(0))
    assert torch.bincount(found.environments).tolist() == [60 // environments] * environments


def test_of_restarts_the_balanced_one_wins_over_one_that_emptied_a_side():
    _, problem = planted()
    half = torch.arange(60) % 2
    lone = torch.zeros(60, dtype=torch.int64)
    lone[0] = 1
    assert problem.best(torch.stack([lone, half]), torch.tensor([1.1, 1.0])) == 1
    assert problem.best(torch.stack([half, half, lone]), torch.tensor([torch.nan, 1.0, torch.nan])) == 1


@pytest.mark.parametrize("size", [0, 1])
def test_a_sought_subset_of_no_or_one_image_has_a_loss(size):
    z1, z2 = features(6, 5)
    weight = torch.zeros(6, 2, dtype=z1.dtype)
    weight[:, 0] = 1
    weight[:size, 1] = 1
    weight.requires_grad_()
    terms = contrast_of_subsets(z1, z2, weight, temperature=0.5, penalty_temperature=0.5, renormalize=True)
    (terms.loss + terms.penalty).sum().backward()
    assert all(torch.isfinite(value).all() for value in (*terms, weight.grad))
    assert terms.loss[1].item() == pytest.approx(0, abs=1e-6)


def test_the_variance_of_equal_environments_is_the_unbiased_one():
    loss = torch.tensor([[1.0, 3.0, 4.5], [2.0, 2.0, 2.0]])
    terms, size = SubsetTerms(loss, torch.zeros_like(loss)), torch.full((2, 3), 7.0)
    assert weighed_variance(terms, size).tolist() == pytest.approx(loss.var(1).tolist())
    assert variance(terms, size).tolist() == pytest.approx(np.var(loss.numpy(), axis=1, ddof=1).tolist())


def test_the_variance_of_unequal_environments_by_loops():
    loss, size = [1.0, 3.0, 9.0], [10.0, 30.0, 1.5]
    mean = (10 * 1.0 + 30 * 3.0) / 40
    want = (10 * (1.0 - mean) ** 2 + 30 * (3.0 - mean) ** 2) / 40 * 2 / 1  # two count
    terms = SubsetTerms(torch.tensor([loss]), torch.zeros(1, 3))
    assert weighed_variance(terms, torch.tensor([size])).item() == pytest.approx(want)
    assert weighed_variance(terms, torch.tensor([[40.0, 1.0, 0.0]])).item() == 0


def test_no_search_empties_a_side_to_make_losses_unlike():
    """Counted alike, the loss of a side without negatives is far below the other's, and that is worth more than
    balance."""
    _, problem = planted()
    start = random_logits(4, 60)
    plain, weighed = (dataclasses.replace(problem, penalty=one) for one in (variance, weighed_variance))
    emptied, balanced = (torch.bincount(learned(one, start, CONVERGED).environments) for one in (plain, weighed))
    assert emptied.min() <= 2
    assert balanced.min() >= 20
