"""Fully connected heads."""

import itertools

from torch import nn


def mlp(*sizes: int, batch_norm: bool = False) -> nn.Sequential:
    """Linear layers of these widths with ReLU between them, none after the last; before each ReLU batch norm, if asked.

    Batch norm shifts, so that the layers before it have no bias.
    """
    layers: list[nn.Module] = []
    for fan_in, fan_out in itertools.pairwise(sizes[:-1]):
        norm = [nn.BatchNorm1d(fan_out)] if batch_norm else []
        layers += [nn.Linear(fan_in, fan_out, bias=not batch_norm), *norm, nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(sizes[-2], sizes[-1]))
