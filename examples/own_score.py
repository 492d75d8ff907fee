"""Your own score: a decorated function, with an interval and a chance level like every other.

    python examples/own_score.py

This one is the silhouette of the content's values in the code (Rousseeuw 1987): are rows of one value nearer to each
other than to those of the next value?
"""

import numpy as np
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.metrics import silhouette_samples

import unbraid
from unbraid.metrics import metric
from unbraid.metrics.intervals import bootstrap_mean
from unbraid.records import Score
from unbraid.tables import Codes


@metric(needs={"factors"}, higher_is_better=True, source="Rousseeuw 1987, J. Comput. Appl. Math. 20")
def silhouette(codes: Codes, rng: np.random.Generator) -> list[Score]:
    """How far each row is nearer to its own value's rows than to those of the nearest other value.

    Formula:
        mean over rows of (b - a) / max(a, b); a: mean distance to the own value's rows, b: to the nearest other's
    Range:
        -1 to 1; 0 is chance.
    Misleads:
        Values that form several clusters each score low, however well a classifier would tell them apart.
    """
    scores = []
    for name in codes.spec.factors:
        rows = codes.rows("test").known(name)
        values = rows.columns[name]
        each = silhouette_samples(rows.z, values)
        low, high = bootstrap_mean(each, rng)
        shuffled = silhouette_samples(rows.z, rng.permutation(values)).mean()
        facts = {"column": name, "low": low, "high": high, "chance": float(shuffled), "num": len(rows)}
        scores.append(silhouette.score(float(each.mean()), **facts))
    return scores


def main() -> None:
    digits = load_digits()
    for width in (2, 8, 32):
        codes = PCA(width, random_state=0).fit_transform(digits.data)
        (found,) = unbraid.score(codes, {"digit": digits.target}, ["silhouette"])
        print(f"{width} components: {found.value:.3f} [{found.low:.3f}, {found.high:.3f}], chance {found.chance:.3f}")


if __name__ == "__main__":
    main()
