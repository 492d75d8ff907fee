"""Seconds of the FactorVAE score and of IRS beside the published loops over votes and over values.

    OMP_NUM_THREADS=1 python benchmarks/scores_interventions.py

10,000 rows to train and to test, 128 dimensions, four factors; seconds of one processor, whoever else uses the machine.
The loops follow disentanglement_lib but draw from the same table. Both sides do the work that belongs to a score: as
many votes, or as many versions of the table, as interval and chance level take.
"""

import statistics
import time
from collections.abc import Callable

import numpy as np

from unbraid.metrics.interventions import factor_vae_score
from unbraid.metrics.irs import irs
from unbraid.tables import Codes, DataSpec

NUM, DIMENSIONS, SIZES, REPEATS = 10_000, 128, (3, 6, 15, 10), 3
BATCH, VOTES = 64, 10_000 + 5_000 + 8 * 2_500 + 3 * 1_500


def table() -> Codes:
    rng = np.random.default_rng(0)
    factors = rng.integers(0, SIZES, size=(2 * NUM, len(SIZES)))
    z = rng.normal(size=(2 * NUM, DIMENSIONS))
    z[:, : len(SIZES)] += factors
    names = tuple(f"f{place}" for place in range(len(SIZES)))
    spec = DataSpec(name="table", image_shape=(0, 0, 0), num_train=NUM, sizes=dict(zip(names, SIZES)), factors=names)
    split = np.repeat([0, 2], NUM).astype(np.uint8)
    return Codes(spec=spec, z=z.astype(np.float32), columns=dict(zip(names, factors.T)), split=split)


def looped_votes(codes: Codes) -> None:
    rng, z, factors = np.random.default_rng(0), codes.z, codes.factors
    scale = z.var(axis=0, ddof=1)
    active, counts = np.sqrt(scale) >= 0.05, np.zeros((factors.shape[1], z.shape[1]))
    for _ in range(VOTES):
        held = rng.integers(factors.shape[1])
        value = factors[rng.integers(len(z)), held]
        batch = z[rng.choice(np.flatnonzero(factors[:, held] == value), BATCH)]
        counts[held, np.argmin((batch.var(axis=0, ddof=1) / scale)[active])] += 1
    assert counts.max(axis=0).sum() / counts.sum() > 0.9


def looped_irs(codes: Codes) -> None:
    """The score, 3 shuffles, 8 halves."""
    rng, z, factors = np.random.default_rng(0), codes.z, codes.factors
    tables = [(z, factors)] + [(rng.permutation(z), factors) for _ in range(3)]
    halves = [rng.permutation(len(z))[: len(z) // 2] for _ in range(8)]
    for codes_, factors_ in tables + [(z[rows], factors[rows]) for rows in halves]:
        farthest = np.max(np.abs(codes_ - codes_.mean(axis=0)), axis=0)
        deviations = np.zeros((codes_.shape[1], factors_.shape[1]))
        for place in range(factors_.shape[1]):
            values = np.unique(factors_[:, place])
            for value in values:
                group = codes_[factors_[:, place] == value]
                away = np.abs(group - np.mean(group, axis=0))
                deviations[:, place] += np.percentile(away, 99, axis=0) / len(values)
        assert np.isfinite(1 - deviations / farthest[:, None]).all()


def seconds(run: Callable[[], object]) -> float:
    run()
    times = []
    for _ in range(REPEATS):
        start = time.process_time()
        run()
        times.append(time.process_time() - start)
    return statistics.median(times)


def measure() -> dict[str, tuple[float, float]]:
    """Score -> seconds of the loop and of ours."""
    codes = table()
    test = codes.rows("test")
    return {
        "factor-vae-score": (
            seconds(lambda: looped_votes(test)),
            seconds(lambda: factor_vae_score(codes, np.random.default_rng(0))),
        ),
        "irs": (seconds(lambda: looped_irs(test)), seconds(lambda: irs(codes, np.random.default_rng(0)))),
    }


def ratios() -> dict[str, float]:
    return {name: loop / ours for name, (loop, ours) in measure().items()}


if __name__ == "__main__":
    for name, (loop, ours) in measure().items():
        print(f"{name:18} published loop {loop:6.2f} s   ours {ours:6.2f} s   ratio {loop / ours:5.1f}")
