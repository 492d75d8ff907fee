"""Files that are either whole or not there: written beside their place, flushed to disk, then renamed."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def sync(path: Path) -> None:
    """Wait until a file, or a folder's list of names, is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """A temporary path that becomes ``path`` when the block ends well, and disappears when it does not."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        sync(temporary)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """The same for a folder. An existing folder of that name is replaced only once the new one is complete."""
    path.parent.mkdir(parents=True, exist_ok=True)
    recover_folder(path)
    temporary, old = path.with_name(f".{path.name}.{os.getpid()}.tmp"), _old(path)
    try:
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir()
        yield temporary
        for file in temporary.iterdir():
            sync(file)
        if path.exists():  # a folder cannot be renamed onto a full one
            path.rename(old)
        temporary.rename(path)
        sync(path.parent)
    finally:
        recover_folder(path)
        shutil.rmtree(temporary, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)


def recover_folder(path: Path) -> None:
    """Put the old folder back if a process died between taking it away and putting the new one in its place."""
    if not path.exists() and _old(path).exists():
        _old(path).rename(path)


def _old(path: Path) -> Path:
    return path.with_name(f".{path.name}.old")
