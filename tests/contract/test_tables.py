"""Tables and folders agree: each row leads to something, each file has its row, a slip is answered with the nearest."""

import ast
from pathlib import Path

import pytest
from fakes import perfect_codes

import unbraid
from unbraid import augment, data, methods, metrics
from unbraid.augment.recipes import Recipe
from unbraid.errors import UserError
from unbraid.registry import lookup
from unbraid.types import Method

PACKAGE = Path(unbraid.__file__).parent


def files(folder: str) -> list[Path]:
    return [path for path in sorted((PACKAGE / folder).glob("*.py")) if path.stem != "__init__"]


def test_methods_resolve():
    found = [methods.method(name) for name in methods.METHODS]
    assert all(issubclass(kind, Method) for kind in found)
    assert len(set(found)) == len(found)


def test_data_sets_resolve():
    for name in data.DATASETS:
        assert callable(lookup("data set", data.DATASETS, name, "unbraid.data"))


def test_views_resolve():
    assert all(isinstance(augment.views(name), Recipe) for name in augment.VIEWS)


def test_metrics_are_called_by_their_names():
    assert all(metric.name == name and metric.source for name, metric in metrics.METRICS.items())


def modules(table: dict[str, str]) -> set[str]:
    return {row.partition(":")[0] for row in table.values()}


def test_every_method_file_has_a_row():
    assert modules(methods.METHODS) == {path.stem for path in files("methods")}


def test_every_data_set_file_has_a_row():
    """A file that makes a data set has a function of keywords alone that returns one."""
    assert modules(data.DATASETS) == {path.stem for path in files("data") if any(map(makes_data, tree(path)))}


def makes_data(node: ast.stmt) -> bool:
    if not isinstance(node, ast.FunctionDef) or node.name.startswith("_"):
        return False
    return getattr(node.returns, "id", "") == "Dataset" and not node.args.args


def test_every_metric_is_found():
    written = {name.replace("_", "-") for path in files("metrics") for name in functions(path, decorator="metric")}
    assert set(metrics.METRICS) == written


def tree(path: Path) -> list[ast.stmt]:
    return ast.parse(path.read_text()).body


def functions(path: Path, decorator: str | None = None) -> list[str]:
    found = [node for node in tree(path) if isinstance(node, ast.FunctionDef)]
    names = {node.name: [getattr(call.func, "id", "") for call in node.decorator_list if isinstance(call, ast.Call)]
             for node in found}  # fmt: skip
    return [name for name, decorators in names.items() if decorator is None or decorator in decorators]


NAMES = [
    (methods.method, "dcodrr", "unknown method 'dcodrr'. Did you mean 'dcodr'?"),
    (data.load, "digitss", "unknown data set 'digitss', and no folder or file of that name. Did you mean 'digits'?"),
    (augment.views, "simclrr", "unknown view recipe 'simclrr'. Did you mean 'simclr'?"),
    (lambda name: metrics.score(perfect_codes(), [name]), "leakige", "unknown metric 'leakige'. Did you mean"),
    (methods.method, "xyz", "unknown method 'xyz'. Known: annealed-vae, autoencoder, barlow-twins, "),
]


@pytest.mark.parametrize(("find", "name", "line"), NAMES)
def test_a_slip_is_answered_with_the_nearest_name(find, name, line):
    with pytest.raises(UserError) as caught:
        find(name)
    assert str(caught.value).startswith(line)
