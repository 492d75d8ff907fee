"""Retrieval against loops, scikit-learn's neighbours and an independent library."""

import dataclasses

import numpy as np
import pytest
from fakes import noise_codes, perfect_codes
from sklearn.neighbors import NearestNeighbors

from unbraid.errors import UserError
from unbraid.metrics import retrieval as module
from unbraid.metrics import score
from unbraid.metrics.retrieval import _match, neighbours, retrieval
from unbraid.tables import Codes

GALLERIES = ["all", "other_domains", "same_domain"]


def run(codes: Codes, **options) -> dict:
    return {(one.column, one.variant): one for one in retrieval(codes, np.random.default_rng(0), **options)}


def is_same(codes: Codes, name: str, a: int, b: int, margin: int) -> bool:
    distance = abs(int(codes.columns[name][a]) - int(codes.columns[name][b]))
    if name in codes.spec.circular:
        distance = min(distance, codes.spec.sizes[name] - distance)
    return distance <= margin


def loop(codes: Codes, names: list[str], gallery: str, margins: dict, k: int) -> tuple[float, float]:
    """Score and chance, query by query."""
    domain, z = codes.columns["domain"], codes.z / np.linalg.norm(codes.z, axis=1, keepdims=True)
    hits, chances = [], []
    for query in np.flatnonzero(codes.split == 2):
        rows = [
            row
            for row in np.flatnonzero(codes.split != 1)
            if row != query and (gallery == "all" or (domain[row] == domain[query]) == (gallery == "same_domain"))
        ]
        same = [all(is_same(codes, name, query, row, margins.get(name, 0)) for name in names) for row in rows]
        nearest = np.argsort([np.linalg.norm(z[query] - z[row]) for row in rows])[:k]
        hits.append(np.mean([same[place] for place in nearest]))
        chances.append(np.mean(same))
    return float(np.mean(hits)), float(np.mean(chances))


@pytest.mark.parametrize("gallery", GALLERIES)
@pytest.mark.parametrize(("k", "margins"), [(1, {}), (3, {"pose": 1})])
def test_score_and_chance_are_those_of_a_loop(gallery, k, margins):
    codes = noise_codes()
    rng = np.random.default_rng(5)
    rows = rng.permutation(960)[:120]
    columns = {name: column[rows] for name, column in codes.columns.items()}
    split = rng.choice([0, 1, 2], 120).astype(np.uint8)
    codes = dataclasses.replace(codes, z=codes.z[rows], columns=columns, split=split)
    scores = run(codes, k=k, galleries=[gallery], margins=margins)
    for column, names in {"shape": ["shape"], "pose": ["pose"], "": ["shape", "pose"]}.items():
        one = scores[column, f"top-{k}, {gallery.replace('_', ' ')}"]
        assert (one.value, one.chance) == pytest.approx(loop(codes, names, gallery, margins, k))


def test_neighbours_are_those_of_scikit_learn_whatever_the_chunk(monkeypatch):
    codes = noise_codes()
    queries = np.flatnonzero(codes.split == 2)
    z = codes.z / np.linalg.norm(codes.z, axis=1, keepdims=True)
    distance, expected = NearestNeighbors(n_neighbors=6).fit(z).kneighbors(z[queries])
    for size in (2**26, 4 * 960 * 7, 1):
        monkeypatch.setattr(module, "_BLOCK_BYTES", size)
        found, similarity = neighbours(codes, queries, 5)
        assert np.array_equal(found, expected[:, 1:])
        assert np.allclose(2 - 2 * similarity, distance[:, 1:] ** 2, atol=1e-5)


def test_precision_at_one_of_pytorch_metric_learning():
    torch = pytest.importorskip("torch")
    accuracy = pytest.importorskip("pytorch_metric_learning.utils.accuracy_calculator")
    inference = pytest.importorskip("pytorch_metric_learning.utils.inference")
    distances = pytest.importorskip("pytorch_metric_learning.distances")
    codes = noise_codes()
    codes = dataclasses.replace(codes, split=np.full(960, 2, dtype=np.uint8))  # every row a query
    nearest = inference.CustomKNN(distances.CosineSimilarity())
    calculator = accuracy.AccuracyCalculator(include=("precision_at_1",), k=1, knn_func=nearest)
    truth = calculator.get_accuracy(torch.tensor(codes.z), torch.tensor(codes.columns["pose"]))
    assert run(codes)["pose", "top-1, all"].value == pytest.approx(truth["precision_at_1"])


def test_recorded_azimuth_matches():
    pairs = [(0, 17), (0, 16), (0, 2), (0, 3), (1, 16), (9, 0)]
    codes = perfect_codes()
    spec = dataclasses.replace(codes.spec, sizes={**codes.spec.sizes, "pose": 18})
    codes = dataclasses.replace(codes, spec=spec, columns={**codes.columns, "pose": np.arange(960) % 18})
    a, b = np.array(pairs).T
    expected = [True, True, True, False, False, False]
    assert _match(codes, "pose", a, b[:, None], 2)[:, 0].tolist() == expected


def test_self_is_removed_by_identity():
    codes = perfect_codes()
    z = codes.z.copy()
    z[7] = z[3]  # both rows of the test split, with the same code
    found, _ = neighbours(dataclasses.replace(codes, z=z), np.array([3, 7]), 1)
    assert found.tolist() == [[7], [3]]


def test_too_few_neighbours_are_marked_and_noted():
    codes = perfect_codes()
    few = dataclasses.replace(codes, columns={**codes.columns, "domain": np.r_[3, np.zeros(959, dtype=int)]})
    found, similarity = neighbours(few, np.array([0, 1]), 2, "same_domain")
    assert found[0].tolist() == [-1, -1]
    assert np.isneginf(similarity[0]).all()
    assert (found[1] > 0).all()
    assert run(few, galleries=["other_domains"], k=2)["shape", "top-2, other domains"].value is None


def test_no_other_domain():
    codes = perfect_codes()
    codes = dataclasses.replace(codes, spec=dataclasses.replace(codes.spec, domain=None, factors=("shape",)))
    assert [one.variant for one in score(codes, ["retrieval"])] == ["top-1, all"]
    with pytest.raises(UserError, match="'other_domains' needs a domain"):
        neighbours(codes, np.array([0]), 1, "other_domains")


def test_a_margin_for_an_unknown_factor():
    with pytest.raises(UserError, match=r"'poses', no content factor\. Did you mean 'pose'"):
        run(perfect_codes(), margins={"poses": 1})
