"""Methods whose codes are known beforehand: the pixels themselves, weighted, with a given spread."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from unbraid.config import RunConfig
from unbraid.encoder import Encoder
from unbraid.tables import Dataset, DataSpec
from unbraid.types import Method


@dataclass(frozen=True)
class Config:
    epochs: int = 1
    batch_size: int = 8


class FakeVAE(Method):
    """Network m gives ``pixels @ weights[m]`` with one standard deviation per dimension."""

    config_class = Config

    def __init__(self, weights: np.ndarray, deviation: np.ndarray) -> None:
        super().__init__(Config(), DataSpec(name="pixels", image_shape=(1, 1, 1), num_train=1, sizes={}))
        self.weights = torch.nn.Parameter(torch.tensor(weights, dtype=torch.float32))  # (M, pixels, D)
        self.log_variance = 2 * torch.tensor(deviation, dtype=torch.float32).log()
        self.num_models, self.chosen = len(weights), 0

    def posteriors(self, x: Tensor) -> tuple[Tensor, Tensor]:
        means = x.flatten(1) * 255 @ self.weights
        return means, self.log_variance.expand_as(means)

    def posterior(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return tuple(one[self.chosen] for one in self.posteriors(x))

    def choose(self, model: int) -> None:
        self.chosen = model

    def encode(self, x: Tensor) -> Tensor:
        return self.posterior(x)[0]

    def decode(self, z: Tensor, domain: Tensor) -> Tensor:
        return torch.sigmoid(z).repeat(1, 2).reshape(-1, 1, 1, 6)

    def optimizers(self) -> dict:
        return {}

    def update(self, batch, step) -> None:
        raise NotImplementedError


def encoder_of(method: Method, dataset: Dataset) -> Encoder:
    return Encoder(method, RunConfig.make("untrained", "digits"), dataset.spec)


def factor_dataset(sizes: tuple[int, ...] = (4, 4, 5), copies: int = 12, seed: int = 0) -> Dataset:
    """A pixel for each factor, its value at a distance of 50, then one of noise for each. Four rows of five train."""
    rng = np.random.default_rng(seed)
    grid = np.indices(sizes).reshape(len(sizes), -1).repeat(copies, axis=1)
    pixels = np.concatenate([50 * grid.T, rng.integers(0, 256, grid.T.shape)], axis=1)
    split = np.where(rng.permutation(len(pixels)) % 5, 0, 2).astype(np.uint8)
    names = [f"f{place}" for place in range(len(sizes))]
    spec = DataSpec(
        name="pixels",
        image_shape=(1, 1, 2 * len(sizes)),
        num_train=int(np.sum(split == 0)),
        sizes=dict(zip(names, sizes)),
        factors=tuple(names),
        domain=names[0],
    )
    images = pixels[:, None, :, None].astype(np.uint8)
    return Dataset(spec=spec, images=images, columns=dict(zip(names, grid)), split=split)
