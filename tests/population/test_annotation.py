"""Surrogate labels for people: what is proposed, what may be written into factors.yaml, and what comes out."""

import csv
import dataclasses
from pathlib import Path

import numpy as np
import pytest
import yaml
from fake_networks import FakeVAE, encoder_of, factor_dataset
from PIL import Image
from scipy.stats import norm

from unbraid import data
from unbraid.cli import main
from unbraid.data.options import DataOptions
from unbraid.errors import DataError, UserError
from unbraid.population import annotation
from unbraid.population.annotation import Posterior, accepted, annotate, column_of, find_run, propose
from unbraid.population.factor_file import Factor, read_factors

DATA = factor_dataset()
WEIGHTS = np.concatenate([np.diag([1 / 50, 1 / 50, 0]), np.diag([1, 1, 0]) / 5000])  # two factors, one unused dimension
NETWORK = FakeVAE(WEIGHTS[None], np.array([0.05, 0.05, 1.0]))


@pytest.fixture
def network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(annotation, "find_run", lambda place: type("Run", (), {"path": Path(place)}))
    monkeypatch.setattr(annotation, "load", lambda path: encoder_of(NETWORK, DATA))
    monkeypatch.setattr(data, "load", lambda name, options: DATA)


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open() as file:
        return list(csv.DictReader(file))


@pytest.mark.usefixtures("network")
def test_factors_are_proposed_then_written_once_accepted(tmp_path: Path) -> None:
    written = annotate("run", "digits", tmp_path)
    assert [path.name for path in written] == ["factors.yaml", "surrogate.csv", "factor-0.png", "factor-1.png"]
    content = yaml.safe_load((tmp_path / "factors.yaml").read_text())
    entries = content["factors"]
    assert [(one["dimension"], one["accept"], len(one["values"])) for one in entries] == [(0, False, 4), (1, False, 4)]
    assert entries[0]["rows"] == [len(DATA) // 4] * 4
    table = rows_of(tmp_path / "surrogate.csv")
    assert [int(row["factor-1"]) for row in table] == DATA.columns["f1"].tolist()
    assert min(float(row["factor-1-confidence"]) for row in table) > 0.999
    with Image.open(tmp_path / "factor-0.png") as picture:
        assert picture.mode == "L"
    with pytest.raises(UserError, match="accepts no factor"):
        annotate("run", "digits", tmp_path)
    entries[1] |= {"accept": True, "name": "height", "values": ["low", "low", "mid", "high"]}
    (tmp_path / "factors.yaml").write_text(yaml.safe_dump(content))
    assert [path.name for path in annotate("run", "digits", tmp_path)] == ["labels.csv", "confidence.csv"]
    labels = rows_of(tmp_path / "labels.csv")
    assert list(labels[0]) == ["row", "height"]
    assert [row["height"] for row in labels] == [("low", "low", "mid", "high")[i] for i in DATA.columns["f1"]]


def test_confidence_is_the_probability_of_the_value() -> None:
    means = np.array([[0.4], [0.6], [1.4]], dtype=np.float32)
    found = Posterior(means, np.full((3, 1), 0.5, dtype=np.float32))
    column = column_of(Factor(dimension=0, name="a", values=("x", "y", "z"), bounds=(0.5, 1.5)), found)
    assert column.values.tolist() == ["x", "y", "y"]
    expected = [norm.cdf(0.2), norm.cdf(1.8) - norm.cdf(-0.2), norm.cdf(0.2) - norm.cdf(-1.8)]
    assert column.confidence == pytest.approx(np.array(expected), abs=1e-6)
    merged = column_of(Factor(dimension=0, name="a", values=("x", "y", "y"), bounds=(0.5, 1.5)), found)
    assert merged.confidence[1] == pytest.approx(norm.cdf(0.2), abs=1e-6)
    real = column_of(Factor(dimension=0, name="a"), found)
    assert real.values == pytest.approx(means[:, 0])
    assert real.confidence == pytest.approx(1 - 0.25 / (means.var() + 0.25))


def test_factors_of_one_name_are_joined() -> None:
    found = Posterior(np.array([[0, 0], [0, 1]], dtype=np.float32), np.full((2, 2), 0.5, dtype=np.float32))
    both = [Factor(dimension=i, name="place", accept=True, values=("a", "b"), bounds=(0.5,)) for i in range(2)]
    (column,) = accepted([*both, Factor(dimension=1, name="other")], found)
    assert column.values.tolist() == ["a a", "a b"]
    assert column.confidence == pytest.approx(norm.cdf(1) ** 2)


def test_a_dimension_without_gaps_is_real_valued() -> None:
    assert propose(3, np.arange(500.0)) == Factor(dimension=3, name="factor-3")


WHOLE = {"dimension": 0, "name": "a", "accept": True, "values": ["x", "y"], "bounds": [0.5]}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"dimension": 10}, "dimension must be 0 to 9, not 10"),
        ({"dimension": "one"}, "dimension must be"),
        ({"accept": "maybe"}, "accept must be yes or no, not 'maybe'"),
        ({"name": ""}, "name must be a word"),
        ({"name": "path"}, "cannot be named 'path'"),
        ({"values": ["x"]}, "1 bounds part 2 values, and 1 are named"),
        ({"values": [True, "y"]}, "put it in quotes"),
        ({"values": "x, y"}, "values and bounds are lists"),
        ({"bounds": ["low"]}, "bounds must be numbers"),
        ({"bounds": [2, 1], "values": ["x", "y", "z"]}, "bounds must rise"),
        ({"acept": True}, "Did you mean 'accept'"),
        ({"dimension": None}, "dimension must be"),
    ],
)
def test_entries_that_are_wrong(tmp_path: Path, change: dict, message: str) -> None:
    (tmp_path / "factors.yaml").write_text(yaml.safe_dump({"network": "n", "factors": [WHOLE | change]}))
    with pytest.raises(UserError, match=r"factors\.yaml, factor 1.*") as caught:
        read_factors(tmp_path / "factors.yaml", 10, "n")
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("factors: [", "is not YAML"),
        ("- a", "needs a list 'factors'"),
        ("{network: n, factors: [3]}", "must have dimension"),
        ("{network: n, factors: [{name: a}]}", "lacks 'dimension'"),
        ("{network: m, factors: []}", "does not say that its bounds are of this network"),
        ("factors: []", "does not say that its bounds are of this network"),
        (yaml.safe_dump({"network": "n", "factors": [WHOLE, WHOLE | {"name": "b"}]}), "has dimension 0 twice"),
        (
            yaml.safe_dump({"network": "n", "factors": [WHOLE, {"dimension": 1, "name": "a", "accept": True}]}),
            "joins factors, and one has no values",
        ),
    ],
)
def test_files_that_are_wrong(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "factors.yaml").write_text(content)
    with pytest.raises(UserError, match="factors") as caught:
        read_factors(tmp_path / "factors.yaml", 10, "n")
    assert message in str(caught.value)
    with pytest.raises(UserError, match="cannot read"):
        read_factors(tmp_path / "none.yaml", 10, "n")


@pytest.mark.usefixtures("network")
def test_a_file_of_another_network_is_not_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    annotate("run", "digits", tmp_path)
    other = FakeVAE(WEIGHTS[None] * 2, np.array([0.05, 0.05, 1.0]))
    monkeypatch.setattr(annotation, "load", lambda path: encoder_of(other, DATA))
    with pytest.raises(UserError, match="bounds are of this network; choose another --out"):
        annotate("run", "digits", tmp_path)


@pytest.mark.usefixtures("network")
def test_images_and_networks_that_do_not_fit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data, "load", lambda name, options: factor_dataset((2, 3)))
    with pytest.raises(DataError, match="and those of digits are"):
        annotate("run", "digits", tmp_path)
    monkeypatch.setattr(data, "load", lambda name, options: DATA)
    monkeypatch.setattr(annotation, "load", lambda path: encoder_of(FakeVAE(WEIGHTS[None] * 0, np.ones(3)), DATA))
    with pytest.raises(UserError, match="learned no factor"):
        annotate("run", "digits", tmp_path)
    monkeypatch.setattr(annotation, "load", lambda path: encoder_of(FakeVAE(WEIGHTS[None] * np.nan, np.ones(3)), DATA))
    with pytest.raises(UserError, match="are not finite: its training diverged"):
        annotate("run", "digits", tmp_path)


@pytest.mark.usefixtures("network")
def test_a_dimension_that_says_the_same_of_every_image_is_no_factor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its KL is large, and 1 - 0 / 0 would be its confidence."""
    monkeypatch.setattr(
        annotation, "load", lambda path: encoder_of(FakeVAE(WEIGHTS[None] * 0, np.full(3, 1e-30)), DATA)
    )
    with pytest.raises(UserError, match="learned no factor"):
        annotate("run", "digits", tmp_path)


def test_runs_that_are_found(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run/config.json").touch()
    assert find_run(tmp_path / "run").path == tmp_path / "run"
    (tmp_path / "recursion.json").touch()
    with pytest.raises(UserError, match="no population or recursion that is done"):
        find_run(tmp_path)
    (tmp_path / "model").mkdir()
    (tmp_path / "model/config.json").touch()
    (tmp_path / "model/DONE").touch()
    assert find_run(tmp_path).name == "model"
    with pytest.raises(UserError, match="holds no run"):
        find_run(tmp_path / "nowhere")


def test_own_images_are_named_by_their_paths(tmp_path: Path) -> None:
    """The table can be given back as --labels."""
    photos = tmp_path / "photos"
    for number in range(10):
        path = photos / "ab"[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (8, 8), 20 * number).save(path)
    dataset = data.load(str(photos), DataOptions(size=8))
    names = annotation._names(str(photos), DataOptions(size=8), dataset)
    annotation._table(tmp_path / "labels.csv", names, {"shade": ["dark"] * 5 + ["light"] * 5})
    read = data.load(str(photos), DataOptions(size=8, labels=str(tmp_path / "labels.csv")))
    assert read.spec.values["shade"] == ("dark", "light")
    assert read.columns["shade"].tolist() == [0] * 5 + [1] * 5
    np.save(tmp_path / "rows.npy", np.array([3, 1]))
    some = DataOptions(rows=str(tmp_path / "rows.npy"))
    assert annotation._names(str(photos), some, dataset) == annotation.Names("path", [names.values[3], names.values[1]])


def test_other_images_are_named_by_the_numbers_of_all_rows(tmp_path: Path) -> None:
    """The table can be given back as --columns, with the same --rows and without."""
    np.save(tmp_path / "rows.npy", np.array([7, 2]))
    some, name = DataOptions(rows=str(tmp_path / "rows.npy")), "digits:source=sklearn,num=100"
    names = annotation._names(name, some, data.load(name, some))
    assert names == annotation.Names("row", [7, 2])
    columns = str(annotation._table(tmp_path / "labels.csv", names, {"shade": ["dark", "light"], "size": [0.5, 1.5]}))
    read = data.load(name, dataclasses.replace(some, columns=columns))
    assert (read.columns["shade"].tolist(), read.columns["size"].tolist()) == ([0, 1], [0.5, 1.5])
    whole = data.load(name, DataOptions(columns=columns))
    assert [whole.spec.values["shade"][whole.columns["shade"][row]] for row in (2, 7)] == ["light", "dark"]


def test_commands(tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*words: str) -> str:
        assert main(["population", *words]) == 2
        return capsys.readouterr().err

    assert "with --data" in refused("labels", "run")
    assert "holds no run" in refused("labels", str(tmp_path / "none"), "--data", "digits")
    assert "leave out --fitness:" in refused("rpu", "beta-tcvae", "--fitness", "mig")
    assert "take beta-tcvae" in refused("rpu", "vanilla", "--data", "digits:source=sklearn,num=200", "--label", "digit")
    monkeypatch.setattr(annotation, "annotate", lambda *words: [tmp_path / "labels.csv"])
    assert main(["population", "labels", "run", "--data", "photos"]) == 0
    assert "--data photos --columns" in capsys.readouterr().out
    (tmp_path / "photos").mkdir()
    assert main(["population", "labels", "run", "--data", str(tmp_path / "photos")]) == 0
    assert "--labels" in capsys.readouterr().out
