"""Runs of one data set that can be explored on a page: the same gallery of images, codes of their own."""

import dataclasses
from pathlib import Path

import numpy as np
from fake_runs import fake_codes, write_run

from unbraid.records import RunDir
from unbraid.tables import Codes

GALLERY = 40
COLORS = ("red", "green", "blue", "amber", "</script><b>violet")


def write_galleries(root: Path, methods: tuple[str, ...] = ("dcodr", "simclr")) -> list[RunDir]:
    """Runs with a gallery, traversals of two dimensions and, where they draw, the rows of their swaps."""
    rng = np.random.default_rng(0)
    base = fake_codes("digits", (0.5, 0.5), 70, rng)
    spec = dataclasses.replace(base.spec, values={"color": COLORS})
    rows = np.sort(rng.choice(np.flatnonzero(base.split == 2), GALLERY, replace=False))
    shared = {
        "gallery_rows": rows,
        "gallery_images": rng.integers(256, size=(GALLERY, 8, 6, 3), dtype=np.uint8),
        "traversal_images": rng.integers(256, size=(2, 10, 8, 6, 3), dtype=np.uint8),
        "traversal_dim": np.array([4, 1]),
        "traversal_kl": np.array([2.5, 0.125]),
        "traversal_values": np.linspace(-2, 2, 9),
        "swap_content_rows": rows[:6],
        "swap_domain_rows": np.array([rows[base.columns["color"][rows] == color][0] for color in (4, 0, 1, 2)]),
    }
    runs = [write_run(root, method, rows=70) for method in methods]
    for run in runs:
        run.log.unlink()
        z = rng.normal(size=base.z.shape).astype(np.float32)
        Codes(spec=spec, z=z, columns=base.columns, split=base.split).save(run.codes)
        with np.load(run.samples) as file:
            np.savez(run.samples, **{**file, **shared})
    return runs
