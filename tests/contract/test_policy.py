"""House rules that no linter knows."""

import ast
import re
from pathlib import Path

import pytest

import unbraid

PACKAGE = Path(unbraid.__file__).parent
ROOT = PACKAGE.parent
FILES = sorted(PACKAGE.rglob("*.py"))
METHODS = [path for path in sorted((PACKAGE / "methods").glob("*.py")) if path.stem != "__init__"]
HEADINGS = ("Source", "Objective", "Differences", "Logged")


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def found(pattern: str, paths: list[Path]) -> list[str]:
    """Where a pattern occurs, as file:line: text."""
    lines = ((path, number, line) for path in paths for number, line in enumerate(path.read_text().splitlines(), 1))
    return [f"{name(path)}:{number}: {line.strip()}" for path, number, line in lines if re.search(pattern, line)]


@pytest.mark.parametrize("path", METHODS, ids=lambda path: path.stem)
def test_a_method_says_where_it_comes_from(path):
    first, *rest = (ast.get_docstring(ast.parse(path.read_text())) or "").splitlines()
    assert re.fullmatch(r"[\w -]+: .+\.", first)
    assert tuple(line for line in rest if re.fullmatch("[A-Z][a-z]+", line)) == HEADINGS
    sections = re.split(rf"^(?:{'|'.join(HEADINGS)})$", "\n".join(rest), flags=re.MULTILINE)[1:]
    assert all(section.strip() for section in sections)


def test_no_file_for_leftovers():
    forbidden = {"utils", "common", "misc", "helpers", "base", "core"}
    assert not [name(path) for path in PACKAGE.rglob("*") if path.stem.strip("_") in forbidden]


def test_ascii_only():
    assert found(r"[^\x00-\x7f]", [*FILES, *sorted((ROOT / "tests").rglob("*.py"))]) == []


def test_functions_of_at_most_60_lines_and_files_of_at_most_400():
    long = [f"{name(path)}: {len(path.read_text().splitlines())}" for path in FILES]
    assert [file for file in long if int(file.split(": ")[1]) > 400] == []
    trees = [(path, node) for path in FILES for node in ast.walk(ast.parse(path.read_text()))]
    functions = [(path, node) for path, node in trees if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    assert [f"{name(path)}: {f.name}" for path, f in functions if f.end_lineno - f.lineno + 1 > 60] == []


def test_no_path_of_somebodys_machine_and_no_number_of_a_ticket():
    assert found(r"(^|[\s\"'`(])/(home|root|Users|mnt|tmp|work|opt|var)/", FILES) == []
    assert found(r"(?i)(^|[\s(])#\d{1,5}\b(?!\w)|\bissues? \d|\bTODO\b|\bFIXME\b", FILES) == []
