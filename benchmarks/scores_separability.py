"""Seconds of the scores of separability at 10,000 train rows x 128 dimensions, five factors, one of 50 values.

    OMP_NUM_THREADS=1 python benchmarks/scores_separability.py

SAP stands beside the published loop over `LinearSVC`, one for each dimension and factor. The loop runs on every 16th
dimension and is scaled up; our time is that of the same matrix, and of the whole score with chance level and intervals.
"""

import statistics
import time
from collections.abc import Callable

import numpy as np
from sklearn.svm import LinearSVC

from unbraid import metrics
from unbraid.metrics.one_dimensional_svm import svm_hits
from unbraid.tables import Codes, DataSpec

TRAIN, TEST, WIDTH, SIZES, EVERY, REPEATS = 10_000, 5_000, 128, (10, 10, 8, 4, 50), 16, 3
SCORES = ("sap", "explicitness", "downstream-efficiency", "dci", "dci-lasso")


def made_up() -> Codes:
    """Each factor in four dimensions, that of 50 values in 16, half of the others mixtures; noise everywhere."""
    rng = np.random.default_rng(0)
    factors = np.stack([rng.integers(size, size=TRAIN + TEST) for size in SIZES])
    z, place = rng.normal(size=(TRAIN + TEST, WIDTH)), 0
    for labels, size in zip(factors, SIZES):
        width = 16 if size == 50 else 4
        z[:, place : place + width] = rng.normal(size=(size, width))[labels] + 0.6 * z[:, place : place + width]
        place += width
    half = (WIDTH - place) // 2
    z[:, -half:] += z[:, :place] @ rng.normal(scale=0.3, size=(place, half))
    names = tuple("abcde")
    spec = DataSpec(
        name="made up", image_shape=(0, 0, 0), num_train=TRAIN, sizes=dict(zip(names, SIZES)), factors=names
    )
    split = np.repeat(np.uint8([0, 2]), [TRAIN, TEST])
    return Codes(spec=spec, z=z.astype(np.float32), columns=dict(zip(names, factors)), split=split)


def seconds(run: Callable[[], object]) -> float:
    def once() -> float:
        start = time.perf_counter()
        run()
        return time.perf_counter() - start

    return statistics.median(once() for _ in range(REPEATS))


def matrix_by_loop(codes: Codes, every: int) -> np.ndarray:
    """As published: the test accuracy of a machine for each dimension and factor."""
    train, test = codes.rows("train"), codes.rows("test")
    matrix = np.empty((len(range(0, WIDTH, every)), len(SIZES)))
    for row, k in enumerate(range(0, WIDTH, every)):
        for column, name in enumerate(codes.spec.factors):
            machine = LinearSVC(C=0.01, class_weight="balanced").fit(train.z[:, [k]], train.columns[name])
            matrix[row, column] = np.mean(machine.predict(test.z[:, [k]]) == test.columns[name])
    return matrix


def matrix(codes: Codes) -> np.ndarray:
    train, test = codes.rows("train"), codes.rows("test")
    hits = (svm_hits(train.z, train.columns[name], test.z, test.columns[name]) for name in codes.spec.factors)
    return np.stack([one.mean(axis=1) for one in hits], axis=1)


def measured() -> tuple[dict[str, float], float]:
    """Seconds by name, and the largest difference of an accuracy."""
    codes = made_up()
    found = {"published loop": EVERY * seconds(lambda: matrix_by_loop(codes, EVERY))}
    found["the same matrix"] = seconds(lambda: matrix(codes))
    for name in SCORES:
        found[name] = seconds(lambda name=name: metrics.METRICS[name](codes, np.random.default_rng(0)))
    return found, float(np.abs(matrix(codes)[::EVERY] - matrix_by_loop(codes, EVERY)).max())


def ratios() -> dict[str, float]:
    """How many times faster than the published loop."""
    found, _ = measured()
    return {name: found["published loop"] / found[name] for name in ("the same matrix", "sap")}


def main() -> None:
    found, difference = measured()
    for name, value in found.items():
        ratio = found["published loop"] / value if name in ("the same matrix", "sap") else None
        print(f"{name:24}{value:8.2f} s" + (f"{ratio:8.1f} x" if ratio else ""))
    print(f"largest difference of an accuracy from the loop: {difference:.5f}")


if __name__ == "__main__":
    main()
