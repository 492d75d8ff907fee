import pytest
from desk import DATA, TINY, write_desk

from unbraid.cli import main
from unbraid.records import RunDir


@pytest.fixture
def desk(tmp_path, monkeypatch):
    """The current folder has photos; the table of their labels."""
    monkeypatch.chdir(tmp_path)
    return write_desk(tmp_path)


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    run = RunDir(tmp_path_factory.mktemp("trained") / "run")
    assert main(["train", "simclr", "--data", DATA, *TINY, "--epochs", "1", "--out", str(run.path)]) == 0
    return run
