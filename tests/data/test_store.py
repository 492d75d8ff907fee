import os

import numpy as np
import pytest
from fake_sets import assert_same, small

from unbraid.data import load, store
from unbraid.errors import DataError, UserError


def test_round_trip_is_exact_and_mapped(tmp_path):
    store.write(small(), tmp_path / "s")
    back = store.read(tmp_path / "s")
    assert_same(small(), back)
    assert isinstance(back.images, np.memmap)
    assert all(column.flags.writeable for column in back.columns.values())
    assert_same(back, load(str(tmp_path / "s")))  # a prepared folder is a data set by its path


def test_chunks_that_do_not_fill_the_rows_leave_nothing_behind(tmp_path):
    data = small()
    with pytest.raises(DataError, match="do not fill"):
        store.write_chunks(data.spec, data.columns, data.split, [data.images[:2]], tmp_path / "s")
    assert not list(tmp_path.iterdir())


def test_reserved_column(tmp_path):
    data = small()
    with pytest.raises(DataError, match="cannot be called 'split'"):
        store.write_chunks(data.spec, {"split": data.split.astype(np.int64)}, data.split, [], tmp_path / "s")


@pytest.mark.parametrize("name", store.FILES)
@pytest.mark.parametrize("damage", ["missing", "truncated", "garbage"])
def test_damaged_store_says_which_folder_to_delete(tmp_path, name, damage):
    store.write(small(), tmp_path / "s")
    file = tmp_path / "s" / name
    if damage == "missing":
        file.unlink()
    else:
        file.write_bytes(file.read_bytes()[:-9] if damage == "truncated" else b"not this")
    with pytest.raises(DataError, match="delete that folder") as caught:
        store.read(tmp_path / "s")
    assert str(tmp_path / "s") in str(caught.value)
    assert "\n" not in str(caught.value)


def test_files_of_two_stores_do_not_mix(tmp_path):
    store.write(small(5), tmp_path / "a")
    store.write(small(6), tmp_path / "b")
    (tmp_path / "b" / "images.npy").replace(tmp_path / "a" / "images.npy")
    with pytest.raises(DataError, match="damaged"):
        store.read(tmp_path / "a")


def test_cached_builds_once_per_parameters_and_sources(tmp_path):
    source, built = tmp_path / "photo.png", []
    source.write_text("one")

    def get(**parameters) -> None:
        store.cached("small", parameters, [source], lambda folder: built.append(store.write(small(), folder)))

    get(size=1)
    get(size=1)
    assert len(built) == 1
    get(size=2)
    assert len(built) == 2
    source.write_text("changed")
    get(size=2)
    assert len(built) == 3


def test_a_failed_build_leaves_nothing_behind(cache):
    with pytest.raises(ZeroDivisionError):
        store.cached("small", {}, [], lambda folder: 1 / 0)
    assert not list(cache.iterdir())


def test_the_faster_of_two_processes_wins(cache):
    def build(folder):
        store.write(small(), folder)
        store.write(small(6), cache / folder.name.rsplit(".", 1)[0][1:])  # the other process ends first

    assert len(store.cached("small", {}, [], build)) == 6
    assert len(list(cache.iterdir())) == 1


@pytest.mark.parametrize("place", ["under a file", "read-only"])
def test_cache_that_cannot_be_written_names_the_variable(tmp_path, monkeypatch, place):
    if place == "read-only" and os.geteuid() == 0:
        pytest.skip("root may write anywhere")
    blocked = tmp_path / "blocked"
    if place == "read-only":
        blocked.mkdir(mode=0o500)
    else:
        blocked.write_text("")
    monkeypatch.setenv("UNBRAID_CACHE", str(blocked / "cache"))
    with pytest.raises(UserError, match="UNBRAID_CACHE"):
        store.cached("small", {}, [], lambda folder: store.write(small(), folder))
