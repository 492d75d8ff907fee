"""Images whose colour goes with the label, a method whose biased network reads the colour, and a run of it."""

import json
from pathlib import Path

import numpy as np
import torch
from fake_runs import environment, score_line
from torch import Tensor, nn
from torch.optim import Optimizer

from unbraid.metrics.bias import aligned_values
from unbraid.partitions.bank import PartitionBank
from unbraid.records import RunDir, append_line, write_json
from unbraid.samples.bias import save_bias
from unbraid.samples.partitions import save_partitions
from unbraid.tables import Codes, Dataset, DataSpec
from unbraid.types import Batch, Method, Step

SHAPES, COLOURS = ("ring", "bar", "dot"), ("red", "green", "blue")


def biased_dataset(num: int = 120, conflicting: float = 0.1) -> Dataset:
    """The label is the bright column of pixels, the bias the bright channel; a third column goes with nothing."""
    rng = np.random.default_rng(0)
    shape = np.arange(num) % 3
    colour = np.where(rng.random(num) < conflicting, (shape + rng.integers(1, 3, size=num)) % 3, shape)
    images = np.full((num, 8, 8, 3), 20, dtype=np.uint8)
    images[np.arange(num), :, :, colour] += 100
    images[np.arange(num), :, shape] += 100
    split = np.where(np.arange(num) % 4 < 2, 0, np.where(np.arange(num) % 4 == 2, 1, 2)).astype(np.uint8)
    spec = DataSpec(
        name="biased",
        image_shape=(3, 8, 8),
        num_train=int(np.sum(split == 0)),
        sizes={"shape": 3, "colour": 3, "size": 2},
        values={"shape": SHAPES, "colour": COLOURS},
        factors=("shape", "colour", "size"),
        domain="colour",
        label="shape",
        bias="colour",
    )
    columns = {"shape": shape, "colour": colour, "size": rng.integers(2, size=num)}
    return Dataset(spec=spec, images=images, columns=columns, split=split)


class Untrained(Method):
    """A method without training."""

    config_class = type(None)

    def __init__(self, dataset: Dataset) -> None:
        super().__init__(None, dataset.spec)

    def encode(self, x: Tensor) -> Tensor:
        return x.flatten(1)

    def optimizers(self) -> dict[str, Optimizer]:
        return {}

    def update(self, batch: Batch, step: Step) -> None:
        return


class ColourReader(Untrained):
    """Its biased network answers by the colour, the other by the shape; W is 1 where the former is wrong."""

    def __init__(self, dataset: Dataset) -> None:
        super().__init__(dataset)
        self.scale = nn.Parameter(torch.tensor(4.0))
        train = dataset.rows("train")
        wrong = dataset.columns["shape"][train] != dataset.columns["colour"][train]
        self.wrong = nn.Buffer(torch.from_numpy(wrong).float())

    def predict(self, x: Tensor) -> Tensor:
        return self.scale * x.mean(dim=(1, 2))[:, :3]

    def bias_predict(self, x: Tensor) -> Tensor:
        return 10 * self.scale * x.mean(dim=(2, 3))

    def swap_predict(self, x: Tensor, bias_x: Tensor) -> tuple[Tensor, Tensor]:
        return self.predict(x), self.bias_predict(bias_x)

    def bias_weight(self, index: Tensor, label: Tensor) -> Tensor:
        return self.wrong[index]


class Divider(Untrained):
    """It has found two partitions: a random one, and red against the rest."""

    def __init__(self, dataset: Dataset, seed: int = 0) -> None:
        super().__init__(dataset)
        train = dataset.rows("train")
        self.bank = PartitionBank(4, len(train), 2)
        self.bank.add(torch.from_numpy(np.random.default_rng(seed).integers(2, size=len(train))), 0, -0.5)
        self.bank.add(torch.from_numpy((dataset.columns["colour"][train] > 0).astype(np.int64)), 10, -0.9)

    @property
    def found_partitions(self):
        return self.bank.filled


def write_biased_run(root: Path, dataset: Dataset, seed: int = 0, method: str = "lff") -> RunDir:
    """A finished run with everything that the page says of a biased classifier and of partitions."""
    run = RunDir(root / f"{method}-{seed}")
    run.path.mkdir(parents=True)
    write_json(run.config, {"method": method, "data": "biased", "settings": {"seed": seed}, "hparams": {}})
    write_json(run.env, environment(method, "biased"))
    run.spec.write_text(json.dumps(dataset.spec.to_dict()))
    codes = np.random.default_rng(seed).normal(size=(len(dataset), 4)).astype(np.float32)
    Codes(spec=dataset.spec, z=codes, columns=dataset.columns, split=dataset.split).save(run.codes)
    for place, rule in enumerate(("last", "best on validation", "best on test (oracle)")):
        note = f"step {10 * place + 10} of 30, chosen by the unbiased accuracy"
        for name, value in (("plain", 0.8), ("unbiased", 0.6 + 0.05 * place + 0.001 * seed)):
            kind = {"metric": "selected-accuracy", "column": "shape", "variant": f"{name}, {rule}", "note": note}
            append_line(run.scores, score_line(run, method, "biased", seed, value=value, higher_is_better=True, **kind))
    save_bias(run.path / "bias.npz", ColourReader(dataset), dataset, seed)
    save_partitions(run.path / "partitions.npz", Divider(dataset, seed), dataset, seed)
    run.done.touch()
    return run


def is_aligned(dataset: Dataset) -> np.ndarray:
    shape, colour = dataset.columns["shape"], dataset.columns["colour"]
    train = dataset.rows("train")
    return aligned_values(shape[train], colour[train], (3, 3))[shape] == colour
