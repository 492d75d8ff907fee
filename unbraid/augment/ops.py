"""Transformations of a batch of images in [0, 1], each image by its own draw.

What an op needs of chance is one row of numbers in [0, 1) per image, drawn on the CPU. Drawing and applying are apart:
several processes draw for the global batch and apply their own rows, and no device is ever waited for.

Colours follow Pillow, crops and blurs torchvision; the tests hold each op against them, image by image. Plain torch:
kornia's contrast has another pivot, its crops are not antialiased, and its hue takes ten times as long on a CPU.
"""

import abc
import math
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

Images = Float[Tensor, "b c h w"]
Range = tuple[float, float]


class Op(abc.ABC):
    """One transformation. ``x`` is never changed; the result has its device, and its shape but for some crops."""

    @property
    def num_draws(self) -> int:
        """Numbers per image."""
        return 0

    @property
    def side(self) -> int | None:
        """Pixels of the result, a square; None: as many as the image."""
        return None

    def draw(self, num: int, num_views: int, generator: torch.Generator) -> Float[Tensor, "n v k"]:
        return torch.rand(num, num_views, self.num_draws, generator=generator)

    @abc.abstractmethod
    def __call__(self, x: Images, draws: Float[Tensor, "b k"]) -> Images: ...


def between(draws: Float[Tensor, "..."], low: float, high: float) -> Float[Tensor, "..."]:
    """Numbers in [0, 1) stretched to [low, high)."""
    return low + (high - low) * draws


def luminance(x: Images) -> Float[Tensor, "b 1 h w"]:
    """Pillow's grey: the ITU-R 601 weights."""
    if x.shape[1] == 1:
        return x
    red, green, blue = x.split(1, dim=1)
    return torch.add(0.299 * red, green, alpha=0.587).add_(blue, alpha=0.114)


# --- colour


@dataclass(frozen=True)
class Brightness(Op):
    """Away from black for factors above 1, towards it below."""

    factor: Range
    num_draws = 1

    def __call__(self, x: Images, draws: Float[Tensor, "b 1"]) -> Images:
        return (x * _per_image(between(draws, *self.factor), x)).clamp_(0, 1)


@dataclass(frozen=True)
class Contrast(Op):
    """Away from the mean luminance, which Pillow rounds to one of 256 levels."""

    factor: Range
    num_draws = 1

    def __call__(self, x: Images, draws: Float[Tensor, "b 1"]) -> Images:
        factor = _per_image(between(draws, *self.factor), x)
        levels = luminance(x).mul(255).round_().mean(dim=(2, 3), keepdim=True)
        pivot = (levels + 0.5).floor() / 255
        return torch.addcmul((1 - factor) * pivot, x, factor).clamp_(0, 1)


@dataclass(frozen=True)
class Saturation(Op):
    """Away from the luminance image. Grey images stay as they are."""

    factor: Range
    num_draws = 1

    def __call__(self, x: Images, draws: Float[Tensor, "b 1"]) -> Images:
        if x.shape[1] == 1:
            return x
        factor = _per_image(between(draws, *self.factor), x)
        return torch.addcmul((1 - factor) * luminance(x), x, factor).clamp_(0, 1)


@dataclass(frozen=True)
class Hue(Op):
    """Turns the colour circle by this much (in turns), either way. Grey images stay as they are."""

    turn: Range
    num_draws = 1

    def __call__(self, x: Images, draws: Float[Tensor, "b 1"]) -> Images:
        if x.shape[1] == 1:
            return x
        signed = 2 * draws - 1
        turn = signed.sign() * between(signed.abs(), *self.turn)
        return turn_hue(x, _per_image(turn, x))


@dataclass(frozen=True)
class Grayscale(Op):
    """The luminance in every channel."""

    def __call__(self, x: Images, draws: Float[Tensor, "b 0"]) -> Images:
        return luminance(x).expand_as(x)


def turn_hue(x: Float[Tensor, "b 3 h w"], turn: Float[Tensor, "b 1 1 1"]) -> Float[Tensor, "b 3 h w"]:
    """Shifts the hue of HSV, without branches: a channel falls from the maximum with its distance on the circle."""
    red, green, blue = x.split(1, dim=1)
    high, low = x.amax(dim=1, keepdim=True), x.amin(dim=1, keepdim=True)
    chroma = high - low
    hue = (high - red + green + blue - 2 * low) / chroma.clamp_min(1e-8)  # distance from red, in sixths of a turn
    hue = torch.copysign(hue, green - blue) + 6 * turn
    away = hue - x.new_tensor([0.0, 2.0, 4.0]).view(3, 1, 1)  # (B, 3, H, W), from red, green, blue
    away.sub_((away / 6).round_(), alpha=6)
    return torch.addcmul(high, away.abs_().sub_(1).clamp_(0, 1), chroma, value=-1)


# --- geometry


@dataclass(frozen=True)
class HorizontalFlip(Op):
    """Left and right change places."""

    def __call__(self, x: Images, draws: Float[Tensor, "b 0"]) -> Images:
        return x.flip(3)


@dataclass(frozen=True)
class VerticalFlip(Op):
    """Top and bottom change places."""

    def __call__(self, x: Images, draws: Float[Tensor, "b 0"]) -> Images:
        return x.flip(2)


@dataclass(frozen=True)
class ResizedCrop(Op):
    """A random box, resized to the whole image (bilinear, antialiased)."""

    scale: Range  # of the image's area
    ratio: Range = (3 / 4, 4 / 3)  # height over width
    side: int | None = None
    num_draws = 22

    def __call__(self, x: Images, draws: Float[Tensor, "b 22"]) -> Float[Tensor, "b c out_h out_w"]:
        height, width = x.shape[2:]
        top, left, box_height, box_width = self.boxes(draws, (height, width)).to(x).unbind(1)
        rows = _bilinear(top, box_height, height, self.side or height)
        return _resample(x, rows, _bilinear(left, box_width, width, self.side or width))

    def boxes(self, draws: Float[Tensor, "b 22"], size: tuple[int, int]) -> Int[Tensor, "b 4"]:
        """Top, left, height, width. Without a fit: the largest central box of an allowed ratio."""
        height, width = size
        widest = (min(height, round(width * self.ratio[1])), min(width, round(height / self.ratio[0])))
        return _random_boxes(draws, size, self.scale, self.ratio, limit=size, otherwise=widest)


@dataclass(frozen=True)
class PaddedCrop(Op):
    """Moved by up to so many pixels either way, both down and across; black comes in from outside."""

    padding: int
    num_draws = 2

    def __call__(self, x: Images, draws: Float[Tensor, "b 2"]) -> Images:
        height, width = x.shape[2:]
        corner = (draws.double() * (2 * self.padding + 1)).long().to(x.device)  # of the crop in the padded image
        rows = corner[:, 0, None, None] + torch.arange(height, device=x.device)[:, None]  # (B, H, 1)
        columns = corner[:, 1, None, None] + torch.arange(width, device=x.device)  # (B, 1, W)
        image = torch.arange(len(x), device=x.device)[:, None, None]
        padded = nn.functional.pad(x, 4 * (self.padding,))
        return padded.permute(0, 2, 3, 1)[image, rows, columns].permute(0, 3, 1, 2)


@dataclass(frozen=True)
class RandomErasing(Op):
    """A random box in black (Zhong et al. 2020, arXiv:1708.04896)."""

    scale: Range = (0.02, 0.33)  # of the image's area
    ratio: Range = (0.3, 3.3)  # height over width
    num_draws = 22

    def __call__(self, x: Images, draws: Float[Tensor, "b 22"]) -> Images:
        height, width = x.shape[2:]
        top, left, box_height, box_width = self.boxes(draws, (height, width)).to(x.device)[..., None].unbind(1)
        down, right = torch.arange(height, device=x.device), torch.arange(width, device=x.device)
        rows = (down >= top) & (down < top + box_height)  # (B, H)
        columns = (right >= left) & (right < left + box_width)  # (B, W)
        return x.masked_fill((rows[:, :, None] & columns[:, None, :])[:, None], 0)

    def boxes(self, draws: Float[Tensor, "b 22"], size: tuple[int, int]) -> Int[Tensor, "b 4"]:
        """Top, left, height, width. Without a fit: an empty box."""
        limit = (size[0] - 1, size[1] - 1)
        return _random_boxes(draws, size, self.scale, self.ratio, limit=limit, otherwise=(0, 0))


@dataclass(frozen=True)
class Rotation(Op):
    """About the centre, clockwise, nearest pixel, on a white ground."""

    degrees: Range
    num_draws = 1

    def __call__(self, x: Images, draws: Float[Tensor, "b 1"]) -> Images:
        height, width = x.shape[2:]
        angle = torch.deg2rad(_per_image(between(draws, *self.degrees), x)[:, 0])  # (B, 1, 1)
        down = torch.arange(height, device=x.device)[:, None] + 0.5 - height / 2
        right = torch.arange(width, device=x.device) + 0.5 - width / 2
        row = (down * angle.cos() - right * angle.sin() + height / 2).floor().long()  # (B, H, W)
        column = (down * angle.sin() + right * angle.cos() + width / 2).floor().long()
        inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
        source = torch.where(inside, row * width + column, 0)
        rotated = x.flatten(2).gather(2, source.flatten(1)[:, None].expand(-1, x.shape[1], -1))
        return rotated.view(x.shape).masked_fill_(~inside[:, None], 1)


@dataclass(frozen=True)
class GaussianBlur(Op):
    """Blurs with reflected borders. Without a kernel size it is a tenth of the shorter side, as in SimCLR."""

    sigma: Range  # in pixels
    kernel_size: int | None = None  # odd
    min_side: int = 0  # images with a shorter side stay as they are
    num_draws = 1

    def __call__(self, x: Images, draws: Float[Tensor, "b 1"]) -> Images:
        height, width = x.shape[2:]
        side = min(height, width)
        if side < self.min_side:
            return x
        radius = (self.kernel_size or side // 10) // 2
        offsets = torch.arange(-radius, radius + 1, device=x.device)
        sigma = between(draws, *self.sigma).to(x.device)
        kernel = torch.exp(-0.5 * (offsets / sigma) ** 2)  # (B, taps)
        kernel = kernel / kernel.sum(dim=1, keepdim=True)
        return _resample(x, _reflecting(kernel, offsets, height), _reflecting(kernel, offsets, width))


# --- the arithmetic under them


def _per_image(values: Float[Tensor, "b 1"], x: Images) -> Float[Tensor, "b 1 1 1"]:
    return values.to(x.device)[:, :, None, None]


def _resample(
    x: Images, rows: Float[Tensor, "b out_h h"], columns: Float[Tensor, "b out_w w"]
) -> Float[Tensor, "b c out_h out_w"]:
    """A separable linear map of each image by two small matrices: exact, and quick on any device."""
    b, c, h, w = x.shape
    across = torch.bmm(x.reshape(b, c * h, w), columns.mT).view(b, c, h, columns.shape[1])
    return (rows[:, None] @ across).clamp_(0, 1)  # the weights' sums are only nearly 1


def _bilinear(
    start: Float[Tensor, " b"], length: Float[Tensor, " b"], size: int, out: int
) -> Float[Tensor, "b out size"]:
    """Weights that resize ``length`` of ``size`` pixels, from ``start`` on, to ``out``; no other pixel is touched."""
    pixels = torch.arange(size, device=start.device) + 0.5
    scale = (length / out)[:, None]
    centre = start[:, None] + (torch.arange(out, device=start.device) + 0.5) * scale  # (B, out)
    weights = (1 - (pixels - centre[:, :, None]).abs() / scale.clamp_min(1)[:, :, None]).clamp_min(0)  # (B, out, size)
    inside = (pixels > start[:, None]) & (pixels < (start + length)[:, None])  # (B, size)
    weights = weights * inside[:, None]
    return weights / weights.sum(dim=2, keepdim=True)


def _reflecting(kernel: Float[Tensor, "b t"], offsets: Int[Tensor, " t"], size: int) -> Float[Tensor, "b size size"]:
    """A kernel slid along ``size`` pixels whose mirror image lies beyond both ends."""
    source = torch.arange(size, device=kernel.device)[:, None] + offsets  # (size, t)
    source = size - 1 - (size - 1 - source.abs()).abs()
    weights = kernel.new_zeros(len(kernel), size, size)
    return weights.scatter_add_(2, source.expand(len(kernel), -1, -1), kernel[:, None].expand(-1, size, -1))


def _random_boxes(
    draws: Float[Tensor, "b 22"],
    size: tuple[int, int],
    scale: Range,
    ratio: Range,
    limit: tuple[int, int],
    otherwise: tuple[int, int],
) -> Int[Tensor, "b 4"]:
    """Area uniform, height over width log-uniform: the first of ten tries within ``limit``, anywhere in the image.

    Returns:
        Top, left, height, width; a central box of size ``otherwise`` where no try fits.
    """
    draws = draws.double()  # so that the last place is never rounded up to one too many
    area = between(draws[:, :10], *scale) * (size[0] * size[1])
    aspect = between(draws[:, 10:20], math.log(ratio[0]), math.log(ratio[1])).exp()
    tries = torch.stack([(area * aspect).sqrt(), (area / aspect).sqrt()], dim=2).round().long()  # (B, 10, 2)
    tries = torch.cat([tries, tries.new_tensor(otherwise).expand(len(draws), 1, 2)], dim=1)
    fits = ((tries > 0) & (tries <= tries.new_tensor(limit))).all(dim=2)
    fits[:, 10] = True
    first = fits.int().argmax(dim=1)
    box = tries[torch.arange(len(draws)), first]  # (B, 2)
    room = tries.new_tensor(size) - box
    corner = torch.where((first == 10)[:, None], room // 2, (draws[:, 20:] * (room + 1)).long())
    return torch.cat([corner, box], dim=1)
