"""The page and its tables, from run directories that nobody trained."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from fake_runs import fake_codes, read_scores, score_line, write_run, write_study
from pages import Page

from unbraid.errors import UserError
from unbraid.records import Record, RunDir, append_line, keep_lines, write_json
from unbraid.report import report
from unbraid.report.plots import map_figure
from unbraid.report.tables import markdown, means, score_rows, sentences, tables, tradeoff
from unbraid.tables import Codes

SECTIONS = ("scatter", "scores", "strips", "swaps", "maps", "curves", "repeat")


def made(root: Path) -> Page:
    return Page(report([root], root / "out" / "report.html").read_text())


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("study")
    write_study(root, methods=("dcodr", "simclr"))
    report([root], root / "report.html")
    return root


@pytest.fixture(scope="module")
def page(study: Path) -> Page:
    return Page((study / "report.html").read_text())


def test_the_page_is_balanced_and_has_every_section(page: Page) -> None:
    assert page.open == []
    ids = page.values("id")
    assert {f"data-{number}-{part}" for number in (1, 2) for part in SECTIONS} <= set(ids)
    assert {"glossary", "unfinished"} <= set(ids)
    assert len(ids) == len(set(ids))
    assert {link for link in page.values("href") if not link.startswith("#")} == set()
    targets = {link[1:] for link in page.values("href", "xlink:href")}
    targets |= set(re.findall(r"url\(#([^)]+)\)", " ".join(page.values("clip-path", "style"))))
    assert {link for link in targets if not link.startswith("ata:")} <= set(ids)


def test_the_page_loads_nothing_and_describes_its_pictures(study: Path, page: Page) -> None:
    text = (study / "report.html").read_text()
    assert not re.search(r"(?:src|href)=\"(?:https?:)?//|@import|url\((?!#|data:)", text)
    assert all("src" not in attrs for tag, attrs in page.tags if tag == "script")
    assert not re.search(r"fetch\(|XMLHttpRequest|import\(|innerHTML|https?:", " ".join(page.scripts))
    assert all(source.startswith("data:image/png;base64,") for source in page.values("src"))
    assert all(attrs.get("alt") for tag, attrs in page.tags if tag == "img")
    assert all(attrs.get("aria-label") for tag, attrs in page.tags if tag == "svg")


def test_unfinished_runs_are_listed_and_not_scored(study: Path, page: Page) -> None:
    assert "Unfinished runs These have no DONE mark" in page.text
    assert str(study / "dcodr-sprites-1") in page.text
    assert "dcodr, seed 1" in page.text
    assert "One seed per method" in page.text
    assert "Means over 2 seeds" in page.text


def test_everything_needed_to_repeat_a_run_is_there(page: Page) -> None:
    for words in (
        "unbraid train dcodr --data sprites",
        "bf16-channels-last",
        "no VGG weights",
        '"temperature": 0.2',
        "61.2",
    ):
        assert words in page.text


def test_a_page_is_small(study: Path) -> None:
    assert (study / "report.html").stat().st_size < 3_000_000


def test_markdown_holds_the_numbers_of_the_page(study: Path, page: Page) -> None:
    rows = score_rows(
        record for run in study.glob("*-?") if (run / "DONE").exists() for record in RunDir(run).records()
    )
    text = markdown(tables(rows))
    numbers = re.findall(r"\| (?:\*\*)?(\d\.\d{3})", text)
    assert len(numbers) > 50
    assert all(number in page.words for number in numbers)
    values = [row["value"] for seed in range(2) for row in read_scores(RunDir(study / f"simclr-digits-{seed}"))
              if row["metric"] == "leakage" and row["variant"] == "six-layer"]  # fmt: skip
    error = abs(values[0] - values[1]) / 2
    assert f"| {np.mean(values):.3f} \u00b1 {error:.3f} |" in text


def test_undefined_scores_are_named_with_their_reason(page: Page) -> None:
    assert "not defined" in page.words
    assert "angle is not defined for dcodr and simclr: no row to choose from has the query's value." in page.text


def test_a_run_without_codes_samples_scores_log_and_environment(tmp_path: Path) -> None:
    run = write_run(tmp_path)
    for path in (run.codes, run.samples, run.scores, run.log, run.env):
        path.unlink()
    words = made(tmp_path).text
    for absent in ("Nearest neighbours", "Swaps", "Maps of the codes", "Training curves"):
        assert absent not in words
    assert "No run has scores" in words
    assert "Leakage was not measured" in words


def test_strips_of_data_without_a_domain(tmp_path: Path) -> None:
    run = write_run(tmp_path)
    with np.load(run.samples) as file:
        arrays = {name: file[name] for name in file if name != "strip_domain"}
    np.savez(run.samples, **arrays)
    assert {"Query", "Neighbour 1, same content"} <= set(made(tmp_path).values("alt"))


def test_codes_that_are_not_finite_or_few_or_narrow(tmp_path: Path) -> None:
    run = write_run(tmp_path)
    codes = Codes.load(run.codes)
    Codes(**{**vars(codes), "z": codes.z[:, :1]}).save(run.codes)
    assert "PCA of 36 test codes, coloured by color and by digit" in made(tmp_path).text
    Codes(**{**vars(codes), "z": codes.z * np.float32("nan")}).save(run.codes)
    assert "not finite" in made(tmp_path).text


def test_many_codes_are_drawn_by_t_sne(tmp_path: Path) -> None:
    write_run(tmp_path, rows=125)
    assert "t-SNE of 113 test codes" in made(tmp_path).text


def test_few_values_have_a_legend_and_circular_ones_a_colour_bar() -> None:
    codes = fake_codes("digits", (0.2, 0.9), 40, np.random.default_rng(0)).rows("test")
    few = map_figure(codes, codes.z[:, :2], "color", "few")
    assert [value for _, value in few.legend] == ["red", "green", "blue", "amber", "violet"]
    assert map_figure(codes, codes.z[:, :2], "angle", "circular").legend == []


def test_names_are_escaped(tmp_path: Path) -> None:
    write_run(tmp_path, "<script>alert(1)</script> $x_$", name="<script>run", data="<b>data")
    found = made(tmp_path)
    assert {attrs.get("type") for tag, attrs in found.tags if tag == "script"} == {"application/json", "module"}
    assert found.text.count("<b>data") > 0
    assert "<script>alert(1)</script> $x_$, seed 0" in found.text


def test_runs_of_one_method_with_other_settings_are_kept_apart(tmp_path: Path) -> None:
    write_run(tmp_path, config={"hparams": {"temperature": 0.1}}, name="cold")
    write_run(tmp_path, config={"hparams": {"temperature": 0.5}, "settings": {"seed": 3}}, name="hot")
    for path in (*tmp_path.glob("*/samples.npz"), *tmp_path.glob("*/codes.npz")):
        path.unlink()
    words = made(tmp_path).text
    assert "dcodr (temperature=0.1), seed 0" in words
    assert "dcodr (temperature=0.5), seed 3" in words


def test_only_unfinished_runs(tmp_path: Path) -> None:
    write_run(tmp_path, done=False)
    assert "No run is finished." in made(tmp_path).text


# ---- sentences and tables from chosen numbers


def records(*scores: tuple[str, int, float, float], width: float = 0.01) -> list[Record]:
    """Leakage and content of (method, seed, leakage, content), all with the same half interval."""
    run = RunDir(Path("run"))
    lines = []
    for method, seed, leakage, content in scores:
        for metric, column, value, variant in (
            ("leakage", "color", leakage, "linear"),
            ("leakage", "color", 0.2, "linear, shuffled labels"),
            ("informativeness", "digit", content, "linear"),
        ):
            ends = {"value": value, "low": value - width, "high": value + width, "chance": 0.2, "variant": variant}
            higher = metric == "informativeness"
            lines.append(
                score_line(run, method, "digits", seed, metric=metric, column=column, higher_is_better=higher, **ends)
            )
    return [Record(**line) for line in lines]


def said(*scores: tuple[str, int, float, float], width: float = 0.01) -> str:
    found = tradeoff(score_rows(records(*scores, width=width)), "digits")
    assert found is not None
    return " ".join(sentences(found))


def test_intervals_apart_are_ranked() -> None:
    words = said(("a", 0, 0.3, 0.9), ("b", 0, 0.5, 0.8))
    assert "a leaks least: a linear probe predicts color from its code at 0.300 [0.290, 0.310], above chance" in words
    assert "b leaks more, beyond the intervals." in words
    assert "That is the highest measured content; beyond the intervals of all others." in words


def test_overlapping_intervals_are_not_ranked() -> None:
    words = said(("a", 0, 0.3, 0.8), ("b", 0, 0.31, 0.81), ("c", 0, 0.9, 0.9))
    assert "least" not in words
    assert "a has the lowest measured leakage" in words
    assert "overlaps that of b: these runs do not tell them apart" in words
    assert "c leaks more" in words
    assert "highest measured content is that of c, 0.900 [0.890, 0.910], beyond the interval of a" in words


def test_the_span_of_all_seeds_decides() -> None:
    words = said(("a", 0, 0.30, 0.9), ("a", 1, 0.36, 0.9), ("b", 0, 0.36, 0.9), ("b", 1, 0.40, 0.9))
    assert "a has the lowest measured leakage" in words
    assert "0.330 [0.290, 0.370]" in words


def test_chance_is_said_in_three_ways() -> None:
    assert "not told apart from chance (0.200)" in said(("a", 0, 0.205, 0.9))
    assert "below chance (0.200), which speaks against the probe" in said(("a", 0, 0.1, 0.9))
    assert "a is the only method scored" in said(("a", 0, 0.1, 0.9))
    assert "low leakage is no achievement" in said(("a", 0, 0.2, 0.2), ("b", 0, 0.9, 0.9))


def test_a_score_without_an_interval_ranks_nobody() -> None:
    lines = records(("a", 0, 0.3, 0.9), ("b", 0, 0.9, 0.9))
    rows = score_rows([Record(**{**vars(line), "low": None, "high": None}) for line in lines])
    found = tradeoff(rows, "digits")
    assert found is not None
    assert "[no interval]" in sentences(found)[0]
    assert "least" not in " ".join(sentences(found))
    assert "**" not in markdown(tables(rows))


def test_the_probe_that_reads_most_is_the_one_reported() -> None:
    lines = records(("a", 0, 0.3, 0.9))
    strong = [Record(**{**vars(line), "variant": "six-layer", "value": line.value + 0.1}) for line in lines[::2]]
    found = tradeoff(score_rows([*lines, *strong]), "digits")
    assert found is not None
    assert (found.probe, found.content_probe, found.factors) == ("six-layer", "six-layer", ["digit"])
    fits = Record(**{**vars(lines[2]), "column": "slant", "variant": "linear, R2", "value": 0.99})
    found = tradeoff(score_rows([*lines, fits]), "digits")
    assert found is not None
    assert found.content_probe == "linear"


def test_bold_only_where_no_interval_reaches() -> None:
    clear = markdown(tables(score_rows(records(("a", 0, 0.3, 0.9), ("b", 0, 0.5, 0.9)))))
    assert "| a | **0.300** [0.290, 0.310] | 0.200 [0.190, 0.210] |" in clear
    assert "| b | 0.500" in clear
    assert "linear (lower)" in clear
    close = markdown(tables(score_rows(records(("a", 0, 0.3, 0.9), ("b", 0, 0.31, 0.9)))))
    assert "**" not in close


def test_means_and_standard_errors_match_numpy_and_the_last_score_counts() -> None:
    values = [0.3, 0.4, 0.38]
    lines = records(*(("a", seed, value, 0.9) for seed, value in enumerate([0.9, *values[1:]])))
    row = means(score_rows([*lines, *records(("a", 0, values[0], 0.9))])).iloc[0]
    assert row["mean"] == pytest.approx(np.mean(values))
    assert row["error"] == pytest.approx(np.std(values, ddof=1) / np.sqrt(3))
    assert (row["low"], row["high"], row["num_seeds"]) == (pytest.approx(0.29), pytest.approx(0.41), 3)


# ---- mistakes, each one line


def damaged(root: Path) -> str:
    with pytest.raises(UserError) as error:
        report([root], root / "report.html")
    assert "\n" not in str(error.value)
    assert not (root / "report.html").exists()
    return str(error.value)


def test_no_runs(tmp_path: Path) -> None:
    assert "no run directory" in damaged(tmp_path)
    with pytest.raises(UserError, match="no folder at"):
        report([tmp_path / "nowhere"], tmp_path / "report.html")


def test_an_unwritable_page(tmp_path: Path) -> None:
    write_run(tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="cannot write"):
        report([tmp_path], tmp_path / "file" / "report.html")


@pytest.mark.parametrize("name", ["config", "env", "scores", "log", "codes", "samples"])
def test_damaged_files_are_named(tmp_path: Path, name: str) -> None:
    run = write_run(tmp_path)
    path: Path = getattr(run, name)
    path.write_text("{ not json\n{}\n")
    assert str(path) in damaged(tmp_path)


def test_files_of_another_kind_are_named(tmp_path: Path) -> None:
    run = write_run(tmp_path)
    append_line(run.scores, {"accuracy": 1})
    assert f"{run.scores} is damaged or of another version" in damaged(tmp_path)
    keep_lines(run.scores, [])
    write_json(run.env, [1])
    assert f"{run.env} is damaged: it holds no JSON object" in damaged(tmp_path)
    write_json(run.config, {"method": "dcodr"})
    assert "does not say its data" in damaged(tmp_path)


def test_a_cut_last_line_is_left_out(tmp_path: Path) -> None:
    run = write_run(tmp_path)
    for path in (run.log, run.scores):
        with path.open("a") as file:
            file.write(json.dumps({"step": 1})[:-3])
    assert "dcodr, seed 0" in made(tmp_path).text
