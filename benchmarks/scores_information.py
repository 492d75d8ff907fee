"""MIG of 10,000 codes of 128 dimensions with 5 factors: ours beside the published loop over pairs.

    OMP_NUM_THREADS=1 python benchmarks/scores_information.py

The loop bins one dimension at a time and calls scikit-learn's ``mutual_info_score`` for each dimension and factor.
"""

import statistics
import time
from collections.abc import Callable

import numpy as np
from sklearn.metrics import mutual_info_score

from unbraid.metrics.information import bin_codes, information_gap, information_matrix, mig
from unbraid.tables import Codes, DataSpec

ROWS, DIMENSIONS, BINS, REPEATS = 10_000, 128, 20, 3
SIZES = {"shape": 3, "scale": 6, "orientation": 40, "x": 32, "y": 32}


def codes() -> Codes:
    rng = np.random.default_rng(0)
    columns = {name: rng.integers(size, size=ROWS) for name, size in SIZES.items()}
    z = rng.normal(size=(ROWS, DIMENSIONS))
    z[:, : len(SIZES)] += np.stack([*columns.values()], axis=1)
    spec = DataSpec(name="made", image_shape=(0, 0, 0), num_train=0, sizes=SIZES, factors=tuple(SIZES))
    return Codes(spec=spec, z=z.astype(np.float32), columns=columns, split=np.full(ROWS, 2, dtype=np.uint8))


def looped(z: np.ndarray, factors: np.ndarray) -> float:
    """As published: (D, N) codes, (G, N) factors."""
    binned = np.zeros_like(z, dtype=np.int32)
    for d in range(len(z)):
        binned[d] = np.digitize(z[d], np.histogram(z[d], BINS)[1][:-1])
    information = np.zeros((len(z), len(factors)))
    entropies = np.zeros(len(factors))
    for f in range(len(factors)):
        for d in range(len(z)):
            information[d, f] = mutual_info_score(factors[f], binned[d])
        entropies[f] = mutual_info_score(factors[f], factors[f])
    ordered = np.sort(information, axis=0)[::-1]
    return float(np.mean((ordered[0] - ordered[1]) / entropies))


def at_once(z: np.ndarray, factors: np.ndarray) -> float:
    """(N, D) codes, (N, G) factors."""
    return float(information_gap(*information_matrix(bin_codes(z, BINS), factors, BINS)).mean())


def seconds(call: Callable[[], object]) -> float:
    def once() -> float:
        start = time.perf_counter()
        call()
        return time.perf_counter() - start

    return statistics.median(once() for _ in range(REPEATS))


def timings() -> dict[str, float]:
    """Seconds, the published loop first."""
    made = codes()
    z, factors = made.z.astype(np.float64), made.factors
    assert np.isclose(looped(z.T, factors.T), at_once(z, factors))
    return {
        "the published loop": seconds(lambda: looped(z.T, factors.T)),
        "MIG": seconds(lambda: at_once(z, factors)),
        "the score mig, with interval and chance": seconds(lambda: mig(made, np.random.default_rng(0))),
    }


def ratios() -> dict[str, float]:
    """How many times faster than the published loop."""
    loop, *ours = timings().items()
    return {name: loop[1] / taken for name, taken in ours}


def main() -> None:
    measured = timings()
    loop = measured["the published loop"]
    print(f"{ROWS} codes of {DIMENSIONS} dimensions, factors of {', '.join(map(str, SIZES.values()))} values")
    for name, taken in measured.items():
        print(f"{taken:8.3f} s  {loop / taken:6.1f} x  {name}")


if __name__ == "__main__":
    main()
