"""Every score beside the published way of computing it, and a whole card. All in one run.

    python benchmarks/scores.py               # every area
    python benchmarks/scores.py card          # the card alone: 10,000 codes of 128 dimensions

Each area is a file scores_AREA.py, whose ``ratios()`` times both ways and gives how many times faster ours is.
"""

import importlib
import sys
import time

import numpy as np

from unbraid import metrics
from unbraid.tables import Codes, DataSpec

AREAS = ("information", "separability", "interventions", "udr", "probes", "retrieval")
SIZES = {"domain": 50, "shape": 4, "scale": 6, "pose": 12, "light": 3}


def made_up(num: int = 10_000, dim: int = 128) -> Codes:
    """Codes that hold four factors and some of a domain of 50 values, in a random mixture."""
    rng = np.random.default_rng(0)
    columns = {name: rng.integers(0, size, num) for name, size in SIZES.items()}
    parts = [rng.normal(size=(size, 16))[columns[name]] for name, size in SIZES.items()]
    parts[0] *= 0.3
    z = np.concatenate([*parts, rng.normal(size=(num, dim - 16 * len(SIZES)))], axis=1)
    split = np.where(np.arange(num) % 10 < 7, 0, 2).astype(np.uint8)
    mixed = (z + rng.normal(0, 0.5, z.shape)) @ np.linalg.qr(rng.normal(size=(dim, dim)))[0]
    spec = DataSpec(
        name="made up",
        image_shape=(0, 0, 0),
        num_train=int(np.sum(split == 0)),
        sizes=SIZES,
        factors=tuple(SIZES),
        domain="domain",
    )
    return Codes(spec=spec, z=mixed.astype(np.float32), columns=columns, split=split)


def card() -> None:
    codes, total = made_up(), 0.0
    print(f"a card of {len(codes):,} codes of {codes.z.shape[1]} dimensions, 4 factors, 50 domains")
    for name in metrics.everyday(codes.spec):
        start = time.perf_counter()
        metrics.score(codes, [name])
        spent = time.perf_counter() - start
        total += spent
        print(f"  {name:<28} {spent:6.2f} s")
    print(f"  {'all':<28} {total:6.2f} s  (at most 60)")


def main() -> None:
    wanted = sys.argv[1:] or ["card", *AREAS]
    for area in wanted:
        if area == "card":
            card()
            continue
        print(f"\n{area}")
        for name, ratio in importlib.import_module(f"scores_{area}").ratios().items():
            print(f"  {name}: {ratio:.1f} times faster")


if __name__ == "__main__":
    main()
