"""A data set of 96 images, one batch of it, and a step that remembers: all that a method needs to be tested."""

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from unbraid import augment
from unbraid.loader import Loader
from unbraid.tables import Dataset, DataSpec
from unbraid.types import Batch, Decodes, Method

SIZES = {"camera": 4, "shape": 3, "pose": 2}


def tiny_dataset(image_shape: tuple[int, int, int] = (3, 32, 32)) -> Dataset:
    """Four cameras, each with its own brightness; three shapes, bars of different direction."""
    rng = np.random.default_rng(0)
    channels, height, width = image_shape
    camera, shape, pose = (np.tile(np.arange(24) % size, 4) for size in SIZES.values())
    rows = np.indices((height, width))
    waves = np.stack([rows[0], rows[1], rows.sum(0)])[shape] / (3 + 3 * pose[:, None, None])
    images = 60 + 20 * camera[:, None, None] + 50 * np.sin(waves) + rng.normal(0, 8, (96, height, width))
    return Dataset(
        spec=DataSpec(
            name="tiny",
            image_shape=image_shape,
            num_train=72,
            sizes=SIZES,
            factors=("camera", "shape", "pose"),
            domain="camera",
            label="shape",
            bias="camera",
        ),
        images=np.repeat(images.clip(0, 255).astype(np.uint8)[..., None], channels, axis=-1),
        columns={"camera": camera, "shape": shape, "pose": pose},
        split=np.repeat(np.array([0, 0, 0, 2], dtype=np.uint8), 24),
    )


def tiny_loader(model: Method, image_shape: tuple[int, int, int] = (3, 32, 32), **options: object) -> Loader:
    cpu = {"seed": 0, "device": torch.device("cpu")}
    return Loader(tiny_dataset(image_shape), model.needs, model.cfg, augment.views(model.views), **cpu | options)


def tiny_batch(model: Method, image_shape: tuple[int, int, int] = (3, 32, 32)) -> Batch:
    return next(tiny_loader(model, image_shape).batches())


def brightened(model: Decodes, loader: Loader) -> Tensor:
    """How much brighter each image is drawn in the brightest camera than in the darkest; 0.23 in the data."""
    batch = next(iter(loader.in_order(72)))
    with torch.no_grad():
        z = model.eval().encode(batch.x)
        dark, light = (model.decode(z, torch.full_like(batch.domain, camera)).mean(dim=(1, 2, 3)) for camera in (0, 3))
    return light - dark


class RecordingStep:
    """A trainer's step without the trainer."""

    def __init__(self, model: Method) -> None:
        self.optimizers = model.optimizers()
        self.losses: list[tuple[str, dict[str, float]]] = []

    def __call__(self, optimizer: str, terms: Mapping[str, Tensor], *, log: Mapping[str, Tensor] | None = None) -> None:
        chosen = self.optimizers[optimizer]
        params = [param for group in chosen.param_groups for param in group["params"]]
        chosen.zero_grad(set_to_none=True)
        torch.stack(list(terms.values())).sum().backward(inputs=params)
        chosen.step()
        assert all(value.dim() == 0 for value in terms.values())
        self.losses.append((optimizer, {name: value.item() for name, value in terms.items()}))
