"""Members that train in no time: their weight is a number that grows faster the nearer lr is to 0.01."""

import json
import math
import os
import time
from pathlib import Path

from unbraid.records import RunDir, read_json, write_json


def population(**settings):
    from unbraid.config import RunConfig  # not in a worker: it imports torch
    from unbraid.population.config import PopulationConfig

    member = RunConfig.make("vanilla", "digits:source=sklearn,num=200", preset="tiny", seed=3)
    options = {
        "fitness": "informativeness",
        "members": 5,
        "generations": 4,
        "images": 320,
        "fidelity": "fixed",
    } | settings
    return PopulationConfig.make(member, **options)


def train(path: Path) -> None:
    """Sums of steps and seeds in place of weights: they show whether the right parent was gone on from."""
    run = RunDir(path)
    if run.is_done():
        return
    config = read_json(run.config)
    settings, lr = config["settings"], config["hparams"]["lr"]
    weight = 0.0
    if settings["start_from"]:
        weight = float((Path(settings["start_from"]) / "checkpoint" / "weight").read_text())
    weight += 1 / (1 + abs(math.log10(lr) + 2)) + settings["seed"] * 1e-12
    run.checkpoint.mkdir(exist_ok=True)
    (run.checkpoint / "weight").write_text(str(weight))
    write_json(path / "fitness.json", {"fitness": weight, "error": "", "seconds": 0.0})
    run.done.touch()


def diverge_often(path: Path) -> None:
    """Step sizes above 0.001 diverge."""
    train(path)
    if read_json(path / "config.json")["hparams"]["lr"] > 1e-3:
        write_json(path / "fitness.json", {"fitness": None, "error": "cross_entropy became nan", "seconds": 0.0})


def always_diverge(path: Path) -> None:
    train(path)
    write_json(path / "fitness.json", {"fitness": None, "error": "cross_entropy became nan", "seconds": 0.0})


class Inline:
    """An executor without processes. It may be told to die, and in which order jobs end."""

    def __init__(self, work=train, die_after=None, last_first=False):
        self.work, self.left, self.last_first = work, die_after, last_first
        self.jobs: list[Path] = []
        self.trained: list[str] = []

    def submit(self, path: Path) -> None:
        self.jobs.append(path)

    def next_done(self) -> Path:
        path = self.jobs.pop(-1 if self.last_first else 0)
        if self.left is not None:
            self.left -= 1
            if self.left < 0:
                raise KeyboardInterrupt
        self.work(path)
        self.trained.append("/".join(path.parts[-2:]))
        return path

    def close(self) -> None: ...


def lines(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "history.jsonl").read_text().splitlines()]


def die_once(path: Path) -> None:
    """The worker is killed at the first member it is given in the second generation."""
    mark = path.parents[2] / "died"
    if path.parent.name == "001" and not mark.exists():
        mark.touch()
        os._exit(9)
    train(path)


def slowly(path: Path) -> None:
    time.sleep(0.2)
    train(path)


def fill_the_disk(path: Path) -> None:
    raise OSError(28, "No space left on device", str(path))


def kill_itself(path: Path) -> None:
    os._exit(9)
