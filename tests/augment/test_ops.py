"""Each op against Pillow, torchvision or a plain loop, image by image, given the same draws."""

import math

import numpy as np
import pytest
import torch
from PIL import Image, ImageEnhance
from torchvision.transforms import InterpolationMode
from torchvision.transforms import functional as pil
from torchvision.transforms.v2 import functional as tv

from unbraid.augment import ops


def fixed(op: ops.Op, x: torch.Tensor) -> torch.Tensor:
    """The op where its range is a single value, so that the draw does not matter."""
    return op(x, torch.rand(len(x), op.num_draws))


def photo(num: int = 3, channels: int = 3, height: int = 40, width: int = 56) -> torch.Tensor:
    """Smooth blobs with a little noise, in 256 levels: (num, channels, height, width)."""
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(num, channels, 5, 7, generator=generator)
    smooth = torch.nn.functional.interpolate(coarse, (height, width), mode="bicubic")
    noisy = smooth + 0.05 * torch.randn(smooth.shape, generator=generator)
    return noisy.clamp(0, 1).mul(255).round() / 255


def draws(op: ops.Op, num: int, seed: int = 0) -> torch.Tensor:
    return op.draw(num, 1, torch.Generator().manual_seed(seed))[:, 0]


def levels(x: torch.Tensor) -> torch.Tensor:
    return x.double() * 255


# --- recorded from the published code's transformations: pixels [0,0], [10,20], [63,63] and the sum over the image


def formula_image() -> torch.Tensor:
    value = np.sin(12.9898 * np.arange(1, 64 * 64 * 3 + 1) + 78.233 * 5) * 43758.5453
    value = (2 * (value - np.floor(value)) - 1).astype(np.float32).reshape(64, 64, 3)
    return torch.from_numpy(((value + 1) * 127.5).astype(np.uint8)).permute(2, 0, 1)[None] / 255


GOLDEN = {
    "formula image": (None, [39, 28, 206], [236, 242, 33], [85, 39, 106], 1566865),
    "blur": (ops.GaussianBlur((1.0, 1.0), 5), [100, 63, 116], [140, 133, 124], [134, 127, 143], 1566869),
    "horizontal flip": (ops.HorizontalFlip(), [212, 107, 134], [136, 216, 230], [195, 43, 155], 1566865),
    "vertical flip": (ops.VerticalFlip(), [195, 43, 155], [92, 154, 244], [212, 107, 134], 1566865),
    "grayscale": (ops.Grayscale(), [52, 52, 52], [216, 216, 216], [60, 60, 60], 1563222),
    "contrast": (ops.Contrast((2.0, 2.0)), [0, 0, 255], [255, 255, 0], [43, 0, 85], 1575847),
    "saturation": (ops.Saturation((2.0, 2.0)), [26, 4, 255], [255, 255, 0], [110, 18, 152], 1571598),
    "high brightness": (ops.Brightness((1.6, 1.6)), [62, 44, 255], [255, 255, 52], [136, 62, 169], 2153557),
    "low brightness": (ops.Brightness((0.4, 0.4)), [15, 11, 82], [94, 96, 13], [34, 15, 42], 621757),
}


@pytest.mark.parametrize("name", GOLDEN)
def test_formula_image_as_the_published_code_transforms_it(name):
    """Within one level, for Pillow rounds or truncates; 1.5 where it has also rounded the grey before doubling it."""
    op, *pixels, total = GOLDEN[name]
    found = levels(formula_image() if op is None else fixed(op, formula_image()))[0]
    found_pixels = torch.stack([found[:, 0, 0], found[:, 10, 20], found[:, 63, 63]])
    expected = torch.tensor(pixels, dtype=torch.float64)
    assert (found_pixels - expected).abs().max() < (1.5 if name == "saturation" else 1.001)
    assert abs(found.sum() - total) / found.numel() < 0.5


def test_formula_image_with_its_hue_turned():
    """Pillow's hue has 256 steps: 0.3 becomes 76 of them, and a saturated pixel moves by up to 6 levels a step."""
    found = levels(ops.turn_hue(formula_image(), torch.full((1, 1, 1, 1), 76 / 256)))[0]
    expected = torch.tensor([[206, 28, 58], [33, 242, 200], [106, 69, 39]], dtype=torch.float64)
    assert (torch.stack([found[:, 0, 0], found[:, 10, 20], found[:, 63, 63]]) - expected).abs().max() < 2.5
    assert abs(found.sum() - 1566453) / found.numel() < 0.5


@pytest.mark.parametrize("op", [ops.Saturation((1.8, 3.0)), ops.Hue((0.2, 0.5)), ops.Grayscale()])
def test_colour_ops_leave_grey_images_alone(op):
    grey = photo(channels=1)
    assert torch.equal(fixed(op, grey), grey)
    assert torch.allclose(fixed(op, grey.expand(-1, 3, -1, -1)), grey, atol=1e-6)


# --- against Pillow and torchvision


ENHANCE = {
    "brightness": (ops.Brightness((0.2, 1.8)), ImageEnhance.Brightness),
    "contrast": (ops.Contrast((0.3, 3.0)), ImageEnhance.Contrast),
    "saturation": (ops.Saturation((0.3, 3.0)), ImageEnhance.Color),
}


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", ENHANCE)
def test_colour_equals_pillow(name, channels):
    """Within one level, for Pillow truncates; half a level times |1 - factor| more where it has rounded the grey."""
    op, enhance = ENHANCE[name]
    x = photo(num=8, channels=channels)
    draw = draws(op, 8)
    found = levels(op(x, draw))
    for i, factor in enumerate(ops.between(draw[:, 0], *op.factor).tolist()):
        image = Image.fromarray((x[i] * 255).round().byte().expand(3, -1, -1).permute(1, 2, 0).numpy())
        expected = torch.from_numpy(np.array(enhance(image).enhance(factor))).permute(2, 0, 1)
        tolerance = 1.01 + (0.5 * abs(1 - factor) if name == "saturation" else 0)
        assert (found[i] - expected).abs().max() < tolerance


def test_hue_equals_torchvision():
    op = ops.Hue((0.2, 0.5))
    x = photo(num=16)
    x[0, :, :8] = torch.tensor([0.0, 1.0, 1.0])[:, None, None]  # two channels tie
    x[1] = x[1].round()  # pure colours, black and white
    draw = draws(op, 16)
    turn = [math.copysign(0.2 + 0.3 * abs(2 * u - 1), 2 * u - 1) for u in draw[:, 0].tolist()]
    assert min(turn) < -0.2
    assert max(turn) > 0.2
    for image, found, shift in zip(x, op(x, draw), turn):
        assert torch.allclose(found, tv.adjust_hue(image, shift), atol=1e-5)


@pytest.mark.parametrize("size", [(40, 56), (64, 64), (7, 9)])
@pytest.mark.parametrize("channels", [1, 3])
def test_blur_equals_torchvision(channels, size):
    op = ops.GaussianBlur(sigma=(0.1, 2.0), kernel_size=5)
    x = photo(channels=channels, height=size[0], width=size[1])
    draw = draws(op, len(x))
    for image, found, u in zip(x, op(x, draw), draw[:, 0].tolist()):
        assert torch.allclose(found, tv.gaussian_blur(image, [5, 5], [0.1 + 1.9 * u]), atol=1e-5)


def test_blur_without_a_kernel_size_is_a_tenth_of_the_side_wide():
    x = photo(height=64, width=70)
    found = fixed(ops.GaussianBlur(sigma=(2.0, 2.0)), x)
    assert torch.allclose(found, tv.gaussian_blur(x, [7, 7], [2.0]), atol=1e-5)
    assert torch.equal(fixed(ops.GaussianBlur(sigma=(2.0, 2.0), min_side=65), x), x)


@pytest.mark.parametrize("scale", [(0.5, 1.0), (0.08, 0.3)])
@pytest.mark.parametrize("size", [(40, 56), (64, 64), (24, 96)])
def test_crop_equals_torchvision_given_its_box(size, scale):
    op = ops.ResizedCrop(scale)
    x = photo(num=8, height=size[0], width=size[1])
    draw = draws(op, 8)
    for image, found, box in zip(x, op(x, draw), op.boxes(draw, size).tolist()):
        assert torch.allclose(found, tv.resized_crop(image, *box, list(size), antialias=True), atol=1e-5)


@pytest.mark.parametrize("size", [(96, 96), (24, 40)])
def test_crops_of_another_size_equal_torchvision(size):
    op = ops.ResizedCrop((0.08, 1.0), side=32)
    x = photo(num=8, height=size[0], width=size[1])
    draw = draws(op, 8)
    for image, found, box in zip(x, op(x, draw), op.boxes(draw, size).tolist()):
        assert torch.allclose(found, tv.resized_crop(image, *box, [32, 32], antialias=True), atol=1e-5)


def test_resizing_down_is_antialiased_as_in_torchvision():
    x = photo(height=64, width=64)
    length = torch.tensor([50.0, 64.0, 21.0])
    weights = ops._bilinear(torch.tensor([3.0, 0.0, 40.0]), length, 64, 64)
    assert torch.allclose(weights.sum(dim=2), torch.ones(3, 64))
    expected = tv.resized_crop(x[2], 40, 40, 21, 21, [64, 64], antialias=True)
    assert torch.allclose(ops._resample(x, weights, weights)[2], expected, atol=1e-5)


def plain_box(u, size, scale, ratio, limit, otherwise):
    """torchvision's drawing, one try after the other."""
    for area, shape in zip(u[:10], u[10:20]):
        area = (scale[0] + (scale[1] - scale[0]) * area) * size[0] * size[1]
        shape = math.exp(math.log(ratio[0]) + (math.log(ratio[1]) - math.log(ratio[0])) * shape)
        height, width = round(math.sqrt(area * shape)), round(math.sqrt(area / shape))
        if 0 < height <= limit[0] and 0 < width <= limit[1]:
            return [
                math.floor(u[20] * (size[0] - height + 1)),
                math.floor(u[21] * (size[1] - width + 1)),
                height,
                width,
            ]
    return [(size[0] - otherwise[0]) // 2, (size[1] - otherwise[1]) // 2, *otherwise]


@pytest.mark.parametrize(
    ("size", "otherwise"), [((64, 64), (64, 64)), ((24, 96), (24, 32)), ((96, 24), (32, 24)), ((33, 20), (27, 20))]
)
def test_crop_boxes_equal_a_plain_loop(size, otherwise):
    op = ops.ResizedCrop((0.5, 1.0))
    draw = draws(op, 300)
    expected = [plain_box(u, size, op.scale, op.ratio, size, otherwise) for u in draw.tolist()]
    assert op.boxes(draw, size).tolist() == expected


def test_erased_boxes_equal_a_plain_loop_and_are_black():
    op = ops.RandomErasing()
    draw = draws(op, 300)
    expected = [plain_box(u, (32, 12), op.scale, op.ratio, (31, 11), (0, 0)) for u in draw.tolist()]
    assert op.boxes(draw, (32, 12)).tolist() == expected
    x = photo(num=300, channels=1, height=32, width=12) * 0.5 + 0.5
    for image, found, (top, left, height, width) in zip(x, op(x, draw), expected):
        assert torch.equal(found, tv.erase(image, top, left, height, width, torch.zeros(1, 1, 1)))


@pytest.mark.parametrize("size", [(64, 64), (40, 56)])
def test_rotation_equals_pillow(size):
    """But for pixels whose source lies on an edge between two, which Pillow finds in fixed point."""
    op = ops.Rotation((-40.0, 40.0))
    x = photo(num=8, height=size[0], width=size[1])
    draw = draws(op, 8)
    found = op(x, draw)
    for i, angle in enumerate(ops.between(draw[:, 0], -40.0, 40.0).tolist()):
        image = Image.fromarray((x[i] * 255).round().byte().permute(1, 2, 0).numpy())
        turned = pil.affine(image, angle, [0, 0], 1.0, [0.0, 0.0], InterpolationMode.NEAREST, fill=255)
        expected = torch.from_numpy(np.array(turned)).permute(2, 0, 1)
        assert ((levels(found[i]) - expected).abs() > 0.1).float().mean() < 0.005


def test_padded_crop_equals_a_plain_loop():
    op, x = ops.PaddedCrop(4), photo(40, 3, 10, 14)
    drawn = draws(op, 40)
    for image, found, (down, across) in zip(x, op(x, drawn), (drawn * 9).long().tolist(), strict=True):
        padded = torch.nn.functional.pad(image, (4, 4, 4, 4))
        assert torch.equal(found, padded[:, down : down + 10, across : across + 14])
    assert len((drawn * 9).long().unique()) == 9
