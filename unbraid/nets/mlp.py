"""Fully connected heads."""

import itertools

from torch import nn


def mlp(*sizes: int) -> nn.Sequential:
    """Linear layers of these widths with ReLU between them, none after the last."""
    layers: list[nn.Module] = []
    for fan_in, fan_out in itertools.pairwise(sizes):
        layers += [nn.Linear(fan_in, fan_out), nn.ReLU()]
    return nn.Sequential(*layers[:-1])
