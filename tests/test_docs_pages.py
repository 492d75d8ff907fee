"""The pages that the site makes from the package, and the numbers that pages repeat."""

import importlib
import re
import sys

import pytest
from doc_blocks import PAGES, ROOT, blocks, words

from unbraid import methods, metrics
from unbraid.cli import COMMANDS, main
from unbraid.data import DATASETS

NUMBER = re.compile(r"\d\.\d+ \u00b1 \d\.\d+")


@pytest.fixture(scope="module")
def pages():
    """The modules of docs/ that make pages; the hooks themselves need mkdocs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(ROOT / "docs")
        yield importlib.import_module
    for path in (ROOT / "docs").glob("*.py"):
        sys.modules.pop(path.stem, None)


@pytest.mark.parametrize("name", methods.METHODS)
def test_a_method_has_its_page(pages, name, monkeypatch):
    text = pages("method_pages").page(name)
    for title in ("Train it", "Source", "Objective", "Differences", "Hyper-parameters", "Presets"):
        assert f"\n## {title}\n" in text
    assert not re.search(r"<(?!/)", re.sub(r"`[^`]*`", "", text))
    parsed = []
    monkeypatch.setattr(importlib.import_module(f"unbraid.cli.{COMMANDS['train'].module}"), "run", parsed.append)
    lines = [line for block in blocks(name, text) if block.language == "bash" for line in block.commands()]
    assert all(main(words(line)) == 0 for line in lines)
    assert len(parsed) == len(lines) == 2


def test_the_overview_names_every_method(pages):
    text = pages("method_pages").overview()
    assert re.findall(r"\[([\w-]+)\]\(\1\.md\)", text) == list(methods.METHODS)


def test_a_measured_row_stands_on_the_methods_page(pages):
    text = pages("method_pages").page("dcodr-norec")
    assert "| Extended Yale B: Leakage of identity | linear (lower) | 0.072 \u00b1 0.012 | 0.025 |" in text
    assert "../results/dcodr.md" in text
    assert "0.072 \u00b1 0.012" not in pages("method_pages").page("dcodr")  # its own rows only


def test_choosing_says_of_a_method_when_to_use_it(pages):
    table = pages("measured").tables(ROOT / "docs" / "choosing.md")[1]
    assert {row[0].strip("`") for row in table.rows} <= set(methods.METHODS)
    assert "**Use it when** the label is known" in pages("method_pages").page("lff")


def test_every_score_is_explained_in_full(pages):
    text = pages("score_pages").page()
    assert re.findall(r"^## ([\w-]+)$", text, re.MULTILINE) == list(metrics.METRICS)
    assert re.search(r"^(\*\*\w+\.\*\* )?As `", text, re.MULTILINE) is None
    dci = metrics.METRICS["dci"].explanation
    assert pages("score_pages").explained(metrics.METRICS["dci-gbt"], "Misleads").startswith(dci["Misleads"][:40])


def test_every_data_set_is_described(pages):
    text = pages("data_pages").sections()
    assert all(f"`{name}`" in text for name in DATASETS)
    assert "| `digits:bias=` | `0.0` | Probability that a digit wears its own paint" in text


def test_a_number_that_a_page_repeats_stands_among_the_results():
    results = " ".join(path.read_text() for path in (ROOT / "docs" / "results").glob("*.md")).replace("*", "")
    for page in ("docs/choosing.md",):
        assert [number for number in NUMBER.findall((ROOT / page).read_text()) if number not in results] == []


def test_links_between_pages_lead_somewhere():
    for page in PAGES:
        for target in re.findall(r"\]\((?!https?:)([^)#]+)", (ROOT / page).read_text()):
            made = "methods/" in target or "every-score.md" in target
            assert made or (ROOT / page).parent.joinpath(target).exists(), f"{page}: {target}"


@pytest.mark.slow
def test_the_site_builds_strictly(tmp_path, monkeypatch):
    pytest.importorskip("mkdocstrings", reason="needs the extra docs")
    from mkdocs.commands.build import build
    from mkdocs.config import load_config

    monkeypatch.chdir(ROOT)
    build(load_config(str(ROOT / "mkdocs.yml"), site_dir=str(tmp_path)))
    assert (tmp_path / "methods" / "dcodr" / "index.html").is_file()
