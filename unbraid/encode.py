"""Encoder and images to codes: evaluation mode, float32, no augmentation."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Float32, UInt8
from rich.console import Console
from rich.progress import track
from torch import Tensor

from unbraid.data.pictures import Look, decode_all, deep_files, first_three
from unbraid.errors import DataError
from unbraid.metrics.udr import gaussian_kl
from unbraid.tables import Codes, Dataset, DataSpec
from unbraid.types import Method, Posterior, Predicts

_BATCH = 256


def encode_dataset(method: Method, dataset: Dataset) -> Codes:
    """The code of every row and its columns and, where the method has them, logits and the KL of its posterior."""
    kl = None
    if isinstance(method, Posterior):
        z, kl = _posterior(method, dataset.images)
    else:
        z = _apply(method.encode, method, dataset.images, "encoding")
    logits = _apply(method.predict, method, dataset.images, "predicting") if isinstance(method, Predicts) else None
    return Codes(spec=dataset.spec, z=z, logits=logits, kl=kl, columns=dataset.columns, split=dataset.split)


def _posterior(method: Any, images: np.ndarray) -> tuple[Float32[np.ndarray, "n d"], Float32[np.ndarray, " d"]]:
    """Means, and the mean KL in nats of each dimension."""
    both = _apply(lambda x: torch.cat(method.posterior(x), dim=1), method, images, "encoding")
    means, log_vars = np.split(both, 2, axis=1)
    return np.ascontiguousarray(means), gaussian_kl(means, log_vars)


def encode_pixels(method: Method, images: np.ndarray) -> Float32[np.ndarray, "n d"]:
    """Codes of uint8 images (N, H, W, C)."""
    return _apply(method.encode, method, images)


def _apply(
    network: Callable[[Tensor], Tensor], method: Method, images: np.ndarray, what: str = ""
) -> Float32[np.ndarray, "n d"]:
    """A network of the method on all images, piece by piece; ``what`` it does is shown if there are many."""
    device = next(method.parameters()).device
    starts = range(0, len(images), _BATCH)
    console = Console(stderr=True)
    shown = track(starts, what, console=console, disable=not what or len(starts) < 20, transient=True)
    with torch.inference_mode():
        parts = [network(to_tensor(images[start : start + _BATCH], device)).float().cpu().numpy() for start in shown]
    return np.concatenate(parts)


def to_tensor(images: np.ndarray, device: torch.device) -> Float[Tensor, "n c h w"]:
    """uint8 (N, H, W, C) to float32 in [0, 1], (N, C, H, W), channels last in memory."""
    x = torch.from_numpy(np.array(images)).to(device).permute(0, 3, 1, 2)
    return x.to(torch.float32, memory_format=torch.channels_last).div_(255)


def to_pixels(x: Float[Tensor, "n c h w"]) -> UInt8[np.ndarray, "n h w c"]:
    """The way back: what a method draws, as images."""
    return (x.clamp(0, 1) * 255).round().byte().permute(0, 2, 3, 1).cpu().numpy()


def as_pixels(images: Any, spec: DataSpec) -> np.ndarray:
    """What a user calls images, as uint8 (N, H, W, C) of the encoder's size.

    Args:
        images: uint8 (N, H, W, C) or (N, H, W), or floats in [0, 1] laid out (N, C, H, W), as array or tensor, of the
            encoder's size; or a path, or a sequence of paths, of image files of any size.

    Raises:
        DataError: If they are none of these, or of another size.
    """
    if isinstance(images, str | Path):
        images = [images]
    channels, height, width = spec.image_shape
    if isinstance(images, Sequence) and images and all(isinstance(file, str | Path) for file in images):
        if height != width:
            raise DataError(f"files can be read for square encoders only; give arrays of {height}x{width}")
        files = [Path(file) for file in images]
        if missing := [file for file in files if not file.is_file()]:
            raise DataError(f"no image file at {first_three(missing)}; give the paths of files, each by its name")
        if deep := deep_files(files):
            raise DataError(
                f"{first_three(deep)}: more than eight bits, whose scale is the data set's; give uint8 arrays"
            )
        look = Look(size=height, channels=1 if channels == 1 else 3)
        return np.concatenate(list(decode_all(files, look)))
    array = _as_array(images)
    if array.ndim and not len(array):
        raise DataError("there are no images to encode")
    if array.dtype == np.uint8:
        array = array[..., None] if array.ndim == 3 else array
    elif array.dtype.kind == "f" and array.ndim == 4 and ((array >= 0) & (array <= 1)).all():
        array = np.round(array.transpose(0, 2, 3, 1) * 255).astype(np.uint8)
    else:
        raise DataError("images must be uint8 (N, H, W, C), floats in [0, 1] (N, C, H, W), or paths of image files")
    if array.shape[1:] != (height, width, channels):
        ours = (height, width, channels)
        raise DataError(f"images are {array.shape[1:]} (H, W, C), the encoder takes {ours}; resize them, or give files")
    return array


def _as_array(images: Any) -> np.ndarray:
    if isinstance(images, Tensor):
        images = images.detach().cpu()
        images = images.float() if images.is_floating_point() else images  # NumPy has no bfloat16
    try:
        return np.asarray(images)
    except ValueError as error:
        raise DataError(f"images must be of one size: {error}") from None
