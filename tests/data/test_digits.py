import numpy as np
import pytest

from unbraid.data import load
from unbraid.data.digits import PAINTS, _read_mnist, _slant_degrees, _thickness_pixels
from unbraid.errors import UserError

FAST = "digits:source=sklearn,size=16,num=500"


def stroke(width: float, degrees: float) -> np.ndarray:
    """One image of a straight stroke."""
    y, x = np.mgrid[:28, :28] - 13.5
    across = (x + np.tan(np.radians(degrees)) * y) * np.cos(np.radians(degrees))
    inside = np.clip(width / 2 + 0.5 - np.abs(across), 0, 1) * (np.abs(y) < 11)
    return inside[None].astype(np.float32)


@pytest.mark.parametrize("degrees", [-30, -10, 0, 20])
def test_slant_is_the_angle_of_a_stroke(degrees):
    assert _slant_degrees(stroke(3, degrees))[0] == pytest.approx(degrees, abs=1.5)


@pytest.mark.parametrize("width", [2, 3, 5])
def test_thickness_is_the_width_of_a_stroke(width):
    assert _thickness_pixels(stroke(width, 10))[0] == pytest.approx(width, rel=0.2)


@pytest.mark.parametrize("bias", [0.0, 0.9])
def test_the_bias_is_the_probability_of_the_own_paint(bias):
    data = load(f"{FAST},bias={bias}")
    own = np.mean(data.columns["paint"] == data.columns["digit"])
    assert own == pytest.approx(bias + (1 - bias) / 10, abs=0.06)


def test_bias_changes_the_paint_and_nothing_else():
    one, other = load(FAST), load(f"{FAST},bias=0.9")
    for name in ("digit", "slant", "thickness"):
        np.testing.assert_array_equal(one.columns[name], other.columns[name])


def test_bins_are_equally_filled():
    data = load(FAST)
    for name in ("slant", "thickness"):
        assert np.bincount(data.columns[name]).min() > 0.19 * len(data)
    assert data.spec.values["slant"][0].endswith(" deg")


def test_every_paint_is_legible_and_half_are_dark_on_light():
    luminance = np.array(list(PAINTS.values())) @ [0.299, 0.587, 0.114]  # (paint, ink or ground)
    assert (np.abs(luminance[:, 0] - luminance[:, 1]) > 80).all()
    assert np.sum(luminance[:, 0] < luminance[:, 1]) == 5
    grounds = np.array([ground for _, ground in PAINTS.values()], dtype=float)
    apart = np.linalg.norm(grounds[:, None] - grounds[None], axis=-1) + 1e9 * np.eye(len(grounds))
    assert apart.min() > 20


def test_the_paint_is_not_a_constant():
    data = load(FAST)
    corners = data.images[data.columns["paint"] == 0][:, 0, 0].astype(float)
    assert 3 < corners.std(axis=0).min() < corners.std(axis=0).max() < 15


def test_split_is_even_over_digit_and_paint():
    data = load(FAST)
    for name in ("digit", "paint"):
        shares = np.bincount(data.columns[name][data.rows("test")]) / np.bincount(data.columns[name])
        assert np.abs(shares - 0.2).max() < 0.08


def test_the_mnist_digits_are_genuine():
    grey, digit = _read_mnist()
    assert grey.shape == (5000, 28, 28)
    assert np.bincount(digit).tolist() == [500] * 10
    assert grey.max() == 1


@pytest.mark.parametrize("wrong", ["bias=-0.1", "paints=1", "paints=11", "size=4", "num=5"])
def test_parameters_out_of_range(wrong):
    with pytest.raises(UserError, match="must be"):
        load(f"digits:source=sklearn,{wrong}")
