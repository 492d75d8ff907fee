import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import zoom

from unbraid.data.corruptions import CORRUPTIONS, FROST, _frost, corrupt, drawn_frosts, motion_blur, plasma, read_frosts
from unbraid.errors import DataError, UserError

GOLDEN = json.loads(
    (Path(__file__).parents[1] / "golden" / "corruptions.json").read_text()
)  # of the protocol's own code
DRAWN = [key for key in GOLDEN["outputs"] if not key.startswith("frost")]


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
    np.testing.assert_allclose(at_points(out), golden["levels"], atol=1e-4)
    assert out.astype(np.uint8).sum(dtype=int) == golden["sum"]


def test_golden_frost_is_one_blend_at_all_severities():
    """The photographs are not at hand: what severity 1 shows of them predicts severities 4 and 5."""
    x = at_points(wave()[0]).astype(float)
    first, *_, fourth, fifth = (np.array(GOLDEN["outputs"][f"frost|{severity}"]["levels"]) for severity in range(1, 6))
    frost = (first - x) / 0.2
    for golden, severity in ((fourth, 4), (fifth, 5)):
        flat = [np.broadcast_to(frost[3].round().astype(np.uint8), (64, 64, 3))]
        ours = _frost(wave(), np.random.default_rng(0), *CORRUPTIONS["frost"][1][severity - 1], frosts=flat)[0]
        np.testing.assert_allclose(at_points(ours)[3], golden[3], atol=0.5)


def test_snow_by_loops():
    """The protocol's steps for one image; the blur by ImageMagick's rule, pixel by pixel."""
    mean, deviation, zoomed, threshold, radius, sigma, share = CORRUPTIONS["snow"][1][4]
    draws = Legacy(3)
    layer, angle = draws.normal(mean, deviation, (32, 32)), draws.uniform(-135, -45)
    layer = zoom(layer[3:29, 3:29], zoomed, order=1)
    layer = np.where(layer < threshold, 0, layer).clip(0, 1)
    layer = np.floor(255 * layer)
    kernel = np.exp(-(np.arange(2 * radius + 1) ** 2) / (2 * sigma**2))
    blurred = np.zeros((32, 32))
    for row, column, step in np.ndindex(32, 32, len(kernel)):
        down = int(np.ceil(step * np.sin(np.radians(angle)) - 0.5))
        right = int(np.ceil(step * np.cos(np.radians(angle)) - 0.5))
        there = layer[np.clip(row + down, 0, 31), np.clip(column + right, 0, 31)]
        blurred[row, column] += kernel[step] / kernel.sum() * there
    snow = np.round(blurred)[..., None] / 255
    x = wave()[0] / 255
    grey = (0.299 * x[..., 0] + 0.587 * x[..., 1] + 0.114 * x[..., 2])[..., None]
    expected = share * x + (1 - share) * np.maximum(x, 1.5 * grey + 0.5) + snow + snow[::-1, ::-1]
    np.testing.assert_allclose(levels("snow", 5, wave(), Legacy(3))[0], 255 * expected.clip(0, 1), atol=1e-3)


def test_a_dot_is_drawn_out_along_the_angle():
    dot = np.zeros((2, 32, 32))
    dot[:, 16, 16] = 1
    down, right = motion_blur(dot, 6, 3.0, np.array([-90.0, 0.0]))
    assert sorted(set(np.nonzero(down)[1])) == [16]
    assert sorted(set(np.nonzero(right)[0])) == [16]
    assert down.sum() == pytest.approx(1)
    assert down[16:29, 16].tolist() == pytest.approx((np.exp(-(np.arange(13) ** 2) / 18) / down_total()).tolist())


def down_total() -> float:
    return float(np.exp(-(np.arange(13) ** 2) / 18).sum())


def test_golden_plasma():
    cloud = plasma(1, 32, 1.75, Legacy())[0]
    assert cloud[0, :4].tolist() == pytest.approx([0.0347955, 0.1988369, 0.3340184, 0.4923496], abs=1e-6)
    assert cloud.sum() == pytest.approx(530.65038, abs=1e-4)
    assert plasma(1, 32, 3.0, Legacy())[0].sum() == pytest.approx(480.05323, abs=1e-4)


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_images_differ_and_the_seed_decides(name):
    images = np.concatenate([wave(), wave()])
    one, again = (corrupt(images, name, 5, np.random.default_rng(1)) for _ in range(2))
    np.testing.assert_array_equal(one, again)
    assert (one != images).any()
    random = name in ("snow", "frost", "fog", "spatter", "elastic")
    assert (one[0] != one[1]).any() == random


def test_frost_from_photographs(tmp_path):
    for number, name in enumerate(FROST):
        Image.new("RGB", (200, 250), (number, 0, 0)).save(tmp_path / name)
    frosts = read_frosts(tmp_path)
    assert [frost.shape for frost in frosts] == [(50, 40, 3)] * 5
    black = np.zeros((40, 32, 32, 3), dtype=np.uint8)
    assert corrupt(black, "frost", 5, np.random.default_rng(0), frosts=frosts).max() == 1  # 0.45 * 4
    Image.new("RGB", (100, 250)).save(tmp_path / FROST[1])
    with pytest.raises(DataError, match=r"frost2\.png must have more than 165 pixels a side"):
        read_frosts(tmp_path)
    (tmp_path / FROST[1]).unlink()
    with pytest.raises(DataError, match=r"cannot read .*frost2\.png"):
        read_frosts(tmp_path)


def test_drawn_frost_is_as_bright_as_the_photographs():
    mean = np.mean([frost.mean(axis=(0, 1)) for frost in drawn_frosts()], axis=0)
    golden = np.mean([GOLDEN["outputs"][f"frost|{severity}"]["sum"] for severity in (1, 2)])
    assert golden > 419810  # frost brightens
    assert np.abs(mean - [87, 99, 112]).max() < 15


@pytest.mark.parametrize(
    ("name", "severity", "text"),
    [
        ("snoww", 5, "no corruption 'snoww'. Did you mean 'snow'"),
        ("snow", 6, "severity=6 of snow must be 1 to 5"),
        ("spatter", 3, "severity=3 of spatter must be 4 to 5"),
    ],
)
def test_mistakes(name, severity, text):
    with pytest.raises(UserError, match=text):
        corrupt(wave(), name, severity, np.random.default_rng(0))
