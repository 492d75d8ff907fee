import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from unbraid.data.corruptions import CORRUPTIONS, FROST, _frost, corrupt, drawn_frosts, motion_blur, plasma, read_frosts
from unbraid.errors import DataError, UserError

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "corruptions.json").read_text())  # of the protocol's own code
DRAWN = [key for key in GOLDEN["outputs"] if not key.startswith("frost")]
LOOSE = {"elastic": 1.5, "jpeg": 0.0}  # OpenCV rounds the affine map's source to a 32nd of a pixel


class Legacy(np.random.Generator):
    """NumPy's old generator, of which the golden outputs are, behind the interface of the new one."""

    def __init__(self, seed: int = 0):
        super().__init__(np.random.MT19937())
        self.old = np.random.RandomState(seed)

    def normal(self, *args):
        return self.old.normal(*args)

    def uniform(self, *args):
        return self.old.uniform(*args)


def wave() -> np.ndarray:
    """The golden input."""
    y, x, c = np.mgrid[:32, :32, :3]
    waves = 90 * np.sin(0.35 * y + 0.9 * c) * np.cos(0.27 * x - 0.5 * c)
    return (127.5 + waves + 20 * ((y // 8 + x // 8) % 2)).clip(0, 255).astype(np.uint8)[None]


def levels(name: str, severity: int, images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    function, rows = CORRUPTIONS[name]
    return np.clip(function(images, rng, *rows[severity - 6]), 0, 255)


def at_points(image: np.ndarray) -> np.ndarray:
    y, x = np.transpose(GOLDEN["points"])
    return image[y, x]


def test_the_golden_input():
    assert wave().sum() == 419810
    assert wave()[0, 10, 20].tolist() == [127, 131, 170]


@pytest.mark.parametrize("key", DRAWN)
def test_golden_outputs(key):
    name, severity = key.split("|")
    golden = GOLDEN["outputs"][key]
    out = levels(name, int(severity), wave(), Legacy())[0]
    print(key, np.abs(at_points(out) - golden["levels"]).max(), out.astype(np.uint8).sum()-golden["sum"])
