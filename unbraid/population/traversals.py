"""What a dimension stands for, as a picture: drawn images in which it moves, above real images that lie there."""

from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Float32, UInt8

from unbraid.atomic import atomic_file
from unbraid.data.pictures import from_pixels
from unbraid.encode import to_pixels
from unbraid.types import Decodes, Method

_DRAWN, _REAL = 3, 3  # rows of the picture
_SIDE = 64  # pixels, at least
_LINE = 2


def traversal(
    method: Method, codes: Float32[np.ndarray, "r d"], dimension: int, places: Float[np.ndarray, " k"]
) -> UInt8[np.ndarray, "r k h w c"]:
    """Each code drawn with one dimension at each of the places."""
    assert isinstance(method, Decodes)
    z = np.repeat(codes[:, None], len(places), axis=1)  # (R, K, D)
    z[:, :, dimension] = places
    device = next(method.parameters()).device
    with torch.inference_mode():
        flat = torch.from_numpy(z.reshape(-1, z.shape[2])).to(device)
        drawn = method.decode(flat, torch.zeros(len(flat), dtype=torch.int64, device=device))
    pixels = to_pixels(drawn)
    return pixels.reshape(*z.shape[:2], *pixels.shape[1:])


def nearest_images(
    images: UInt8[np.ndarray, "n h w c"], label: Float[np.ndarray, " n"], places: Float[np.ndarray, " k"]
) -> UInt8[np.ndarray, "r k h w c"]:
    """The images whose label is nearest to each place, nearest first."""
    near = [np.argsort(np.abs(label - place), kind="stable")[:_REAL] for place in places]
    return np.stack([images[rows] for rows in near], axis=1)


def save_picture(
    path: Path,
    method: Method,
    images: UInt8[np.ndarray, "n h w c"],
    codes: Float32[np.ndarray, "n d"],
    dimension: int,
    places: Float[np.ndarray, " k"],
) -> None:
    """A column for each place of the dimension; drawn rows only if the method draws."""
    rows = [nearest_images(images, codes[:, dimension], places)]
    if isinstance(method, Decodes):
        chosen = np.linspace(0, len(codes) - 1, _DRAWN).astype(int)
        rows.insert(0, traversal(method, codes[chosen], dimension, places))
    cells = np.concatenate(rows)
    scale = -(-_SIDE // cells.shape[2])
    cells = cells.repeat(scale, axis=2).repeat(scale, axis=3)
    cells = np.pad(cells, ((0, 0), (0, 0), (0, _LINE), (0, _LINE), (0, 0)), constant_values=255)
    r, k, h, w, c = cells.shape
    grid = cells.transpose(0, 2, 1, 3, 4).reshape(r * h, k * w, c)
    with atomic_file(path) as temporary, temporary.open("wb") as file:
        from_pixels(grid).save(file, format="PNG")
