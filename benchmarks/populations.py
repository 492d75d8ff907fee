"""The population engine with members that train in no time, the memory of workers that share one data set, and the
share of a generation that its fitness takes.

    python benchmarks/populations.py            # engine, then memory, then fitness
    python benchmarks/populations.py engine

The engine's cost is the time of a whole population, divided by its members and generations: draws, files, a lock, a
process pool, selection, deletion of checkpoints. Memory is the proportional set size: a page that several processes map
counts once, in shares.

A fitness is timed on a member that has trained on a few thousand images. Its share is that of generations of 10,000
images, our least, and of 480,000, the published pass over Shapes3D: training grows with the images, UDR does not, and
MIG encodes all labelled images up to 50,000.
"""

import re
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

SIZES = (4, 20, 200)
GENERATIONS = 5
ROWS, SIDE = 480_000, 64
TRAINED, BATCH = 4096, 64  # images
SPRITES = "sprites:size=64"


def no_op(path: Path) -> None:
    """A member as the engine sees it: a checkpoint, a fitness, DONE."""
    from unbraid.records import write_json

    (path / "checkpoint").mkdir()
    (path / "checkpoint" / "weights").touch()
    fitness = sum(map(ord, str(path)[-7:])) / 1000
    write_json(path / "fitness.json", {"fitness": fitness, "error": "", "seconds": 0.0})
    (path / "DONE").touch()


def engine() -> None:
    from unbraid.config import RunConfig
    from unbraid.population.config import PopulationConfig
    from unbraid.population.engine import run_population
    from unbraid.population.executors import open_executor

    member = RunConfig.make("beta-tcvae", "digits:source=sklearn,num=200", preset="tiny")
    print(f"engine, {GENERATIONS} generations, 2 workers, no-op members; seconds per member and generation")
    for members in SIZES:
        config = PopulationConfig.make(member, members=members, generations=GENERATIONS)
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary) / "population"
            with open_executor("processes", no_op, folder, workers=2) as executor:
                run_population(config, folder.with_name("warm"), executor)  # the processes have started
                start = time.perf_counter()
                run_population(config, folder, executor)
                spent = time.perf_counter() - start
            start = time.perf_counter()
            run_population(config, folder, executor)
            again = time.perf_counter() - start
        print(f"  {members:3d} members: {spent / members / GENERATIONS:.4f}   called again: {again:.3f} s in all")


def read_all(path: Path) -> None:
    """A worker that has loaded the data and had batches of all; it waits for the others and writes its memory."""
    import torch

    import unbraid.population.member  # noqa: F401 - what a worker has loaded besides
    from unbraid import augment, data
    from unbraid.loader import Loader
    from unbraid.methods.beta_tcvae import BetaTCVAE

    dataset = data.load(str(path.parent / "store"))
    cfg = BetaTCVAE.config_class(batch_size=1024, epochs=1)
    loader = Loader(dataset, BetaTCVAE.needs, cfg, augment.views("identity"), seed=0, device=torch.device("cpu"))
    for _ in zip(range(loader.num_batches), loader.batches()):
        pass
    (path / "read").touch()
    while len(list(path.parent.glob("*/read"))) < len(list(path.parent.glob("[0-9]"))):
        time.sleep(0.1)
    kilobytes = re.search(r"^Pss: +(\d+)", Path("/proc/self/smaps_rollup").read_text(), re.MULTILINE)
    assert kilobytes is not None
    (path / "memory").write_text(kilobytes[1])
    while len(list(path.parent.glob("*/memory"))) < len(list(path.parent.glob("[0-9]"))):
        time.sleep(0.1)


def memory() -> None:
    from unbraid.data import store
    from unbraid.population.executors import Processes
    from unbraid.tables import DataSpec

    spec = DataSpec(name="zeros", image_shape=(3, SIDE, SIDE), num_train=ROWS, sizes={})
    zeros = np.zeros((8_000, SIDE, SIDE, 3), np.uint8)
    totals = {}
    print(f"memory of workers that have read {ROWS:,} colour images of {SIDE}x{SIDE}, GB of proportional set size")
    for workers in (1, 4):
        with tempfile.TemporaryDirectory() as temporary:
            store.write_chunks(
                spec, {}, np.zeros(ROWS, np.uint8), [zeros] * (ROWS // len(zeros)), Path(temporary) / "store"
            )
            executor = Processes(read_all, workers)
            paths = [Path(temporary) / str(worker) for worker in range(workers)]
            for path in paths:
                path.mkdir()
            for path in paths:
                executor.submit(path)
            for _ in paths:
                executor.next_done()
            executor.close()
            each = [int((path / "memory").read_text()) / 2**20 for path in paths]
        totals[workers] = sum(each)
        print(f"  {workers} workers: {sum(each):.2f} in all, {statistics.mean(each):.2f} each")
    print(f"  four beside one: {totals[4] / totals[1]:.2f} times")


def fitness() -> None:
    from unbraid import checkpoint
    from unbraid.config import RunConfig
    from unbraid.encoder import load
    from unbraid.population.fitness import find_fitness
    from unbraid.records import RunDir
    from unbraid.run import train_weights

    print(f"fitness of beta-tcvae on {SPRITES}, batches of {BATCH}; share of a generation's time")
    options = {"batch_size": BATCH, "max_steps": TRAINED // BATCH, "precision": "fp32-channels-last"}
    for name, networks in (("udr", 5), ("mig", 1)):
        with tempfile.TemporaryDirectory() as temporary:
            run = RunDir(Path(temporary) / "run")
            config = RunConfig.make("beta-tcvae", SPRITES, num_models=networks, **options)
            accelerator, dataset = train_weights(config, run)
            an_image = checkpoint.load_state(run.checkpoint)["seconds"] / TRAINED
            encoder, judge = load(run, accelerator.device), find_fitness(name)
            start = time.perf_counter()
            judge(run, encoder, dataset)
            spent = time.perf_counter() - start
        seen = len(dataset.rows("train"))
        for images in (10_000, ROWS):
            judged = spent * min(images, 50_000) / seen if name == "mig" else spent
            trained = images * an_image
            share = f"{judged / (judged + trained):.1%} of a generation"
            print(f"  {name}, {networks} networks, {images:,} images: {judged:.2f} s beside {trained:.0f} s, {share}")


if __name__ == "__main__":
    for part in sys.argv[1:] or ["engine", "memory", "fitness"]:
        {"engine": engine, "memory": memory, "fitness": fitness}[part]()
