"""Retrieval and nearest-neighbour classification beside a loop over queries and a table, and their peak memory.

python benchmarks/scores_retrieval.py            # 5,000 queries in 10,000 rows of 128 dimensions
python benchmarks/scores_retrieval.py million    # also 2,000 queries in 1,000,000 rows
"""

import resource
import statistics
import sys
import time

import numpy as np
import pandas as pd

from unbraid.metrics.knn import knn
from unbraid.metrics.nearest import neighbours
from unbraid.metrics.retrieval import retrieval
from unbraid.tables import Codes, DataSpec

SIZES = {"domain": 50, "azimuth": 18, "elevation": 9, "lighting": 6, "shape": 10}
LOOPED = 100  # queries of the loop that are timed, of all; the loop's time grows in proportion


def random_codes(num: int, num_queries: int, dim: int = 128) -> Codes:
    rng = np.random.default_rng(0)
    spec = DataSpec(
        name="random",
        image_shape=(0, 0, 0),
        num_train=num - num_queries,
        sizes=SIZES,
        factors=tuple(SIZES),
        circular=frozenset({"azimuth"}),
        domain="domain",
        label="shape",
    )
    return Codes(
        spec=spec,
        z=rng.standard_normal((num, dim), dtype=np.float32),
        columns={name: rng.integers(size, size=num) for name, size in SIZES.items()},
        split=np.where(np.arange(num) < num_queries, 2, 0).astype(np.uint8),
    )


def looped(codes: Codes, num_queries: int, k: int) -> pd.DataFrame:
    """Each query by itself: distances to all rows, all sorted, the neighbours looked up in the table of labels."""
    z = codes.z / np.linalg.norm(codes.z, axis=1, keepdims=True)
    table, hits = pd.DataFrame(dict(codes.columns)), []
    for query in range(num_queries):
        distance = np.linalg.norm(z - z[query], axis=1)
        order = np.argsort(distance)
        found = table.iloc[order[order != query][:k]]
        hits.append((found == table.iloc[query]).mean())
    return pd.DataFrame(hits)


def seconds(run, rounds: int = 3) -> float:
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def ratios() -> dict[str, float]:
    """How many times faster than the loop, for one score of the same neighbours and for whole metrics."""
    codes, rng = random_codes(10_000, 5_000), np.random.default_rng(0)
    queries = np.arange(5_000)
    loop = seconds(lambda: looped(codes, LOOPED, 1)) * len(queries) / LOOPED
    runs = {
        "neighbours, k = 1": lambda: neighbours(codes, queries, 1),
        "neighbours, k = 100": lambda: neighbours(codes, queries, 100),
        "neighbours, k = 1, other domains": lambda: neighbours(codes, queries, 1, "other_domains"),
        "neighbours, k = 1, same domain": lambda: neighbours(codes, queries, 1, "same_domain"),
        "retrieval, k = 1, gallery all": lambda: retrieval(codes, rng, galleries=["all"]),
        "retrieval, both default galleries": lambda: retrieval(codes, rng),
        "retrieval, k = 100, gallery all": lambda: retrieval(codes, rng, k=100, galleries=["all"]),
        "knn, k = 200": lambda: knn(codes, rng),
    }
    spent = {name: seconds(run) for name, run in runs.items()}
    print(f"{loop:7.2f} s          the loop, one gallery")
    for name, one in spent.items():
        print(f"{one:7.2f} s {loop / one:7.1f}  {name}")
    return {name: loop / one for name, one in spent.items()}


def million() -> None:
    codes = random_codes(1_000_000, 2_000)
    print(f"{peak():.2f} GiB at most so far, of which codes {codes.z.nbytes / 2**30:.2f}")
    for k in (1, 200):
        spent = seconds(lambda k=k: retrieval(codes, np.random.default_rng(0), k=k, galleries=["all"]), rounds=1)
        print(f"{spent:7.1f} s, {peak():.2f} GiB at most: retrieval of 2,000 queries in 1,000,000 rows, k = {k}")


def peak() -> float:
    """The most memory this process has held, in GiB (Linux counts in KiB)."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


if __name__ == "__main__":
    ratios()
    if "million" in sys.argv[1:]:
        million()
