"""What a person sees of populations and recursions, from folders that nobody trained."""

import json
import re
import shutil
from pathlib import Path

import pytest
from fake_populations import write_networks, write_population, write_recursion
from fake_runs import write_run
from pages import Page

from unbraid.errors import DataError, UserError
from unbraid.records import best_run, find, find_runs, keep_lines, read_lines, write_json
from unbraid.report import report
from unbraid.report.history import open_history, ranking, sentences
from unbraid.report.population_figures import _height, _tree
from unbraid.report.recursions import open_recursion
from unbraid.report.runs import open_runs


def made(root: Path) -> Page:
    return Page(report([root], root / "report.html").read_text())


@pytest.fixture(scope="module")
def everything(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A single run, a population and a recursion."""
    root = tmp_path_factory.mktemp("runs")
    write_run(root, "beta-tcvae", data="sprites")
    write_networks(best_run(write_population(root / "pu")))
    write_recursion(root / "rpu")
    return root


@pytest.fixture(scope="module")
def page(everything: Path) -> Page:
    return made(everything)


def test_the_page_is_whole(page: Page) -> None:
    assert page.open == []
    ids = page.values("id")
    assert len(ids) == len(set(ids))
    assert {link.removeprefix("#") for link in page.values("href") if not link.startswith("data:")} <= set(ids)
    assert all(attrs.get("aria-label") for tag, attrs in page.tags if tag == "svg")


def test_figures_of_a_population(page: Page) -> None:
    said = [attrs["aria-label"] or "" for tag, attrs in page.tags if tag == "svg"]
    for words in (r"udr over generations: best 0\.\d+ in generation 0", r"Lineage of 4 members, with \d copies"):
        assert sum(bool(re.match(words, one)) for one in said) == (4 if "udr" in words else 5)
    assert sum(one.startswith("lr of the best, from generation to generation:") for one in said) == 5
    assert sum(one.startswith("estimator of the best") for one in said) == 5


def test_the_page_says_how_it_went_and_how_to_repeat_it(everything: Path, page: Page) -> None:
    history = open_history(everything / "pu")
    for sentence in sentences(history):
        assert sentence in page.text
    assert f"unbraid population replay {everything / 'pu'}" in page.text
    assert "unbraid population pu beta-tcvae" in page.text
    assert '"members": 4' in page.text
    assert "How far the networks of the best member agree" in page.text


def test_of_a_population_only_the_best_is_among_the_runs(everything: Path, page: Page) -> None:
    best = [best_run(everything / name) for name in ("pu", "rpu")]
    assert [run.path for run in find_runs([everything])] == sorted(
        [everything / "beta-tcvae-sprites-0", *(run.path for run in best if run)]
    )
    heads = set(re.findall(r"beta-tcvae, [a-z ]+(?=, seed)", page.text))
    assert heads == {"beta-tcvae, population by udr", "beta-tcvae, recursion"}
    assert "Unfinished" not in page.text
    assert "x-model" not in page.text


def test_a_member_that_is_named_is_a_run_like_any_other(everything: Path) -> None:
    members = find_runs([everything / "pu/generations/001"])
    assert len(members) == 4
    assert find([everything / "pu/generations/001"]).populations == []


def test_seeds_of_a_population_are_seeds_of_one_method(tmp_path: Path) -> None:
    for seed in (0, 1):
        write_population(tmp_path / f"pu-{seed}", seed=seed)
    write_population(tmp_path / "large", seed=0, members=5)
    runs = open_runs(find_runs([tmp_path]))
    assert [(run.label, run.seed) for run in runs] == [
        ("beta-tcvae, population by udr (members=5)", 0),
        ("beta-tcvae, population by udr (members=4)", 0),
        ("beta-tcvae, population by udr (members=4)", 1),
    ]


def test_ranking_and_sentences_by_hand(tmp_path: Path) -> None:
    """Member 0 is copied by 1, which is best, and then gets worse; 2 diverges."""

    def line(generation, member, fitness, lr, parent="", donor=None):
        error = "" if fitness is not None else "nan"
        return {"generation": generation, "member": member, "hparams": {"lr": lr}, "stream": member, "parent": parent,
                "donor": donor, "attempt": 0, "fitness": fitness, "error": error, "seconds": 30.0}  # fmt: skip

    folder = write_population(tmp_path / "p", members=3)
    first, second = "generations/000/00{}", "generations/001/00{}"
    keep_lines(folder / "history.jsonl", [
        line(0, 0, 0.3, 0.01), line(0, 1, 0.1, 0.1), line(0, 2, 0.2, 0.5),
        line(1, 0, 0.4, 0.01, first.format(0)), line(1, 1, 0.5, 0.02, first.format(0), 0),
        line(1, 2, None, 0.5, first.format(2)),
        line(2, 0, 0.35, 0.01, second.format(0)), line(2, 1, 0.45, 0.02, second.format(1)),
        line(2, 2, 0.42, 0.01, second.format(1), 1),
    ])  # fmt: skip
    history = open_history(folder)
    assert sentences(history) == [
        "The best udr is 0.500, of member 1 in generation 1 (lr 0.02).",
        "As drawn, in generation 0, the members had 0.100 to 0.300, 0.200 in the median; "
        "at the end they have 0.350 to 0.450, 0.420 in the median.",
        "The best descends from member 0 of generation 0 and was once a copy of another. "
        "All 3 members at the end descend from 1 of 3 that were drawn at first.",
        "1 of 9 trainings diverged.",
        "All generations were trained. All trainings together took 4 min.",
    ]
    found = ranking(history)
    assert found.headers == ["rank", "run", "udr", "lr", "copy of", "seconds"]
    assert found.rows == [
        ["best ever", "001/001", "0.500", "0.02", "member 0", "30.0"],
        ["1", "002/001", "0.450", "0.02", "", "30.0"],
        ["2", "002/002", "0.420", "0.01", "member 1", "30.0"],
        ["3", "002/000", "0.350", "0.01", "", "30.0"],
    ]
    spots = {(one["generation"], one["member"]): _tree(history)[id(one)] for one in history.lines}
    assert [spots[1, member] for member in (0, 1, 2)] == [(1, 0), (1, 1), (1, 2)]
    assert [spots[2, member] for member in (0, 1, 2)] == [(2, 0), (2, 1), (2, 2)]


def test_branches_of_the_tree_never_cross(tmp_path: Path) -> None:
    history = open_history(write_population(tmp_path / "p", members=12, generations=9))
    spots = _tree(history)
    assert len(set(spots.values())) == len(history.lines)
    for generation in range(8):
        links = sorted((spots[id(a)], spots[id(b)]) for a, b in history.links if a["generation"] == generation)
        heirs = [heir for _, (_, heir) in links]
        assert heirs == sorted(heirs)


@pytest.mark.parametrize(
    ("values", "scale"),
    [
        ([1e-4, 1e-2], "log"),
        ([8, 256], "log"),
        ([0.0, 10.0], "linear"),
        ([1.0, 2.0], "linear"),
        ([True, False], "linear"),
    ],
)
def test_axes_are_logarithmic_where_the_values_are(values, scale) -> None:
    from matplotlib.figure import Figure

    axes = Figure().add_subplot()
    height = _height(axes, "it", [{"hparams": {"it": value}} for value in values])
    assert axes.get_yscale() == scale
    assert height({"hparams": {"it": values[0]}}) == float(values[0])


def test_an_asynchronous_population_ranks_the_latest_of_each_member(tmp_path: Path) -> None:
    folder = write_population(tmp_path / "p", members=4)
    config = json.loads((folder / "population.json").read_text())
    config["settings"]["asynchronous"] = True
    write_json(folder / "population.json", config)
    lines = list(read_lines(folder / "history.jsonl"))
    keep_lines(folder / "history.jsonl", lines[:-1])
    last = open_history(folder).last
    assert sorted((line["member"], line["generation"]) for line in last) == [(0, 2), (1, 2), (2, 2), (3, 1)]


def test_a_population_under_way(tmp_path: Path) -> None:
    folder = write_population(tmp_path / "p", ended=False)
    page = made(tmp_path)
    assert "It has not ended: 2 of at most 3 generations are there." in page.text
    assert "No run is finished." in page.text
    assert "replay" not in page.text
    with pytest.raises(UserError, match="has not ended; the command that began it goes on"):
        find_runs([tmp_path])
    (folder / "history.jsonl").unlink()
    assert "No member is trained yet." in made(tmp_path).text


def test_a_population_in_which_all_diverged(tmp_path: Path) -> None:
    folder = write_population(tmp_path / "p", ended=False)
    lines = list(read_lines(folder / "history.jsonl"))
    keep_lines(folder / "history.jsonl", [line | {"fitness": None} for line in lines])
    page = made(tmp_path)
    assert "Every training has diverged." in page.text
    assert "median" not in page.text


def test_steps_of_a_recursion(everything: Path, tmp_path: Path, page: Page) -> None:
    found = open_recursion(everything / "rpu")
    best = {place: f"{history.best['fitness']:.3f}" for place, history in found.histories.items()}
    assert [step.cells for step in found.steps] == [
        ["x-run", "600", "3", best["x"], "3"],
        ["leaf run 0, reduction 1", "90", "3", best["leaf-0/0"], "1"],
        ["leaf run 0, reduction 2", "55", "3", best["leaf-0/1"], "hardly any networks agree"],
    ]
    assert found.sentences == [
        "The first network learned 3 factors from 600 images.",
        "In parts of these images 2 leaf runs learned 1 more.",
        f"The best of the last population has a MIG of {best['final']}, with surrogate labels for the true ones.",
        "Leaf run 0 ended: hardly any networks agree on what is left.",
        "Leaf run 1 ended: label 3 of 3 has no gap that stands out.",
    ]
    assert all(sentence in page.text for sentence in found.sentences)
    begun = open_recursion(write_recursion(tmp_path / "begun", ended=False))
    assert begun.steps[-1].cells[-1] == "under way"
    assert begun.sentences[-2:] == ["Leaf run 0 has not ended.", "It has not ended."]


def test_factors_that_a_published_recursion_leaves_out_and_too_few_images(tmp_path: Path) -> None:
    folder = write_recursion(tmp_path / "rpu")
    file = folder / "leaf-0/leaf.json"
    write_json(file, json.loads(file.read_text()) | {"models": ["x-model"], "sizes": [90, 55, 13]})
    cells = [step.cells[-1] for step in open_recursion(folder).steps]
    assert cells[1] == "1, left out: the data could not be reduced by them"
    assert cells[3] == "too few images to learn from"


def test_a_recursion_that_only_begins_or_finds_nothing(tmp_path: Path) -> None:
    folder = write_recursion(tmp_path / "rpu", ended=False)
    shutil.rmtree(folder / "leaf-0")
    assert open_recursion(folder).sentences == ["The first population is under way.", "It has not ended."]
    write_json(folder / "x/result.json", json.loads((folder / "x/result.json").read_text()) | {"reason": "worthless"})
    assert open_recursion(folder).sentences[0].startswith("The networks of no member of the first population agree")
    shutil.rmtree(folder / "x")
    assert "The first population is under way." in made(tmp_path).text


def test_markdown_has_the_same_tables(everything: Path) -> None:
    text = report([everything], everything / "report.md").read_text()
    for line in (
        "## rpu\n",
        "## rpu: x-run\n",
        "## rpu: final\n",
        "## pu\n",
        "| network | images | generations | best UDR | factors learned |",
        "| rank | run | leaf-mig | beta | lr | estimator | copy of | seconds |",
        "| beta-tcvae, population by udr |",
    ):
        assert line in text
    assert text.count("| rank | run | udr |") == 4


def test_commands_over_a_folder_see_one_population_not_its_members(everything: Path, capsys) -> None:
    from desk import say

    watched = say(capsys, "watch", everything, "--once")
    assert "generation 2, best" in watched
    assert watched.count("done") == 6  # the run, the population, four of the recursion
    compared = say(capsys, "audit", everything)
    assert "beta-tcvae, recursion" in compared
    assert "002" not in compared.replace("0.002", "")


def test_damaged_files_are_named(tmp_path: Path) -> None:
    folder = write_population(tmp_path / "p")
    lines = list(read_lines(folder / "history.jsonl"))
    keep_lines(folder / "history.jsonl", lines[4:])
    with pytest.raises(UserError, match=r"history\.jsonl is damaged"):
        made(tmp_path)
    keep_lines(folder / "history.jsonl", [{"generation": 0}])
    with pytest.raises(UserError, match=r"history\.jsonl is damaged"):
        made(tmp_path)
    keep_lines(folder / "history.jsonl", lines)
    best = best_run(folder)
    assert best is not None
    (best.path / "udr.npz").write_bytes(b"no archive")
    with pytest.raises(DataError, match=r"udr\.npz is damaged"):
        made(tmp_path)
    write_json(folder / "population.json", {"member": {"settings": {"seed": 0}}, "settings": {"fitness": "udr"}})
    with pytest.raises(UserError, match=r"population\.json is damaged or of another version"):
        made(tmp_path)
