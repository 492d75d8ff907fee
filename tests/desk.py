"""A desk to work at with the command line: photos of four cameras, their labels, and two ways to give a command."""

from pathlib import Path

import pandas as pd
from photos import photo

from unbraid.cli import main

DATA = "digits:source=sklearn,num=300"
TINY = ("--preset", "tiny", "--precision", "fp32")
PHOTOS = ("--data", "photos", "--labels", "photos.csv", "--size", 32, *TINY)


def write_desk(folder: Path) -> pd.DataFrame:
    """48 photos in ``photos``, 12 of each camera, and their labels in ``photos.csv``."""
    (folder / "photos").mkdir()
    names = [f"p{row:02d}.png" for row in range(48)]
    for row, name in enumerate(names):
        photo(row, width=24, height=20).save(folder / "photos" / name)
    camera = ["abcd"[row % 4] for row in range(48)]
    frame = pd.DataFrame({"path": names, "camera": camera, "subject": [row // 4 % 3 for row in range(48)]})
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
    """The one line on stderr of a command that fails, after which no file here is new or gone."""
    before = set(Path().rglob("*"))
    capsys.readouterr()
    assert main([str(word) for word in words]) == 2
    written = capsys.readouterr()
    assert written.out == ""
    assert written.err.startswith("unbraid: ")
    assert written.err.count("\n") == 1
    assert set(Path().rglob("*")) == before
    return written.err
