import dataclasses

import numpy as np
import pytest
from fake_sets import assert_same, small

from unbraid.cli import main
from unbraid.data import load
from unbraid.data.rebias import _pair, rebias
from unbraid.errors import UserError
from unbraid.tables import Dataset, DataSpec


def table(num: int = 3000, labels: int = 3, biases: int = 3) -> Dataset:
    rng = np.random.default_rng(0)
    label, bias = rng.integers(labels, size=num), rng.integers(biases, size=num)
    split = rng.choice(np.array([0, 1, 2], dtype=np.uint8), size=num, p=[0.6, 0.1, 0.3])
    spec = DataSpec(
        name="table",
        image_shape=(1, 8, 8),
        num_train=int(np.sum(split == 0)),
        sizes={"y": labels, "b": biases},
        values={"y": tuple("abcdefgh"[:labels]), "b": tuple("stuvwxyz"[:biases])},
        factors=("y", "b"),
        domain="b",
        label="y",
        bias="b",
    )
    images = np.repeat(np.arange(num, dtype=np.uint8) % 251, 64).reshape(num, 8, 8, 1)
    return Dataset(spec=spec, images=images, columns={"y": label, "b": bias}, split=split)


def cells(data: Dataset, split: str) -> np.ndarray:
    rows = data.rows(split)
    counts = np.zeros((data.spec.sizes["y"], data.spec.sizes["b"]), dtype=int)
    np.add.at(counts, (data.columns["y"][rows], data.columns["b"][rows]), 1)
    return counts


@pytest.mark.parametrize("ratio", [0.5, 0.9, 0.99, 1.0])
def test_the_ratio_holds_for_each_label_value(ratio):
    before, after = table(), rebias(table(), ratio, pairing="modular")
    full, kept = cells(before, "train"), cells(after, "train")
    np.testing.assert_allclose(np.diag(kept) / kept.sum(axis=1), ratio, atol=0.005)
    conflicting = full.sum(axis=1) - np.diag(full)
    exhausted = (np.diag(full) - np.diag(kept) <= 1) | (np.abs(kept.sum(axis=1) - np.diag(kept) - conflicting) <= 1)
    assert exhausted.all()  # no more rows would do
    assert after.spec.num_train == kept.sum()


def test_held_out_rows_are_balanced_or_all():
    before = table()
    for split in ("validation", "test"):
        balanced = cells(rebias(before, 0.9), split)
        assert (balanced == cells(before, split).min()).all()
        np.testing.assert_array_equal(cells(rebias(before, 0.9, held_out="as-is"), split), cells(before, split))


def test_rows_stay_whole_and_the_seed_decides():
    before = table()
    one, again, other = rebias(before, 0.9), rebias(before, 0.9), rebias(before, 0.9, seed=1)
    assert_same(one, again)
    assert not np.array_equal(one.images, other.images)
    assert one.spec == dataclasses.replace(before.spec, name="table-biased", num_train=one.spec.num_train)
    marks = [
        f"{y} {b} {s} {image[0, 0, 0]}" for y, b, s, image in zip(*before.columns.values(), before.split, before.images)
    ]
    kept = [f"{y} {b} {s} {image[0, 0, 0]}" for y, b, s, image in zip(*one.columns.values(), one.split, one.images)]
    assert set(kept) <= set(marks)


def without_validation(before: Dataset) -> Dataset:
    return dataclasses.replace(before, split=np.where(before.split == 1, 0, before.split).astype(np.uint8))


def test_without_a_validation_split_a_tenth_of_each_pair_is_held_out():
    before = without_validation(table())
    full, whole, after = cells(before, "train"), rebias(before, 0.9, held_out="as-is"), rebias(before, 0.9)
    np.testing.assert_array_equal(cells(whole, "validation"), full // 10)
    assert (cells(after, "validation") == full.min() // 10).all()
    np.testing.assert_allclose(cells(after, "train").max(axis=1) / cells(after, "train").sum(axis=1), 0.9, atol=0.01)


@pytest.mark.parametrize(("rare", "ratio"), [(1, 0.99), (9, 0.917), (10, 0.916)])
def test_rare_pairs_stay_in_the_train_rows(rare, ratio):
    """Of 99 aligned rows for so many conflicting ones, what the ratio allows is kept but for a balanced tenth."""
    full = np.array([[99, rare], [rare, 99]])
    train = np.repeat(np.stack(np.unravel_index(range(4), (2, 2)), axis=1), full.ravel(), axis=0)
    test = np.array([[0, 0], [0, 1], [1, 0], [1, 1]])
    label, bias = np.concatenate([train, test]).T
    split = np.repeat(np.array([0, 2], dtype=np.uint8), [len(train), 4])
    data = table(num=len(split), labels=2, biases=2)
    data = dataclasses.replace(data, columns={"y": label, "b": bias}, split=split)
    balanced, whole = rebias(data, ratio), rebias(data, ratio, held_out="as-is")
    held = rare // 10
    assert (cells(balanced, "validation") == held).all()
    np.testing.assert_allclose(cells(balanced, "train"), full - held, atol=1)
    assert (cells(balanced, "train")[[0, 1], [1, 0]] == rare - held).all()
    np.testing.assert_array_equal(cells(whole, "validation"), full // 10)


def test_no_validation_rows_where_a_pair_does_not_occur():
    data = without_validation(table())
    rows = np.flatnonzero((data.split == 2) | (data.columns["y"] != 1) | (data.columns["b"] != 0))
    kept = rebias(data.take(rows), 1.0, pairing="modular")
    assert not len(kept.rows("validation"))
    assert np.diag(cells(kept, "train")).tolist() == np.diag(cells(data, "train")).tolist()


def test_pairings():
    count = np.array([[9, 8, 0], [9, 1, 0], [9, 7, 1]])  # the first value is everybody's most frequent
    assert _pair(count, "frequent").tolist() == [1, 0, 2]
    assert _pair(count, "modular").tolist() == [0, 1, 2]
    halves = np.array([[5, 1], [6, 1], [1, 4], [5, 4]])  # two label values for each bias value
    assert _pair(halves, "frequent").tolist() == [0, 0, 1, 1]
    assert _pair(halves, "modular").tolist() == [0, 1, 0, 1]


def test_more_labels_than_biases_and_missing_values():
    data = table(labels=4, biases=2)
    bias = data.columns["b"].copy()
    bias[::7] = -1
    kept = rebias(dataclasses.replace(data, columns={**data.columns, "b": bias}), 0.9)
    assert kept.columns["b"].min() == 0
    shares = cells(kept, "train").max(axis=1) / cells(kept, "train").sum(axis=1)
    np.testing.assert_allclose(shares, 0.9, atol=0.01)


def test_mistakes():
    data = table()
    with pytest.raises(UserError, match="give --label and --bias"):
        rebias(small(), 0.9)
    for ratio in (0.0, 1.1):
        with pytest.raises(UserError, match="must be above 0 and at most 1"):
            rebias(data, ratio)
    aligned = dataclasses.replace(data, columns={**data.columns, "b": data.columns["y"]})
    with pytest.raises(
        UserError, match=r"of the train rows with y=a, \d+ have b=s and 0 have not, too few for a ratio of 0.9"
    ):
        rebias(aligned, 0.9)
    few = data.take(np.flatnonzero((data.split == 0) | (data.columns["y"] != data.columns["b"])))
    with pytest.raises(UserError, match="cannot be balanced then; say --held-out as-is"):
        rebias(few, 0.9)


def test_command_line(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    digits = "digits:source=sklearn,size=16,paints=2"
    words = ["data", "bias", digits, "--label", "digit", "--bias", "paint", "--ratio", "0.8"]
    assert main(words) == 0
    said = capsys.readouterr().out
    data = load(str(tmp_path / "digits-biased"))
    assert said.startswith(f"digits-biased is written: {data.spec.num_train} train, 100 validation")
    assert said.endswith("unbraid train METHOD --data digits-biased\n")
    assert main([*words, "--out", "own.npz"]) == 0
    for split in ("train", "test"):
        assert (tmp_path / f"own_{split}.npz").is_file()
    np.testing.assert_array_equal(load("own_train.npz").columns["digit"].shape, data.columns["digit"].shape)
    (tmp_path / "photos").mkdir()
    assert main([*words, "--out", "photos"]) == 2
    assert "photos is there already and is no prepared data" in capsys.readouterr().err
