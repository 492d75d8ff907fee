"""Search across domains: the same digit, in any other paint.

    python examples/cross_domain_retrieval.py

A code that keeps the paint returns neighbours in the same paint. One that dropped it returns the same digit in others.
"""

import numpy as np

import unbraid
from unbraid.tables import SPLITS, Codes


def nearest_elsewhere(codes: Codes, domain: str) -> tuple[np.ndarray, np.ndarray]:
    """For each test row, the nearest train row of another domain: (rows, their neighbours)."""
    queries, gallery = (np.flatnonzero(codes.split == SPLITS.index(name)) for name in ("test", "train"))
    similarity = codes.z[queries] @ codes.z[gallery].T  # codes have length 1
    same = codes.columns[domain][queries][:, None] == codes.columns[domain][gallery]
    return queries, gallery[np.where(same, -np.inf, similarity).argmax(axis=1)]


def main(num: int = 2000, epochs: int = 4) -> None:
    for method in ("untrained", "dcodr-norec"):
        extra = {} if method == "untrained" else {"epochs": epochs}
        run = unbraid.train(method, data=f"digits:num={num}", metrics=["retrieval"], **extra)
        codes = Codes.load(run.codes)
        rows, found = nearest_elsewhere(codes, "paint")
        right = codes.columns["digit"][rows] == codes.columns["digit"][found]
        print(f"{method}: {right.mean():.2f} of the nearest images in another paint show the same digit")


if __name__ == "__main__":
    main()
