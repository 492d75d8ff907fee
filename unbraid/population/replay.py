"""One model trained alone along the winner's schedule of hyper-parameters: what was found without the search."""

import dataclasses
import os
import shutil
from pathlib import Path

from unbraid.encoder import open_config
from unbraid.errors import UserError
from unbraid.lineage import best_line, lineage, place_of
from unbraid.population.engine import open_population, stored_config
from unbraid.records import RunDir
from unbraid.run import mark_done, train_config, train_weights
from unbraid.seeds import integer


def replay(folder: os.PathLike[str] | str, out: Path, seed: int = 0) -> RunDir:
    """Follow the winner and its donors back to the first generation, and train the same pieces from new weights.

    Each piece is a run directory in ``out`` that goes on from the one before; the last one, which is returned, is
    encoded and scored. A replay that was stopped goes on.

    Raises:
        UserError: If the folder holds no finished population, or ``out`` something else.
        Stopped: After Ctrl-C, with a checkpoint written.
    """
    population = open_population(folder)
    winner = best_line(population.history)
    assert winner is not None
    options, before = stored_config(population.folder).member.options, None
    for line in lineage(population.history, winner):
        generation = line["generation"]
        config = open_config(RunDir(population.folder / place_of(line)))
        if hasattr(config.hparams, "num_models"):  # of several that were compared, one
            config = dataclasses.replace(config, hparams=dataclasses.replace(config.hparams, num_models=1))
        settings = dataclasses.replace(
            config.settings,
            seed=integer(seed, "replay", generation) % 2**31,
            start_from="" if before is None else str(before.path.resolve()),
        )
        run, config = RunDir(out / f"{generation:03d}"), dataclasses.replace(config, options=options, settings=settings)
        if run.is_done() and (differing := open_config(run).differences(config)):
            raise UserError(f"{run.path} holds another replay ({'; '.join(differing[:3])}); choose another --out")
        if line is winner:
            if not run.is_done():
                train_config(config, run)
        elif not run.is_done():
            train_weights(config, run)
            mark_done(run)
        if before is not None:
            shutil.rmtree(before.checkpoint, ignore_errors=True)
        before = run
    assert before is not None
    return before
