"""IP-IRM: a search, and loss and penalty of a step, beside the published way; a whole step beside the bare network.

    OMP_NUM_THREADS=2 python benchmarks/ip_irm.py [PLOT.svg]

The published way rebuilds the matrix of logits for each subset, and once more for its penalty, picks entries by masks
and 64-bit indices, differentiates the gradient, and fetches features row by row. Times are of the processor, so that
other work on the machine does not count; memory is the peak of a process of its own.
"""

import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

from unbraid import augment
from unbraid.loader import Loader
from unbraid.losses.partition import contrast_of_subsets, imbalance
from unbraid.methods.ip_irm import IPIRM
from unbraid.partitions.features import Stored
from unbraid.partitions.learned import Schedule, learned
from unbraid.partitions.problem import FeatureBatch, Problem, mean_penalty

FEATURES, LARGE, BATCH, SEARCH_BATCH, DIM, T = 5_000, 100_000, 256, 3096, 128, 0.5


def features(num: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    first, noise = torch.randn(2, num, DIM, generator=generator)
    return F.normalize(first, dim=1), F.normalize(first + 0.5 * noise, dim=1)


# --- the published way


def compressed(z1: Tensor, z2: Tensor) -> tuple[Tensor, Tensor]:
    """Logits with the positive first, and the image behind each."""
    num = len(z1)
    image = torch.arange(num).repeat(2)
    same, twin = image[:, None] == image, torch.eye(2 * num, dtype=torch.bool)
    z = torch.cat([z1, z2])
    every, index = z @ z.T / T, image.expand(2 * num, -1)

    def pick(x: Tensor) -> Tensor:
        return torch.cat([x[same & ~twin].view(2 * num, -1), x[~same].view(2 * num, -1)], dim=1)

    return pick(every), pick(index)


def nested(loss: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    scale = torch.ones(1, x.shape[1], requires_grad=True)
    (slope,) = torch.autograd.grad(loss(x * scale), scale, create_graph=True)
    return slope.square().sum()


def plain(x: Tensor) -> Tensor:
    return F.cross_entropy(x, torch.zeros(len(x), dtype=torch.int64))


def step_as_published(z1: Tensor, z2: Tensor, environments: Tensor) -> Tensor:
    losses, penalties = [], []
    for environment in environments:
        for k in range(2):
            rows = (environment == k).nonzero()[:, 0]
            losses.append(plain(compressed(z1[rows], z2[rows])[0]))
            penalties.append(nested(plain, compressed(z1[rows], z2[rows])[0]))
    return plain(compressed(z1, z2)[0]) + torch.stack(losses).mean() + 0.2 * torch.stack(penalties).mean()


def soft(x: Tensor, weight: Tensor) -> Tensor:
    negative = weight[:, 1:] * (x.shape[1] - 1) / weight[:, 1:].sum(1, keepdim=True)
    exponentials = x.exp()
    rows = -(exponentials[:, 0] / (exponentials[:, 0] + (negative * exponentials[:, 1:]).sum(1))).log()
    return (weight[:, 0] * rows).sum() / weight[:, 0].sum()


def risk_as_published(z1: Tensor, z2: Tensor, shares: Tensor) -> Tensor:
    losses, penalties = [], []
    for k in range(2):
        x, index = compressed(z1, z2)
        losses.append(soft(x, shares[:, k][index]))
        x, index = compressed(z1, z2)
        weight = shares[:, k][index]
        penalties.append(nested(lambda x, weight=weight: soft(x, weight), x))
    return -torch.stack(losses).mean() - 0.5 * torch.stack(penalties).mean()


def turn_as_published(z1: Tensor, z2: Tensor) -> None:
    logits = torch.randn(len(z1), 2, requires_grad=True)
    adam = torch.optim.Adam([logits], lr=0.5)
    rows = TensorDataset(z1, z2, torch.arange(len(z1)))
    for first, second, index in DataLoader(rows, batch_size=SEARCH_BATCH, shuffle=True):
        adam.zero_grad()
        risk_as_published(first, second, logits[index].softmax(1)).backward()
        adam.step()


# --- ours


def step_at_once(z1: Tensor, z2: Tensor, environments: Tensor, scale: str = "scalar") -> Tensor:
    member = F.one_hot(environments.T, 2).float().flatten(1)
    weight = torch.cat([torch.ones(len(z1), 1), member], dim=1)
    loss, penalty = contrast_of_subsets(z1, z2, weight, temperature=T, penalty_temperature=T, scale=scale)
    return loss[0] + loss[1:].mean() + 0.2 * penalty[1:].mean()


def problem(z1: Tensor, z2: Tensor, *, published: bool) -> Problem:
    options = {"scale": "column", "renormalize": True} if published else {}
    return Problem(
        num_images=len(z1),
        num_environments=2,
        batches=Stored(z1, z2, None, SEARCH_BATCH, torch.Generator().manual_seed(0)),
        terms=lambda b, w: contrast_of_subsets(b.first, b.second, w, temperature=T, penalty_temperature=T, **options),
        constraint=lambda q: imbalance(q, "relaxed", published=published),
        penalty=mean_penalty,
        penalty_weight=0.5,
    )


def turn(z1: Tensor, z2: Tensor, *, published: bool) -> float:
    """Seconds of one turn of a search: from one asking for batches to the next."""
    sought, began = problem(z1, z2, published=published), []

    def batches(number: int) -> Iterator[FeatureBatch]:
        began.append(time.process_time())
        return sought.batches(number)

    learned(replace(sought, batches=batches), torch.randn(1, len(z1), 2), Schedule(lr=0.5, most=4))
    return statistics.median(np.diff(began)[1:])


# --- measuring


def seconds(run: Callable[[], object]) -> float:
    """Of the processor, summed over its cores."""
    start = time.process_time()
    run()
    return time.process_time() - start


def with_gradient(loss: Callable[..., Tensor], environments: Tensor) -> Callable[[], object]:
    z1, z2 = features(BATCH)

    def run() -> None:
        loss(z1.requires_grad_(), z2.requires_grad_(), environments).backward()

    return run


def of_steps(most: int = 8) -> dict[int, tuple[float, float, float]]:
    """Seconds of loss and penalty, forward and backward: the published way, its numbers at once, the scalar penalty."""
    found = {}
    for num in range(1, most + 1):
        environments = torch.randint(2, (num, BATCH), generator=torch.Generator().manual_seed(1))
        ways = [step_as_published, lambda *x: step_at_once(*x, scale="column"), step_at_once]
        z1, z2 = features(BATCH)
        torch.testing.assert_close(ways[0](z1, z2, environments), ways[1](z1, z2, environments), rtol=1e-4, atol=0)
        runs = [with_gradient(way, environments) for way in ways]
        times = [[seconds(run) for run in runs] for _ in range(6)][1:]
        found[num] = tuple(statistics.median(each) for each in zip(*times))
    return found


def plot(times: dict[int, tuple[float, float, float]], file: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5, 3.2), layout="constrained")
    axes = figure.subplots()
    for label, each in zip(("subset by subset", "at once", "at once, scalar penalty"), zip(*times.values())):
        axes.plot(list(times), [1000 * one for one in each], marker="o", label=label)
    axes.set(xlabel="partitions", ylabel="ms of loss and penalty, batch 256", ylim=(0, None))
    axes.legend()
    figure.savefig(file)


def of_a_whole_step(rounds: int = 5) -> tuple[float, float]:
    """Seconds with sampling, views, network, loss with eight partitions and optimiser; of the network alone."""
    from unbraid.tables import Dataset, DataSpec

    num, kind = 512, IPIRM
    spec = DataSpec(name="noise", image_shape=(3, 32, 32), num_train=num, sizes={})
    pixels = torch.randint(256, (num, 32, 32, 3), dtype=torch.uint8).numpy()
    dataset = Dataset(spec=spec, images=pixels, columns={}, split=torch.zeros(num, dtype=torch.uint8).numpy())
    model = kind(kind.config_class(backbone="resnet18-cifar", batch_size=64), spec).train()
    model.to(memory_format=torch.channels_last)
    for _ in range(8):
        model.bank.add(torch.randint(2, (num,)), 0, 0.0)
    loader = Loader(
        dataset,
        model.needs,
        model.cfg,
        augment.views(model.views),
        seed=0,
        device=torch.device("cpu"),
        memory_format=torch.channels_last,
    )
    batches, adam = loader.batches(), model.optimizers()["main"]
    views = next(batches).views

    def step(name: str, terms: dict[str, Tensor], *, log: object = None) -> None:
        adam.zero_grad(set_to_none=True)
        torch.stack(list(terms.values())).sum().backward()
        adam.step()

    def bare() -> None:
        model.zero_grad(set_to_none=True)
        torch.stack([model.outputs(view).sum() for view in views.unbind(1)]).sum().backward()

    times = [(seconds(lambda: model.update(next(batches), step)), seconds(bare)) for _ in range(rounds + 1)][1:]
    whole, alone = zip(*times)
    return statistics.median(whole), statistics.median(alone)


def of_memory(num: int) -> float:
    """GiB at the peak of a process that searches once through so many features."""
    command = [sys.executable, __file__, f"--memory={num}"]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def ratios() -> dict[str, float]:
    memory = {num: of_memory(num) for num in (LARGE // 2, LARGE)}  # first: a process inherits its parent's peak
    z1, z2 = features(FEATURES)
    theirs = seconds(lambda: turn_as_published(z1, z2))
    ours, mended = (turn(z1, z2, published=published) for published in (True, False))
    print(
        f"one turn through {FEATURES} features: {theirs:.2f} s published, {ours:.2f} s at once, {mended:.2f} s mended"
    )
    times = of_steps()
    for num, (by_subset, at_once, scalar) in times.items():
        print(
            f"{num} partitions: {by_subset:6.4f} s subset by subset, {at_once:6.4f} s at once, {scalar:6.4f} s scalar"
        )
    if len(sys.argv) > 1:
        plot(times, Path(sys.argv[1]))
    by_subset, at_once, scalar = times[8]
    whole, bare = of_a_whole_step()
    return {
        "search: one turn, times faster (at least 20)": theirs / ours,
        "search: one turn with all mends, times faster": theirs / mended,
        "step: loss and penalty, times faster (at least 2.5)": by_subset / at_once,
        "step: the same with the scalar penalty": by_subset / scalar,
        "whole step over the bare network (at most 1.15)": whole / bare,
        f"GiB at {LARGE} features (at most 4)": memory[LARGE],
        f"GiB at {LARGE // 2} features": memory[LARGE // 2],
    }


def main() -> None:
    if sys.argv[1:] and sys.argv[1].startswith("--memory="):
        z1, z2 = features(int(sys.argv[1].removeprefix("--memory=")))
        learned(problem(z1, z2, published=True), torch.randn(1, len(z1), 2), Schedule(lr=0.5, most=1))
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20)
        return
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads")
    for name, value in ratios().items():
        print(f"{value:8.2f}  {name}")


if __name__ == "__main__":
    main()
