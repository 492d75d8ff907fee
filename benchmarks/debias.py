"""The step of disent-swap beside its two bare networks, its data and its loss table beside the published way of both.

    python benchmarks/debias.py

Colored MNIST at its published size: 55,000 images of 10 classes, batches of 256, two networks 2352-100-100-16. Bare is
forward, cross-entropy, backward and one Adam step of these two networks, each with a last layer for its own features.
Published is a whole step with its data: each image a PNG file, opened when it is its turn, and the greatest loss of a
class sought among all images, class by class. All are timed in turns in one run; medians. The images are the embedded
5,000 digits, again and again.
"""

import dataclasses
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn
from torch.optim import Adam
from torch.utils.data import DataLoader
from torchvision.transforms.functional import to_tensor

from unbraid import augment, data
from unbraid.data import store
from unbraid.loader import Loader
from unbraid.methods.disent_swap import Config, DisEntSwap
from unbraid.nets.classifier import feature_extractor
from unbraid.nets.loss_table import LossTable
from unbraid.tables import Dataset, DataSpec
from unbraid.types import Batch

NUM, CLASSES, BATCH, DIGITS, SHAPE, ROUNDS, INNER = 55_000, 10, 256, 5_000, (3, 28, 28), 15, 20
SPEC = DataSpec(name="digits in colours", image_shape=SHAPE, num_train=NUM, sizes={"digit": CLASSES}, label="digit")


def batch() -> Batch:
    index = torch.randperm(NUM)[:BATCH]
    x = torch.rand(BATCH, *SHAPE)
    return Batch(index=index, x=x, views=x[:, None][:, :0], label=index % CLASSES)


def method_step() -> Callable[[], None]:
    """A whole update, with swapped features, and the optimiser as the trainer steps it."""
    update, one = method_update(SPEC), batch()
    return lambda: update(one)


def method_update(spec: DataSpec) -> Callable[[Batch], None]:
    model = DisEntSwap(Config(**DisEntSwap.presets["cmnist"]), spec).train()
    model.done = model.swap_start + 1
    optimizer, params = model.optimizers()["main"], list(model.parameters())

    def step(name, terms, *, log=None):
        optimizer.zero_grad(set_to_none=True)
        torch.stack(list(terms.values())).sum().backward(inputs=params)
        optimizer.step()

    return lambda one: model.update(one, step)


def bare_step() -> Callable[[], None]:
    networks = nn.ModuleList(
        nn.Sequential(feature_extractor("mlp", SHAPE)[0], nn.Linear(16, CLASSES)) for _ in range(2)
    )
    optimizer, one = Adam(networks.parameters(), lr=1e-2, fused=True), batch()

    def run():
        optimizer.zero_grad(set_to_none=True)
        torch.stack([F.cross_entropy(network(one.x), one.label) for network in networks]).sum().backward()
        optimizer.step()

    return run


def stored_step(dataset: Dataset) -> Callable[[], None]:
    """The same with a new batch from the memory map each time."""
    update, cfg = method_update(dataset.spec), Config(**DisEntSwap.presets["cmnist"])
    loader = Loader(dataset, DisEntSwap.needs, cfg, augment.views("identity"), seed=0, device=torch.device("cpu"))
    batches = loader.batches()
    return lambda: update(next(batches))


class Files(torch.utils.data.Dataset):
    """One PNG file an item; a few thousand of them serve again and again."""

    def __init__(self, dataset: Dataset, folder: Path) -> None:
        self.label = dataset.columns["digit"]
        self.paths = [folder / f"{row}_{self.label[row]}_0.png" for row in range(DIGITS)]
        for path, image in zip(self.paths, dataset.images):
            Image.fromarray(image).save(path)

    def __len__(self) -> int:
        return NUM

    def __getitem__(self, row: int) -> tuple[int, Tensor, int]:
        image = Image.open(self.paths[row % DIGITS]).convert("RGB")
        return row, to_tensor(image), int(self.label[row])


def published_step(files: Files, workers: int) -> Callable[[], None]:
    """As the paper's system trains, in words: two networks and optimisers, losses of all images in two vectors."""
    nets = [feature_extractor("mlp", SHAPE)[0] for _ in range(2)]
    heads = [nn.Linear(32, CLASSES) for _ in range(2)]
    optimizers = [Adam([*net.parameters(), *head.parameters()], lr=1e-2) for net, head in zip(nets, heads)]
    labels, averages, seen = torch.from_numpy(files.label), torch.zeros(2, NUM), torch.zeros(2, NUM)
    batches = iter(DataLoader(files, BATCH, shuffle=True, drop_last=True, num_workers=workers))

    def tracked(losses: list[Tensor], index: Tensor, label: Tensor) -> Tensor:
        """Averages of these images, divided by the greatest of their class."""
        for average, old, loss in zip(averages, seen, losses):
            average[index] = 0.7 * average[index] + (1 - 0.7 * old[index]) * loss.detach()
            old[index] = 1
        values = averages[:, index]
        for k in range(CLASSES):
            rows = torch.where(label == k)[0]
            for value, average in zip(values, averages):
                value[rows] /= average[torch.where(labels == k)[0]].max()
        return values

    def gce(logits: Tensor, label: Tensor) -> Tensor:
        chosen = F.softmax(logits, dim=1).gather(1, label[:, None])[:, 0]
        return F.cross_entropy(logits, label, reduction="none") * 0.7 * chosen.detach() ** 0.7

    def run():
        index, x, label = next(batches)
        z, bias_z = (net(x) for net in nets)
        logits, bias_logits = heads[0](torch.cat([z, bias_z.detach()], 1)), heads[1](torch.cat([z.detach(), bias_z], 1))
        losses = [F.cross_entropy(one, label, reduction="none") for one in (logits, bias_logits)]
        own, bias = tracked(losses, index, label)
        weight = bias / (bias + own + 1e-8)
        donor = torch.from_numpy(np.random.permutation(len(x)))
        other, bias_label = bias_z[donor], label[donor]
        swapped = heads[0](torch.cat([z, other.detach()], 1)), heads[1](torch.cat([z.detach(), other], 1))
        terms = [
            (weight * losses[0]).mean() + 10 * gce(bias_logits, label).mean(),
            (weight * F.cross_entropy(swapped[0], label, reduction="none")).mean(),
            10 * gce(swapped[1], bias_label).mean(),
        ]
        for optimizer in optimizers:
            optimizer.zero_grad()
        sum(terms).backward()
        for optimizer in optimizers:
            optimizer.step()

    return run


def coloured_digits(folder: Path) -> Dataset:
    """The embedded digits, repeated up to the published number, in a store of their own."""
    digits = data.load("digits-biased:size=28,bias=0.995")
    many = digits.take(np.arange(NUM) % DIGITS)
    spec = dataclasses.replace(many.spec, num_train=NUM)
    store.write(dataclasses.replace(many, spec=spec, split=np.zeros(NUM, dtype=np.uint8)), folder / "store")
    return store.read(folder / "store")


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


def medians(*runs: Callable[[], object], inner: int = INNER) -> list[float]:
    """Seconds of one call of each, timed in turns."""
    times: list[list[float]] = [[] for _ in runs]
    for turn in range(ROUNDS + 1):
        for run, spent in zip(runs, times, strict=True):
            start = time.perf_counter()
            for _ in range(inner):
                run()
            if turn:  # the first round warms up
                spent.append((time.perf_counter() - start) / inner)
    return [statistics.median(spent) for spent in times]


def ratios() -> dict[str, float]:
    """The whole step over the bare one (at most 1.25), how much faster than published (at least 4), and its maxima."""
    step, bare = medians(method_step(), bare_step())
    tree, masked, single = medians(table_update(), table_update(masked_maxima), table_update(one_pass))
    print(f"step {1e3 * step:6.3f} ms, bare {1e3 * bare:6.3f} ms")
    print(f"losses stored and read: tree {1e3 * tree:6.3f} ms, published {1e3 * masked:6.3f} ms, "
          f"one pass {1e3 * single:6.3f} ms")  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        dataset = coloured_digits(Path(folder))
        files = Files(dataset, Path(folder))
        runs = [stored_step(dataset), *(published_step(files, workers) for workers in (0, 2))]
        stored, alone, helped = medians(*runs, inner=4)
    print(f"step with its data {1e3 * stored:6.3f} ms; published {1e3 * alone:6.3f} ms, "
          f"with two loading processes {1e3 * helped:6.3f} ms")  # fmt: skip
    return {
        "disent-swap step": step / bare,
        "published step": alone / stored,
        "... two loaders": helped / stored,
        "class maximum": masked / tree,
        "one pass": single / tree,
    }


def main() -> None:
    torch.manual_seed(0)
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads")
    for name, ratio in ratios().items():
        print(f"{name:<18} {ratio:6.2f}")


if __name__ == "__main__":
    main()
