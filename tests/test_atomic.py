"""A file or folder is the old one or the new one, never half of either."""

import errno

import pytest

from unbraid import atomic
from unbraid.atomic import atomic_file, atomic_folder, recover_folder


def test_a_file_is_written_where_folders_were_missing(tmp_path):
    path = tmp_path / "a" / "b" / "file.txt"
    with atomic_file(path) as temporary:
        temporary.write_text("new")
        assert not path.exists()
    assert path.read_text() == "new"
    assert [file.name for file in path.parent.iterdir()] == ["file.txt"]


def write_file(path):
    with atomic_file(path) as temporary:
        temporary.write_text("new")
        raise KeyboardInterrupt


def write_folder(path):
    with atomic_folder(path) as temporary:
        (temporary / "x").write_text("new")
        raise KeyboardInterrupt


def test_a_failure_leaves_the_old_file(tmp_path):
    path = tmp_path / "file.txt"
    path.write_text("old")
    with pytest.raises(KeyboardInterrupt):
        write_file(path)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_failure_leaves_no_file(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        write_file(tmp_path / "file.txt")
    with pytest.raises(KeyboardInterrupt):
        write_folder(tmp_path / "folder")
    assert not list(tmp_path.iterdir())


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "old").write_text("old")
    return folder


def test_a_folder_is_replaced_as_a_whole(folder):
    with atomic_folder(folder) as temporary:
        (temporary / "new").write_text("new")
        assert (folder / "old").exists()
    assert [path.name for path in folder.iterdir()] == ["new"]
    assert list(folder.parent.iterdir()) == [folder]


def test_a_failure_leaves_the_old_folder(folder):
    with pytest.raises(KeyboardInterrupt):
        write_folder(folder)
    assert [path.name for path in folder.iterdir()] == ["old"]
    assert list(folder.parent.iterdir()) == [folder]


@pytest.mark.parametrize("write", [atomic_file, atomic_folder])
def test_a_disk_that_fails_at_the_last_moment_changes_nothing(folder, monkeypatch, write):
    def fail(path):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(atomic, "sync", fail)
    path = folder / "old" if write is atomic_file else folder
    with pytest.raises(OSError, match="No space"), write(path) as temporary:
        (temporary if write is atomic_file else temporary / "new").write_text("new")
    assert (folder / "old").read_text() == "old"
    assert list(folder.parent.iterdir()) == [folder]
    assert [file.name for file in folder.iterdir()] == ["old"]


def test_what_a_killed_process_left_is_not_taken_for_new(folder):
    """A folder of the same temporary name, as a process of the same number may have left."""
    stale = folder.with_name(f".folder.{atomic.os.getpid()}.tmp")
    stale.mkdir()
    (stale / "stale").write_text("")
    with atomic_folder(folder) as temporary:
        (temporary / "new").write_text("new")
    assert [path.name for path in folder.iterdir()] == ["new"]


def test_a_process_killed_between_the_two_renames_loses_nothing(folder):
    folder.rename(folder.with_name(".folder.old"))
    recover_folder(folder)
    assert (folder / "old").read_text() == "old"
    recover_folder(folder)
    assert list(folder.parent.iterdir()) == [folder]
    folder.rename(folder.with_name(".folder.old"))
    with pytest.raises(KeyboardInterrupt):
        write_folder(folder)
    assert (folder / "old").read_text() == "old"
    assert list(folder.parent.iterdir()) == [folder]
