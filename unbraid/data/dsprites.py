"""dSprites: a white shape on black, a full grid of five factors, 737,280 images (Matthey et al. 2017). Domain: shape.

Read from the original ``dsprites_ndarray_co1sh3sc6or40x32y32_64x64.npz``, or with ``source=drawn`` drawn by formula,
which takes about two minutes and 3 GB of disk for the whole grid. The drawing is a reconstruction, not the data set:
beside 320 published frames, 302 are equal and no other has more than 4 wrong pixels of its 4,096 (32 in all). Its name
is ``dsprites-drawn``.

``shapes=2,scales=3,orientations=8,positions=8`` gives a part of the grid. Scales and positions are then evenly spread
from the first to the last, orientations around the turn; of shapes the first: square, ellipse, heart. Rows stand in the
published order, y the fastest. As published, the last of the 40 orientations is the first again, and a square looks the
same four times in a turn, an ellipse twice. A tenth of the images of each shape, drawn at random, is the test split.

Source
    Matthey, Higgins, Hassabis & Lerchner, dSprites, 2017, github.com/google-deepmind/dsprites-dataset.
    Licence: Apache-2.0.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Int64, UInt8
from PIL import Image

from unbraid.data import dsprites_drawing, store
from unbraid.data.arrays import read_arrays, read_chunks, shape_of
from unbraid.data.published_labels import with_published_labels
from unbraid.data.raw_files import find_raw, shrink
from unbraid.data.splits import TRAIN, split_rows
from unbraid.errors import DataError, UserError
from unbraid.seeds import stream
from unbraid.tables import Dataset, DataSpec

FILE = "dsprites_ndarray_co1sh3sc6or40x32y32_64x64.npz"
PAGE = "https://github.com/google-deepmind/dsprites-dataset (or say dsprites:source=drawn for a reconstruction)"
SHAPES = ("square", "ellipse", "heart")
SIZES = {"shape": 3, "scale": 6, "orientation": 40, "x": 32, "y": 32}
_SIDE = dsprites_drawing.SIDE

Levels = dict[str, Int64[np.ndarray, " _"]]  # of each factor those that are kept


def dsprites(
    *,
    shapes: int = 3,
    scales: int = 6,
    orientations: int = 40,
    positions: int = 32,
    size: int = _SIDE,
    source: Literal["published", "drawn"] = "published",
    seed: int = 0,
    labels: str | None = None,
    raw: str | None = None,
) -> Dataset:
    """The grid or a part of it, ``size`` pixels square. ``seed`` decides on the split.

    Args:
        positions: Number of places along each of x and y.
        labels: A published file to take the labels from.

    Raises:
        UserError: If a parameter is out of range.
        DataError: If the file is missing, damaged or another one.
    """
    counts = {"shapes": shapes, "scales": scales, "orientations": orientations, "positions": positions}
    limits = dict(zip(counts, SIZES.values()))
    if size < 8 or not all(1 <= counts[name] <= limits[name] for name in counts):
        wanted = ", ".join(f"{name}={counts[name]} must be 1 to {limits[name]}" for name in counts)
        raise UserError(f"dsprites: {wanted}, size={size} at least 8")
    levels = _levels(shapes, scales, orientations, positions)
    files = [] if source == "drawn" else [find_raw("dsprites", (FILE, f"dsprites/{FILE}"), raw, PAGE)]

    def build(folder: Path) -> None:
        images = _read(files[0], levels) if files else dsprites_drawing.draw(*list(levels.values())[:4])
        grid = np.indices(tuple(map(len, levels.values()))).reshape(len(levels), -1)
        columns = dict(zip(levels, grid))
        split = split_rows(grid.shape[1], stream(seed, "dsprites", "split"), test=0.1, strata=columns["shape"])
        spec = _spec("dsprites" if files else "dsprites-drawn", size, levels, int(np.sum(split == TRAIN)))
        store.write_chunks(spec, columns, split, (_resize(chunk, size) for chunk in images), folder)

    sources = [*files, Path(__file__), Path(dsprites_drawing.__file__)]
    dataset = store.cached("dsprites", {**counts, "size": size, "source": source, "seed": seed}, sources, build)
    if labels is None:
        return dataset
    whole = {name: numbers[dataset.columns[name]] for name, numbers in levels.items()}
    return with_published_labels(dataset, Path(labels).expanduser(), SIZES, whole)


def _levels(shapes: int, scales: int, orientations: int, positions: int) -> Levels:
    places = _spread(positions, SIZES["x"])
    around = np.arange(orientations) * SIZES["orientation"] // orientations
    parts = (np.arange(shapes), _spread(scales, SIZES["scale"]), around, places, places)
    return dict(zip(SIZES, parts, strict=True))


def _spread(num: int, of: int) -> Int64[np.ndarray, " _"]:
    """Numbers below ``of``, the first and the last among them; one alone is in the middle."""
    return np.round(np.linspace(0, of - 1, num)).astype(np.int64) if num > 1 else np.array([of // 2])


def _spec(name: str, size: int, levels: Levels, num_train: int) -> DataSpec:
    degrees = np.rad2deg(dsprites_drawing.TURNS)[levels["orientation"]]
    values = {
        "shape": SHAPES[: len(levels["shape"])],
        "scale": tuple(f"{scale:g}" for scale in dsprites_drawing.SCALES[levels["scale"]]),
        "orientation": tuple(f"{angle:.1f} deg" for angle in degrees),
        "x": tuple(map(str, levels["x"])),
        "y": tuple(map(str, levels["y"])),
    }
    return DataSpec(
        name=name,
        image_shape=(1, size, size),
        num_train=num_train,
        sizes={factor: len(names) for factor, names in values.items()},
        values=values,
        factors=tuple(values),
        circular=frozenset({"orientation"}),
        domain="shape" if len(values["shape"]) > 1 else None,
    )


def _read(path: Path, levels: Levels) -> Iterator[UInt8[np.ndarray, "m h w"]]:
    """The images of these levels, 0 or 255."""
    shape = tuple(SIZES.values())
    latents = read_arrays(path, required=("imgs", "latents_classes"), without=("imgs", "metadata", "latents_values"))
    grid = np.indices((1, *shape)).reshape(1 + len(shape), -1).T
    expected = (len(grid), _SIDE, _SIDE)
    if shape_of(path, "imgs") != expected or not np.array_equal(latents["latents_classes"], grid):
        raise DataError(f"{path} is not dSprites: expected imgs {expected} and latents_classes of the whole grid")
    kept = np.zeros(shape, dtype=bool)
    kept[np.ix_(*levels.values())] = True
    start = 0
    for chunk in read_chunks(path, "imgs"):
        if chunk.dtype != np.uint8 or chunk.max() > 1:
            raise DataError(f"{path} is not dSprites: expected imgs of uint8 0 and 1")
        yield 255 * chunk[kept.ravel()[start : start + len(chunk)]]
        start += len(chunk)


def _resize(images: UInt8[np.ndarray, "m h w"], size: int) -> UInt8[np.ndarray, "m s s 1"]:
    if size == _SIDE:
        return images[..., None]
    return np.stack([shrink(Image.fromarray(image), size) for image in images])
