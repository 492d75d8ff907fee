"""Probes trained step by step: DCoDR's six-layer network, and linear evaluation. The one file of scores with torch.

Source
    Kahana & Hoshen 2022, arXiv:2203.11284, and the evaluation protocol of its published code; for linear evaluation
    Wang et al. 2021, arXiv:2111.00743 (IP-IRM), and its published code.
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
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float32, Int64
from sklearn.model_selection import train_test_split
from torch import Tensor, nn

WIDTH = 128
DEPTH = 5  # hidden layers; the output layer is the sixth
BATCH_SIZE = 128
RATE = 1e-3
PATIENCE = 7  # epochs without a better validation score
_CHUNK = 4096  # rows that are predicted at a time


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """How codes enter the network and how long it learns."""

    standardise: bool  # each dimension to mean 0 and variance 1, and each target; otherwise codes to unit length
    decay: bool  # the step size falls to 0 along a cosine; otherwise the published rule
    epochs: int
    patience: int | None  # None: no early stop


PUBLISHED = Protocol(standardise=False, decay=False, epochs=100, patience=PATIENCE)
STANDARDISED = Protocol(standardise=True, decay=True, epochs=20, patience=None)


def published_rate(train_loss: float) -> float:
    """The step size of the epoch after one of that mean training loss.

    The published ``MultiStepLR`` is stepped with the loss in place of the epoch.
    """
    return RATE * 0.3 ** sum(milestone <= train_loss for milestone in (25, 40, 50, 60, 70, 80, 90))


class SixLayerProbes(nn.Module):
    """F probes side by side: the first axis of each parameter and buffer is F; activations are (F, H, B)."""

    def __init__(self, code_dim: int, sizes: Sequence[int], seed: int = 0) -> None:
        """Weights as ``nn.Linear`` draws them, and the same for each probe, so that none depends on its neighbours."""
        super().__init__()
        generator = torch.Generator().manual_seed(seed)

        def draw(*shape: int, fan_in: int) -> nn.Parameter:
            weight = (2 * torch.rand(shape, generator=generator) - 1) / fan_in**0.5
            return nn.Parameter(weight.repeat(len(sizes), 1, 1))

        def fill(value: float) -> Tensor:
            return torch.full((len(sizes), WIDTH), value)

        widths = (code_dim, *[WIDTH] * (DEPTH - 1))
        self.hidden = nn.ParameterList(draw(WIDTH, fan_in, fan_in=fan_in) for fan_in in widths)
        self.norm_scale = nn.ParameterList(fill(1.0) for _ in widths)
        self.norm_shift = nn.ParameterList(fill(0.0) for _ in widths)
        self.out = draw(max(sizes), WIDTH + 1, fan_in=WIDTH)  # row by row, so that more rows change none; bias last
        for layer in range(DEPTH):
            self.register_buffer(f"mean{layer}", fill(0.0))
            self.register_buffer(f"variance{layer}", fill(1.0))
        beyond = torch.arange(max(sizes)) >= torch.tensor(sizes)[:, None]  # (F, K) outputs that a probe does not have
        self.mask = nn.Buffer(torch.zeros(beyond.shape).masked_fill(beyond, -torch.inf)[:, :, None])
        self.shift: Tensor | None = None  # of the codes; none: codes are scaled to unit length
        self.scale: Tensor | None = None

    def forward(self, z: Float32[Tensor, "b d"]) -> Float32[Tensor, "f k b"]:
        """Logits, or regressed targets."""
        x = F.normalize(z) if self.shift is None or self.scale is None else (z - self.shift) / self.scale
        x = (self.hidden[0].flatten(0, 1) @ x.T).view(len(self.out), WIDTH, -1)
        for layer in range(DEPTH):
            x = x if layer == 0 else torch.bmm(self.hidden[layer], x)
            x = F.leaky_relu_(self._normalise(x, layer), 0.01)
        return torch.baddbmm(self.out[..., WIDTH:], self.out[..., :WIDTH], x) + self.mask

    def _normalise(self, x: Float32[Tensor, "f h b"], layer: int) -> Float32[Tensor, "f h b"]:
        mean, variance = getattr(self, f"mean{layer}").view(-1), getattr(self, f"variance{layer}").view(-1)
        weight, bias = self.norm_scale[layer].view(-1), self.norm_shift[layer].view(-1)
        return F.batch_norm(x.reshape(1, -1, x.shape[2]), mean, variance, weight, bias, self.training).view_as(x)

    def per_probe(self) -> list[Tensor]:
        """All that differs between probes, each with F as its first axis."""
        return [*self.parameters(), *self.buffers()]

    @torch.no_grad()
    def outputs(self, z: Float32[np.ndarray, "n d"]) -> Float32[Tensor, "f k n"]:
        self.eval()
        return torch.cat([self(chunk) for chunk in torch.as_tensor(z).split(_CHUNK)], dim=2)

    def predict(self, z: Float32[np.ndarray, "n d"]) -> Int64[np.ndarray, "f n"]:
        """The likeliest value of each column for each row."""
        return self.outputs(z).argmax(dim=1).numpy()


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


def regress(
    z: Float32[np.ndarray, "n d"],
    targets: Float32[np.ndarray, "t n"],
    test: Float32[np.ndarray, "m d"],
    *,
    seed: int,
    protocol: Protocol = PUBLISHED,
) -> Float32[np.ndarray, "t m"]:
    """All targets of the test rows, by one network with an output for each, trained on the mean absolute error."""
    centre, unit = np.zeros((len(targets), 1), np.float32), np.ones((len(targets), 1), np.float32)
    if protocol.standardise:
        centre, unit = targets.mean(axis=1, keepdims=True), targets.std(axis=1, keepdims=True)
    y = torch.as_tensor((targets - centre) / unit)[None]
    probe = _train(z, y, SixLayerProbes(z.shape[1], [len(targets)], seed), seed, protocol)
    return probe.outputs(test)[0].numpy() * unit + centre


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
    for epoch in range(protocol.epochs):
        order = torch.randperm(len(x), generator=generator)
        loss = _epoch(probes, optimizer, x, y, order)
        score = _score(probes.outputs(z_held), y_held)
        improved = score > best[alive]
        best[alive[improved]], best_epoch[alive[improved]] = score[improved], epoch
        for old, new in zip(kept.per_probe(), probes.per_probe(), strict=True):
            old.data[alive[improved]] = new.data[improved]
        if protocol.decay:
            _set_rate(optimizer, RATE * (1 + math.cos(math.pi * (epoch + 1) / protocol.epochs)) / 2)
        elif y.is_floating_point():
            _set_rate(optimizer, published_rate(loss))
        if protocol.patience is not None:
            going = epoch - best_epoch[alive] <= protocol.patience
            if not going.any():
                break
            if not going.all():
                _leave(probes, optimizer, going)
                alive, y, y_held = alive[going], y[going], y_held[going]
    return kept


def _epoch(probes: SixLayerProbes, optimizer: torch.optim.Optimizer, x: Tensor, y: Tensor, order: Tensor) -> float:
    """One pass over the rows in this order; the mean over batches of the first probe's loss."""
    probes.train()
    losses = []
    for rows in order.split(BATCH_SIZE):
        if len(rows) > 1:
            out, wanted = probes(x[rows]), y[..., rows]
            if y.is_floating_point():
                loss = F.l1_loss(out, wanted)
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


def _leave(probes: SixLayerProbes, optimizer: torch.optim.Optimizer, going: Bool[np.ndarray, " f"]) -> None:
    """Only these probes stay in the batched model and in the moments of its optimiser."""
    rows = torch.as_tensor(np.flatnonzero(going))
    for tensor in probes.per_probe():
        tensor.grad = None
        tensor.data = tensor.data[rows]
        for name in ("exp_avg", "exp_avg_sq"):
            if name in optimizer.state[tensor]:
                optimizer.state[tensor][name] = optimizer.state[tensor][name][rows]


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
