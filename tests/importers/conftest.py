import pytest


@pytest.fixture(autouse=True)
def empty_folder(tmp_path, monkeypatch):
    """Where a command that fails must leave nothing behind."""
    monkeypatch.chdir(tmp_path)
