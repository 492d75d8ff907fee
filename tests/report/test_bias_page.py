"""What the page and the Markdown say of a biased network, of partitions, and of who chose the moment."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from fake_bias import biased_dataset, write_biased_run
from pages import Page

from unbraid.errors import DataError
from unbraid.records import RunDir
from unbraid.report import report
from unbraid.report.bias import sentences, value_name
from unbraid.report.partitions import partitions_view, rand_indices
from unbraid.report.selection import validation_kind
from unbraid.tables import Codes


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("biased")
    data = biased_dataset()
    for seed in (0, 1):
        write_biased_run(root, data, seed)
    write_biased_run(root, data, method="jtt")
    return root


@pytest.fixture(scope="module")
def page(runs) -> Page:
    return Page(report([runs], runs / "report.html").read_text())


def arrays_of(run: RunDir, name: str = "bias") -> dict[str, np.ndarray]:
    with np.load(run.path / f"{name}.npz") as file:
        return dict(file)


def test_the_page_names_the_bias_and_stays_whole(runs, page):
    assert page.open == []
    ids = page.values("id")
    assert len(ids) == len(set(ids))
    assert {f"data-1-{part}" for part in ("selection", "bias", "partitions")} <= set(ids)
    assert {link[1:] for link in page.values("href")} - {"a"} <= set(ids) | {"ata:"}
    assert "The biased network follows colour, the named bias" in page.text
    assert all(attrs.get("alt") for tag, attrs in page.tags if tag == "img")
    assert (runs / "report.html").stat().st_size < 1_000_000


def test_the_gallery_stands_once_per_method_and_says_what_is_answered(page):
    alts = page.values("alt")
    assert sum(alt.startswith("ring") and ", easy: " in alt for alt in alts) == 2 * 5
    assert "ring, colour red, easy: the biased network answers ring" in alts
    assert any(alt.startswith("ring, colour blue, hard: the biased network answers dot") for alt in alts)


def test_swapped_features_are_a_table_of_answers(page):
    marks = [attrs["class"] for tag, attrs in page.tags if tag == "span" and "right" in str(attrs.get("class"))]
    assert marks.count("right") == marks.count("second right") == 2 * 9
    assert "wrong" not in {attrs.get("class") for _, attrs in page.tags}


def test_the_weights_have_a_figure_with_words(page):
    (label,) = {one for one in page.values("aria-label") if "weight W" in one}
    assert "aligned: median 0.000; conflicting: median 1.000" in label


def test_the_headline_is_the_accuracy_at_the_step_chosen_on_validation(page):
    assert "unbiased test accuracy (mean over groups of label and bias) of 0.65" in page.text
    assert "at the step that was best on validation" in page.text
    assert "an oracle: it chooses by looking at the answer" in page.text
    heads = [word for word in page.words if word.startswith(("best on", "last "))]
    assert [head.split(" \u2191")[0] for head in heads[:3]] == ["best on validation", "last", "best on test (oracle)"]
    assert "best on validation: lff at step 20 of 30, jtt at step 20 of 30" in page.text


def test_accuracies_over_groups_of_another_bias_are_not_compared(runs, tmp_path):
    for name in ("lff-0", "jtt-0"):
        shutil.copytree(runs / name, tmp_path / name)
    scores = tmp_path / "jtt-0" / "scores.jsonl"
    scores.write_text(scores.read_text().replace('"over": []', '"over": ["shape", "size"]'))
    assert "a test accuracy of 0.800" in report([tmp_path], tmp_path / "report.md").read_text()


def test_partitions_have_a_name_a_size_and_their_agreement(page):
    assert "The newest partition (epoch 10) goes with colour most" in page.text
    assert "The newest partitions of 2 seeds agree at an adjusted Rand index of 1.000" in page.text
    assert "Mostly colour: red (100%)" in page.text
    assert "Mostly colour: green (100%), blue (100%)" in page.text


def test_markdown_has_the_sentences_and_the_headline_first(runs):
    text = report([runs], runs / "report.md").read_text()
    assert text.startswith("## biased\n\n- ")
    assert "- lff, seed 1: The biased network follows colour, the named bias" in text
    assert text.index("### biased: Unbiased accuracy on test rows") < text.index("### biased: selected-accuracy: plain")
    assert "selected-accuracy: unbiased" not in text


def test_an_unknown_bias_and_one_that_is_not_the_named_one(runs):
    run = RunDir(runs / "lff-0")
    arrays, spec = arrays_of(run), Codes.load(run.codes).spec
    assert "not size:" in sentences(arrays, type(spec)(**{**vars(spec), "bias": "size"}))[0]
    unnamed = type(spec)(**{**vars(spec), "bias": None})
    assert "follows colour: within a label" in sentences(arrays, unnamed)[0]
    nothing = arrays | {"association_p_value": np.ones(2)}
    assert "it has no name here" not in sentences(nothing, unnamed)[0]
    assert "has no name here" in sentences(nothing, unnamed)[0]
    weak = arrays | {"association_normalised": np.array([0.05, 0.01])}
    assert "weakly follows colour" in sentences(weak, spec)[0]
    assert "answers 100.0% of the aligned ones rightly and 0.0% of the" in sentences(arrays, spec)[1]
    assert "with probability 1.000" in sentences(arrays, spec)[1]
    never = arrays | {"weight": np.full(len(arrays["row"]), np.nan)}
    assert "probability" not in sentences(never, spec)[1]


def test_names_of_values(runs):
    spec = Codes.load(RunDir(runs / "lff-0").codes).spec
    assert [value_name(spec, "colour", value) for value in (0, -1)] == ["red", ""]
    assert value_name(spec, "size", 1) == "1"
    assert value_name(spec, "weight", 0.12345) == "0.123"
    assert value_name(spec, None, np.nan) == ""


def test_validation_like_training_or_balanced(runs):
    codes = Codes.load(RunDir(runs / "lff-0").codes)
    assert validation_kind(codes).startswith("The validation rows are biased like the training rows: ")
    colour = codes.columns["colour"].copy()
    held = np.flatnonzero(codes.split == 1)
    colour[held] = np.arange(len(held)) // 3 % 3
    even = Codes(**{**vars(codes), "columns": {**codes.columns, "colour": colour}})
    assert validation_kind(even).startswith("The validation rows are balanced: 33.3% of them")
    assert validation_kind(codes.rows("train", "test")) == ""


def test_adjusted_rand_index_by_counting_pairs():
    rng = np.random.default_rng(0)
    one, other = rng.integers(2, size=(2, 30))
    same = [[part[i] == part[j] for i in range(30) for j in range(i)] for part in (one, other)]
    together = np.sum(np.logical_and(*same))
    first, second, pairs = sum(same[0]), sum(same[1]), len(same[0])
    expected = first * second / pairs
    by_hand = (together - expected) / ((first + second) / 2 - expected)
    assert rand_indices(np.stack([one, other]))[0, 1] == pytest.approx(by_hand)


def test_runs_on_other_images_are_not_compared(runs, tmp_path):
    shutil.copytree(runs / "lff-0", tmp_path / "lff-0")
    write_biased_run(tmp_path, biased_dataset(100), seed=1)
    assert "cannot be compared" in report([tmp_path], tmp_path / "report.html").read_text()


def test_one_partition_has_nothing_to_agree_with(runs):
    run = RunDir(runs / "lff-0")
    arrays = arrays_of(run, "partitions")
    for name in ("environments", "epochs", "objective"):
        arrays[name] = arrays[name][:1]
    view = partitions_view(arrays, Codes.load(run.codes), images=True)
    assert len(view.sentences) == 1
    assert "goes with no column of the data" in view.sentences[0]


@pytest.mark.parametrize("name", ["bias", "partitions"])
def test_a_damaged_file_is_named(runs, tmp_path, name):
    shutil.copytree(runs / "lff-0", tmp_path / "lff-0")
    (tmp_path / "lff-0" / f"{name}.npz").write_bytes(b"no")
    with pytest.raises(DataError, match=f"{name}.npz is damaged"):
        report([tmp_path], tmp_path / "report.html")
