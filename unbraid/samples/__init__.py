"""What a person wants to see of a run: nearest neighbours, and images drawn with the domain of another."""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from unbraid.atomic import atomic_file
from unbraid.encode import to_pixels, to_tensor
from unbraid.metrics.retrieval import neighbours
from unbraid.samples.gallery import gallery_of
from unbraid.samples.traversal import traversals
from unbraid.seeds import stream
from unbraid.tables import Codes, Dataset
from unbraid.types import Decodes, Method

_STRIPS, _NEIGHBOURS, _GRID = 8, 6, 6


def save_samples(path: Path, method: Method, dataset: Dataset, codes: Codes, seed: int) -> None:
    """``samples.npz``: ``strip_*``, ``gallery_*``, ``traversal_*`` if it draws, ``swap_*`` if it draws in a domain.

    All of them show test images; without a test row there are no strips, and nothing else.
    """
    rng = stream(seed, "samples")
    arrays: dict[str, Any] = _strips(dataset, codes, rng) | gallery_of(dataset)
    if len(dataset.rows("test")):
        if isinstance(method, Decodes) and "domain" in method.needs.labels:
            arrays |= _swaps(method, dataset, rng)
        arrays |= traversals(method, dataset, codes, stream(seed, "samples", "traversal"))
    with atomic_file(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, **arrays)


def _strips(dataset: Dataset, codes: Codes, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Test images, each with its nearest neighbours and whether these share its content."""
    test = dataset.rows("test")
    queries = np.sort(rng.choice(test, min(_STRIPS, len(test)), replace=False))
    width = min(_NEIGHBOURS, len(dataset.rows("train")) + len(test) - 1)
    rows, _ = neighbours(codes, queries, width)
    rows = np.concatenate([queries[:, None], rows], axis=1)  # (Q, 1 + K)
    rows = rows[(rows >= 0).all(axis=1)]
    content = [codes.columns[name][rows] for name in dataset.spec.content]
    same = [values[:, :1] == values[:, 1:] for values in content]
    match = np.all(same, axis=0) if same else np.zeros(rows[:, 1:].shape, dtype=bool)
    arrays = {"strip_images": dataset.images[rows], "strip_match": match}
    if dataset.spec.domain is not None:
        arrays["strip_domain"] = codes.columns[dataset.spec.domain][rows]
    return arrays


def _swaps(method: Method, dataset: Dataset, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """What is drawn with the content of some test images and the domain of others.

    - ``swap_images`` (1 + I, 1 + J, H, W, C): row i, column j: the content of column j's image drawn in the domain of
      row i's; the first row and column are the images themselves, the corner is blank
    - ``swap_domain_rows`` (I), ``swap_content_rows`` (J): the rows of these images
    """
    assert isinstance(method, Decodes)
    assert dataset.spec.domain is not None
    domain = dataset.columns[dataset.spec.domain]
    test = dataset.rows("test")
    givers = np.array([rng.choice(test[domain[test] == value]) for value in np.unique(domain[test])])
    givers = rng.permutation(givers)[:_GRID]
    contents = rng.choice(test, min(_GRID, len(test)), replace=False)
    device = next(method.parameters()).device
    with torch.inference_mode():
        z = method.encode(to_tensor(dataset.images[contents], device))  # (J, D)
        styles = torch.from_numpy(domain[givers]).to(device)  # (I,)
        drawn = method.decode(z.repeat(len(styles), 1), styles.repeat_interleave(len(z)))  # (I * J, C, H, W)
    pixels = to_pixels(drawn)
    pixels = pixels.reshape(len(givers), len(contents), *pixels.shape[1:])
    corner = np.full_like(dataset.images[:1], 255)
    first = np.concatenate([corner, dataset.images[contents]])[None]  # (1, 1 + J, H, W, C)
    grid = np.concatenate([first, np.concatenate([dataset.images[givers][:, None], pixels], axis=1)])
    return {"swap_images": grid, "swap_domain_rows": givers, "swap_content_rows": contents}
