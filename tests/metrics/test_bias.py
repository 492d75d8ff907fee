"""Accuracies against loops over groups, recorded cells of the published evaluation, and coverage; and calibration."""

import dataclasses

import numpy as np
import pytest
from fakes import noise_codes, perfect_codes
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score, brier_score_loss

from unbraid.errors import DataError
from unbraid.metrics import bias, score
from unbraid.metrics.bias import accuracy, calibration_error
from unbraid.records import Score
from unbraid.selection import selected
from unbraid.tables import Codes, DataSpec

NAMES = ["plain", "balanced", "unbiased", "worst group", "aligned", "conflicting", "gap"]


def codes_of(
    truth: np.ndarray, colour: np.ndarray, answers: np.ndarray | None, num_colours: int = 3, seed: int = 0
) -> Codes:
    """Test rows with these labels and answers, behind train rows in which the colour is the label nine times in ten."""
    rng = np.random.default_rng(seed)
    train = np.repeat(np.arange(3), 40)
    train_colour = np.where(np.arange(120) % 10 == 0, (train + 1) % num_colours, train)
    columns = {"digit": np.r_[train, truth], "colour": np.r_[train_colour, colour]}
    spec = DataSpec(
        name="toy",
        image_shape=(0, 0, 0),
        num_train=120,
        sizes={"digit": 3, "colour": num_colours},
        values={"colour": ("red", "green", "blue")},
        label="digit",
        bias="colour",
    )
    logits = None if answers is None else 4 * np.eye(3, dtype=np.float32)[np.r_[train, answers]]
    split = np.r_[np.zeros(120), np.full(len(truth), 2)].astype(np.uint8)
    z = rng.normal(size=(len(split), 4)).astype(np.float32)
    return Codes(spec=spec, z=z, columns=columns, split=split, logits=logits)


def random_codes(seed: int = 0, num: int = 200) -> Codes:
    rng = np.random.default_rng(seed)
    truth, colour = rng.integers(0, 3, num), rng.integers(0, 3, num)
    answers = np.where(rng.random(num) < 0.4 + 0.4 * (truth == colour), truth, rng.integers(0, 3, num))
    return codes_of(truth, colour, answers)


def run(codes: Codes, seed: int = 0) -> dict[str, Score]:
    return {one.variant.split(",")[0]: one for one in accuracy(codes, np.random.default_rng(seed))}


def loop(truth, colour, answers) -> dict[str, float]:
    """Row by row."""
    cells, digits, kinds = {}, {}, {True: [], False: []}
    for digit, tint, answer in zip(truth.tolist(), colour.tolist(), answers.tolist()):
        hit = float(digit == answer)
        cells.setdefault((digit, tint), []).append(hit)
        digits.setdefault(digit, []).append(hit)
        kinds[digit == tint].append(hit)
    mean = {kind: sum(hits) / len(hits) for kind, hits in kinds.items()}
    shares = [sum(hits) / len(hits) for hits in cells.values()]
    return {
        "plain": float(np.mean(kinds[True] + kinds[False])),
        "balanced": float(np.mean([np.mean(hits) for hits in digits.values()])),
        "unbiased": sum(shares) / len(shares),
        "worst group": min(shares),
        "aligned": mean[True],
        "conflicting": mean[False],
        "gap": mean[True] - mean[False],
    }


@pytest.mark.parametrize("seed", range(3))
def test_every_accuracy_is_that_of_a_loop(seed):
    codes = random_codes(seed)
    test = codes.rows("test")
    answers = test.logits.argmax(axis=1)
    found = run(codes)
    assert list(found) == NAMES
    expected = loop(test.columns["digit"], test.columns["colour"], answers)
    assert {name: one.value for name, one in found.items()} == pytest.approx(expected)
    assert found["balanced"].value == pytest.approx(balanced_accuracy_score(test.columns["digit"], answers))
    chance = loop(test.columns["digit"], test.columns["colour"], np.zeros(200, dtype=int))  # train labels are in a tie
    del chance["worst group"]
    assert {name: found[name].chance for name in chance} == pytest.approx(chance)
    assert all(one.low <= one.value <= one.high and one.num for one in found.values())
    assert all(one.variant.endswith(", the model's own") for one in found.values())


def test_recorded_cells_of_the_published_evaluation():
    """A run of 45 images, five in each cell: accuracy .4444, aligned .4667, "skewed" .4333."""
    cells = np.array([[0.8, 1, 0.6], [0, 0, 0], [0.4, 0.6, 0.6]])
    truth, colour, place = (index.ravel() for index in np.indices((3, 3, 5)))
    right = place < 5 * cells[truth, colour] - 0.5
    found = run(codes_of(truth, colour, np.where(right, truth, (truth + 1) % 3)))
    assert found["unbiased"].value == pytest.approx(0.444444, abs=1e-6)
    assert found["aligned"].value == pytest.approx(0.466667, abs=1e-6)
    assert found["conflicting"].value == pytest.approx(0.433333, abs=1e-6)
    assert found["worst group"].value == 0


def test_empty_cells_are_left_out_and_counted():
    """Cells of the recorded meter: (0,0) half right, (1,2) and (0,1) right, the others without rows."""
    truth, colour, answers = np.array([0, 0, 1, 0]), np.array([0, 0, 2, 1]), np.array([0, 1, 1, 0])
    found = run(codes_of(truth, colour, answers))
    assert found["unbiased"].value == pytest.approx((0.5 + 1 + 1) / 3)
    assert found["unbiased"].note == "6 of 9 groups hold no test rows and are left out"
    assert found["worst group"].note.startswith("digit=0, colour=red: 2 rows, of 3 groups")


def test_without_logits_a_linear_probe_answers_and_is_trained_once(monkeypatch):
    codes = codes_of(np.arange(60) % 3, np.arange(60) // 20, None)
    codes.z[:, :3] = 5 * np.eye(3)[codes.columns["digit"]]
    fits, fit = [], LogisticRegression.fit
    monkeypatch.setattr(LogisticRegression, "fit", lambda *args, **rest: fits.append(1) or fit(*args, **rest))
    found = run(codes)
    assert len(fits) == 1
    assert found["plain"].value == 1
    assert found["plain"].variant == "plain, linear probe"


def test_perfect_and_ignorant_codes():
    for make, low, high in ((perfect_codes, 0.95, 1.0), (noise_codes, 0.2, 0.45)):
        codes = make()
        columns = codes.columns | {"colour": np.where(np.arange(960) % 7 == 0, 0, codes.columns["shape"])}
        spec = dataclasses.replace(codes.spec, bias="colour", sizes=codes.spec.sizes | {"colour": 3})
        for name, one in run(dataclasses.replace(codes, spec=spec, columns=columns)).items():
            if name == "gap":
                assert abs(one.value) < 0.2
            elif name != "worst group":
                assert low <= one.value <= high, one
            else:
                assert abs(one.value - one.chance) < 0.15 or one.value > low


def test_a_data_set_without_bias_has_two_scores():
    codes = random_codes()
    codes = dataclasses.replace(codes, spec=dataclasses.replace(codes.spec, bias=None))
    assert [one.variant for one in score(codes, ["accuracy"])] == [
        "plain, the model's own",
        "balanced, the model's own",
    ]


@pytest.mark.parametrize("order", ["rows", "values"])
def test_order_of_rows_and_names_of_values_do_not_matter(order):
    codes, shuffle = random_codes(), np.random.default_rng(2).permutation(320)
    new = np.array([2, 0, 1])
    if order == "rows":
        other = codes.take(shuffle)
    else:
        columns = {name: new[column] for name, column in codes.columns.items()}
        other = dataclasses.replace(codes, columns=columns, logits=codes.logits[:, np.argsort(new)])
    expected = {name: one.value for name, one in run(codes).items()}
    assert {name: one.value for name, one in run(other).items()} == pytest.approx(expected)


def test_rows_of_unknown_bias_count_where_the_bias_does_not():
    codes = random_codes()
    columns = {name: column.copy() for name, column in codes.columns.items()}
    columns["colour"][-50:] = -1
    columns["digit"][-10:] = -1
    found = run(dataclasses.replace(codes, columns=columns))
    assert [found[name].num for name in ("plain", "unbiased", "gap")] == [190, 150, 150]


def test_a_tie_leaves_aligned_rows_undefined():
    codes = random_codes()
    columns = codes.columns | {"colour": np.where(np.arange(320) < 40, np.arange(320) % 2, codes.columns["colour"])}
    found = run(dataclasses.replace(codes, columns=columns))
    for name in ("aligned", "conflicting", "gap"):
        assert found[name].value is None
        assert found[name].note == "no value of 'colour' is the most frequent one of the train rows with digit=0"
    assert found["unbiased"].value is not None


def test_only_conflicting_rows():
    truth = np.arange(60) % 3
    found = run(codes_of(truth, (truth + 1) % 3, truth))
    assert found["conflicting"].value == 1
    assert (found["aligned"].value, found["aligned"].note) == (None, "no such test row")
    assert found["gap"].note == "it needs rows of both"


def test_undefined_says_why():
    codes = random_codes()
    for change, reason in (
        ({"columns": codes.columns | {"colour": np.full(320, -1)}}, "no test row has a value of the bias"),
        ({"split": np.zeros(320, dtype=np.uint8)}, "no rows in the test split"),
        ({"split": np.zeros(320, dtype=np.uint8), "logits": None}, "no rows in the test split"),
    ):
        (*_, last) = accuracy(dataclasses.replace(codes, **change), np.random.default_rng(0))
        assert last.value is None
        assert last.note.startswith(reason)
    real = {"digit": np.linspace(0, 1, 320).astype(np.float32), "colour": codes.columns["colour"]}
    spec = dataclasses.replace(codes.spec, sizes={"colour": 3}, targets=("digit",))
    (one,) = accuracy(dataclasses.replace(codes, spec=spec, columns=real), np.random.default_rng(0))
    assert one.note == "the label is real-valued; it takes a categorical one"
    real = {"colour": real["digit"], "digit": codes.columns["digit"]}
    spec = dataclasses.replace(codes.spec, sizes={"digit": 3}, targets=("colour",))
    assert run(dataclasses.replace(codes, spec=spec, columns=real))["gap"].note == "the bias is real-valued"


def test_logits_of_another_label_and_of_a_diverged_model():
    codes = random_codes()
    with pytest.raises(DataError, match="the logits have 2 columns, but 'digit' has 3 values"):
        run(dataclasses.replace(codes, logits=codes.logits[:, :2]))
    with pytest.raises(DataError, match="the logits hold NaN"):
        run(dataclasses.replace(codes, logits=np.full_like(codes.logits, np.nan)))


def test_intervals_hold_the_truth_also_that_of_the_worst_group(monkeypatch):
    """100 test sets of a classifier whose accuracy is known in every cell: four cells are equally bad."""
    cells = np.full((3, 3), 0.9)
    cells[0, 1:] = cells[1, 1:] = 0.6
    held = dict.fromkeys(("unbiased", "worst group", "gap"), 0)
    true = {
        "unbiased": cells.mean(),
        "worst group": 0.6,
        "gap": np.mean([0.9, 0.6, 0.9]) - np.mean([0.6, 0.6, 0.9, 0.6, 0.9, 0.9]),
    }
    truth, colour, _ = (index.ravel() for index in np.indices((3, 3, 25)))
    monkeypatch.setattr(bias, "_NUM_SHUFFLES", 1)
    for seed in range(100):
        hit = np.random.default_rng(seed).random(225) < cells[truth, colour]
        found = run(codes_of(truth, colour, np.where(hit, truth, (truth + 1) % 3)), seed)
        for name in held:
            held[name] += found[name].low <= true[name] <= found[name].high
    assert held["worst group"] >= 95
    assert held["unbiased"] >= 88
    assert held["gap"] >= 88


def test_calibration_is_that_of_a_loop():
    rng = np.random.default_rng(0)
    codes = random_codes()
    codes = dataclasses.replace(codes, logits=rng.normal(size=(320, 3)).astype(np.float32) + codes.logits / 2)
    error, brier = calibration_error(codes, rng)
    test = codes.rows("test")
    exponent = np.exp(test.logits.astype(float))
    probability, truth = exponent / exponent.sum(axis=1, keepdims=True), test.columns["digit"]
    expected = 0.0
    for number in range(15):
        rows = [row for row in range(200) if number / 15 < probability[row].max() <= (number + 1) / 15]
        if rows:
            right = np.mean([probability[row].argmax() == truth[row] for row in rows])
            expected += len(rows) / 200 * abs(right - np.mean([probability[row].max() for row in rows]))
    assert error.value == pytest.approx(expected)
    assert (error.variant, error.chance, error.num) == ("15 bins", None, 200)
    assert brier.value == pytest.approx(brier_score_loss(truth, probability, scale_by_half=False))
    assert brier.chance == pytest.approx(2 / 3)  # a third for each value: (2/3)^2 + 2 (1/3)^2
    assert error.low <= error.value <= error.high
    assert brier.low <= brier.value <= brier.high


def test_a_calibrated_model_and_an_overconfident_one():
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 3, 3000)
    answers = np.where(rng.random(3000) < 0.7, truth, (truth + rng.integers(1, 3, 3000)) % 3)
    codes = codes_of(truth, truth, answers)
    calibrated = np.log(np.where(codes.logits > 0, 0.7, 0.15)).astype(np.float32)
    assert calibration_error(dataclasses.replace(codes, logits=calibrated), rng)[0].value < 0.03
    assert calibration_error(dataclasses.replace(codes, logits=100 * calibrated), rng)[0].value == pytest.approx(
        0.3, abs=0.03
    )


def test_the_interval_of_the_calibration_error_leaves_out_groups(monkeypatch):
    codes = random_codes(num=30)
    seen = []
    monkeypatch.setattr(bias, "jackknife", lambda value, without: seen.append(without) or (value, value))
    calibration_error(codes, np.random.default_rng(3))
    test = codes.rows("test")
    group = np.random.default_rng(3).permutation(30) % 20
    probability = bias._probabilities(test, "digit")
    for number, value in enumerate(seen[0]):
        kept = group != number
        alone, *_ = bias.expected_calibration_error(
            probability[kept], test.columns["digit"][kept], np.random.default_rng(0)
        )
        assert value == pytest.approx(alone)


def test_no_logits_no_calibration():
    codes = codes_of(np.arange(60) % 3, np.arange(60) // 20, None)
    (one,) = calibration_error(codes, np.random.default_rng(0))
    assert (one.value, one.note) == (None, "the codes bring no logits")


def test_groups_of_one_row_that_are_all_right_are_not_certain():
    truth, colour = (index.ravel() for index in np.indices((3, 3)))
    for name in ("plain", "balanced", "unbiased", "aligned", "conflicting", "gap"):
        one = run(codes_of(truth, colour, truth))[name]
        assert one.high - one.low > 0.1
        assert one.low <= one.value <= one.high


@pytest.mark.parametrize("wrong", [0, 5, 200])
def test_the_last_step_has_the_numbers_of_the_accuracies_while_training(wrong: int) -> None:
    codes = random_codes()
    truth, colour, answers = (column[120:].copy() for column in (*codes.columns.values(), codes.logits.argmax(1)))
    answers[:wrong] = (truth[:wrong] + 1) % 3
    if not wrong:
        answers = truth
    scores = run(codes_of(truth, colour, answers))
    rows, right = np.zeros((2, 3, 3), dtype=int)
    np.add.at(rows, (truth, colour), 1)
    np.add.at(right, (truth, colour), truth == answers)
    line = {"step": 7, "split": "test", "rows": rows.tolist(), "right": right.tolist()}
    for one in selected([line], "digit", np.eye(3, dtype=bool), bias="colour"):
        other = scores[one.variant.split(",")[0]]
        assert (one.value, one.low, one.high) == pytest.approx((other.value, other.low, other.high))
        assert one.over == other.over
        assert one.low < one.high
