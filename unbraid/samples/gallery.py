"""Small copies of some test images, the same for every run of a data set, so that runs are compared image by image."""

import numpy as np
from jaxtyping import UInt8

from unbraid.data.pictures import from_pixels
from unbraid.seeds import stream
from unbraid.tables import Dataset

_IMAGES, _SIDE = 240, 48  # how many, and the pixels of their longer side at most


def gallery_of(dataset: Dataset) -> dict[str, np.ndarray]:
    """``gallery_rows`` (M), ascending, and ``gallery_images`` (M, h, w, C); neither depends on method or seed."""
    test = dataset.rows("test")
    rows = np.sort(stream(0, "samples", "gallery").permutation(test)[:_IMAGES])
    if not len(rows):
        return {}
    return {"gallery_rows": rows, "gallery_images": np.stack([_small(image) for image in dataset.images[rows]])}


def _small(image: UInt8[np.ndarray, "H W c"]) -> UInt8[np.ndarray, "h w c"]:
    if max(image.shape[:2]) <= _SIDE:
        return image
    picture = from_pixels(image)
    picture.thumbnail((_SIDE, _SIDE))
    return np.asarray(picture).reshape(picture.height, picture.width, -1)
