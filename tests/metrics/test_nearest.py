"""Nearest neighbours against scikit-learn, whatever the size of the blocks."""

import dataclasses

import numpy as np
import pytest
from fakes import noise_codes, perfect_codes
from sklearn.neighbors import NearestNeighbors

from unbraid.errors import UserError
from unbraid.metrics import nearest
from unbraid.metrics.nearest import neighbours, search, usable


@pytest.mark.parametrize(("block", "rows"), [(2**23, 1024), (2000, 7), (2**20, 100)])
@pytest.mark.parametrize("k", [1, 5, 40])
def test_neighbours_are_those_of_scikit_learn_whatever_the_block(monkeypatch, block, rows, k):
    monkeypatch.setattr(nearest, "_BLOCK", block)
    monkeypatch.setattr(nearest, "_ROWS", rows)
    codes = noise_codes()
    queries = np.random.default_rng(0).permutation(960)[:50]
    z = codes.z / np.linalg.norm(codes.z, axis=1, keepdims=True)
    distance, expected = NearestNeighbors(n_neighbors=k + 1).fit(z).kneighbors(z[queries])
    found, similarity = neighbours(codes, queries, k)
    assert np.mean(found == expected[:, 1:]) > 0.999  # float32 may swap two that are equally near
    assert np.allclose(2 - 2 * similarity, distance[:, 1:] ** 2, atol=1e-5)


@pytest.mark.parametrize("gallery", ["all", "other_domains", "same_domain"])
@pytest.mark.parametrize("k", [1, 3, 300, 959])
def test_galleries_are_those_of_a_sorted_loop(gallery, k):
    codes = noise_codes()
    domain, z = codes.columns["domain"], codes.z / np.linalg.norm(codes.z, axis=1, keepdims=True)
    queries = np.arange(0, 960, 37)
    found, similarity = neighbours(codes, queries, k, gallery)
    for place, query in enumerate(queries):
        allowed = np.arange(960) != query
        if gallery != "all":
            allowed &= (domain == domain[query]) == (gallery == "same_domain")
        nearest_first = -np.sort(-(z @ z[query])[allowed])[:k]
        held = found[place] >= 0
        assert held.sum() == len(nearest_first)
        assert allowed[found[place][held]].all()
        assert len(set(found[place][held].tolist())) == len(nearest_first)
        assert np.allclose(similarity[place][held], nearest_first, atol=1e-6)
        assert np.isneginf(similarity[place][~held]).all()


def test_a_copy_is_found_and_the_query_is_not():
    codes = perfect_codes()
    z = codes.z.copy()
    z[7] = z[3]
    codes = dataclasses.replace(codes, z=z)
    assert neighbours(codes, np.array([3, 7]), 1)[0].tolist() == [[7], [3]]
    ((_, found, _),) = search(codes, np.array([3, 7]), np.arange(960), 2, with_query=True)
    assert np.sort(found, axis=1).tolist() == [[3, 7], [3, 7]]


def test_too_few_neighbours_are_marked():
    codes = perfect_codes()
    few = dataclasses.replace(codes, columns={**codes.columns, "domain": np.r_[3, np.zeros(959, dtype=int)]})
    found, similarity = neighbours(few, np.array([0, 1]), 2, "same_domain")
    assert found[0].tolist() == [-1, -1]
    assert np.isneginf(similarity[0]).all()
    assert (found[1] > 0).all()


def test_validation_rows_and_no_rows():
    codes = noise_codes()
    split = codes.split.copy()
    split[:900] = 1
    found, _ = neighbours(dataclasses.replace(codes, split=split), np.array([0, 950]), 59)
    assert (found >= 900).all()
    assert neighbours(codes, np.arange(0), 3)[0].shape == (0, 3)
    ((_, found, _),) = search(codes, np.arange(4), np.arange(0), 2)
    assert (found == -1).all()


def test_codes_are_not_changed():
    codes = noise_codes()
    neighbours(codes, np.arange(960), 3)
    assert np.array_equal(codes.z, noise_codes().z)


def test_usable_rows():
    codes = noise_codes()
    z, shape = codes.z.copy(), codes.columns["shape"].copy()
    age = codes.columns["age"].copy()
    z[3], shape[7], age[0] = 0, -1, np.nan  # rows 3 and 7 are test rows
    codes = dataclasses.replace(codes, z=z, columns={**codes.columns, "shape": shape, "age": age})
    rows, note = usable(codes, ["shape", "age"])
    assert np.setdiff1d(np.arange(960), rows).tolist() == [0, 3, 7]
    assert note == "test rows left out for a missing value: 1; test rows left out for an all-zero code: 1"
    assert usable(dataclasses.replace(codes, z=np.ones_like(z)), [])[1] == "every row has the same code"


def test_bad_questions():
    codes = perfect_codes()
    with pytest.raises(UserError, match="at least 1, not 0"):
        neighbours(codes, np.array([0]), 0)
    codes = dataclasses.replace(codes, spec=dataclasses.replace(codes.spec, domain=None, factors=("shape",)))
    with pytest.raises(UserError, match="'other_domains' needs a domain"):
        neighbours(codes, np.array([0]), 1, "other_domains")
