"""Training that takes no time: toys in the place of any data, runs with random codes and made-up scores."""

import dataclasses
import zlib

import numpy as np
import pytest

from unbraid.records import Record, Score, keep_lines, write_json
from unbraid.studies import plan
from unbraid.tables import Codes, Dataset, DataSpec

SIZES = {"instance": 4, "azimuth": 6, "elevation": 3, "lighting": 2}
TOYS = DataSpec(
    name="toys",
    image_shape=(3, 16, 16),
    num_train=160,
    sizes=SIZES,
    factors=tuple(SIZES),
    circular=frozenset({"azimuth"}),
    domain="instance",
)


class FakeTraining:
    """In the place of ``train_config``; remembers what it was asked for."""

    def __init__(self) -> None:
        rng = np.random.default_rng(0)
        columns = {name: rng.integers(size, size=240) for name, size in SIZES.items()}
        images = rng.integers(0, 256, (240, 16, 16, 3)).astype(np.uint8)
        split = np.repeat(np.array([0, 2], np.uint8), [160, 80])
        self.data = Dataset(spec=TOYS, images=images, columns=columns, split=split)
        self.trained: list[str] = []
        self.stop_at = -1

    def load(self, name, options=None) -> Dataset:
        return self.data

    def __call__(self, config, run) -> None:
        if len(self.trained) == self.stop_at:
            raise KeyboardInterrupt
        self.trained.append(run.name)
        rng = np.random.default_rng(zlib.crc32(run.name.encode()))
        z = rng.normal(size=(240, 4)).astype(np.float32)
        Codes(spec=TOYS, z=z, columns=self.data.columns, split=self.data.split).save(run.codes)
        place = {"run": run.name, "method": config.method, "data": config.data, "seed": config.settings.seed}
        records = [Record.of(one, **place, epoch=1, version="1") for one in made_up(rng)]
        keep_lines(run.scores, [dataclasses.asdict(record) for record in records])
        write_json(run.config, config.to_dict())
        run.done.touch()


def made_up(rng):
    for column, size in SIZES.items():
        for variant in ("linear", "six-layer", "linear, shuffled labels"):
            value = float(rng.uniform(1 / size, 1))
            is_domain = column == "instance"
            yield Score(
                metric="leakage" if is_domain else "informativeness",
                column=column,
                variant=variant,
                value=value,
                low=value - 0.05,
                high=value + 0.05,
                chance=1 / size,
                higher_is_better=not is_domain,
            )


@pytest.fixture
def training(monkeypatch):
    fake = FakeTraining()
    monkeypatch.setattr(plan, "train_config", fake)
    monkeypatch.setattr(plan.data, "load", fake.load)
    return fake
