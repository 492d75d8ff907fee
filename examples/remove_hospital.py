"""Removing a hospital from chest-like images. The images are drawn here: a stand-in, openly synthetic, of no patient.

    python examples/remove_hospital.py

Each hospital has its own contrast, noise and side marker; each image shows two lungs, the left one with an opacity of
one of three sizes or none. An encoder trained to tell images apart learns the scanner with the rest; one that is
contrasted within hospitals only has no use for it.
"""

from pathlib import Path

import numpy as np

import unbraid
from unbraid.data.store import write
from unbraid.tables import SPLITS, Dataset, DataSpec

SIDE = 32
HOSPITALS, OPACITIES, BREATHS = 4, 4, 3


def draw(hospital: int, opacity: int, breath: int, rng: np.random.Generator) -> np.ndarray:
    """One grey image (H, W)."""
    y, x = np.mgrid[:SIDE, :SIDE] / (SIDE - 1)
    shift_x, shift_y = rng.uniform(-0.04, 0.04, 2)
    image = np.full((SIDE, SIDE), 0.65)
    for centre in (0.3, 0.7):
        lung = ((x - centre - shift_x) / 0.16) ** 2 + ((y - 0.55 - shift_y) / (0.26 + 0.05 * breath)) ** 2 < 1
        image[lung] = 0.2
    if opacity:
        spot = (x - 0.3 - shift_x) ** 2 + (y - 0.6 - shift_y) ** 2 < (0.04 + 0.03 * opacity) ** 2
        image[spot] = 0.55
    image = 0.5 + (image - 0.5) * (0.6, 0.9, 1.2, 1.0)[hospital] + (0.1, 0.0, -0.1, 0.05)[hospital]
    image += rng.normal(0, (0.02, 0.06, 0.03, 0.1)[hospital], image.shape)
    image[1:4, 2 + 7 * hospital : 6 + 7 * hospital] = 1.0  # the marker that its technicians put
    return (image.clip(0, 1) * 255).astype(np.uint8)


def make(num: int) -> Dataset:
    rng = np.random.default_rng(0)
    columns = {
        "hospital": rng.integers(HOSPITALS, size=num),
        "opacity": rng.integers(OPACITIES, size=num),
        "breath": rng.integers(BREATHS, size=num),
    }
    images = np.stack([draw(*row, rng) for row in zip(*columns.values(), strict=True)])[..., None]
    sizes = {"hospital": HOSPITALS, "opacity": OPACITIES, "breath": BREATHS}
    train = num * 4 // 5
    spec = DataSpec(
        name="chest-like", image_shape=(1, SIDE, SIDE), num_train=train, sizes=sizes, factors=tuple(sizes),
        domain="hospital",
    )  # fmt: skip
    split = np.full(num, SPLITS.index("test"), np.uint8)
    split[:train] = SPLITS.index("train")
    return Dataset(spec=spec, images=images, columns=columns, split=split)


def main(num: int = 2000, epochs: int = 8, preset: str = "cpu") -> None:
    write(make(num), Path("chest-like"))
    for method in ("simclr", "dcodr-norec"):
        metrics = ["leakage", "informativeness"]
        run = unbraid.train(method, data="chest-like", preset=preset, epochs=epochs, metrics=metrics)
        scores = {(score.metric, score.column, score.variant): score.value for score in run.records()}
        leak = max(scores["leakage", "hospital", probe] for probe in ("linear", "random features"))
        kept = scores["informativeness", "opacity", "linear"]
        print(f"{method}: hospital read with {leak:.2f} (chance {1 / HOSPITALS:.2f}), opacity with {kept:.2f}")


if __name__ == "__main__":
    main()
