"""DCoDR's probe: a six-layer network that reads a label column from the code. The one file of scores with torch.

Source
    Kahana & Hoshen 2022, arXiv:2203.11284, and the evaluation protocol of its published code.
Differences
    1. The probes of all columns are trained side by side as one batched model. Nothing is shared between them except
       the initial hidden weights and the order of the rows, so each ends as it would alone.
    2. Cross-entropy in float32; the published code casts the logits to float64 first.
    3. The step size is constant. The published schedule is stepped with the training loss in place of the epoch, so
       it would act only at a loss of 25 or more, which a cross-entropy of this network does not reach.
    4. A last batch of one row is left out: it has no batch statistics.
"""

import copy
from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float32, Int64
from sklearn.model_selection import train_test_split
from torch import Tensor, nn

WIDTH = 128
DEPTH = 5  # hidden layers; the output layer is the sixth
BATCH_SIZE = 128
PATIENCE = 7  # epochs without a better validation accuracy
_CHUNK = 4096  # rows that are predicted at a time


class SixLayerProbes(nn.Module):
    """F probes side by side. Each tensor's first axis is F, or F * H in batch norm; activations are (F, H, B)."""

    def __init__(self, code_dim: int, sizes: Sequence[int], seed: int = 0) -> None:
        """Weights as ``nn.Linear`` draws them, and the same for each probe, so that none depends on its neighbours."""
        super().__init__()
        generator = torch.Generator().manual_seed(seed)

        def draw(*shape: int, fan_in: int) -> nn.Parameter:
            weight = (2 * torch.rand(shape, generator=generator) - 1) / fan_in**0.5
            return nn.Parameter(weight.repeat(len(sizes), 1, 1))

        widths = (code_dim, *[WIDTH] * (DEPTH - 1))
        self.hidden = nn.ParameterList(draw(WIDTH, fan_in, fan_in=fan_in) for fan_in in widths)
        self.norms = nn.ModuleList(nn.BatchNorm1d(len(sizes) * WIDTH) for _ in widths)
        self.out = draw(max(sizes), WIDTH + 1, fan_in=WIDTH)  # row by row, so that more rows change none; bias last
        beyond = torch.arange(max(sizes)) >= torch.tensor(sizes)[:, None]  # (F, K) outputs that a probe does not have
        self.mask = nn.Buffer(torch.zeros(beyond.shape).masked_fill(beyond, -torch.inf)[:, :, None], persistent=False)

    def forward(self, z: Float32[Tensor, "b d"]) -> Float32[Tensor, "f k b"]:
        """Logits; the codes are scaled to unit length first."""
        x = F.normalize(z).T.expand(len(self.out), -1, -1)  # (F, D, B)
        for weight, norm in zip(self.hidden, self.norms, strict=True):
            x = torch.bmm(weight, x)  # (F, H, B)
            x = F.leaky_relu(norm(x.reshape(1, -1, x.shape[2])).view_as(x), 0.01)
        return torch.baddbmm(self.out[..., WIDTH:], self.out[..., :WIDTH], x) + self.mask

    @torch.no_grad()
    def predict(self, z: Float32[np.ndarray, "n d"]) -> Int64[np.ndarray, "f n"]:
        """The likeliest value of each column for each row."""
        self.eval()
        chunks = torch.as_tensor(z).split(_CHUNK)
        return torch.cat([self(chunk).argmax(dim=1) for chunk in chunks], dim=1).numpy()


def fit(
    z: Float32[np.ndarray, "n d"],
    labels: Int64[np.ndarray, "f n"],
    sizes: Sequence[int],
    *,
    seed: int,
    max_epochs: int = 100,
) -> SixLayerProbes:
    """One probe per row of ``labels``, each with the weights of the epoch that predicted its held-out rows best.

    A tenth of the rows is held out. A probe stops once more than seven epochs have not improved on its best; those
    that go on do not touch what it kept. The first of equal epochs counts.
    """
    train, held_out = train_test_split(np.arange(len(z)), test_size=0.1, random_state=0)
    x, y = torch.as_tensor(z[train]), torch.as_tensor(labels[:, train])  # (N, D), (F, N)
    probes = SixLayerProbes(z.shape[1], sizes, seed)
    kept, optimizer = copy.deepcopy(probes), torch.optim.Adam(probes.parameters(), lr=1e-3, fused=True)
    generator = torch.Generator().manual_seed(seed)
    best, best_epoch = np.full(len(sizes), -1.0), np.zeros(len(sizes), dtype=int)
    for epoch in range(max_epochs):
        probes.train()
        for rows in torch.randperm(len(x), generator=generator).split(BATCH_SIZE):
            if len(rows) > 1:
                loss = F.cross_entropy(probes(x[rows]), y[:, rows], reduction="sum") / len(rows)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
        accuracy = (probes.predict(z[held_out]) == labels[:, held_out]).mean(axis=1)
        improved = (accuracy > best) & (epoch - best_epoch <= PATIENCE + 1)
        best[improved], best_epoch[improved] = accuracy[improved], epoch
        _keep(kept, probes, improved)
        if (epoch - best_epoch > PATIENCE).all():
            break
    return kept


def _keep(kept: SixLayerProbes, probes: SixLayerProbes, which: Bool[np.ndarray, " f"]) -> None:
    """Copy the weights and running statistics of these probes."""
    for old, new in zip(kept.state_dict().values(), probes.state_dict().values(), strict=True):
        if new.dim() > 0:  # not the step counters of batch norm
            old.view(len(which), -1)[which] = new.view(len(which), -1)[which]
