"""What selects in a population, on networks whose codes are known."""

from pathlib import Path

import numpy as np
import pytest
from fake_networks import FakeVAE, encoder_of, factor_dataset

from unbraid.errors import DataError, UserError
from unbraid.metrics import METRICS
from unbraid.metrics.udr import surrogate_kl, udr
from unbraid.population import fitness as fitnesses
from unbraid.population import library_scores
from unbraid.population.fitness import FITNESS, Agreement, find_fitness
from unbraid.population.library_scores import _value
from unbraid.population.surrogate import Block, Bundle
from unbraid.records import RunDir, Score
from unbraid.trainer import DivergedError

DATA = factor_dataset()
PIXELS = DATA.images[:, 0, :3, 0].astype(np.float64)
SURE = np.full(3, 0.01)  # deviations


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def network(*weights: np.ndarray, deviation: np.ndarray = SURE) -> FakeVAE:
    return FakeVAE(np.stack([np.concatenate([one / 50, np.eye(3) / 1000]) for one in weights]), deviation)


def mixing(seed: int) -> np.ndarray:
    return np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))[0]


def fitness(name: str, method: FakeVAE, **options) -> float:
    return find_fitness(name, **options)(RunDir("run"), encoder_of(method, DATA), DATA)


def test_udr_of_networks_that_agree_and_that_do_not() -> None:
    swapped = -np.eye(3)[[2, 0, 1]]
    assert fitness("udr", network(np.eye(3), swapped, np.eye(3))) == pytest.approx(0.9, abs=0.02)
    assert fitness("udr", network(np.eye(3), mixing(0), mixing(1))) < 0.6
    with np.load("run/udr.npz") as kept:
        assert kept["pairwise"].shape == (3, 3)
        assert kept["active"].tolist() == [3, 3, 3]
        assert kept["scores"].mean() < 0.6


def test_udr_is_that_of_published_rows_and_filter() -> None:
    method = network(np.eye(3), mixing(0), mixing(1), deviation=np.array([0.1, 0.3, 1.0]))
    rows = np.random.RandomState(5).permutation(len(DATA))[:200]
    means = [
        DATA.images[rows, 0, :, 0].astype(float) @ weights for weights in method.weights.detach().numpy().astype(float)
    ]
    log_sigma = np.log(np.tile([0.1, 0.3, 1.0], (200, 1)))
    kl = [surrogate_kl(mean, log_sigma, 10) for mean in means]
    expected = udr(means, rng=np.random.default_rng(0), kl=kl, num_points=200).scores
    assert Agreement(seed=5, num_points=200).scores(method, DATA) == pytest.approx(expected, abs=1e-6)
    assert Agreement(seed=5, num_points=205).scores(method, DATA) == pytest.approx(expected, abs=1e-6)
    assert len(Agreement().scores(method, DATA.take(np.arange(57)))) == 3  # fifty of them count


def test_udr_filters_by_one_kl_or_the_other() -> None:
    """A deviation above 1 has a negative logarithm of opposite sign, which the published filter drops."""
    weights = np.diag([1.0, 1.0, 0.0])
    method = network(weights, weights @ np.diag([1, -1, 0]), deviation=np.array([0.1, 0.1, 0.999]))
    for fidelity in ("published", "fixed"):
        assert fitness("udr", method, fidelity=fidelity) == pytest.approx(0.9, abs=0.02)


def test_udr_scores_nothing_where_there_is_no_evidence() -> None:
    broken = network(np.eye(3), np.full((3, 3), np.nan))
    assert fitness("udr", broken) == 0.0
    few = DATA.take(np.arange(39))
    method = network(np.eye(3), np.eye(3))
    assert find_fitness("udr")(RunDir("run"), encoder_of(method, few), few) == 0.0


def test_mig_by_hand_and_on_few_labels() -> None:
    clean, mixed = network(np.eye(3)), network(mixing(0))
    assert fitness("mig", clean) == pytest.approx(1.0, abs=0.1)
    assert fitness("mig", mixed) < 0.6
    few = [fitness("mig", mixed, num_labels=60, seed=seed) for seed in (0, 0, 1)]
    assert few[0] == few[1] != few[2]


def test_mig_reads_labels_of_the_train_rows_only() -> None:
    import dataclasses

    test = DATA.split == 2
    columns = {name: np.where(test, 0, column) for name, column in DATA.columns.items()}
    lied = dataclasses.replace(DATA, columns=columns)
    method = network(mixing(0))
    for name in ("mig", "nmig"):
        scores = [find_fitness(name)(RunDir("run"), encoder_of(method, data), data) for data in (DATA, lied)]
        assert scores[0] == scores[1]


@pytest.mark.parametrize("fidelity", ["published", "fixed"])
def test_dci_alone_and_averaged(fidelity: str) -> None:
    names = ("dci", "dci-with-informativeness", "dci-with-informativeness-and-completeness")
    options = {"estimator": "trees", "num_labels": 400, "fidelity": fidelity}
    clean, mixed = ([fitness(name, network(one), **options) for name in names] for one in (np.eye(3), mixing(0)))
    assert min(clean) > 0.95 > 0.85 > max(mixed)
    assert len(set(mixed)) == 3


def test_published_dci_boosts_trees() -> None:
    assert fitness("dci", network(np.eye(3)), num_labels=60) > 0.8


def bundle(path: Path, columns: list[int], rows: np.ndarray) -> str:
    Bundle((Block(rows, PIXELS[rows][:, columns]),)).save(path)
    return str(path)


def test_leaf_mig_is_the_median(tmp_path: Path) -> None:
    rows = np.arange(0, len(DATA), 2)
    paths = [bundle(tmp_path / f"{place}.npz", columns, rows) for place, columns in enumerate(([0, 1], [2], [0]))]
    method = network(np.diag([1.0, 1.0, 0.0]))
    single = [fitness("leaf-mig", method, bundles=[path]) for path in paths]
    assert single[0] > 0.7 > 0.2 > single[1]
    assert fitness("leaf-mig", method, bundles=paths) == np.median(single)
    assert fitness("leaf-mig", network(np.full((3, 3), np.nan)), bundles=paths) == 0.0


def test_leaf_mig_without_or_with_foreign_labels(tmp_path: Path) -> None:
    method = network(np.eye(3))
    with pytest.raises(UserError, match="give it bundles"):
        find_fitness("leaf-mig").check(method, DATA.spec)
    with pytest.raises(DataError, match="no surrogate labels at"):
        find_fitness("leaf-mig", bundles=[str(tmp_path / "none.npz")]).check(method, DATA.spec)
    path = bundle(tmp_path / "all.npz", [0], np.arange(len(DATA)))
    half = DATA.take(np.arange(100))
    with pytest.raises(UserError, match="of other data"):
        find_fitness("leaf-mig", bundles=[path])(RunDir("run"), encoder_of(method, half), half)


def test_scores_of_the_library_and_differences() -> None:
    hides, keeps = network(np.diag([0.0, 1.0, 1.0])), network(np.eye(3))
    few = {"num_labels": 120}
    assert fitness("nmig_minus_modularity", keeps, **few) == pytest.approx(0.0, abs=0.2)
    assert fitness("nmig", hides, **few) > 0.4
    assert fitness("dead-dimensions", hides, **few) < fitness("dead-dimensions", keeps, **few) <= 0
    with pytest.raises(DivergedError, match="a code is not finite"):
        fitness("content_minus_leakage", network(np.full((3, 3), np.nan)))


def test_a_score_of_the_library_is_its_first_variant() -> None:
    """Neither controls nor errors count, and a code that says nothing gets the least or has diverged."""
    few = {"num_labels": 120}
    empty, keeps = network(np.zeros((3, 3))), network(np.eye(3))
    assert fitness("informativeness", empty, **few) < 0.5 < fitness("informativeness", keeps, **few)
    assert fitness("retrieval", empty, **few) < fitness("retrieval", keeps, **few)
    dci = METRICS["dci-lasso"]
    told = [
        dci.score(None, variant="disentanglement", note="nothing varies"),
        dci.score(0.2, variant="informativeness"),
    ]
    with pytest.raises(DivergedError, match="dci-lasso is not defined: nothing varies"):
        _value(told, "dci-lasso")
    with pytest.raises(DivergedError, match="leakage is not defined"):
        _value([], "leakage")


def test_agreement_on_many_dimensions_counts_more_with_coverage() -> None:
    one, all_three = np.diag([1.0, 0.0, 0.0]), np.eye(3)
    hidden = {"deviation": np.array([0.01, 1.0, 1.0])}
    few, many = network(one, one, **hidden), network(all_three, all_three)
    assert fitness("udr", few, threshold=0.3, fidelity="fixed") == pytest.approx(0.9, abs=0.02)
    assert fitness("udr-coverage", few, threshold=0.3, fidelity="fixed") == pytest.approx(1 / 3, abs=0.02)
    assert fitness("udr-coverage", many, threshold=0.3, fidelity="fixed") == pytest.approx(1.0, abs=0.02)


def test_agreement_on_dimensions_that_repeat_each_other_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **options: object) -> None:
        raise DataError("the Lasso does not converge")

    monkeypatch.setattr(fitnesses, "udr", refuse)
    assert fitness("udr", network(np.eye(3), mixing(0))) == 0.0
    assert Agreement().scores(network(np.eye(3), mixing(0)), DATA).tolist() == [0, 0]


def test_content_less_leakage_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of each column the probe that reads most, as a share of the way from chance to 1; controls do not count."""

    def read(metric: str, column: str, variant: str, value: float | None, chance: float) -> Score:
        return Score(
            metric=metric, column=column, variant=variant, value=value, chance=chance, higher_is_better=metric[0] == "i"
        )

    told = [
        read("informativeness", "f1", "linear", 0.6, 0.2),
        read("informativeness", "f1", "random features", 0.8, 0.2),
        read("informativeness", "f1", "linear, shuffled", 1.0, 0.2),
        read("informativeness", "f2", "linear", 0.1, 0.2),
        read("informativeness", "f3", "linear", None, 0.2),
        read("leakage", "f0", "linear", 0.4, 0.25),
    ]
    monkeypatch.setattr(library_scores, "score", lambda codes, names, seed: told)
    content, leakage = (0.75 + 0.0) / 2, 0.2
    method = network(np.eye(3))
    assert fitness("content", method) == pytest.approx(content)
    assert fitness("leakage", method) == pytest.approx(-leakage)
    assert fitness("content_minus_leakage", method) == pytest.approx(content - leakage)


def test_names_and_options_that_are_wrong() -> None:
    with pytest.raises(UserError, match=r"unknown fitness 'udrr'\. Did you mean 'udr'"):
        find_fitness("udrr")
    with pytest.raises(UserError, match="unknown fitness"):
        find_fitness("mig_minus_leakage_minus_sap")
    with pytest.raises(UserError, match="no hyper-parameter 'points'"):
        find_fitness("udr", points=3)
    with pytest.raises(UserError, match="num_labels must be at least"):
        find_fitness("mig", num_labels=0)


@pytest.mark.parametrize("name", ["mig", "dci", "content_minus_leakage"])
def test_data_that_cannot_be_judged_by(name: str) -> None:
    import dataclasses

    bare = dataclasses.replace(DATA.spec, factors=(), domain=None, sizes={})
    with pytest.raises(UserError, match=r"names? no"):
        find_fitness(name).check(network(np.eye(3)), bare)


def test_udr_needs_several_networks() -> None:
    with pytest.raises(UserError, match="num_models=5"):
        find_fitness("udr").check(network(np.eye(3)), DATA.spec)
    find_fitness("udr").check(network(np.eye(3), np.eye(3)), DATA.spec)


def test_every_row_of_the_table_is_made() -> None:
    for name in FITNESS:
        assert callable(find_fitness(name))
