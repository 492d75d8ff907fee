"""Draws, selection and mutation against what the published code does, and the corrected rules beside them."""

import json
import math
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from unbraid.errors import UserError
from unbraid.hparams import choice, hp, log_uniform, uniform
from unbraid.methods.beta_tcvae import Config as Published
from unbraid.methods.untrained import Config as Untrained
from unbraid.population import pbt

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "pbt.json").read_text())
START = {"beta": 10.0, "batch_size": 48, "lr": 1e-3}


@dataclass(frozen=True)
class Varied:
    lr: float = hp(1e-3, doc="", search=log_uniform(1e-4, 1e-2))
    batch_size: int = hp(64, doc="", search=choice(64, 128))
    share: float = hp(0.5, doc="", search=uniform(0.0, 0.9))
    loss: str = hp("a", doc="", search=choice("a", "b", "c"))
    flag: bool = hp(False, doc="", search=choice(False, True))
    z_dim: int = hp(10, doc="", search=choice(8, 16))


def individuals(*fitness):
    return [pbt.Individual(member=m, hparams=START | {"beta": m + 1.0}, fitness=f) for m, f in enumerate(fitness)]


@pytest.mark.parametrize("seed", range(6))
def test_first_draws_are_the_published_ones(seed):
    space = pbt.search_space(Published, published=True)
    drawn = pbt.draw(space, np.random.RandomState(seed))
    assert list(drawn) == ["beta", "batch_size", "lr"]
    assert list(drawn.values()) == pytest.approx(GOLDEN["init_draws"][str(seed)][0], rel=1e-12)


def test_mutations_are_the_published_ones():
    space, rng = pbt.search_space(Published, published=True), np.random.RandomState(0)
    for lr, batch_size, beta in GOLDEN["exploit_seed0_from_lr1e-3_bs48_beta10"]:
        moved = pbt.explore(START, space, rng, published=True)
        assert (moved["lr"], moved["batch_size"], moved["beta"]) == (pytest.approx(lr), batch_size, beta)


def test_published_mutations_know_only_one_end():
    space, rng = pbt.search_space(Published, published=True), np.random.RandomState(0)
    moved = [pbt.explore({"beta": 437.0, "batch_size": 1024, "lr": 1.0}, space, rng, published=True) for _ in range(20)]
    assert max(one["lr"] for one in moved) == 2
    assert max(one["beta"] for one in moved) == 874
    assert max(one["batch_size"] for one in moved) == 1024
    moved = [pbt.explore({"beta": 1.0, "batch_size": 2, "lr": 1e-3}, space, rng, published=True) for _ in range(20)]
    assert min(one["batch_size"] for one in moved) == 2
    assert min(one["beta"] for one in moved) == 1


@pytest.mark.parametrize("members", GOLDEN["cutoff"])
def test_how_many_are_replaced(members):
    assert pbt.num_replaced(int(members), 0.2) == GOLDEN["cutoff"][members]


def test_the_worst_follow_the_best():
    fitness = [0.1, 0.9, None, 0.3, 0.5, 0.7, 0.2, 0.8, 0.4, 0.6]
    space = pbt.search_space(Published, published=True)
    heirs = pbt.evolve(individuals(*fitness), space, np.random.RandomState(3), cutoff=0.2, published=True)
    assert list(heirs) == [0, 2]  # the order in which the published code replaces: from better to worse
    rng = np.random.RandomState(3)
    for heir in heirs.values():
        assert heir.donor == (1, 7)[rng.randint(2)]
        assert heir.hparams == pbt.explore(START | {"beta": heir.donor + 1.0}, space, rng, published=True)


def test_all_that_diverged_are_replaced():
    space = pbt.search_space(Published)
    heirs = pbt.evolve(individuals(None, 0.2, None, None, 0.1), space, np.random.RandomState(0), cutoff=0.2)
    assert set(heirs) == {0, 2, 3}
    assert {heir.donor for heir in heirs.values()} == {1}
    with pytest.raises(UserError, match="every member diverged"):
        pbt.evolve(individuals(None, None), space, np.random.RandomState(0), cutoff=0.2)


def test_one_alone_is_not_replaced_by_itself():
    assert pbt.evolve(individuals(0.5), pbt.search_space(Published), np.random.RandomState(0), cutoff=0.2) == {}


@pytest.mark.parametrize(
    ("scores", "converged"),
    [
        ([0.5] * 6, GOLDEN["next_iter"]["6 equal"]),
        ([0.5] * 7, GOLDEN["next_iter"]["7 equal"]),
        ([0.5 + 0.004 * i for i in range(7)], GOLDEN["next_iter"]["7 with 0.004 steps"]),
        ([0.5] * 6 + [0.505001], GOLDEN["next_iter"]["7 with a 0.005 step"]),
        ([0.5] * 3 + [0.506] * 4, GOLDEN["next_iter"]["7 one 0.006"]),
        ([0.1, 0.9] + [0.5] * 7, True),
    ],
)
def test_convergence(scores, converged):
    assert pbt.has_converged(scores) == converged


def test_a_population_of_no_worth_ends():
    assert pbt.is_worthless(0.0999) == GOLDEN["end_condition"]["0.0999"]
    assert pbt.is_worthless(0.1) == GOLDEN["end_condition"]["0.1"]


@pytest.mark.parametrize(
    ("rows", "batch", "images", "published", "ours"),
    [
        (100, 8, 100, 13, 12),
        (100, 8, 250, 33, 31),
        (97, 8, 97, 12, 12),
        (97, 16, 97, 6, 6),
        (100, 33, 100, 3, 3),
        (2000, 1024, 5000, 5, 4),
        (50, 8, 101, 15, 12),
        (9, 8, 40, 5, 5),
        (12000, 1000, 12000, 12, 12),
        (10, 64, 40, 4, 4),
        (100, 8, 1, 1, 1),
    ],
)
def test_updates_of_a_generation(rows, batch, images, published, ours):
    assert pbt.num_updates(rows, batch, images, published=True) == published
    assert pbt.num_updates(rows, batch, images) == ours


def test_a_range_of_ones_own_is_never_left():
    names = ["beta=3.5..22", "lr=1e-4..0.05", "batch_size"]
    for published in (True, False):
        space, rng = pbt.search_space(Published, names, published=published), np.random.RandomState(0)
        assert list(space) == ["beta", "batch_size", "lr"]
        assert space["beta"].options[0] == 4.0
        assert space["beta"].options[-1] == 22.0
        assert max(space["lr"].options) > 0.01
        hparams = pbt.draw(space, rng)
        for _ in range(60):
            hparams = pbt.explore(hparams, space, rng, published=published)
            assert 4 <= hparams["beta"] <= 22
            assert 1e-4 <= hparams["lr"] <= 0.05
    wide = pbt.search_space(Varied, ["lr=1e-6..10"])["lr"]
    assert (wide.low, wide.high, wide.log) == (1e-6, 10, True)


@pytest.mark.parametrize(
    ("word", "complaint"),
    [
        ("lr=1", "--explore takes NAME or NAME=LOW..HIGH, for example lr=1..20, not lr=1"),
        ("lr=1..b", "--explore takes NAME or NAME=LOW..HIGH"),
        ("lr=3..2", "lr cannot be explored in 3..2: a range begins at 0 at least, and below its end"),
        ("lr=1..inf", "and below its end"),
        ("lr=-1..1", "begins at 0 at least"),
        ("lr=0..1", "drawn evenly in its logarithm"),
        ("batch_size=9..10", "none of its values is in there: "),
        ("loss=1..2", "no numbers"),
    ],
)
def test_a_range_that_cannot_be(word, complaint):
    with pytest.raises(UserError, match=re.escape(complaint)):
        pbt.search_space(Varied, [word])


def test_corrected_mutations_stay_in_range():
    space, rng = pbt.search_space(Varied), np.random.RandomState(0)
    hparams = pbt.draw(space, rng)
    assert list(hparams)[:2] == ["batch_size", "lr"]
    seen = set()
    for _ in range(300):
        moved = pbt.explore(hparams, space, rng)
        assert 64 <= moved["batch_size"] <= 128
        assert 1e-4 <= moved["lr"] <= 1e-2
        assert 0 <= moved["share"] <= 0.9
        assert moved["z_dim"] == hparams["z_dim"]  # weights fit one width
        seen.add((moved["loss"], moved["flag"]))
        hparams = moved
    assert len(seen) == 6


def test_corrected_batches_have_two_images_and_whole_groups():
    space, rng = pbt.search_space(Published), np.random.RandomState(0)
    assert min(pbt.explore(START | {"batch_size": 8}, space, rng)["batch_size"] for _ in range(50)) == 8
    moved = [pbt.explore(START, space, rng, multiple=16)["batch_size"] for _ in range(50)]
    assert {one % 16 for one in moved} == {0}


@pytest.mark.parametrize("published", [False, True])
def test_batches_are_whole_groups_at_the_ends_of_the_range_too(published):
    space, rng = pbt.search_space(Published, published=published), np.random.RandomState(0)
    drawn = [pbt.draw(space, rng, multiple=12)["batch_size"] for _ in range(100)]
    moved = [
        pbt.explore(START | {"batch_size": size}, space, rng, published=published, multiple=12)["batch_size"]
        for size in drawn
    ]
    assert {size % 12 for size in drawn + moved} == {0}
    assert (min(drawn + moved), max(drawn + moved)) == (24, 1020)  # two of each group at least, 1024 at most


def test_corrected_step_sizes_of_a_grid_end_at_a_hundredth():
    assert max(pbt.search_space(Published, published=True)["lr"].options) == 1
    assert max(pbt.search_space(Published)["lr"].options) == pytest.approx(0.0085316785)


def test_perturbed_numbers_do_not_drift_far():
    """The factors' geometric mean is 0.99."""
    assert math.prod(pbt.FACTORS) ** 0.25 == pytest.approx(0.99, abs=1e-3)


def test_what_is_explored_can_be_chosen():
    assert list(pbt.search_space(Published, ["lr", "beta"])) == ["beta", "lr"]
    with pytest.raises(UserError, match="'betta' is no hyper-parameter with a range to explore"):
        pbt.search_space(Published, ["betta"])
    with pytest.raises(UserError, match=r"each with a range was given, or .* none of them: batch_size, lr, beta"):
        pbt.search_space(Published, [])
    with pytest.raises(UserError, match="the method gives none a range"):
        pbt.search_space(Untrained)
