"""Hyper-parameters: what is drawn stays in range, what is typed is checked."""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unbraid.errors import UserError
from unbraid.hparams import choice, grid, hp, log_uniform, parse, perturb, sample, uniform

seeds = st.integers(0, 2**32)


@dataclass(frozen=True, kw_only=True)
class Config:
    width: int = hp(64, least=1, search=choice(32, 64, 128), doc="")
    beta: int = hp(4, search=grid(1, 2, 4, 8, 16), doc="")
    rate: float = hp(1e-3, search=log_uniform(1e-5, 1e-1), doc="")
    share: float = hp(0.5, most=1, search=uniform(0.2, 0.9), doc="")
    epochs: int = hp(20, doc="")
    mode: Literal["a", "b"] = hp("a", doc="")
    names: list[str] | None = hp(None, doc="")
    flag: bool = hp(False, doc="")


def in_range(config: Config) -> bool:
    return (
        config.width in (32, 64, 128)
        and config.beta in (1, 2, 4, 8, 16)
        and 1e-5 <= config.rate <= 1e-1 * (1 + 1e-12)
        and 0.2 <= config.share <= 0.9
        and (config.epochs, config.mode, config.names, config.flag) == (20, "a", None, False)
    )


@given(seeds)
def test_drawing_and_moving_stay_in_range(seed):
    rng = np.random.default_rng(seed)
    config = sample(Config(), rng)
    assert in_range(config)
    for _ in range(20):
        config = perturb(config, rng)
        assert in_range(config)


def test_the_generator_decides():
    first, again, other = (sample(Config(), np.random.default_rng(seed)) for seed in (0, 0, 1))
    assert first == again != other


@given(st.sampled_from([1, 2, 4, 8, 16]), seeds)
def test_a_grid_moves_to_a_neighbour(value, seed):
    options = (1, 2, 4, 8, 16)
    place, moved = options.index(value), grid(*options).perturb(value, np.random.default_rng(seed))
    assert abs(options.index(moved) - place) == 1 or (moved == value and place in (0, 4))


def test_a_choice_moves_anywhere_and_a_grid_comes_back_from_outside():
    rng = np.random.default_rng(0)
    assert {choice("a", "b", "c").perturb("a", rng) for _ in range(50)} == {"a", "b", "c"}
    assert {grid(1, 2, 4).perturb(3, rng) for _ in range(50)} == {1, 2, 4}


def test_log_uniform_is_even_in_the_logarithm():
    rng = np.random.default_rng(0)
    logs = [math.log10(log_uniform(1e-4, 1e-1).sample(rng)) for _ in range(4000)]
    np.testing.assert_allclose(np.histogram(logs, bins=3, range=(-4, -1))[0] / 4000, 1 / 3, atol=0.03)
    evens = [uniform(1.0, 4.0).sample(rng) for _ in range(4000)]
    np.testing.assert_allclose(np.histogram(evens, bins=3, range=(1, 4))[0] / 4000, 1 / 3, atol=0.03)


@given(st.floats(0.2, 0.9), seeds)
def test_a_range_moves_by_a_fifth_or_to_its_end(value, seed):
    moved = uniform(0.2, 0.9).perturb(value, np.random.default_rng(seed))
    assert moved in (max(0.2, value * 0.8), min(0.9, value * 1.25))


def test_values_are_taken_as_they_are():
    config = parse(Config, {"width": 7, "rate": 1, "names": ["x"], "mode": "b", "flag": True}, owner="x")
    assert config == Config(width=7, rate=1.0, names=["x"], mode="b", flag=True)
    assert isinstance(config.rate, float)
    assert parse(Config, {}, owner="x") == Config()


WRONG = {
    "name": ({"widdth": 3}, "vae has no hyper-parameter 'widdth'. Did you mean 'width'?"),
    "int": ({"width": 3.0}, "vae: width must be int, not 3.0"),
    "bool for int": ({"width": True}, "vae: width must be int, not True"),
    "int for bool": ({"flag": 1}, "vae: flag must be bool, not 1"),
    "float": ({"rate": "1e-3"}, "vae: rate must be float, not '1e-3'"),
    "option": ({"mode": "c"}, "vae: mode must be one of 'a', 'b', not 'c'"),
    "list": ({"names": "xy"}, "vae: names must be list[str] | None, not 'xy'"),
    "in a list": ({"names": [1]}, "vae: names must be list[str] | None, not [1]"),
    "low": ({"width": 0}, "vae: width must be at least 1"),
    "high": ({"share": 1.5}, "vae: share must be at least 0, and at most 1, not 1.5"),
    "negative": ({"epochs": -1}, "vae: epochs must be at least 0"),
    "NaN": ({"rate": math.nan}, "vae: rate must be at least 0"),
    "infinite": ({"rate": math.inf}, "vae: rate must be at least 0, and finite, not inf"),
}


@pytest.mark.parametrize("mistake", WRONG)
def test_wrong_values_are_named(mistake):
    values, line = WRONG[mistake]
    with pytest.raises(UserError) as caught:
        parse(Config, values, owner="vae")
    assert str(caught.value).startswith(line)
