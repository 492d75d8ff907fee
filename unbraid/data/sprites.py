"""Sprites: one shape on a dark ground, a full grid of six columns. Domain: the colour; the label is the shape.

Five factors of content (shape, scale, orientation, x, y) times the colour, 3 x 3 x 8 x 4 x 4 x 4 = 4,608 images. Each
shape has one axis of symmetry, so that all orientations of the full turn look different. Edges are antialiased by
drawing at four times the size.

With ``bias=b`` rows are left out of the grid so that in every shape a share b + (1 - b) / colors has the shape's own
colour, to the nearest row, and the other colours share the rest evenly: what ``digits`` does by chance, done exactly.
A fifth of the images of each shape in each colour, drawn at random, is the test split.
"""

from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int64, UInt8

from unbraid.data import store
from unbraid.data.splits import TRAIN, split_rows
from unbraid.errors import UserError
from unbraid.seeds import stream
from unbraid.tables import Dataset, DataSpec

SHAPES = ("triangle", "half disc", "heart")
COLORS = {
    "red": (230, 70, 60),
    "green": (80, 190, 90),
    "blue": (80, 130, 240),
    "yellow": (240, 200, 70),
    "violet": (180, 100, 220),
    "cyan": (90, 210, 220),
}
_GROUND = (26, 28, 34)
_SUPERSAMPLING = 4
_CHUNK = 1024  # images in memory at a time


def sprites(
    *,
    size: int = 32,
    colors: int = 4,
    scales: int = 3,
    orientations: int = 8,
    positions: int = 4,
    bias: float = 0.0,
    seed: int = 0,
) -> Dataset:
    """The grid, or with ``bias`` a part of it.

    Args:
        positions: Number of places along each of x and y.
        seed: Of the split and of the rows that ``bias`` leaves out.

    Raises:
        UserError: If a parameter is out of range.
    """
    counts = {"scales": scales, "orientations": orientations, "positions": positions}
    if not (0 <= bias <= 1 and 2 <= colors <= len(COLORS) and size >= 8 and min(counts.values()) >= 1):
        raise UserError(
            f"sprites: bias={bias} must be 0 to 1, colors={colors} 2 to {len(COLORS)}, size={size} at least 8, and "
            f"{', '.join(f'{name}={value}' for name, value in counts.items())} at least 1"
        )
    parameters: dict[str, Any] = {"size": size, "colors": colors, **counts, "bias": bias, "seed": seed}
    return store.cached("sprites", parameters, [Path(__file__)], lambda folder: _write(folder, **parameters))


def _write(
    folder: Path, *, size: int, colors: int, scales: int, orientations: int, positions: int, bias: float, seed: int
) -> None:
    values = {
        "color": tuple(COLORS)[:colors],
        "shape": SHAPES,
        "scale": tuple(f"{radius:.2f}" for radius in _radii(scales)),
        "orientation": tuple(f"{turn * 360 / orientations:g} deg" for turn in range(orientations)),
        "x": tuple(map(str, range(positions))),
        "y": tuple(map(str, range(positions))),
    }
    sizes = {name: len(names) for name, names in values.items()}
    grid = np.indices(tuple(sizes.values())).reshape(len(sizes), -1)
    kept = _keep(grid[0], grid[1], colors, bias, stream(seed, "sprites", "bias"))
    columns = {name: column[kept] for name, column in zip(sizes, grid)}
    split = split_rows(len(kept), stream(seed, "sprites", "split"), strata=columns["shape"] * colors + columns["color"])
    spec = DataSpec(
        name="sprites",
        image_shape=(3, size, size),
        num_train=int(np.sum(split == TRAIN)),
        sizes=sizes,
        values=values,
        factors=tuple(sizes),
        circular=frozenset({"orientation"}),
        domain="color",
        label="shape",
        bias="color",
    )
    cover = _draw(size, scales, orientations, positions).reshape(-1, size, size)
    drawn = kept % len(cover)  # colour is the slowest column of the grid
    pieces = (slice(start, start + _CHUNK) for start in range(0, len(kept), _CHUNK))
    chunks = (_paint(cover[drawn[piece]], columns["color"][piece]) for piece in pieces)
    store.write_chunks(spec, columns, split, chunks, folder)


def _paint(cover: UInt8[np.ndarray, "m h w"], color: Int64[np.ndarray, " m"]) -> UInt8[np.ndarray, "m h w 3"]:
    ground = np.array(_GROUND, dtype=np.float32)
    ink = np.array(list(COLORS.values()), dtype=np.float32)[color][:, None, None]  # (M, 1, 1, 3)
    alpha = cover[..., None] / np.float32(_SUPERSAMPLING**2)
    return np.round(ground + alpha * (ink - ground)).astype(np.uint8)


def _keep(
    color: Int64[np.ndarray, " n"],
    shape: Int64[np.ndarray, " n"],
    colors: int,
    bias: float,
    rng: np.random.Generator,
) -> Int64[np.ndarray, " m"]:
    """Every row whose colour is the shape's own, and of the others as many as the bias allows."""
    own = shape % colors == color
    other_share = (1 - bias) / colors
    rows = [np.flatnonzero(own)]
    for number in np.unique(shape * colors + color):
        cell = np.flatnonzero((shape * colors + color == number) & ~own)
        rows.append(rng.permutation(cell)[: round(len(cell) * other_share / (bias + other_share))])
    return np.sort(np.concatenate(rows))


def _radii(scales: int) -> Float[np.ndarray, " s"]:
    return np.linspace(0.34, 0.58, scales) if scales > 1 else np.array([0.45])


def _draw(size: int, scales: int, orientations: int, positions: int) -> UInt8[np.ndarray, "shape s o x y h w"]:
    """How many of the parts of each pixel the shape covers, of the square [-1, 1] x [-1, 1]."""
    fine = size * _SUPERSAMPLING
    axis = (np.arange(fine, dtype=np.float32) + 0.5) / fine * 2 - 1
    places = np.linspace(-0.42, 0.42, positions, dtype=np.float32) if positions > 1 else np.zeros(1, dtype=np.float32)
    cover = np.empty((len(SHAPES), scales, orientations, positions, positions, size, size), dtype=np.uint8)
    for s, o, i, j in np.ndindex(scales, orientations, positions, positions):
        turn, radius = 2 * np.pi * o / orientations, _radii(scales)[s]
        x, y = (axis[None, :] - places[i]) / radius, (axis[:, None] - places[j]) / radius
        u, v = np.cos(turn) * x + np.sin(turn) * y, -np.sin(turn) * x + np.cos(turn) * y
        for number, inside in enumerate(_shapes(u, v)):
            cells = inside.reshape(size, _SUPERSAMPLING, size, _SUPERSAMPLING)
            cover[number, s, o, i, j] = cells.sum(axis=(1, 3))
    return cover


def _shapes(u: Float[np.ndarray, "h w"], v: Float[np.ndarray, "h w"]) -> list[Bool[np.ndarray, "h w"]]:
    """Inside or not, in the order of SHAPES; each upright, about the origin, of radius about 1."""
    triangle = (v < 0.75) & (np.abs(u) < 0.4 * (v + 1))
    half_disc = (u**2 + (v - 0.4) ** 2 < 1) & (v < 0.4)
    a, b = 1.3 * u, 0.15 - 1.3 * v
    heart = (a**2 + b**2 - 1) ** 3 < a**2 * b**3
    return [triangle, half_disc, heart]
