"""UDR of 50 models on 1,000 points of 10 dimensions beside the usual loop over pairs of models.

    python benchmarks/scores_udr.py

The loops do what the published code does for each of the 50 * 49 ordered pairs: fit scikit-learn's Lasso (alpha 0.1,
its default tolerance) of ten targets, or SciPy's Spearman correlation. They are timed on the pairs of every fifth model
and scaled to all pairs. The models mix their sources, from hardly to strongly.
"""

import statistics
import time
from collections.abc import Callable

import numpy as np
from scipy.stats import spearmanr
from sklearn.linear_model import Lasso

from unbraid.metrics.udr import udr

MODELS, ROWS, DIMS, TIMED, ROUNDS = 50, 1000, 10, 10, 5


def population() -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    sources = rng.normal(size=(ROWS, DIMS))
    codes = []
    for model in range(MODELS):
        order = rng.permutation(np.eye(DIMS)) * rng.choice([-1, 1], DIMS)
        mixing = order + 0.25 * model / MODELS * rng.normal(size=(DIMS, DIMS))
        codes.append(sources @ mixing + 0.1 * rng.normal(size=(ROWS, DIMS)))
    return codes


def loop(codes: list[np.ndarray], relation: str, tolerance: float = 1e-4) -> np.ndarray:
    """Agreement of all ordered pairs, one after the other."""
    codes = [(z - z.mean(axis=0)) / z.std(axis=0) for z in codes]
    pairwise = np.zeros((len(codes), len(codes)))
    for i, x in enumerate(codes):
        for j, y in enumerate(codes):
            if i != j:
                if relation == "lasso":
                    matrix = np.abs(Lasso(alpha=0.1, tol=tolerance, max_iter=100_000).fit(x, y).coef_.T)
                else:
                    matrix = np.abs(spearmanr(x, y).statistic[:DIMS, DIMS:])
                pairwise[i, j] = (one_partner(matrix) + one_partner(matrix.T)) / 2
    return pairwise


def one_partner(matrix: np.ndarray) -> float:
    total = matrix.sum(axis=0)
    return float(np.mean(matrix.max(axis=0) ** 2 / np.where(total == 0, 1, total)))


def seconds(run: Callable[[], object]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def timings(relation: str) -> tuple[float, float, float]:
    """Seconds of the loop, of ours, and the largest difference of a pair from a loop that converged."""
    codes = population()

    def ours():
        return udr(codes, rng=np.random.default_rng(0), relation=relation, active_by="none")

    timed = slice(None, None, MODELS // TIMED)
    difference = np.abs(ours().pairwise[timed, timed] - loop(codes[timed], relation, tolerance=1e-12)).max()
    spent = [(seconds(lambda: loop(codes[timed], relation)), seconds(ours)) for _ in range(ROUNDS)]
    slow, fast = (statistics.median(times) for times in zip(*spent, strict=True))
    return slow * MODELS * (MODELS - 1) / (TIMED * (TIMED - 1)), fast, float(difference)


def ratios() -> dict[str, float]:
    """How many times faster than the loop."""
    return {
        f"udr-{relation}": slow / fast for relation in ("lasso", "spearman") for slow, fast, _ in [timings(relation)]
    }


def main() -> None:
    print(f"{MODELS} models, {ROWS} points, {DIMS} dimensions; the loop is scaled up from {TIMED} of the models")
    for relation in ("lasso", "spearman"):
        slow, fast, difference = timings(relation)
        print(f"{relation:9} loop {slow:6.2f} s   ours {fast:6.3f} s   ratio {slow / fast:5.1f}   "
              f"largest difference of a pair, converged, {difference:.0e}")  # fmt: skip


if __name__ == "__main__":
    main()
