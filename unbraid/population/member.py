"""One member of a population in one generation: an ordinary run directory, trained and judged where it stands."""

import shutil
import time
from contextlib import redirect_stderr
from pathlib import Path

import torch

from unbraid.encoder import load, open_config
from unbraid.population.config import PopulationConfig
from unbraid.population.fitness import fitness_of
from unbraid.records import RunDir, read_json, write_json
from unbraid.run import lock, mark_done, train_weights
from unbraid.trainer import DivergedError


def train_member(path: Path) -> None:
    """Weights, then ``fitness.json``, then ``DONE``, from the ``config.json`` at ``path``; what is done stays.

    The lock makes a second process wait that was given the same member, because the first one was believed dead. What
    libraries say goes to ``worker.log``.
    """
    run = RunDir(path)
    with lock(run), (path / "worker.log").open("a") as log, redirect_stderr(log):
        for left in path.glob(".checkpoint.*.tmp"):  # by one that was killed while it wrote
            shutil.rmtree(left)
        if not run.is_done():
            _train(run, read_json(path.parents[2] / "population.json", PopulationConfig.from_dict))


def _train(run: RunDir, population: PopulationConfig) -> None:
    start = time.monotonic()
    try:
        fitness, error = _train_and_judge(run, population), ""
    except DivergedError as problem:
        fitness, error = None, str(problem)
    seconds = round(time.monotonic() - start, 2)
    write_json(run.path / "fitness.json", {"fitness": fitness, "error": error, "seconds": seconds})
    if error:
        run.done.touch()
    else:
        mark_done(run)


def _train_and_judge(run: RunDir, population: PopulationConfig) -> float:
    accelerator, dataset = train_weights(open_config(run), run)
    encoder = load(run, accelerator.device)
    if not all(bool(torch.isfinite(value).all()) for value in encoder.method.parameters()):
        raise DivergedError("a weight is no longer finite")
    fitness = fitness_of(population)(run, encoder, dataset)
    if not fitness == fitness:
        raise DivergedError(f"{population.settings.fitness} is not a number")
    return fitness
