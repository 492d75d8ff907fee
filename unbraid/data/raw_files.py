"""Where the files of published data sets are looked for: below UNBRAID_DATA, or where the user says."""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from unbraid.errors import DataError


def find_raw(name: str, candidates: Sequence[str], raw: str | None, page: str) -> Path:
    """The first candidate that exists: ``raw`` itself if it is called so, or below ``raw``, or below UNBRAID_DATA.

    Args:
        page: Where the data set is published, for the message.

    Raises:
        DataError: If there is none.
    """
    root = raw or os.environ.get("UNBRAID_DATA")
    names = " or ".join(candidates)
    if root:
        folder = Path(root).expanduser()
        places = [folder] if folder.name in candidates else [folder / candidate for candidate in candidates]
        if found := [place for place in places if place.exists()]:
            return found[0]
    where = f"no {names} in {root}" if root else "UNBRAID_DATA is not set"
    raise DataError(
        f"{name} is not here: {where}; get it from {page}, then set UNBRAID_DATA to the folder that holds {names} "
        f"or say {name}:raw=PATH"
    )


def shrink(image: Image.Image, size: int) -> UInt8[np.ndarray, "h w c"]:
    """The whole image as a square, with antialiasing."""
    if image.size != (size, size):
        image = image.resize((size, size), Image.Resampling.BICUBIC)
    pixels = np.asarray(image)
    return pixels.reshape(size, size, -1)
