"""The ten corruptions of biased CIFAR-10, in their order: those of the CIFAR-10-C protocol that are called Type 0.

Each takes a batch of 32 x 32 images and gives colour levels, 0 to 255, still with fractions and not yet clipped. What
is random differs from image to image. Severities go from 1 to 5; those of spatter are 4 and 5 alone, which are mud:
below them the protocol draws water.

Snow is blurred along a line by ImageMagick's rule, without ImageMagick. The protocol's five photographs of frost do not
come with unbraid: give the folder that holds them, or drawn ice stands in for them.

Source
    Hendrycks & Dietterich, ICLR 2019, arXiv:1903.12261; the ten: Nam et al., NeurIPS 2020, arXiv:2007.02561.
"""

import functools
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Float64, UInt8
from PIL import Image

from unbraid.errors import DataError, UserError, did_you_mean
from unbraid.seeds import stream

FROST = ("frost1.png", "frost2.png", "frost3.png", "frost4.jpg", "frost5.jpg")
_SIDE = 32
_MUD = np.array([63, 42, 20], dtype=np.float32) / 255
_ICE = np.array([170, 200, 225])

Bytes = UInt8[np.ndarray, "n 32 32 3"]
Levels = Float[np.ndarray, "n 32 32 3"] | Bytes
Layer = Float[np.ndarray, "n 32 32"]
Frosts = list[UInt8[np.ndarray, "h w 3"]]


def corrupt(
    images: Bytes, name: str, severity: int, rng: np.random.Generator, *, frosts: Frosts | None = None
) -> Bytes:
    """The images under one of ``CORRUPTIONS``; fractions of a level are cut off, as the protocol does.

    Raises:
        UserError: If there is no such corruption or severity.
    """
    if name not in CORRUPTIONS:
        raise UserError(f"there is no corruption {name!r}.{did_you_mean(name, CORRUPTIONS)}")
    function, rows = CORRUPTIONS[name]
    least = 6 - len(rows)
    if not least <= severity <= 5:
        raise UserError(f"severity={severity} of {name} must be {least} to 5")
    if name == "frost":
        function = functools.partial(function, frosts=frosts or drawn_frosts())
    return function(images, rng, *rows[severity - 6]).clip(0, 255).astype(np.uint8)


def read_frosts(folder: Path) -> Frosts:
    """The protocol's five photographs at a fifth of their size: each fifth pixel, which is what OpenCV's resize takes.

    Raises:
        DataError: If one is missing, damaged or too small.
    """
    frosts = []
    for name in FROST:
        try:
            with Image.open(folder / name) as image:
                frosts.append(np.asarray(image.convert("RGB"))[2::5, 2::5])
        except (OSError, SyntaxError, ValueError) as error:
            raise DataError(f"cannot read {folder / name} ({error}); the folder must hold {', '.join(FROST)}") from None
        if min(frosts[-1].shape[:2]) <= _SIDE:
            raise DataError(f"{folder / name} must have more than {5 * _SIDE + 5} pixels a side")
    return frosts


def drawn_frosts() -> Frosts:
    """Five textures of feathery ice: the ridges of two fractal clouds."""
    frosts = []
    for number in range(5):
        rng = stream(0, "corruptions", "frost", number)
        ridges = 1 - np.abs(2 * plasma(2, 256, 1.35, rng) - 1)
        ice = (ridges**5).max(axis=0)
        frosts.append((ice[..., None] * _ICE).astype(np.uint8))
    return frosts


def plasma(num: int, side: int, decay: float, rng: np.random.Generator) -> Float64[np.ndarray, "num side side"]:
    """Clouds from 0 to 1 by the diamond-square algorithm on a torus. ``side`` is a power of two."""
    clouds = np.zeros((num, side, side))
    step, wobble = side, 100.0

    def noisy(total: Float64[np.ndarray, "num k k"]) -> Float64[np.ndarray, "num k k"]:
        return total / 4 + wobble * rng.uniform(-wobble, wobble, total.shape)

    while step >= 2:
        half = step // 2
        corners = clouds[:, ::step, ::step]
        sums = corners + np.roll(corners, -1, axis=1)
        centres = noisy(sums + np.roll(sums, -1, axis=2))
        clouds[:, half::step, half::step] = centres
        beside = centres + np.roll(centres, 1, axis=1)
        clouds[:, ::step, half::step] = noisy(beside + corners + np.roll(corners, -1, axis=2))
        above = centres + np.roll(centres, 1, axis=2)
        clouds[:, half::step, ::step] = noisy(above + corners + np.roll(corners, -1, axis=1))
        step, wobble = half, wobble / decay
    clouds -= clouds.min(axis=(1, 2), keepdims=True)
    return clouds / clouds.max(axis=(1, 2), keepdims=True)


def _snow(
    images: Bytes,
    rng: np.random.Generator,
    mean: float,
    deviation: float,
    zoom: float,
    threshold: float,
    radius: int,
    sigma: float,
    share: float,
) -> Levels:
    x = images.astype(np.float32) / 255
    flakes = _zoom_in(rng.normal(mean, deviation, x.shape[:3]), zoom)
    flakes = np.where(flakes < threshold, 0, flakes).clip(0, 1)
    angles = rng.uniform(-135, -45, len(x))
    blurred = np.floor(motion_blur(np.floor(255 * flakes), radius, sigma, angles) + 0.5) / 255
    grey = x @ np.array([0.299, 0.587, 0.114], dtype=np.float32)
    pale = share * x + (1 - share) * np.maximum(x, 1.5 * grey[..., None] + 0.5)
    return 255 * (pale + (blurred + np.rot90(blurred, 2, axes=(1, 2)))[..., None])


def _zoom_in(layer: Layer, factor: float) -> Layer:
    """The centre, enlarged to the whole."""
    from scipy.ndimage import zoom

    kept = int(np.ceil(_SIDE / factor))
    top = (_SIDE - kept) // 2
    large = zoom(layer[:, top : top + kept, top : top + kept], (1, factor, factor), order=1)
    trim = (large.shape[1] - _SIDE) // 2
    return large[:, trim : trim + _SIDE, trim : trim + _SIDE]


def motion_blur(layer: Layer, radius: int, sigma: float, angles: Float[np.ndarray, " n"]) -> Layer:
    """Half a Gaussian along a line that leaves each pixel at its image's angle in degrees, as ImageMagick draws it."""
    steps = np.arange(2 * radius + 1)
    weights = np.exp(-(steps**2) / (2 * sigma**2))
    turn = np.radians(angles)[:, None]
    down = np.ceil(steps * np.sin(turn) - 0.5).astype(int)  # (n, steps)
    right = np.ceil(steps * np.cos(turn) - 0.5).astype(int)
    flat, pixel = layer.reshape(len(layer), -1), np.arange(_SIDE)
    blurred = np.zeros(flat.shape)
    for step in steps:
        rows = (pixel + down[:, step, None]).clip(0, _SIDE - 1)
        columns = (pixel + right[:, step, None]).clip(0, _SIDE - 1)
        places = (_SIDE * rows[:, :, None] + columns[:, None]).reshape(flat.shape)
        blurred += weights[step] * np.take_along_axis(flat, places, axis=1)
    return (blurred / weights.sum()).reshape(layer.shape)


def _frost(images: Bytes, rng: np.random.Generator, share: float, frost: float, *, frosts: Frosts) -> Levels:
    crops = np.empty(images.shape)
    for row in range(len(images)):
        picture = frosts[rng.integers(len(frosts))]
        top, left = rng.integers(picture.shape[0] - _SIDE), rng.integers(picture.shape[1] - _SIDE)
        crops[row] = picture[top : top + _SIDE, left : left + _SIDE]
    return share * images + frost * crops


def _fog(images: Bytes, rng: np.random.Generator, amount: float, decay: float) -> Levels:
    x = images / 255
    brightest = x.max(axis=(1, 2, 3), keepdims=True)
    fog = amount * plasma(len(x), _SIDE, decay, rng)[..., None]
    return 255 * (x + fog) * brightest / (brightest + amount)


def _brightness(images: Bytes, rng: np.random.Generator, shift: float) -> Levels:
    return _change_hsv(images, 2, lambda value: value + shift)


def _contrast(images: Bytes, rng: np.random.Generator, factor: float) -> Levels:
    mean = images.mean(axis=(1, 2), keepdims=True)
    return (images - mean) * factor + mean


def _spatter(
    images: Bytes,
    rng: np.random.Generator,
    mean: float,
    deviation: float,
    sigma: float,
    threshold: float,
    edge: float,
) -> Levels:
    from scipy.ndimage import gaussian_filter

    x = images.astype(np.float32) / 255
    noise = rng.normal(mean, deviation, x.shape[:3]).astype(np.float32)
    drops = gaussian_filter(noise, (0, sigma, sigma), mode="nearest") > threshold
    mud = gaussian_filter(drops.astype(np.float32), (0, edge, edge), mode="nearest")
    mud = np.where(mud < 0.8, 0, mud)[..., None]
    return 255 * (x * (1 - mud) + mud * _MUD)


def _elastic(images: Bytes, rng: np.random.Generator, amount: float, sigma: float, shift: float) -> Levels:
    """An affine map by three points that move by up to ``shift``, then a smooth random flow; in widths of the image."""
    from scipy.ndimage import gaussian_filter, map_coordinates

    points = np.array([[26.0, 26], [26, 6], [6, 6]])  # (x, y)
    moved = points + _SIDE * rng.uniform(-shift, shift, (len(images), 3, 2))
    ones = np.ones((len(images), 3, 1))
    back = np.linalg.solve(np.concatenate([moved, ones], axis=2), np.broadcast_to(points, moved.shape))  # (n, 3, 2)
    y, x = np.mgrid[:_SIDE, :_SIDE].astype(np.float64)
    source = np.stack([x, y, np.ones_like(x)], axis=-1) @ back[:, None]  # (n, 32, 32, 2)
    noise = np.stack([rng.uniform(-1, 1, images.shape[:3]) for _ in range(2)])  # to the right, down
    width = _SIDE * sigma
    flow = gaussian_filter(noise, (0, 0, width, width), mode="reflect", truncate=3) * (_SIDE * amount)
    out = np.empty(images.shape, dtype=np.float32)
    for row, image in enumerate(images.astype(np.float32)):
        for channel in range(3):
            plane, (right, down) = image[..., channel], source[row].transpose(2, 0, 1)
            plane = map_coordinates(plane, (down, right), order=1, mode="mirror")
            out[row, ..., channel] = map_coordinates(
                plane, (y + flow[1, row], x + flow[0, row]), order=1, mode="reflect"
            )
    return out


def _jpeg(images: Bytes, rng: np.random.Generator, quality: int) -> Levels:
    out = np.empty_like(images)
    for row, image in enumerate(images):
        buffer = io.BytesIO()
        Image.fromarray(image).save(buffer, "JPEG", quality=quality)
        with Image.open(buffer) as decoded:
            out[row] = np.asarray(decoded)
    return out


def _pixelate(images: Bytes, rng: np.random.Generator, factor: float) -> Levels:
    side, box = int(_SIDE * factor), Image.Resampling.BOX
    small = (Image.fromarray(image).resize((side, side), box) for image in images)
    return np.stack([np.asarray(image.resize((_SIDE, _SIDE), box)) for image in small])


def _saturate(images: Bytes, rng: np.random.Generator, factor: float, shift: float) -> Levels:
    return _change_hsv(images, 1, lambda saturation: saturation * factor + shift)


def _change_hsv(images: Bytes, channel: int, change: Callable[[np.ndarray], np.ndarray]) -> Levels:
    from matplotlib.colors import hsv_to_rgb, rgb_to_hsv

    hsv = rgb_to_hsv(images / 255)
    hsv[..., channel] = change(hsv[..., channel]).clip(0, 1)
    return 255 * hsv_to_rgb(hsv)


CORRUPTIONS: dict[
    str, tuple[Callable[..., Any], tuple[tuple[float, ...], ...]]
] = {  # parameters of the severities to 5
    "snow": (
        _snow,
        (
            (0.1, 0.2, 1.0, 0.6, 8, 3.0, 0.95),
            (0.1, 0.2, 1.0, 0.5, 10, 4.0, 0.9),
            (0.15, 0.3, 1.75, 0.55, 10, 4.0, 0.9),
            (0.25, 0.3, 2.25, 0.6, 12, 6.0, 0.85),
            (0.3, 0.3, 1.25, 0.65, 14, 12.0, 0.8),
        ),
    ),
    "frost": (_frost, ((1.0, 0.2), (1.0, 0.3), (0.9, 0.4), (0.85, 0.4), (0.75, 0.45))),
    "fog": (_fog, ((0.2, 3.0), (0.5, 3.0), (0.75, 2.5), (1.0, 2.0), (1.5, 1.75))),
    "brightness": (_brightness, ((0.05,), (0.1,), (0.15,), (0.2,), (0.3,))),
    "contrast": (_contrast, ((0.75,), (0.5,), (0.4,), (0.3,), (0.15,))),
    "spatter": (_spatter, ((0.65, 0.1, 0.7, 0.69, 0.6), (0.65, 0.1, 0.5, 0.68, 0.6))),
    "elastic": (
        _elastic,
        ((0.0, 0.0, 0.08), (0.05, 0.2, 0.07), (0.08, 0.06, 0.06), (0.1, 0.04, 0.05), (0.1, 0.03, 0.03)),
    ),
    "jpeg": (_jpeg, ((80,), (65,), (58,), (50,), (40,))),
    "pixelate": (_pixelate, ((0.95,), (0.9,), (0.85,), (0.75,), (0.65,))),
    "saturate": (_saturate, ((0.3, 0.0), (0.1, 0.0), (1.5, 0.0), (2.0, 0.1), (2.5, 0.2))),
}
