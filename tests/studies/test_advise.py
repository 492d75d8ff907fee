"""Advice where the answer is known: a colour, a brightness and a place, read by codes that hold each of them."""

import re

import numpy as np
import pytest
import torch
from torch import nn

from unbraid.errors import UserError
from unbraid.studies.advise import Bench, readable, recipe, verdict
from unbraid.tables import Dataset, DataSpec
from unbraid.types import Method

SIZES = {"camera": 2, "side": 2, "hue": 3}


class Pixels(Method):
    """The image in four by four fields, as its own code."""

    def __init__(self):
        super().__init__(None, dataset().spec)
        self.weight = nn.Parameter(torch.zeros(1))

    def encode(self, x):
        return nn.functional.adaptive_avg_pool2d(x, 4).flatten(1)

    def optimizers(self):
        return {}

    def update(self, batch, step): ...


def dataset(num=240):
    """A square, red, green or blue, to the left or the right, on a ground; the camera decides the ground."""
    rng = np.random.default_rng(0)
    columns = {name: rng.integers(size, size=num) for name, size in SIZES.items()}
    images = rng.integers(0, 30, (num, 16, 16, 3)) + 40 * columns["camera"][:, None, None, None]
    for image, side, hue in zip(images, columns["side"], columns["hue"], strict=True):
        image[4:12, 8 * side : 8 * side + 8, hue] += (67, 34, 175)[hue]  # of equal luminance
    spec = DataSpec(
        name="squares", image_shape=(3, 16, 16), num_train=160, sizes=SIZES, factors=tuple(SIZES), domain="camera"
    )
    split = np.repeat(np.array([0, 2], dtype=np.uint8), [160, num - 160])
    return Dataset(spec=spec, images=images.astype(np.uint8), columns=columns, split=split)


@pytest.fixture(scope="module", autouse=True)
def small_probe():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("unbraid.metrics.random_features.WIDTH", 64)
        yield


@pytest.fixture(scope="module")
def rows():
    bench = Bench.draw(Pixels(), dataset(), 1000, 0)
    assert bench.num_train == 160
    return [row for name in ("horizontal-flip", "vertical-flip", "grayscale") for row in bench.rows(name, 0)]


def cost(rows, augmentation, column):
    return next(row["cost"] for row in rows if (row["augmentation"], row["column"]) == (augmentation, column))


def test_a_flip_costs_the_side_and_grayscale_the_hue(rows):
    assert cost(rows, "horizontal-flip", "side") > 0.3
    assert cost(rows, "horizontal-flip", "hue") < 0.02
    assert cost(rows, "grayscale", "side") < 0.02
    assert cost(rows, "grayscale", "hue") > 0.02
    for column in SIZES:
        assert cost(rows, "vertical-flip", column) < 0.02


def test_cost_is_a_difference_with_an_interval(rows):
    for row in rows:
        assert row["cost"] == pytest.approx(row["clean"] - row["kept"])
        assert row["low"] <= row["cost"] <= row["high"]
        assert row["num"] == 80


def test_the_recipe_keeps_every_content_factor(rows):
    assert readable(rows, ["side", "hue"]) == ["side", "hue"]
    assert recipe(rows, ["side", "hue"], 0.02) == ["vertical-flip"]
    assert "grayscale" in recipe(rows, ["side"], 0.02)


def test_where_nothing_is_cheap_enough_the_cheapest_is_named(rows, tmp_path):
    dear = [row | {"cost": row["cost"] + 0.2} for row in rows]
    (line,) = verdict(dear, [], ["side", "hue"], "dcodr", tmp_path)
    assert (named := re.search(r"; ([\w-]+) the least, and --tolerance (\S+) takes it\.$", line))
    assert recipe(dear, ["side", "hue"], float(named[2])) == [named[1]] == ["vertical-flip"]


def test_what_changes_no_image_or_cannot_be_judged_is_no_recipe(rows):
    assert recipe([row | {"pixels_moved": 0.0} for row in rows], ["side", "hue"], 0.02) == []
    assert recipe([row | {"clean_low": 0.0} for row in rows], ["side", "hue"], 1.0) == []


def test_rows_with_a_missing_label_are_left_out():
    data = dataset()
    data.columns["hue"][10:200] = -1
    bench = Bench.draw(Pixels(), data, 1000, 0)
    assert (bench.num_train, len(bench.images)) == (10, 50)
    data.columns["hue"][:] = -1
    with pytest.raises(UserError, match="has 0 rows with all labels in its train split"):
        Bench.draw(Pixels(), data, 1000, 0)
