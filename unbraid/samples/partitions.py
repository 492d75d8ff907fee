"""The partitions of the training images that a method found: ``partitions.npz``.

- ``environments`` (P, N): of each partition the environment, 0 .. K-1, of each row of the train split;
  ``num_environments``, K; ``epochs`` (P) before which they were found, ``objective`` (P) that they reached
- ``gallery_images``, with ``gallery_partition`` and ``gallery_environment``: some images of each side
- ``P:association_*``: how far partition P goes with each column of the data
"""

from pathlib import Path
from typing import Any

import numpy as np

from unbraid.atomic import atomic_file
from unbraid.metrics.association import as_arrays, associations
from unbraid.seeds import stream
from unbraid.tables import Dataset
from unbraid.types import FindsPartitions, Method

MAX_ROWS = 10_000  # for the associations
_SHOWN = 12  # images of a side


def save_partitions(path: Path, method: Method, dataset: Dataset, seed: int) -> None:
    """Write ``path``, if the method has found partitions."""
    if not isinstance(method, FindsPartitions) or not len(method.found_partitions):
        return
    found = method.found_partitions
    environments = found.environments.cpu().numpy()  # (P, N)
    arrays: dict[str, Any] = {
        "environments": environments,
        "num_environments": np.array(found.num_environments),
        "epochs": found.epochs.cpu().numpy(),
        "objective": found.values.cpu().numpy(),
    }
    train, rng = dataset.rows("train"), stream(seed, "samples", "partitions")
    arrays |= _gallery(environments, dataset.images, train, rng)
    index = np.sort(rng.permutation(len(train))[:MAX_ROWS])
    columns = {name: column[train[index]] for name, column in dataset.columns.items()}
    for number, sides in enumerate(environments):
        told = as_arrays(associations(sides[index], columns, rng))
        arrays |= {f"{number}:{name}": values for name, values in told.items()}
    with atomic_file(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, **arrays)


def _gallery(
    environments: np.ndarray, images: np.ndarray, train: np.ndarray, rng: np.random.Generator
) -> dict[str, np.ndarray]:
    """Random images of each side of each partition."""
    chosen = [
        (number, side, row)
        for number, sides in enumerate(environments)
        for side in np.unique(sides)
        for row in np.sort(rng.permutation(np.flatnonzero(sides == side))[:_SHOWN])
    ]
    partition, environment, rows = np.array(chosen).T
    return {
        "gallery_partition": partition,
        "gallery_environment": environment,
        "gallery_images": images[train[rows]],
    }
