"""A whole training step beside the bare network, and the precision that `auto` takes beside the three it times.

Each ratio is made of medians of one run, taken in turns, so that a busy machine slows all sides alike.

    python benchmarks/step.py                 # ResNet-50 and ResNet-18 at 64x64, 4x32 images
"""

import statistics
import time

import numpy as np
import torch

from unbraid import augment
from unbraid.loader import Loader
from unbraid.methods import method
from unbraid.nets.precision import MEMORY_FORMATS, apply_precision
from unbraid.tables import Dataset, DataSpec
from unbraid.trainer import fastest_precision
from unbraid.types import Batch

ROUNDS = {"resnet50": 5, "resnet18": 9}


def photos(num: int = 2048, domains: int = 16) -> Dataset:
    rng = np.random.default_rng(0)
    return Dataset(
        spec=DataSpec(name="noise", image_shape=(3, 64, 64), num_train=num, sizes={"domain": domains}, domain="domain"),
        images=rng.integers(0, 256, (num, 64, 64, 3), dtype=np.uint8),
        columns={"domain": np.arange(num) % domains},
        split=np.zeros(num, dtype=np.uint8),
    )


def seconds(run) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def step_of(model, dataset, precision):
    """Sampling, views, two encoder passes, loss, backward, optimiser."""
    loader = Loader(
        dataset,
        model.needs,
        model.cfg,
        augment.views("dcodr"),
        seed=0,
        device=torch.device("cpu"),
        memory_format=MEMORY_FORMATS[precision],
    )
    batches, optimizers = loader.batches(), model.optimizers()

    def step(name, terms, *, log=None):
        optimizers[name].zero_grad(set_to_none=True)
        sum(terms.values()).backward()
        optimizers[name].step()

    return lambda: model.update(next(batches), step)


def bare_of(model, precision):
    """The same network on as many images: forward of anchors and of positives, and backward, nothing else."""
    x, views = (torch.rand(128, 3, 64, 64).contiguous(memory_format=MEMORY_FORMATS[precision]) for _ in range(2))

    def bare():
        model.zero_grad(set_to_none=True)
        (model.encoder(x).sum() + model.encoder(views).sum()).backward()

    return bare


def main() -> None:
    dataset, kind = photos(), method("dcodr-norec")
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, 4 x 32 images of 64 x 64, dcodr-norec")
    for backbone, rounds in ROUNDS.items():
        cfg = kind.config_class(backbone=backbone)
        torch.manual_seed(0)
        models = {name: apply_precision(kind(cfg, dataset.spec).train(), name, "cpu") for name in MEMORY_FORMATS}
        steps = {name: step_of(model, dataset, name) for name, model in models.items()}
        bares = {name: bare_of(model, name) for name, model in models.items()}
        times = {(part, name): [] for part in ("step", "bare") for name in models}
        for turn in range(rounds + 1):
            for part, runs in (("step", steps), ("bare", bares)):
                for name, run in runs.items():
                    spent = seconds(run)
                    if turn:  # the first round warms up
                        times[part, name].append(spent)
        median = {key: statistics.median(values) for key, values in times.items()}
        del models, steps, bares
        batch = Batch(
            index=torch.arange(128),
            x=torch.rand(128, 3, 64, 64),
            views=torch.rand(128, 1, 3, 64, 64),
            domain=torch.arange(4).repeat_interleave(32),
        )
        batch = next(
            Loader(dataset, kind.needs, cfg, augment.views("dcodr"), seed=0, device=torch.device("cpu")).batches()
        )
        timed = fastest_precision(kind(cfg, dataset.spec), batch, "cpu")
        auto = min(timed, key=timed.get)
        best = min(median["step", name] for name in MEMORY_FORMATS)
        print(f"\n{backbone}: seconds per step, bare network, ratio")
        for name in MEMORY_FORMATS:
            whole, bare = median["step", name], median["bare", name]
            print(f"  {name:<20} {whole:7.3f} {bare:7.3f}  {whole / bare:5.3f}  (at most 1.10)")
        print(f"  auto takes {auto}: {median['step', auto] / best:5.3f} of the best (at most 1.05), "
              f"{median['step', 'fp32'] / median['step', auto]:5.2f} times faster than fp32")  # fmt: skip


if __name__ == "__main__":
    main()
