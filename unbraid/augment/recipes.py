"""Named ways to make views of an image. The names stand in the table ``VIEWS`` of this package."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from unbraid.augment import ops
from unbraid.augment.combine import AnyOrder, Chain, Maybe, OneOf


@dataclass(frozen=True)
class Recipe:
    """Several views of each image. Draw for the global batch; each process applies its rows of the draws."""

    op: ops.Op

    def draw(self, num_images: int, num_views: int, generator: torch.Generator) -> Float[Tensor, "n v k"]:
        """All that is left to chance, as numbers in [0, 1) on the CPU.

        Raises:
            UserError: If the views of an image cannot all be made by distinct transformations.
        """
        return self.op.draw(num_images, num_views, generator)

    def apply(self, x: Float[Tensor, "b c h w"], draws: Float[Tensor, "b v k"]) -> Float[Tensor, "b v c out_h out_w"]:
        """Computed in float32; the result has the dtype and the memory format of ``x``."""
        num_images, num_views = draws.shape[:2]
        copies = x.float()[:, None].expand(-1, num_views, -1, -1, -1).flatten(0, 1)  # (B * V, C, H, W)
        views = self.op(copies, draws.flatten(0, 1)).to(x.dtype)
        if x.is_contiguous(memory_format=torch.channels_last):
            views = views.contiguous(memory_format=torch.channels_last)
        return views.unflatten(0, (num_images, num_views))


def color_jitter(strength: float, hue: float) -> ops.Op:
    """Brightness, contrast, saturation and hue in random order."""
    factor = (1 - strength, 1 + strength)
    return AnyOrder((ops.Brightness(factor), ops.Contrast(factor), ops.Saturation(factor), ops.Hue((0.0, hue))))


IDENTITY = Chain()

# The thirteen of DCoDR (arXiv:2203.11284), with the published code's parameters and, where it differs, its name.
GAUSSIAN_BLUR = ops.GaussianBlur(sigma=(1.0, 1.0), kernel_size=5)  # gblurr
HIGH_CONTRAST = ops.Contrast((1.8, 3.0))
HIGH_SATURATION = ops.Saturation((1.8, 3.0))  # high_satur
CROP = ops.ResizedCrop(scale=(0.5, 1.0))
HORIZONTAL_FLIP = ops.HorizontalFlip()  # h_flip
VERTICAL_FLIP = ops.VerticalFlip()  # v_flip
ROTATION = ops.Rotation((-40.0, 40.0))  # affine
RANDOM_ERASING = ops.RandomErasing()  # the published code erases with channels and columns mixed up
HUE_ROTATION = ops.Hue((0.2, 0.5))  # hue_rot
LOW_BRIGHTNESS = ops.Brightness((0.2, 0.6))  # the supplement says 0.3 to 0.8
HIGH_BRIGHTNESS = ops.Brightness((1.4, 1.8))
LOW_CONTRAST = ops.Contrast((0.3, 0.8))
GRAYSCALE = ops.Grayscale()

# DCoDR's default set: each view is made by exactly one of them.
DCODR = OneOf((GAUSSIAN_BLUR, HIGH_CONTRAST, CROP, HIGH_SATURATION))

# DCoDR's SimSiam ablation, milder than SimSiam itself.
DCODR_SIMSIAM = Chain(
    (
        ops.ResizedCrop(scale=(0.6, 1.0)),
        Maybe(0.5, HORIZONTAL_FLIP),
        Maybe(0.3, color_jitter(0.4, hue=0.1)),
        Maybe(0.2, GRAYSCALE),
        Maybe(0.2, ops.GaussianBlur(sigma=(1.0, 2.0), kernel_size=3)),
    )
)


def _simclr(blur: ops.Op, side: int | None = None) -> ops.Op:
    return Chain(
        (
            ops.ResizedCrop(scale=(0.08, 1.0), side=side),
            Maybe(0.5, HORIZONTAL_FLIP),
            Maybe(0.8, color_jitter(0.4, hue=0.1)),
            Maybe(0.2, GRAYSCALE),
            Maybe(0.5, blur),
        )
    )


# Chen et al. 2020 (arXiv:2002.05709): appendix A for the chain, B.9 for small images: colour strength 0.5, so jitter
# 0.4, and no blur at 32 pixels. Blur, a tenth of the side wide, from 64 pixels on.
SIMCLR = _simclr(ops.GaussianBlur(sigma=(0.1, 2.0), min_side=64))

# IP-IRM (arXiv:2110.15255) blurs at every size, three pixels wide. Published crops are 32 wide, whatever the images.
IP_IRM = _simclr(ops.GaussianBlur(sigma=(0.1, 2.0), kernel_size=3))
IP_IRM_32 = _simclr(ops.GaussianBlur(sigma=(0.1, 2.0), kernel_size=3), side=32)

# Lee et al. 2021 (arXiv:2107.01372), for Corrupted CIFAR-10 and BFFHQ: customary for CIFAR-10.
CROP_FLIP = Chain((ops.PaddedCrop(4), Maybe(0.5, HORIZONTAL_FLIP)))
