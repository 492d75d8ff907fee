"""The weighted vote against loops and scikit-learn."""

import dataclasses

import numpy as np
import pytest
from fakes import duplicated_codes, leaky_codes, noise_codes, perfect_codes
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.neighbors import KNeighborsClassifier

from unbraid.errors import UserError
from unbraid.metrics.knn import knn, votes
from unbraid.records import Score
from unbraid.tables import Codes


def run(codes: Codes, **options) -> dict[tuple[str, str], Score]:
    return {
        (one.column, one.variant.partition(", temperature")[0]): one
        for one in knn(codes, np.random.default_rng(0), **options)
    }


def many_values(num: int = 12) -> Codes:
    """The label has ``num`` values, unevenly, that the codes know something of."""
    codes, rng = noise_codes(), np.random.default_rng(2)
    label = (num * rng.uniform(size=960) ** 2).astype(np.int64)
    z = codes.z + rng.normal(size=(num, 4)).astype(np.float32)[label]
    spec = dataclasses.replace(codes.spec, sizes={**codes.spec.sizes, "shape": num})
    return dataclasses.replace(codes, spec=spec, z=z, columns={**codes.columns, "shape": label})


@pytest.mark.parametrize(("k", "temperature"), [(1, 0.5), (5, 0.5), (20, 0.2), (200, 0.07), (5000, 1.0)])
def test_accuracy_is_that_of_scikit_learn(k, temperature):
    codes = many_values()
    train, test = codes.rows("train"), codes.rows("test")
    vote = KNeighborsClassifier(
        min(k, 720), metric="cosine", algorithm="brute", weights=lambda distance: np.exp((1 - distance) / temperature)
    ).fit(train.z.astype(float), train.columns["shape"])
    shares = np.zeros((240, 12))
    shares[:, vote.classes_] = vote.predict_proba(test.z.astype(float))
    order = np.argsort(-shares, axis=1, kind="stable") == test.columns["shape"][:, None]
    found = run(codes, k=k, temperature=temperature)
    assert found["shape", f"top-1, k = {k}"].value == pytest.approx(order[:, :1].any(axis=1).mean())
    assert found["shape", f"top-5, k = {k}"].value == pytest.approx(order[:, :5].any(axis=1).mean())


def test_votes_are_those_of_a_loop():
    rng = np.random.default_rng(0)
    similarity = -np.sort(-rng.uniform(-1, 1, (8, 20)).astype(np.float32), axis=1)
    labels = rng.integers(3, size=(8, 20))
    expected = np.zeros((8, 3))
    for query in range(8):
        for cosine, label in zip(similarity[query].astype(float), labels[query], strict=True):
            expected[query, label] += np.exp(cosine / 0.5)
    scores = votes(similarity, labels, 3, 0.5) * np.exp(similarity[:, :1].astype(float) / 0.5)
    assert scores == pytest.approx(expected)
    assert np.isfinite(votes(similarity, labels, 3, 1e-5)).all()


def test_perfect_duplicated_noisy_and_leaky_codes():
    assert run(perfect_codes())["shape", "top-1, k = 200"].value == 1
    assert run(duplicated_codes())["shape", "top-1, k = 200"].value == 1
    for make in (noise_codes, leaky_codes):
        one = run(make())["shape", "top-1, k = 200"]
        assert abs(one.value - one.chance) < 0.1


def test_chance_is_that_of_the_most_frequent_train_values():
    codes = many_values()
    train, test = (codes.rows(split).columns["shape"].tolist() for split in ("train", "test"))
    frequent = sorted(set(train), key=train.count, reverse=True)
    found = run(codes)
    for top in (1, 5):
        one = found["shape", f"top-{top}, k = 200"]
        assert one.chance == pytest.approx(np.mean([value in frequent[:top] for value in test]))
        assert one.low <= one.value <= one.high
        assert one.num == 240


def test_each_content_factor_where_there_is_no_label():
    codes = perfect_codes()
    codes = dataclasses.replace(codes, spec=dataclasses.replace(codes.spec, label=None))
    assert list(run(codes, k=20)) == [("shape", "top-1, k = 20"), ("pose", "top-1, k = 20")]


def test_fewer_train_rows_than_k():
    assert run(perfect_codes(), k=1000)["shape", "top-1, k = 1000"].note == "all 720 train rows vote, k is 1000"


def test_missing_values_are_left_out():
    codes = many_values()
    label, lost = codes.columns["shape"].copy(), np.arange(0, 960, 5)
    label[lost] = -1
    holed = run(dataclasses.replace(codes, columns={**codes.columns, "shape": label}))["shape", "top-1, k = 200"]
    rest = run(codes.take(np.setdiff1d(np.arange(960), lost)))["shape", "top-1, k = 200"]
    assert (holed.value, holed.low, holed.high, holed.chance, holed.num) == (
        rest.value, rest.low, rest.high, rest.chance, rest.num
    )  # fmt: skip
    assert holed.note == "test rows left out for a missing value: 48"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda codes: {"z": np.zeros_like(codes.z)}, "every row has the same code"),
        (lambda codes: {"columns": {**codes.columns, "shape": np.full(960, 1)}}, "fewer than two values"),
        (lambda codes: {"split": np.zeros(960, dtype=np.uint8)}, "no test row"),
        (lambda codes: {"split": np.full(960, 2, dtype=np.uint8)}, "fewer than two values"),
    ],
)
def test_undefined_scores_say_why(change, reason):
    codes = noise_codes()
    one = run(dataclasses.replace(codes, **change(codes)))["shape", "top-1, k = 200"]
    assert one.value is None
    assert reason in one.note


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_order_sign_and_scale_do_not_matter(seed):
    codes, rng = many_values(), np.random.default_rng(seed)
    sign = rng.choice(np.float32([-1, 1]), (1, 4)) * rng.uniform(1, 2, (960, 1)).astype(np.float32)
    changed = dataclasses.replace(codes, z=(codes.z * sign)[:, rng.permutation(4)]).take(rng.permutation(960))
    before, after = run(codes, k=20), run(changed, k=20)
    for key, one in before.items():
        assert one.value == pytest.approx(after[key].value, abs=0.005)  # float32 may move one equal neighbour


@pytest.mark.parametrize("options", [{"k": 0}, {"temperature": 0.0}, {"temperature": -1.0}])
def test_bad_options(options):
    with pytest.raises(UserError, match=r"at least 1|above 0"):
        run(perfect_codes(), **options)


def test_a_value_per_row_is_not_asked_for():
    codes = perfect_codes()
    spec = dataclasses.replace(codes.spec, sizes={**codes.spec.sizes, "shape": 960})
    (one,) = run(dataclasses.replace(codes, spec=spec, columns={**codes.columns, "shape": np.arange(960)})).values()
    assert (one.value, one.note) == (None, "no test row has a value that occurs in the train split")
