"""dSprites by formula: a square, an ellipse and a heart, each pixel on if its centre is inside.

The picture is one unit wide and y grows downwards. The sizes were fitted here to 320 frames of the authors' animation.
"""

import itertools
from collections.abc import Iterator

import numpy as np
from jaxtyping import Bool, Float64, Int64, UInt8
from numpy.lib.stride_tricks import sliding_window_view

SIDE = 64  # pixels
SCALES = np.linspace(0.5, 1, 6)
TURNS = np.linspace(0, 2 * np.pi, 40)  # the last is the first again
PLACES = np.linspace(0.25, 0.75, 32)
_SQUARE = 0.15  # half of its side; all for scale 1
_ELLIPSE = (0.1995, 0.1127)  # half of its axes
_HEART, _HEART_RISE = (0.1499, 0.1655 / 16), 0.0224
_REACH = 14  # pixels: no shape goes farther from its centre

Local = Float64[np.ndarray, "p p w w"]
Levels = Int64[np.ndarray, " _"]


def draw(shapes: Levels, scales: Levels, orientations: Levels, places: Levels) -> Iterator[UInt8[np.ndarray, "m h w"]]:
    """All combinations of these values, the last fastest, x and y both of ``places``; 0 or 255, all places at once."""
    centre = PLACES[places]
    first = np.floor(centre * SIDE).astype(np.int64) - _REACH
    near = first[:, None] + np.arange(2 * _REACH + 1)  # (P, W) pixels beside each centre
    offset = (near + 0.5) / SIDE - centre[:, None]
    x, y = offset[:, None, None, :], offset[None, :, :, None]
    x_place, y_place = np.indices((len(places), len(places)))
    for shape, scale, turn in itertools.product(shapes.tolist(), SCALES[scales], TURNS[orientations]):
        u, v = np.cos(turn) * x - np.sin(turn) * y, np.sin(turn) * x + np.cos(turn) * y
        images = np.zeros((len(places), len(places), SIDE, SIDE), dtype=np.uint8)
        windows = sliding_window_view(images, near.shape[1:] * 2, axis=(2, 3), writeable=True)
        inside = _inside(shape, u / scale, v / scale)
        windows[x_place, y_place, first[y_place], first[x_place]] = inside * np.uint8(255)
        yield images.reshape(-1, SIDE, SIDE)


def _inside(shape: int, u: Local, v: Local) -> Bool[np.ndarray, "p p w w"]:
    """Of the upright shape about the origin."""
    if shape == 0:
        return (np.abs(u) < _SQUARE) & (np.abs(v) < _SQUARE)
    if shape == 1:
        return (u / _ELLIPSE[0]) ** 2 + (v / _ELLIPSE[1]) ** 2 < 1
    # The curve (16 sin^3 t, 13 cos t - 5 cos 2t - 2 cos 3t - cos 4t) has two points above each other at the same sin t.
    width, height = _HEART
    cosine = np.sqrt(np.maximum(1 - np.cbrt(u / width) ** 2, 0))
    lower, upper = (_heart(sign * cosine) * height + _HEART_RISE for sign in (-1, 1))
    return (np.abs(u) < width) & (lower < -v) & (-v < upper)


def _heart(c: Local) -> Local:
    """Height of the curve where cos t is ``c``."""
    return 4 + c * (19 - c * (2 + c * (8 + c * 8)))
