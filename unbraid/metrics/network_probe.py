"""Probes trained step by step: DCoDR's six-layer network, and linear evaluation. The one file of scores with torch.

Source
    Kahana & Hoshen 2022, arXiv:2203.11284, and the evaluation protocol of its published code; for linear evaluation
    Wang et al. 2021, arXiv:2110.15255 (IP-IRM), and its published code.
Differences
    1. The probes of all columns are trained side by side as one batched model. Nothing is shared between them except
       the initial hidden weights and the order of the rows, so each ends as it would alone.
    2. Cross-entropy in float32; the published code casts the logits to float64 first.
    3. The published step size follows the training loss, see ``published_rate``. A cross-entropy of this network stays
       below its first milestone, so that only regression applies the rule.
    4. Regression keeps fractions; the published code cuts landmarks to whole pixels.
    5. A last batch of one row is left out: it has no batch statistics.
"""

import copy
import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ParamSpec, TypeVar

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float32, Int64
from sklearn.model_selection import train_test_split
from torch import Tensor, nn

P = ParamSpec("P")
R = TypeVar("R")

WIDTH = 128
DEPTH = 5  # hidden layers; the output layer is the sixth
BATCH_SIZE = 128
RATE = 1e-3
_CHUNK = 4096  # rows that are predicted at a time


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """How codes enter the network and how long it learns."""

    standardise: bool  # each dimension to mean 0 and variance 1, and each target; otherwise codes to unit length
    decay: bool  # the step size falls to 0 along a cosine; otherwise the published rule
    epochs: int
    least_steps: int = 0  # few rows are trained for more epochs, until this many steps
    patience: int | None = None  # epochs without a better held-out score; None: no early stop


PUBLISHED = Protocol(standardise=False, decay=False, epochs=100, patience=7)
STANDARDISED = Protocol(standardise=True, decay=True, epochs=20, least_steps=300)


def _one_thread(train: Callable[P, R]) -> Callable[P, R]:
    """Products so small are slower on two threads, and ten times so beside another busy process."""

    @functools.wraps(train)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            return train(*args, **kwargs)
        finally:
            torch.set_num_threads(threads)

    return run


def published_rate(train_loss: float) -> float:
    """The step size of the epoch after one of that mean training loss.

    The published ``MultiStepLR`` is stepped with the loss in place of the epoch.
    """
    return RATE * 0.3 ** sum(milestone <= train_loss for milestone in (25, 40, 50, 60, 70, 80, 90))


class SixLayerProbes(nn.Module):
    """F probes side by side. Activations are (F, H, B).

    ``weights`` has a row per probe, of which ``parts`` are views: one tensor is one step of the optimiser.
    """

    def __init__(self, code_dim: int, sizes: Sequence[int], seed: int = 0) -> None:
        """Weights as ``nn.Linear`` draws them, and the same for each probe, so that none depends on its neighbours."""
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        widths = (code_dim, *[WIDTH] * (DEPTH - 1))
        self.shapes = [(WIDTH, fan_in) for fan_in in widths] + [(DEPTH, 2, WIDTH), (max(sizes), WIDTH + 1)]
        *hidden, norm, out = (torch.rand(shape, generator=generator) * 2 - 1 for shape in self.shapes)
        norm[:, 0], norm[:, 1] = 1, 0  # scale, shift
        drawn = [weight / weight.shape[1] ** 0.5 for weight in hidden] + [norm, out / WIDTH**0.5]
        self.weights = nn.Parameter(torch.cat([part.flatten() for part in drawn]).repeat(len(sizes), 1))
        self.running = torch.zeros(2, DEPTH, len(sizes), WIDTH)  # mean and variance of batch norm
        self.running[1] = 1
        beyond = torch.arange(max(sizes)) >= torch.tensor(sizes)[:, None]  # (F, K) outputs that a probe does not have
        self.mask = torch.zeros(beyond.shape).masked_fill(beyond, -torch.inf)[:, :, None]
        self.shift: Tensor | None = None  # of the codes; none: codes are scaled to unit length
        self.scale: Tensor | None = None

    def parts(self) -> list[Tensor]:
        """Hidden weights (F, H, D) and (F, H, H); scales and shifts of batch norm (F, 5, 2, H); output (F, K, H + 1).

        The last column of the output is its bias.
        """
        lengths = [math.prod(shape) for shape in self.shapes]
        split = self.weights.split(lengths, dim=1)
        return [part.unflatten(1, shape) for part, shape in zip(split, self.shapes, strict=True)]

    def forward(self, z: Float32[Tensor, "b d"]) -> Float32[Tensor, "f k b"]:
        """Logits, or regressed targets."""
        x = F.normalize(z) if self.shift is None or self.scale is None else (z - self.shift) / self.scale
        first, *hidden, norm, out = self.parts()
        scales, shifts = (affine.unbind() for affine in norm.permute(2, 1, 0, 3).flatten(2).unbind())  # (F * H,) each
        x = (first.flatten(0, 1) @ x.T)[None]  # (1, F * H, B), as batch norm wants it
        for layer in range(DEPTH):
            mean, variance = self.running[:, layer].flatten(1)  # views, updated in place
            x = F.batch_norm(x, mean, variance, scales[layer], shifts[layer], self.training)
            x = F.leaky_relu_(x, 0.01)
            x = x.view(len(out), WIDTH, -1)
            if layer < DEPTH - 1:
                x = torch.bmm(hidden[layer], x).view(1, -1, x.shape[2])
        return torch.baddbmm(out[..., WIDTH:], out[..., :WIDTH], x) + self.mask

    def copy_from(self, other: "SixLayerProbes", here: Bool[np.ndarray, " f"], there: Bool[np.ndarray, " e"]) -> None:
        """Make these probes equal to those of another batched model."""
        self.weights.data[here] = other.weights.data[there]
        self.running[:, :, here] = other.running[:, :, there]

    def keep_only(self, which: Bool[np.ndarray, " f"], optimizer: torch.optim.Optimizer) -> None:
        """The others leave the batched model and the moments of its optimiser."""
        state = optimizer.state[self.weights]
        self.weights.grad, self.weights.data = None, self.weights.data[which]
        state.update({name: state[name][which] for name in ("exp_avg", "exp_avg_sq")})
        self.running, self.mask = self.running[:, :, which], self.mask[which]

    @torch.no_grad()
    def outputs(self, z: Float32[np.ndarray, "n d"]) -> Float32[Tensor, "f k n"]:
        self.eval()
        return torch.cat([self(chunk) for chunk in torch.as_tensor(z).split(_CHUNK)], dim=2)

    def predict(self, z: Float32[np.ndarray, "n d"]) -> Int64[np.ndarray, "f n"]:
        """The likeliest value of each column for each row."""
        return self.outputs(z).argmax(dim=1).numpy()


@_one_thread
def fit(
    z: Float32[np.ndarray, "n d"],
    labels: Int64[np.ndarray, "f n"],
    sizes: Sequence[int],
    *,
    seed: int,
    protocol: Protocol = PUBLISHED,
) -> SixLayerProbes:
    """One probe per row of ``labels``, each with the weights of the epoch that predicted its held-out rows best."""
    return _train(z, torch.as_tensor(labels), SixLayerProbes(z.shape[1], sizes, seed), seed, protocol)


@_one_thread
def regress(
    z: Float32[np.ndarray, "n d"],
    targets: Float32[np.ndarray, "r t n"],
    test: Float32[np.ndarray, "m d"],
    *,
    seed: int,
    protocol: Protocol = PUBLISHED,
) -> Float32[np.ndarray, "r t m"]:
    """Each version of the targets in the test rows, by a network with an output per target, trained on the L1 loss."""
    if not protocol.decay and len(targets) > 1:  # the step size follows the loss of each
        alone = [regress(z, version[None], test, seed=seed, protocol=protocol) for version in targets]
        return np.concatenate(alone)
    centre, unit = np.float32(0), np.float32(1)
    if protocol.standardise:
        centre, unit = targets.mean(axis=2, keepdims=True), targets.std(axis=2, keepdims=True)
    y = torch.as_tensor((targets - centre) / unit)
    probes = _train(z, y, SixLayerProbes(z.shape[1], [y.shape[1]] * len(y), seed), seed, protocol)
    return probes.outputs(test).numpy() * unit + centre


def _train(
    z: Float32[np.ndarray, "n d"], targets: Tensor, probes: SixLayerProbes, seed: int, protocol: Protocol
) -> SixLayerProbes:
    """The probes with the weights of their best epochs; the first of equal epochs counts.

    A tenth of the rows is held out. A probe stops once more than ``patience`` epochs have not improved on its best, and
    leaves the batched model, so that the others go on faster.
    """
    train, held_out = train_test_split(np.arange(len(z)), test_size=0.1, random_state=0)
    x, y, z_held, y_held = torch.as_tensor(z[train]), targets[..., train], z[held_out], targets[..., held_out]
    if protocol.standardise:
        probes.shift, deviation = x.mean(dim=0), x.std(dim=0, correction=0)
        probes.scale = torch.where(deviation > 1e-6 * probes.shift.abs(), deviation, 1.0)
    kept, optimizer = copy.deepcopy(probes), torch.optim.Adam(probes.parameters(), lr=RATE, fused=True)
    generator = torch.Generator().manual_seed(seed)
    alive = np.arange(len(targets))
    best, best_epoch = np.full(len(targets), -np.inf), np.zeros(len(targets), dtype=int)
    epochs = max(protocol.epochs, math.ceil(protocol.least_steps / math.ceil(len(x) / BATCH_SIZE)))
    for epoch in range(epochs):
        order = torch.randperm(len(x), generator=generator)
        loss = _epoch(probes, optimizer, x, y, order)
        score = _score(probes.outputs(z_held), y_held)
        improved = score > best[alive]
        best[alive[improved]], best_epoch[alive[improved]] = score[improved], epoch
        kept.copy_from(probes, np.isin(np.arange(len(targets)), alive[improved]), improved)
        if protocol.decay:
            _set_rate(optimizer, RATE * (1 + math.cos(math.pi * (epoch + 1) / epochs)) / 2)
        elif y.is_floating_point():
            _set_rate(optimizer, published_rate(loss))
        if protocol.patience is not None:
            going = epoch - best_epoch[alive] <= protocol.patience
            if not going.any():
                break
            if not going.all():
                probes.keep_only(going, optimizer)
                alive, y, y_held = alive[going], y[going], y_held[going]
    return kept


def _epoch(probes: SixLayerProbes, optimizer: torch.optim.Optimizer, x: Tensor, y: Tensor, order: Tensor) -> float:
    """One pass over the rows in this order; of regression the mean loss."""
    probes.train()
    losses = []
    for rows in order.split(BATCH_SIZE):
        if len(rows) > 1:
            out, wanted = probes(x[rows]), y[..., rows]
            if y.is_floating_point():
                loss = (out - wanted).abs().mean(dim=(1, 2)).sum()
                losses.append(loss.item())
            else:
                loss = F.cross_entropy(out, wanted, reduction="sum") / len(rows)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return float(np.mean(losses)) if losses else 0.0


def _score(out: Float32[Tensor, "f k n"], wanted: Tensor) -> np.ndarray:
    """Of each probe, higher is better: its accuracy, or the negative mean absolute error."""
    if wanted.is_floating_point():
        return -(out - wanted).abs().mean(dim=(1, 2)).numpy()
    return (out.argmax(dim=1) == wanted).double().mean(dim=1).numpy()


def _set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = rate


@_one_thread
def linear_evaluation(
    z: Float32[np.ndarray, "n d"],
    labels: Int64[np.ndarray, " n"],
    test: Float32[np.ndarray, "m d"],
    size: int,
    *,
    seed: int,
    epochs: int = 100,
    batch_size: int = 512,
    least_steps: int = 1000,
) -> Float32[np.ndarray, "m k"]:
    """Logits of the test rows by one linear layer on the codes as they are: Adam, step 1e-3, weight decay 1e-6.

    Args:
        least_steps: Few rows are trained for more epochs, until this many steps: 5,000 rows make 1,000 in 100 epochs.
    """
    generator = torch.Generator().manual_seed(seed)
    x, y, bound = torch.as_tensor(z), torch.as_tensor(labels), z.shape[1] ** -0.5
    weight = nn.Parameter((2 * torch.rand(size, z.shape[1], generator=generator) - 1) * bound)  # as nn.Linear draws it
    bias = nn.Parameter((2 * torch.rand(size, generator=generator) - 1) * bound)
    optimizer = torch.optim.Adam([weight, bias], lr=1e-3, weight_decay=1e-6, fused=True)
    for _ in range(max(epochs, math.ceil(least_steps / math.ceil(len(x) / batch_size)))):
        for rows in torch.randperm(len(x), generator=generator).split(batch_size):
            optimizer.zero_grad()
            F.cross_entropy(F.linear(x[rows], weight, bias), y[rows]).backward()
            optimizer.step()
    return F.linear(torch.as_tensor(test), weight, bias).detach().numpy()
