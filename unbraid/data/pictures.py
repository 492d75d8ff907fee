"""Image files of any size and mode to small uint8 squares, decoded once by a pool of threads.

The shorter side is resized to the square's side with antialiasing, then the centre is cut out. Transparent pixels
become white, the EXIF orientation is applied, of several pages or frames the first is taken. Images of more than 8 bits
share one scale per data set: black is 0 (or their minimum below it), white the smallest of 1, 255, 1023, 4095, 16383,
65535 that is not below their maximum, both judged on up to 64 of them.
"""

import itertools
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageOps
from rich.console import Console
from rich.progress import Progress

from unbraid.errors import DataError

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp", ".pgm", ".ppm")
_FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "PPM")
_GREY_MODES = ("1", "L", "LA")
_CHUNK = 256  # images in memory at a time
_WHITES = (1.0, 255.0, 1023.0, 4095.0, 16383.0, 65535.0)

T = TypeVar("T")


def from_pixels(image: UInt8[np.ndarray, "h w c"]) -> Image.Image:
    """A picture of one or of three channels."""
    return Image.fromarray(image[:, :, 0] if image.shape[2] == 1 else image)


@dataclass(frozen=True)
class Look:
    """What all images of a data set share once decoded."""

    size: int
    channels: Literal[1, 3]
    black: float = 0.0
    white: float = 65535.0


def first_three(names: Sequence[object]) -> str:
    """``a, b, c and 4 more``."""
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(map(str, names[:3])) + more


def survey(files: Sequence[Path], size: int, color: Literal["auto", "rgb", "grey"]) -> Look:
    """Read the headers to decide on the channels and on the scale of images of more than 8 bits.

    Raises:
        DataError: If a file is not an image; names the first three.
    """
    modes = list(_each(_mode, files, "looking at"))
    deep = [file for file, mode in zip(files, modes) if _is_deep(mode)]
    grey = all(mode in _GREY_MODES or _is_deep(mode) for mode in modes)
    channels: Literal[1, 3] = 1 if color == "grey" or (color == "auto" and grey) else 3
    if not deep:
        return Look(size, channels)
    sample = [deep[i] for i in np.unique(np.linspace(0, len(deep) - 1, 64).astype(int))]
    low, high = zip(*_each(_extremes, sample, "looking at"))
    white = next((white for white in _WHITES if white >= max(high)), max(high))
    return Look(size, channels, min(*low, 0.0), white)


def common_side(files: Sequence[Path]) -> int | None:
    """The side of all files, by their headers; None if they are not squares of one size.

    Raises:
        DataError: If a file is not an image; names the first three.
    """
    sizes = set(_each(_size, files, "looking at"))
    (width, height), *others = sizes or {(0, 0)}
    return width if width == height > 0 and not others else None


def deep_files(files: Sequence[Path]) -> list[Path]:
    """Those of more than eight bits per channel, whose scale is a matter of the whole data set.

    Raises:
        DataError: If a file is not an image; names the first three.
    """
    return [file for file, mode in zip(files, _each(_mode, files, "looking at")) if _is_deep(mode)]


def decode_all(files: Sequence[Path], look: Look) -> Iterator[UInt8[np.ndarray, "m h w c"]]:
    """The images in pieces.

    Raises:
        DataError: At the end, if some cannot be read; says how many and names the first three.
    """
    images = _each(lambda file: decode(file, look), files, "preparing")
    while chunk := list(itertools.islice(images, _CHUNK)):
        yield np.stack(chunk)


def decode(file: Path, look: Look) -> UInt8[np.ndarray, "h w c"]:
    """One image file."""
    with Image.open(file, formats=_FORMATS) as image:
        image.draft(None, (2 * look.size, 2 * look.size))  # decodes a much larger JPEG at a smaller scale
        square = ImageOps.fit(_upright(image, look), (look.size, look.size), method=Image.Resampling.BICUBIC)
        pixels = np.asarray(square.convert("L" if look.channels == 1 else "RGB"))
    return pixels.reshape(look.size, look.size, look.channels)


def _upright(image: Image.Image, look: Look) -> Image.Image:
    """8 bits per channel, opaque, the right way up."""
    image = ImageOps.exif_transpose(image)
    if _is_deep(image.mode):
        values = np.nan_to_num(np.asarray(image, dtype=np.float64), nan=look.black)
        scaled = (values - look.black) / (look.white - look.black)
        return Image.fromarray(np.round(255 * scaled.clip(0, 1)).astype(np.uint8))
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer)
    return image.convert("L" if image.mode in _GREY_MODES else "RGB")


def _is_deep(mode: str) -> bool:
    return mode.startswith(("I", "F"))


def _mode(file: Path) -> str:
    with Image.open(file, formats=_FORMATS) as image:
        return "RGB" if image.mode == "P" else image.mode


def _size(file: Path) -> tuple[int, int]:
    with Image.open(file, formats=_FORMATS) as image:
        return image.size  # of a square the orientation does not matter


def _extremes(file: Path) -> tuple[float, float]:
    with Image.open(file, formats=_FORMATS) as image:
        values = np.asarray(image, dtype=np.float64)
    values = values[np.isfinite(values)]
    return float(values.min()), float(values.max())


def _each(function: Callable[[Path], T], files: Sequence[Path], verb: str) -> Iterator[T]:
    """``function`` of each file, in order. Unreadable files are left out, and refused together at the end."""
    failed: list[Path] = []

    def attempt(file: Path) -> T | None:
        try:
            return function(file)
        except Exception:  # Pillow raises almost anything on a damaged file
            failed.append(file)
            return None

    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        pieces = (files[start : start + _CHUNK] for start in range(0, len(files), _CHUNK))
        results = (result for piece in pieces for result in pool.map(attempt, piece))
        yield from (result for result in _with_bar(results, len(files), verb) if result is not None)
    if failed:
        raise DataError(
            f"{len(failed)} of {len(files)} images cannot be read: {first_three(sorted(failed))}; mend or remove them"
        )


def _with_bar(items: Iterable[T], total: int, verb: str) -> Iterator[T]:
    """A progress bar on the terminal from the third second on."""
    begin = time.monotonic()
    bar = Progress(console=Console(stderr=True), transient=True)
    task = bar.add_task(f"{verb} {total} images", total=total)
    try:
        for item in items:
            yield item
            bar.advance(task)
            if not bar.live.is_started and time.monotonic() - begin > 2:
                bar.start()
    finally:
        if bar.live.is_started:
            bar.stop()
