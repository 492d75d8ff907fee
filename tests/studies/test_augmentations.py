"""f_norm and f_unnorm against loops over single images, and what the study makes of them."""

import numpy as np
import pytest
import torch
from fake_training import tiny_dataset

from unbraid import augment
from unbraid.augment.ops import Brightness
from unbraid.nets import perceptual_distance
from unbraid.seeds import integer
from unbraid.studies import augmentations
from unbraid.studies.augmentations import Distances, invariance, summary


class Halved:
    """An autoencoder of a kind: it loses the right half of an image, and darkens the rest."""

    def reconstruct(self, x):
        return 0.9 * x * (torch.arange(x.shape[3]) < x.shape[3] // 2)


@pytest.fixture(scope="module")
def distance():
    return perceptual_distance("random")


IMAGES = tiny_dataset().images[:5]


def one_by_one(images, recipe, seed, name, distance):
    """The definition, image by image: no batches, and the distance layer by layer."""
    generator = torch.Generator().manual_seed(integer(seed, "augmentations", name))
    draws = recipe.draw(len(images), 1, generator)
    before, after = [], []

    def apart(a, b):
        total = (a - b).abs().mean().item()
        for stage in distance.stages:
            a, b = stage(a.clone()), stage(b.clone())
            total += (a - b).abs().mean().item()
        return total

    for place, image in enumerate(images):
        x = torch.tensor(image.transpose(2, 0, 1)[None] / 255, dtype=torch.float32)
        moved = recipe.apply(x, draws[place : place + 1])[:, 0]
        before.append(apart(x, moved))
        after.append(apart(Halved().reconstruct(x), Halved().reconstruct(moved)))
    return np.array(before), np.array(after)


@pytest.mark.parametrize("name", ["crop", "high-contrast", "rotation"])
def test_distances_are_those_of_each_image(distance, name, monkeypatch):
    monkeypatch.setattr(augmentations, "_BATCH", 2)
    found = invariance(Halved(), distance, IMAGES, name, 3)
    before, after = one_by_one(IMAGES, augment.views(name), 3, name, distance)
    np.testing.assert_allclose(found.before, before, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(found.after, after, rtol=1e-4, atol=1e-6)


def test_low_brightness_has_the_range_of_the_supplement(distance):
    assert augmentations.transformation("low-brightness").op == Brightness((0.3, 0.8))
    assert augmentations.transformation("crop") == augment.views("crop")


def test_means_by_hand():
    found = summary(Distances(np.array([1.0, 2.0, 0.0, 4.0]), np.array([0.5, 0.5, 0.0, 1.0])), seed=0)
    assert found["f_norm"][0] == pytest.approx((0.5 / 1 + 0.5 / 2 + 1 / 4) / 3)
    assert found["f_unnorm"][0] == pytest.approx((0.5 + 0.5 + 0 + 1) / 4)
    assert found["f_norm_of_means"][0] == pytest.approx((0.5 + 0.5 + 1) / (1 + 2 + 4))
    assert (found["changed"], found["num"]) == (3, 4)
    assert found["f_norm"][1] <= found["f_norm"][0] <= found["f_norm"][2]


def test_a_transformation_that_changes_nothing_has_no_ratio(distance):
    grey = tiny_dataset((1, 32, 32)).images[:3]
    found = summary(invariance(Halved(), distance, grey, "grayscale", 0), seed=0)
    assert found["f_norm"] is None
    assert found["f_unnorm"][0] == 0
    assert found["changed"] == 0


def test_what_was_hardly_learned_is_said():
    assert "means nothing" in augmentations._learned([{"own": 0.95, "other": 1.0}])
    assert "means nothing" not in augmentations._learned([{"own": 0.3, "other": 0.5}, {"own": 0.5, "other": 0.7}])
