"""Quick probes against scikit-learn used by hand, six-layer scores, and every way a column can be unlearnable."""

import dataclasses

import numpy as np
import pytest
from fakes import leaky_codes, noise_codes, perfect_codes, with_noise
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score, mean_absolute_error, r2_score
from sklearn.preprocessing import StandardScaler

from unbraid.errors import UserError
from unbraid.metrics import score
from unbraid.metrics.intervals import (
    bootstrap,
    bootstrap_errors,
    bootstrap_mean,
    mean_of_repeats,
    mean_share,
    share,
    sum_of_shares,
    within,
)
from unbraid.metrics.probe_scores import batch_error, errors, r2_ends, same_rows
from unbraid.metrics.probes import informativeness
from unbraid.metrics.summary import summary
from unbraid.tables import Codes

PUBLISHED = {"protocols": ("six-layer",)}
STANDARDISED = {"protocols": ("six-layer, standardised",)}


def by_variant(codes: Codes, name: str, column: str, **options) -> dict:
    return {one.variant: one for one in score(codes, [name], options={name: options}) if one.column == column}


def with_column(codes: Codes, name: str, cells: np.ndarray, **spec) -> Codes:
    return dataclasses.replace(
        codes, columns={**codes.columns, name: cells}, spec=dataclasses.replace(codes.spec, **spec)
    )


def without_content(codes: Codes) -> Codes:
    return dataclasses.replace(codes, spec=dataclasses.replace(codes.spec, factors=("domain",), targets=()))


def test_accuracy_is_that_of_a_converged_probe():
    codes = leaky_codes()
    codes = dataclasses.replace(codes, z=codes.z + 2 * noise_codes().z)
    train, test = codes.rows("train"), codes.rows("test")
    scaler = StandardScaler().fit(train.z)
    reference = LogisticRegression(max_iter=5000).fit(scaler.transform(train.z), train.columns["domain"])
    expected = reference.score(scaler.transform(test.z), test.columns["domain"])
    assert 0.4 < expected < 0.95
    assert by_variant(codes, "leakage", "domain")["linear"].value == pytest.approx(expected, abs=0.02)


@pytest.mark.parametrize(
    ("name", "variant", "options"),
    [
        ("leakage", "linear", {}),
        ("leakage", "random features", {}),
        ("six-layer-probe", "six-layer", PUBLISHED),
        ("six-layer-probe", "six-layer, standardised", STANDARDISED),
    ],
)
def test_the_domain_alone_leaks_fully(name, variant, options):
    codes = without_content(leaky_codes())
    one, control = (by_variant(codes, name, "domain", **options)[variant + rest] for rest in ("", ", shuffled labels"))
    assert one.value > 0.98
    assert not one.higher_is_better
    assert control.chance == one.chance
    assert control.low <= control.value <= control.high
    if options:
        assert control.note.startswith("one shuffle")


def test_only_the_larger_probe_reads_what_no_line_can():
    """The domain is whether two signs agree: a weak probe alone would pass for invariance."""
    codes = noise_codes()
    folded = (codes.z[:, 0] * codes.z[:, 1] > 0).astype(int)
    codes = without_content(with_column(codes, "domain", folded, sizes={**codes.spec.sizes, "domain": 2}))
    read = by_variant(codes, "leakage", "domain")
    assert read["linear"].low < read["linear"].chance + 0.05
    assert read["random features"].value > 0.85
    assert read["random features, shuffled labels"].value < read["random features"].chance + 0.1


def test_many_values_are_read_too():
    """With hundreds of values the gradient is small before any step, and a fixed tolerance would end there."""
    labels = np.repeat(np.arange(240), 4)
    codes = leaky_codes()
    z = with_noise(np.random.default_rng(0).normal(size=(240, 40))[labels], 0.1)
    codes = dataclasses.replace(codes, z=z, split=np.tile([0, 0, 0, 2], 240).astype(np.uint8))
    codes = without_content(with_column(codes, "domain", labels, sizes={**codes.spec.sizes, "domain": 240}))
    assert by_variant(codes, "leakage", "domain")["linear"].value > 0.95


def test_shift_and_scale_of_the_codes_do_not_matter():
    codes = without_content(leaky_codes())
    moved = dataclasses.replace(codes, z=(codes.z * np.float32([1, 5, 0.1, 2]) + 20).astype(np.float32))
    for name, options in (("leakage", {}), ("six-layer-probe", STANDARDISED)):
        one, other = (by_variant(each, name, "domain", **options) for each in (codes, moved))
        for variant in one:
            if "shuffled" not in variant:
                assert one[variant].value == pytest.approx(other[variant].value, abs=0.02)


def test_rows_with_a_missing_value_are_left_out_of_that_column_only():
    codes = perfect_codes()
    shape, age = codes.columns["shape"].copy(), codes.columns["age"].copy()
    shape[::5], age[1::3] = -1, np.nan
    whole = by_variant(codes, "informativeness", "pose")
    codes = with_column(with_column(codes, "shape", shape), "age", age)
    assert by_variant(codes, "informativeness", "pose")["linear"].value == whole["linear"].value
    for column in ("shape", "age"):
        kept = codes.known(column)
        alone = dataclasses.replace(kept, spec=dataclasses.replace(kept.spec, factors=(), targets=()))
        role = {"targets": ("age",)} if column == "age" else {"factors": ("shape",)}
        alone = dataclasses.replace(alone, spec=dataclasses.replace(alone.spec, **role))
        found, expected = (by_variant(each, "informativeness", column) for each in (codes, alone))
        variant = "linear, R2" if column == "age" else "linear"
        assert found[variant].value == expected[variant].value
        assert found[variant].num == len(kept.rows("test"))


def test_groups_of_columns_are_known_in_the_same_rows():
    codes = perfect_codes()
    shape = np.where(np.arange(960) % 5, codes.columns["shape"], -1)
    codes = with_column(codes, "shape", shape)
    groups = [
        (names, len(train), len(test)) for names, train, test in same_rows(codes, ["domain", "shape", "pose", "age"])
    ]
    assert groups == [(["domain", "pose", "age"], 720, 240), (["shape"], 576, 192)]


def test_a_column_that_is_missing_everywhere_has_no_value_but_a_reason():
    codes = with_column(perfect_codes(), "shape", np.full(960, -1), factors=("shape",), targets=(), domain=None)
    (one,) = score(codes, ["informativeness"])
    assert one.value is None
    assert "missing" in one.note


def test_the_network_reads_targets_by_absolute_error():
    codes = perfect_codes()
    codes = with_column(codes, "height", 3 * codes.columns["age"] + 2, targets=("age", "height"), factors=())
    codes = dataclasses.replace(codes, spec=dataclasses.replace(codes.spec, domain=None))
    scores = {(one.variant, one.column): one for one in score(codes, ["six-layer-probe"])}
    for column in ("age", "height"):
        error = scores["six-layer, standardised, mean absolute error", column]
        assert error.value < 0.15 * error.chance
        assert (
            scores["six-layer, standardised, mean absolute error, shuffled labels", column].value > 0.9 * error.chance
        )
    published = scores["six-layer, mean absolute error over batches", ""]
    assert published.over == ("age", "height")
    assert published.low < published.value < published.high
    assert published.value < published.chance


def test_an_unknown_protocol_is_named():
    with pytest.raises(UserError, match=r"unknown protocol 'six-layers'. Did you mean 'six-layer'"):
        score(perfect_codes(), ["six-layer-probe"], options={"six-layer-probe": {"protocols": ["six-layers"]}})


def test_error_over_batches_is_that_of_the_loops():
    codes, rng = perfect_codes(), np.random.default_rng(0)
    train, test = codes.rows("train"), codes.rows("test").take(np.arange(150))
    predicted = rng.normal(size=(1, 150))
    one = batch_error(informativeness, train, test, ["age"], "x", predicted, 128, rng)
    wrong = np.abs(predicted[0] - test.columns["age"])
    assert one.value == pytest.approx((np.mean(wrong[:128]) + np.mean(wrong[128:])) / 2)


def test_intervals_of_targets_are_those_of_scipy():
    rng = np.random.default_rng(0)
    codes = perfect_codes()
    test = codes.rows("test")
    truth = test.columns["age"].astype(float)
    predicted = truth + rng.normal(0, 0.3, size=(2, 1, len(truth)))
    r2, _, error, _ = errors(informativeness, codes.rows("train"), test, ["age"], "x", predicted, rng)
    wrong = truth - predicted[0, 0]
    ends = bootstrap(lambda a, b, axis: 1 - np.mean(a**2, axis) / np.var(b, axis), wrong, truth, rng=rng)
    assert (r2.low, r2.high) == pytest.approx(ends, abs=0.015)
    assert r2.value == pytest.approx(r2_score(truth, predicted[0, 0]))
    assert (error.low, error.high) == pytest.approx(bootstrap_mean(np.abs(wrong), rng), abs=0.01)


def test_linear_evaluation_ranks_the_values():
    codes, rng = leaky_codes(), np.random.default_rng(0)
    label = np.arange(960) // 4 % 8
    z = with_noise(3 * np.eye(8)[np.where(rng.random(960) < 0.5, label, (label + 1) % 8)], 0.1)  # half of them right
    codes = with_column(dataclasses.replace(codes, z=z), "shape", label, sizes={**codes.spec.sizes, "shape": 8})
    first, fifth = score(codes, ["linear-evaluation"])
    assert (first.variant, fifth.variant) == ("top-1", "top-5")
    assert first.value == pytest.approx(0.5, abs=0.1)
    assert fifth.value > 0.95
    assert (first.chance, fifth.chance) == (1 / 8, 5 / 8)


def test_linear_evaluation_of_one_value_has_a_reason():
    (one,) = score(with_column(perfect_codes(), "shape", np.zeros(960, dtype=int)), ["linear-evaluation"])
    assert (one.value, one.note) == (None, "one value only in the train split")


def test_the_interval_of_the_control_holds_chance_even_on_clusters():
    """There one shuffle scores anything from 0 to 1; a bootstrap over rows has once called 1.0 certain."""
    for seed in range(3):
        control = score(leaky_codes(), ["leakage"], seed)[1]
        assert control.low <= control.chance <= control.high
        assert control.high - control.low > 0.2


def test_targets_are_scored_as_scikit_learn_does():
    codes = perfect_codes()
    scores = by_variant(codes, "informativeness", "age")
    train, test = codes.rows("train"), codes.rows("test")
    constant = np.full(len(test), train.columns["age"].mean())
    assert scores["linear, R2"].value > 0.98
    assert scores["linear, R2"].chance == pytest.approx(r2_score(test.columns["age"], constant), rel=1e-4)
    error = scores["linear, mean absolute error"]
    assert error.chance == pytest.approx(mean_absolute_error(test.columns["age"], constant), rel=1e-4)
    assert error.value < 0.1 * error.chance
    assert not error.higher_is_better
    assert scores["linear, R2, shuffled labels"].value < 0.1


def test_chance_is_the_share_of_the_commonest_train_value_among_test_rows():
    codes = perfect_codes()
    shape = np.where(codes.split == 0, 2, codes.columns["shape"])  # test rows keep a third of each
    shape[:10] = 1
    one = by_variant(with_column(codes, "shape", shape), "informativeness", "shape")["linear"]
    assert one.chance == pytest.approx(np.mean(shape[codes.split == 2] == 2))


def unbalanced_codes() -> Codes:
    """One row in twenty is of the second of two domains, two deviations away."""
    codes, rng = noise_codes(), np.random.default_rng(2)
    domain = (rng.random(960) < 0.05).astype(int)
    z = codes.z.copy()
    z[:, 0] += 2 * domain
    sizes = {**codes.spec.sizes, "domain": 2}
    return with_column(dataclasses.replace(codes, z=z), "domain", domain, sizes=sizes)


def test_a_leak_of_an_unbalanced_domain_is_seen_by_balanced_accuracy():
    codes = unbalanced_codes()
    found = by_variant(codes, "leakage", "domain")
    plain, balanced = found["linear"], found["linear, balanced accuracy"]
    assert plain.low < plain.chance  # to name the frequent domain is right nineteen times in twenty
    assert balanced.low > balanced.chance == 0.5
    test, train = codes.rows("test"), codes.rows("train")
    model = LogisticRegression(class_weight="balanced").fit(train.z, train.columns["domain"])
    expected = balanced_accuracy_score(test.columns["domain"], model.predict(test.z))
    assert balanced.value == pytest.approx(expected, abs=0.02)
    assert summary(score(codes, ["leakage"]), "domain")[0].startswith(
        f"The domain 'domain' can be read from the code with {100 * balanced.value:.0f} % balanced accuracy "
        "(linear probe; chance 50 %): it leaks"
    )
    assert "linear, balanced accuracy" not in by_variant(noise_codes(), "leakage", "domain")  # they are equally many


def test_an_r2_of_few_different_truths_has_a_sane_interval_or_none():
    """A resample of equal rows has no R2: its variance is 1e-17, or 0."""
    rng = np.random.default_rng(0)
    for num, defined in ((1, False), (8, True)):
        truth = np.zeros((1, 120))
        truth[0, :num] = 3 + rng.normal(size=num)
        (low, high), absolute = bootstrap_errors(truth, (truth - truth.mean())[None], rng)
        assert np.isfinite(absolute).all()
        fields = r2_ends(0.0, np.array([low[0, 0], high[0, 0]]))
        assert set(fields) == ({"low", "high"} if defined else {"note"})
        assert not defined or -10 < fields["low"] <= 0.0 <= fields["high"] <= 1


def test_interval_is_the_binomial_one_and_covers():
    rng = np.random.default_rng(0)
    hits = (rng.random(400) < 0.8).astype(float)
    low, high = bootstrap_mean(hits, rng)
    half = 1.96 * np.sqrt(hits.mean() * (1 - hits.mean()) / 400)
    assert (low, high) == pytest.approx((hits.mean() - half, hits.mean() + half), abs=0.006)
    assert mean_of_repeats(np.array([1.0, 2.0, 3.0])) == pytest.approx((2.0, 2 - 2.4841, 2 + 2.4841), abs=1e-4)
    assert share(hits == 1)[1:] == pytest.approx((low, high), abs=0.01)
    assert share(np.ones(1, dtype=bool)) == pytest.approx((1.0, 1 / (1 + 1.96**2), 1.0), abs=1e-4)  # Wilson's
    assert bootstrap_mean(np.ones(50), rng) == (1.0, 1.0)
    assert bootstrap_mean(np.ones(1), rng) == (None, None)


def test_a_sum_of_shares_is_newcombes_and_covers():
    low, high = sum_of_shares(np.array([56, 48]), np.array([70, 80]), np.array([1.0, -1.0]))[1:]
    assert (low, high) == pytest.approx((0.0524, 0.3339), abs=1e-4)  # Newcombe 1998, table II, (a), method 10
    rng, strata = np.random.default_rng(0), np.repeat([0, 1, 2], [100, 20, 5])
    true = np.array([0.95, 0.7, 0.9])
    ends = [mean_share(rng.random(125) < true[strata], strata)[1:] for _ in range(200)]
    assert np.mean([low <= true.mean() <= high for low, high in ends]) > 0.91


def test_ends_stay_inside_what_is_possible_and_hold_the_value():
    assert within(0.5, (-0.1, 1.2), 0.0) == (0.0, 1.0)
    assert within(-0.2, (-0.1, None), 0.0) == (-0.2, None)
    assert within(3.0, (1.0, 2.0), 0.0, np.inf) == (1.0, 3.0)


@pytest.mark.parametrize("name", ["informativeness", "six-layer-probe"])
@pytest.mark.parametrize(
    ("change", "note"),
    [
        (lambda c: with_column(c, "shape", np.zeros(960, dtype=int)), "one value only in the train split"),
        (lambda c: with_column(c, "shape", np.arange(960), sizes={**c.spec.sizes, "shape": 960}), "960 values, but"),
        (lambda c: with_column(c, "shape", np.where(c.split == 0, np.arange(960) % 2, 2)), "no test row has a value"),
        (lambda c: dataclasses.replace(c, split=np.zeros(960, dtype=np.uint8)), "no rows in the test split"),
        (lambda c: dataclasses.replace(c, split=np.full(960, 2, dtype=np.uint8)), "no rows in the train split"),
    ],
)
def test_a_column_that_cannot_be_probed_has_no_value_but_a_reason(name, change, note):
    codes = dataclasses.replace(
        perfect_codes(), spec=dataclasses.replace(perfect_codes().spec, factors=("shape",), targets=(), domain=None)
    )
    (one,) = score(change(codes), [name])
    assert one.value is None
    assert note in one.note


def test_a_constant_target_has_no_value_but_a_reason():
    codes = with_column(perfect_codes(), "age", np.ones(960, dtype=np.float32), factors=())
    (one,) = score(codes, ["informativeness"])
    assert (one.value, one.note) == (None, "one value only in the train split")


def test_unseen_test_values_are_counted():
    codes = perfect_codes()
    domain = codes.columns["domain"].copy()
    domain[np.flatnonzero(codes.split == 2)[:5]] = 4
    codes = with_column(codes, "domain", domain, sizes={**codes.spec.sizes, "domain": 5})
    assert by_variant(codes, "leakage", "domain")["linear"].note == "5 test rows have a value that no train row has"


def test_few_rows_are_noted_for_the_six_layer_probe():
    codes = perfect_codes()
    few = dataclasses.replace(codes, split=np.where(np.arange(960) < 600, codes.split, 1).astype(np.uint8))
    scores = score(without_content(few), ["six-layer-probe"])
    assert all(("450 train rows are few" in one.note) != ("standardised" in one.variant) for one in scores)
