"""IP-IRM's published numbers, and the closed-form inputs they were computed from."""

import json
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

GOLDEN = json.loads((Path(__file__).parent / "golden" / "ip_irm.json").read_text())


def _grid(rows: int, columns: int) -> tuple[Tensor, Tensor]:
    return torch.arange(rows, dtype=torch.float64)[:, None], torch.arange(columns, dtype=torch.float64)


def features(num: int, dim: int) -> tuple[Tensor, Tensor]:
    i, j = _grid(num, dim)
    a = torch.sin(0.7 * (i + 1) * (j + 1) + 0.3 * i)
    return F.normalize(a), F.normalize(a + 0.5 * torch.cos(1.3 * (i + 1) * (j + 2)))


def logits(num: int, environments: int, phase: float) -> Tensor:
    i, c = _grid(num, environments)
    return torch.sin(1.1 * i + 2.3 * c + phase)


def membership(num: int, environments: int, phase: float) -> Tensor:
    """Zeros and ones."""
    return F.one_hot(logits(num, environments, phase).argmax(1), environments).double()


def views(num: int) -> tuple[Tensor, Tensor]:
    i, j = _grid(num, 4)
    x = torch.sin(0.8 * (i + 1) + 1.9 * (j + 1) * (i + 2))
    return x, x + 0.3 * torch.cos(2.2 * (i + 1) * (j + 1))


def tiny_weight() -> Tensor:
    i, j = _grid(5, 4)
    return torch.cos(0.9 * (i + 1) * (j + 1))


def shares(num: int) -> Tensor:
    return 0.5 + 0.5 * torch.sin(1 + torch.arange(num, dtype=torch.float64)).abs()
