"""Tiny photographs of every mode and format, for the tests of own images."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

DOMAINS = ("left", "right")


def photo(seed: int, width: int = 20, height: int = 14) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(256, size=(height, width, 3), dtype=np.uint8))


def write_photos(root: Path, num: int = 10) -> pd.DataFrame:
    """``num`` PNGs in ``root`` and a row for each: two cameras, three subjects, a temperature, an id."""
    root.mkdir(parents=True, exist_ok=True)
    names = [f"p{row:02d}.png" for row in range(num)]
    for row, name in enumerate(names):
        photo(row).save(root / name)
    rows = np.arange(num)
    return pd.DataFrame(
        {
            "path": names,
            "camera": [DOMAINS[row % 2] for row in rows],
            "subject": rows // 2 % 3,
            "temperature": rows / 4 + 0.1,
            "id": [f"id{row}" for row in rows],
        }
    )


def write_tree(root: Path, folders: Sequence[str], each: int = 5) -> None:
    for number, folder in enumerate(folders):
        (root / folder).mkdir(parents=True)
        for row in range(each):
            photo(100 * number + row).save(root / folder / f"{row}.png")
