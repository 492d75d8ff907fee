"""What changed since an earlier page: the same numbers, from a page or from the runs, and nothing from other files."""

import json

import pytest
from fake_runs import read_scores, write_run
from pages import Page

from unbraid.errors import UserError
from unbraid.records import RunDir, keep_lines
from unbraid.report import report
from unbraid.report.changes import Scores, changes_since, scores_of
from unbraid.report.changes import read_scores as old_scores
from unbraid.report.runs import open_runs, rows_of


@pytest.fixture(scope="module")
def old(tmp_path_factory):
    """A folder of runs, and its page beside it."""
    folder = tmp_path_factory.mktemp("changes") / "old"
    for method in ("dcodr", "simclr"):
        write_scored(folder, method)
    report([folder], folder.with_suffix(".html"))
    return folder


def write_scored(folder, method, data="digits"):
    """A run with scores and nothing to draw."""
    run = write_run(folder, method, data=data)
    for path in (run.codes, run.samples, run.log):
        path.unlink()
    return run


def new_scores(folder):
    runs = open_runs([RunDir(path.parent) for path in sorted(folder.glob("*/DONE"))])
    return scores_of(runs, rows_of(runs))


def changed(run, **of_metric):
    """Move the value and the interval of every score of a metric."""
    lines = read_scores(run)
    for line in lines:
        if line["value"] is not None and not line["variant"].endswith("labels"):
            for name in ("value", "low", "high"):
                line[name] += of_metric.get(line["metric"], 0)
    keep_lines(run.scores, lines)


def test_a_page_carries_the_scores_of_its_runs(old):
    of_page, of_runs = old_scores(old.with_suffix(".html")), old_scores(old)
    assert of_page.runs == of_runs.runs == [("digits", "dcodr", 0), ("digits", "simclr", 0)]
    assert of_page.as_json() == of_runs.as_json()
    again = Scores.from_json(json.loads(json.dumps(of_runs.as_json())))
    assert again.as_json() == of_runs.as_json()


@pytest.mark.parametrize("suffix", [".html", ""])
def test_only_intervals_apart_are_better_or_worse(old, tmp_path, suffix):
    new = tmp_path / "new"
    changed(write_scored(new, "dcodr"), leakage=-0.1, informativeness=-0.2, retrieval=0.01)
    write_scored(new, "vanilla")
    (found,) = changes_since(old.with_suffix(suffix), new_scores(new)).parts
    assert found.sentences == [
        "6 of 10 scores differ beyond the intervals: 2 better, 4 worse.",
        "Added runs: vanilla, seed 0.",
        "Missing runs: simclr, seed 0.",
        "10 scores only now.",
        "10 scores only before.",
    ]
    verdicts = {row[1]: row[2] for row in [*found.apart, *found.others]}
    assert verdicts["leakage of color, linear"] == "better"
    assert verdicts["informativeness of digit, linear"] == "worse"
    assert verdicts["retrieval of digit, top-1, other domains"] == "intervals touch"
    assert verdicts["leakage of color, linear, shuffled labels"] == "the same"
    method, score, _, difference, before, now = found.apart[0]
    assert (method, difference) == ("dcodr", "-0.200")
    line = next(line for line in read_scores(RunDir(old / "dcodr-digits-0")) if line["metric"] == "informativeness")
    row = next(row for row in found.apart if row[1] == f"informativeness of {line['column']}, {line['variant']}")
    assert row[4].startswith(f"{line['value']:.3f} [")
    assert row[5].startswith(f"{line['value'] - 0.2:.3f} [")
    assert score
    assert before != now


def test_nothing_changed(old, tmp_path):
    (found,) = changes_since(old.with_suffix(".html"), new_scores(old)).parts
    assert found.sentences == ["All 20 scores are exactly the same."]
    assert found.apart == []


def test_scores_without_an_interval_and_controls(old, tmp_path):
    new = tmp_path / "new"
    run = write_scored(new, "dcodr")
    lines = read_scores(run)
    for line in lines:
        if line["metric"] == "leakage":
            line["value"] += 0.3
            line["low"], line["high"] = (None, None) if line["variant"] == "linear" else (line["value"], line["value"])
    keep_lines(run.scores, lines)
    (found,) = changes_since(old.with_suffix(".html"), new_scores(new)).parts
    verdicts = {row[1]: row[2] for row in [*found.apart, *found.others]}
    assert verdicts["leakage of color, linear"] == "no interval"
    assert verdicts["leakage of color, linear, shuffled labels"] == "differs"
    assert "1 worse, 1 in controls" in found.sentences[0]


def test_the_page_and_the_markdown_say_it(old, tmp_path):
    run = write_scored(tmp_path / "new", "dcodr")
    changed(run, leakage=-0.1)
    write_scored(tmp_path / "new", "dcodr", data="sprites")
    page = Page(report([tmp_path / "new"], tmp_path / "page.html", against=old.with_suffix(".html")).read_text())
    assert page.open == []
    assert "changes" in page.values("id")
    assert "2 of 10 scores differ beyond the intervals: 2 better. Missing runs: simclr, seed 0." in page.text
    assert "No score stands on both sides. Added runs: dcodr, seed 0. " in page.text  # of the second data set
    text = report([tmp_path / "new"], tmp_path / "page.md", against=old).read_text()
    assert f"## digits: what changed since {old}" in text
    assert "| method | score | verdict | difference | before | now |" in text
    assert "| dcodr | leakage of color, linear | better | -0.100 |" in text


def test_the_page_that_is_written_may_be_the_old_one(old, tmp_path):
    page = tmp_path / "page.html"
    page.write_text(old.with_suffix(".html").read_text())
    assert "All 20 scores are exactly the same." in Page(report([old], page, against=page).read_text()).text


def test_runs_without_scores(old, tmp_path):
    write_scored(tmp_path / "new", "dcodr").scores.unlink()
    page = report([tmp_path / "new"], tmp_path / "new.html")
    assert old_scores(page).runs == [("digits", "dcodr", 0)]
    (found,) = changes_since(page, new_scores(old)).parts
    assert found.sentences[0] == "No score stands on both sides."


def script(text):
    return f'<script type="application/json" id="unbraid-scores">{text}</script>'


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"<html>a page of somebody else</html>", "is no page of `unbraid report`"),
        (b"\xff\xfe\x00", "is no page of `unbraid report`"),
        (script("{").encode(), "is damaged or of another version"),
        (script("[]").encode(), "is damaged or of another version"),
        (script('{"runs": [], "columns": ["data"], "scores": [["a"]]}').encode(), "is damaged or of another version"),
        (script('{"runs": [1], "columns": [], "scores": []}').encode(), "is damaged or of another version"),
    ],
)
def test_other_files_get_one_line(old, tmp_path, content, said):
    path = tmp_path / "foreign.html"
    path.write_bytes(content)
    with pytest.raises(UserError, match=said) as error:
        report([old], tmp_path / "new.html", against=path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "new.html").exists()


def test_nothing_at_all(old, tmp_path):
    with pytest.raises(UserError, match="cannot read"):
        report([old], tmp_path / "new.html", against=tmp_path / "nowhere.html")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="no run directory"):
        report([old], tmp_path / "new.html", against=tmp_path / "empty")
