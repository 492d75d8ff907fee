"""Seconds of the probes at 10,000 codes of 128 dimensions: ours beside the usual way, and whether quick and slow agree.

    python benchmarks/scores_probes.py

The usual way trains one network after the other from a data loader over single rows. The ranking of encoders needs
UNBRAID_DATA (COIL-100) and is left out without it.
"""

import copy
import dataclasses
import itertools
import os
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.model_selection import train_test_split
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from unbraid.metrics import score
from unbraid.metrics.network_probe import PUBLISHED, fit
from unbraid.tables import Codes, DataSpec

SIZES = {"domain": 50, "azimuth": 18, "elevation": 9, "light": 6, "shape": 10}
EPOCHS = 4  # of the comparison of the two ways to train; each probe would stop at its own
REPEATS = 3


def codes_of(z: np.ndarray, columns: dict[str, np.ndarray], rng: np.random.Generator) -> Codes:
    """Codes with these columns, the first of them the domain; 70 % of the rows are for training."""
    names = list(columns)
    sizes = {name: int(column.max()) + 1 for name, column in columns.items()}
    split = np.where(rng.random(len(z)) < 0.7, 0, 2).astype(np.uint8)
    spec = DataSpec(
        name="benchmark",
        image_shape=(0, 0, 0),
        num_train=int(np.sum(split == 0)),
        sizes=sizes,
        factors=tuple(names),
        domain=names[0],
    )
    return Codes(spec=spec, z=z.astype(np.float32), columns=columns, split=split)


def drawn(num: int = 10_000, dim: int = 128) -> Codes:
    """Every column in a Gaussian of its own direction per value, then all dimensions mixed and of unequal size."""
    rng = np.random.default_rng(0)
    columns = {name: np.append(rng.integers(size, size=num - 1), size - 1) for name, size in SIZES.items()}
    z = rng.normal(size=(num, dim)) + sum(0.2 * rng.normal(size=(SIZES[k], dim))[columns[k]] for k in SIZES)
    return codes_of(z @ rng.normal(size=(dim, dim)) * np.geomspace(1, 0.01, dim), columns, rng)


def one_by_one(codes: Codes, epochs: int) -> None:
    """The published protocol as it is usually written: per column a loader over rows, logits in float64."""
    train = codes.rows("train")
    for name, size in codes.spec.sizes.items():
        rows = TensorDataset(F.normalize(torch.as_tensor(train.z)), torch.as_tensor(train.columns[name]))
        first, second = train_test_split(np.arange(len(rows)), test_size=0.1, random_state=0)
        loader, held_out = (
            DataLoader(torch.utils.data.Subset(rows, part.tolist()), batch_size=128, shuffle=True)
            for part in (first, second)
        )
        train_one(network(train.z.shape[1], size), loader, held_out, epochs)


def network(dim: int, size: int) -> nn.Sequential:
    widths, layers = (dim, *[128] * 5), []
    for fan_in, fan_out in itertools.pairwise(widths):
        layers += [nn.Linear(fan_in, fan_out, bias=False), nn.BatchNorm1d(fan_out), nn.LeakyReLU(0.01)]
    return nn.Sequential(*layers, nn.Linear(128, size))


def train_one(probe: nn.Sequential, loader: DataLoader, held_out: DataLoader, epochs: int) -> nn.Sequential:
    optimizer = torch.optim.Adam(probe.parameters(), lr=1e-3)
    best, best_epoch, kept = -1.0, 0, probe.state_dict()
    for epoch in range(epochs):
        probe.train()
        for x, y in loader:
            optimizer.zero_grad()
            F.cross_entropy(probe(x).double(), y).backward()
            optimizer.step()
        probe.eval()
        with torch.no_grad():
            accuracy = float(torch.cat([probe(x).argmax(dim=1) == y for x, y in held_out]).double().mean())
        if accuracy > best:
            best, best_epoch, kept = accuracy, epoch, copy.deepcopy(probe.state_dict())
        if epoch - best_epoch > 7:
            break
    probe.load_state_dict(kept)
    return probe


def together(codes: Codes, epochs: int) -> None:
    train = codes.rows("train")
    labels = np.stack([train.columns[name] for name in codes.spec.sizes])
    fit(
        train.z, labels, list(codes.spec.sizes.values()), seed=0, protocol=dataclasses.replace(PUBLISHED, epochs=epochs)
    )


def encoders(root: Path) -> Iterator[tuple[str, Codes]]:
    """Codes of COIL-100 (domain: object) that leak more or less of it, in ways that are more or less linear."""
    with np.load(root / "coil100_32px_complete.npz") as file:
        chosen = file["object"] < 40
        images, columns = (
            file["images"][chosen],
            {"object": file["object"][chosen], "angle": file["angle"][chosen] // 45},
        )
    columns = {name: column.astype(np.int64) for name, column in columns.items()}
    x = images.reshape(len(images), -1) / 255 - 0.5
    axes, noise = np.linalg.svd(x - x.mean(axis=0), full_matrices=False)[2], np.random.default_rng(0)
    parts = x @ axes.T
    for first, last in ((0, 64), (0, 4), (4, 8), (16, 20), (32, 36), (64, 72), (128, 136)):
        yield (
            f"principal components {first} to {last}",
            codes_of(parts[:, first:last], columns, np.random.default_rng(1)),
        )
    for scale in (3, 10, 30, 100):
        blurred = parts[:, :32] + scale * noise.normal(size=(len(x), 32))
        yield f"32 components and noise of {scale}", codes_of(blurred, columns, np.random.default_rng(1))
    colour = images.mean(axis=(1, 2)) / 255
    yield "mean colour", codes_of(colour, columns, np.random.default_rng(1))
    yield "mean colour, folded", codes_of(np.sin(40 * colour), columns, np.random.default_rng(1))
    yield "near a constant", codes_of(50 + 0.1 * parts[:, :16], columns, np.random.default_rng(1))


def agreement(root: Path) -> float:
    """Spearman's rank correlation of the leak that the quick probes read with that of the six-layer networks."""
    from scipy.stats import spearmanr

    read: dict[str, list[float]] = {"leakage": [], "six-layer-probe": []}
    for name, codes in encoders(root):
        for metric, values in read.items():
            scores = [
                one for one in score(codes, [metric]) if one.metric == "leakage" and "shuffled" not in one.variant
            ]
            values.append(max(one.value for one in scores))
            print(f"{name:34}" + "".join(f"{one.variant:>26} {one.value:.3f}" for one in scores))
    return float(spearmanr(*read.values()).statistic)


def seconds(run: Callable[[], object], repeats: int = REPEATS) -> float:
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def ratios() -> dict[str, float]:
    """How many times faster than the usual way, or than the slow probe; and the rank correlation with that one."""
    codes = drawn()
    slow, fast = seconds(lambda: one_by_one(codes, EPOCHS)), seconds(lambda: together(codes, EPOCHS))
    print(f"five networks, {EPOCHS} epochs: one by one {slow:.1f} s, together {fast:.1f} s")
    quick = seconds(lambda: score(codes, ["leakage", "informativeness"]), 1)
    network = seconds(lambda: score(codes, ["six-layer-probe"]), 1)
    print(f"leakage and informativeness {quick:.1f} s, six-layer probe {network:.1f} s")
    found = {"six-layer together": slow / fast, "quick probes": network / quick}
    if "UNBRAID_DATA" in os.environ:
        found["rank correlation"] = agreement(Path(os.environ["UNBRAID_DATA"]))
    return found


if __name__ == "__main__":
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    for title, value in ratios().items():
        print(f"{title:24}{value:8.2f}")
