"""The examples run as they stand, on fewer rows and fewer epochs."""

import importlib.util
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"
SMALLER = {
    "cross_domain_retrieval": {"num": 400, "epochs": 1},
    "debias_without_labels": {"epochs": 1},
    "own_images": {"num": 160, "epochs": 1, "preset": "tiny"},
    "own_method": {"num": 300, "epochs": 1},
    "own_score": {},
    "remove_hospital": {"num": 200, "epochs": 1, "preset": "tiny"},
}


def test_every_example_is_run():
    assert {path.stem for path in EXAMPLES.glob("*.py")} == set(SMALLER)


@pytest.mark.parametrize("name", SMALLER)
def test_an_example(name, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    spec = importlib.util.spec_from_file_location(f"example_{name}", EXAMPLES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.main(**SMALLER[name])
    assert ":" in capsys.readouterr().out
