"""The step of disent-swap beside its two bare networks, and the greatest loss of each class beside a pass over all.

    python benchmarks/debias.py

Colored MNIST at its published size: 55,000 images of 10 classes, batches of 256, two networks 2352-100-100-16. Bare is
forward, cross-entropy, backward and one Adam step of these two networks, each with a last layer for its own features.
All are timed in turns in one run; medians.
"""

import statistics
import time
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import Adam

from unbraid.methods.disent_swap import Config, DisEntSwap
from unbraid.nets.classifier import feature_extractor
from unbraid.nets.loss_table import LossTable
from unbraid.tables import DataSpec
from unbraid.types import Batch

NUM, CLASSES, BATCH, SHAPE, ROUNDS, INNER = 55_000, 10, 256, (3, 28, 28), 15, 20
SPEC = DataSpec(name="digits in colours", image_shape=SHAPE, num_train=NUM, sizes={"digit": CLASSES}, label="digit")


def batch() -> Batch:
    index = torch.randperm(NUM)[:BATCH]
    x = torch.rand(BATCH, *SHAPE)
    return Batch(index=index, x=x, views=x[:, None][:, :0], label=index % CLASSES)


def method_step() -> Callable[[], None]:
    """A whole update, with swapped features, and the optimiser as the trainer steps it."""
    model = DisEntSwap(Config(**DisEntSwap.presets["cmnist"]), SPEC).train()
    model.done = model.swap_start + 1
    optimizer, one = model.optimizers()["main"], batch()
    params = list(model.parameters())

    def step(name, terms, *, log=None):
        optimizer.zero_grad(set_to_none=True)
        torch.stack(list(terms.values())).sum().backward(inputs=params)
        optimizer.step()

    return lambda: model.update(one, step)


def bare_step() -> Callable[[], None]:
    networks = nn.ModuleList(
        nn.Sequential(feature_extractor("mlp", SHAPE)[0], nn.Linear(16, CLASSES)) for _ in range(2)
    )
    optimizer, one = Adam(networks.parameters(), lr=1e-2, fused=True), batch()

    def run():
        optimizer.zero_grad(set_to_none=True)
        sum(F.cross_entropy(network(one.x), one.label) for network in networks).backward()
        optimizer.step()

    return run


def table_update(greatest: Callable[[LossTable], Tensor] | None = None) -> Callable[[], object]:
    """Losses stored and read again, with the tree's greatest of each class or one found otherwise."""
    table, one = LossTable(2, NUM, CLASSES, 0.7), batch()
    losses = torch.rand(2, BATCH)
    table.averages.uniform_()
    table.label.copy_(torch.arange(len(table.label)) % CLASSES)

    def run():
        table.update(losses, one.index, one.label)
        return table.relative(one.index, one.label)

    def run_otherwise():
        index = one.index
        table.averages[:, index] = 0.7 * table.averages[:, index] + 0.3 * losses
        return table.averages[:, index] / greatest(table)[:, one.label]

    return run_otherwise if greatest else run


def masked_maxima(table: LossTable) -> Tensor:
    """The published way: each class's rows are picked out of all, for each of the two networks."""
    greatest = [torch.where(table.label == k, row, 0).max() for row in table.averages for k in range(CLASSES)]
    return torch.stack(greatest).view(2, CLASSES)


def one_pass(table: LossTable) -> Tensor:
    """All rows at once."""
    return torch.zeros(2, CLASSES).scatter_reduce(1, table.label.expand(2, -1), table.averages, "amax")


def medians(*runs: Callable[[], object]) -> list[float]:
    """Seconds of one call of each, timed in turns."""
    times: list[list[float]] = [[] for _ in runs]
    for turn in range(ROUNDS + 1):
        for run, spent in zip(runs, times, strict=True):
            start = time.perf_counter()
            for _ in range(INNER):
                run()
            if turn:  # the first round warms up
                spent.append((time.perf_counter() - start) / INNER)
    return [statistics.median(spent) for spent in times]


def ratios() -> dict[str, float]:
    """The whole step over the bare one (at most 1.25), and how much faster than the published maxima."""
    step, bare = medians(method_step(), bare_step())
    tree, masked, single = medians(table_update(), table_update(masked_maxima), table_update(one_pass))
    print(f"step {1e3 * step:6.3f} ms, bare {1e3 * bare:6.3f} ms")
    print(f"losses stored and read: tree {1e3 * tree:6.3f} ms, published {1e3 * masked:6.3f} ms, "
          f"one pass {1e3 * single:6.3f} ms")  # fmt: skip
    return {"disent-swap step": step / bare, "class maximum": masked / tree, "one pass": single / tree}


def main() -> None:
    torch.manual_seed(0)
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads")
    for name, ratio in ratios().items():
        print(f"{name:<18} {ratio:6.2f}")


if __name__ == "__main__":
    main()
