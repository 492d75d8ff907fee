"""A desk to work at: photos of four cameras with a table of labels, and a trained run."""

from pathlib import Path

import pandas as pd
import pytest
from photos import photo

from unbraid.cli import main
from unbraid.records import RunDir

DATA = "digits:source=sklearn,num=300"
TINY = ("--preset", "tiny", "--precision", "fp32")


def write_desk(folder: Path) -> pd.DataFrame:
    """48 photos in ``photos``, 12 of each camera, and their labels in ``photos.csv``."""
    (folder / "photos").mkdir()
    names = [f"p{row:02d}.png" for row in range(48)]
    for row, name in enumerate(names):
        photo(row, width=24, height=20).save(folder / "photos" / name)
    rows = pd.Series(range(48))
    frame = pd.DataFrame({"path": names, "camera": rows.map(lambda row: "abcd"[row % 4]), "subject": rows // 4 % 3})
    frame.to_csv(folder / "photos.csv", index=False)
    return frame


def say(capsys, *words: object) -> str:
    """What a command that succeeds writes to stdout."""
    capsys.readouterr()
    try:
        code = main([str(word) for word in words])
    except SystemExit as done:  # --help and --print_config
        code = done.code
    written = capsys.readouterr()
    assert code == 0, written.err
    return written.out


def refuse(capsys, *words: object) -> str:
    """The one line on stderr of a command that fails, after which no file is new or gone."""
    before = set(Path().rglob("*"))
    capsys.readouterr()
    assert main([str(word) for word in words]) == 2
    written = capsys.readouterr()
    assert written.out == ""
    assert written.err.startswith("unbraid: ")
    assert written.err.count("\n") == 1
    assert set(Path().rglob("*")) == before
    return written.err


@pytest.fixture
def desk(tmp_path, monkeypatch):
    """The current folder, with photos."""
    monkeypatch.chdir(tmp_path)
    return write_desk(tmp_path)


@pytest.fixture(scope="package")
def trained(tmp_path_factory):
    run = RunDir(tmp_path_factory.mktemp("trained") / "run")
    assert main(["train", "simclr", "--data", DATA, *TINY, "--epochs", "1", "--out", str(run.path)]) == 0
    return run
