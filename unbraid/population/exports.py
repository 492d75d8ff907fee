"""The best network of a population as a run directory of its own."""

import shutil
from pathlib import Path

import numpy as np

from unbraid import checkpoint
from unbraid.atomic import atomic_folder, recover_folder
from unbraid.encoder import load
from unbraid.population.fitness import Agreement
from unbraid.records import RunDir
from unbraid.tables import Dataset
from unbraid.types import Ensemble

_COPIED = ("config.json", "spec.json", "env.json", "train.jsonl")


def export_network(run: RunDir, folder: Path, network: int | None = None) -> RunDir:
    """Copy a run, with one of its networks chosen; a copy that is there is taken as it is."""
    recover_folder(folder)
    if folder.is_dir():
        return RunDir(folder)
    encoder = load(run.path)
    if network is not None and isinstance(encoder.method, Ensemble):
        encoder.method.choose(network)
    with atomic_folder(folder) as temporary:
        for name in _COPIED:
            if (file := run.path / name).is_file():
                shutil.copy(file, temporary / name)
        checkpoint.save(
            RunDir(temporary).checkpoint,
            weights=encoder.method.state_dict(),
            optimizers=checkpoint.load_optimizers(run.checkpoint),
            state=checkpoint.load_state(run.checkpoint),
        )
    return RunDir(folder)


def choose_agreed(run: RunDir) -> None:
    """Of a run of several networks, choose the one that the others agree with most, where UDR has judged them."""
    if not (run.path / "udr.npz").is_file():
        return
    with np.load(run.path / "udr.npz") as kept:
        best = int(kept["scores"].argmax())
    method = load(run.path).method
    assert isinstance(method, Ensemble)
    method.choose(best)
    optimizers, state = checkpoint.load_optimizers(run.checkpoint), checkpoint.load_state(run.checkpoint)
    checkpoint.save(run.checkpoint, weights=method.state_dict(), optimizers=optimizers, state=state)


def export_agreed(run: RunDir, folder: Path, agreement: Agreement, dataset: Dataset) -> RunDir:
    """Copy a run of several networks, with the one chosen that the others agree with most."""
    recover_folder(folder)
    if folder.is_dir():
        return RunDir(folder)
    scores = agreement.scores(load(run.path).method, dataset)
    return export_network(run, folder, int(np.argmax(scores)))
