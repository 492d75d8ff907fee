import numpy as np
import pytest

from unbraid.data import load
from unbraid.errors import UserError

FAST = "sprites:size=16,scales=2,positions=2"


def own_share(data) -> np.ndarray:
    own = data.columns["color"] == data.columns["shape"]
    return np.bincount(data.columns["shape"], weights=own) / np.bincount(data.columns["shape"])


def test_the_grid_is_full():
    data = load(FAST)
    rows = np.stack([data.columns[name] for name in data.spec.factors], axis=1)
    assert len(np.unique(rows, axis=0)) == len(data) == np.prod(list(data.spec.sizes.values())) == 4 * 3 * 2 * 8 * 2 * 2


def test_every_image_is_another():
    data = load(FAST)
    assert len(np.unique(data.images.reshape(len(data), -1), axis=0)) == len(data)


@pytest.mark.parametrize("bias", [0.0, 0.5, 0.9, 1.0])
def test_the_bias_is_exact(bias):
    data = load(f"{FAST},bias={bias}")
    expected = bias + (1 - bias) / 4
    np.testing.assert_allclose(own_share(data), expected, atol=0.02)
    assert np.unique(data.columns["color"][data.columns["shape"] == 0]).size == (1 if bias == 1 else 4)


def test_a_biased_set_is_part_of_the_grid():
    full, part = load(FAST), load(f"{FAST},bias=0.9")
    images = {image.tobytes() for image in full.images}
    assert all(image.tobytes() in images for image in part.images)


def test_factors_mean_what_they_say():
    data = load("sprites:size=32,colors=2,orientations=4")
    ink = np.abs(data.images.astype(int) - data.images[0, 0, 0]).sum(axis=-1) > 60
    centre = {"y": ink.sum(axis=2) @ np.arange(32), "x": ink.sum(axis=1) @ np.arange(32)}
    for name, weighted in centre.items():
        place = weighted / ink.sum(axis=(1, 2))
        means = [place[data.columns[name] == value].mean() for value in range(4)]
        assert np.diff(means).min() > 3
    areas = [ink[data.columns["scale"] == value].sum() for value in range(3)]
    assert areas == sorted(areas)
    assert not ink[:, [0, -1]].any(axis=2).all(axis=1).any()  # nothing spans the picture


@pytest.mark.parametrize("wrong", ["bias=1.5", "colors=7", "size=4", "scales=0"])
def test_parameters_out_of_range(wrong):
    with pytest.raises(UserError, match="must be"):
        load(f"sprites:{wrong}")
