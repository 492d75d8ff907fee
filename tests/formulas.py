"""Inputs that a formula gives, so that published numbers can be recomputed without files."""

import math

import numpy as np
import torch
from torch import Tensor, nn


def sine(shape: tuple[int, ...], a: float, b: float) -> Tensor:
    """T(shape, a, b)[i] = sin(a i + b), row-major, i from 0."""
    i = np.arange(math.prod(shape), dtype=np.float64)
    return torch.from_numpy(np.sin(a * i + b).astype(np.float32).reshape(shape))


def hashed(shape: tuple[int, ...], k: int) -> Tensor:
    """H(shape, k)[i] = 2 frac(sin(12.9898 i + 78.233 k) 43758.5453) - 1, row-major, i from 1."""
    i = np.arange(1, math.prod(shape) + 1, dtype=np.float64)
    value = np.sin(12.9898 * i + 78.233 * k) * 43758.5453
    return torch.from_numpy((2 * (value - np.floor(value)) - 1).astype(np.float32).reshape(shape))


def fill_hashed(model: nn.Module, gain: float) -> None:
    """Weights H(shape, k) sqrt(gain / fan-in) for the k-th parameter; normalisation weights 1, biases 0."""
    for k, (name, param) in enumerate(model.named_parameters()):
        if param.dim() > 1:
            value = hashed(tuple(param.shape), k) * math.sqrt(gain / math.prod(param.shape[1:]))
        else:
            value = torch.full_like(param, 1.0 if name.endswith("weight") else 0.0)
        param.data.copy_(value)
