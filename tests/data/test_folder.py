import logging

import numpy as np
import pandas as pd
import pytest
from photos import photo, write_photos, write_tree

from unbraid.data import load
from unbraid.data.options import DataOptions
from unbraid.errors import DataError, UserError


def options(**values) -> DataOptions:
    return DataOptions(**{"size": 8, **values})


@pytest.fixture
def photos(tmp_path):
    """A folder of ten photos with a table beside it; ``photos(frame)`` replaces the table."""
    frame = write_photos(tmp_path / "photos")
    table = tmp_path / "labels.csv"
    frame.to_csv(table, index=False)

    def read(frame: pd.DataFrame | None = None, **values):
        if frame is not None:
            frame.to_csv(table, index=False)
        return load(str(tmp_path / "photos"), options(labels=str(table), **values))

    read.root, read.table, read.frame = tmp_path / "photos", table, frame
    return read


def refused(function, message: str, *arguments, **values) -> str:
    with pytest.raises(UserError, match=message) as caught:
        function(*arguments, **values)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_folder_with_a_table(photos, caplog):
    data = photos(domain="camera")
    spec = data.spec
    assert (spec.name, spec.image_shape, spec.num_train, len(data)) == ("photos", (3, 8, 8), 8, 10)
    assert spec.sizes == {"camera": 2, "subject": 3}
    assert spec.values["camera"] == ("left", "right")
    assert spec.values["subject"] == ("0", "1", "2")
    assert (spec.domain, spec.factors, spec.targets) == ("camera", ("subject",), ("temperature",))
    assert data.columns["temperature"].dtype == np.float32
    assert [np.sum(data.columns["camera"][data.rows("test")] == value) for value in (0, 1)] == [1, 1]
    assert "column 'id' is left out: 10 values in 10 rows" in caplog.text


@pytest.mark.parametrize("suffix", ["csv", "tsv", "parquet"])
def test_a_table_of_paths_as_the_data(tmp_path, suffix):
    frame = write_photos(tmp_path / "sub").assign(path=lambda frame: "sub/" + frame["path"])
    table = tmp_path / f"photos.{suffix}"
    if suffix == "parquet":
        frame.to_parquet(table)
    else:
        frame.to_csv(table, index=False, sep={"csv": ",", "tsv": "\t"}[suffix])
    data = load(str(table), options(domain="camera"))
    assert (data.spec.name, len(data)) == ("photos", 10)
    refused(load, "--labels belongs to a folder", str(table), options(labels=str(table)))


def test_folders_as_labels(tmp_path):
    write_tree(tmp_path / "one", ["cat", "dog"])
    data = load(str(tmp_path / "one"), options(domain="folder"))
    assert data.spec.values == {"folder": ("cat", "dog")}
    write_tree(tmp_path / "two", ["night/cat", "night/dog", "day/cat"])
    data = load(str(tmp_path / "two"), options(domain="folder1", label="folder2"))
    assert data.spec.values == {"folder1": ("day", "night"), "folder2": ("cat", "dog")}
    write_tree(tmp_path / "none", ["."])
    data = load(str(tmp_path / "none"), options())
    assert (len(data), data.spec.sizes, data.spec.domain) == (5, {}, None)


def test_trying_another_domain_decodes_nothing(photos, cache):
    photos(domain="camera")
    photos(domain="subject", test_fraction=0.5)
    assert len(list(cache.iterdir())) == 1
    photos(photos.frame.assign(camera=["x", "y"] * 5), domain="camera")
    assert len(list(cache.iterdir())) == 1
    photo(99).save(photos.root / "p00.png")
    photos(domain="camera")
    assert len(list(cache.iterdir())) == 2


def test_rows_follow_the_table(photos):
    upright, reverse = photos(domain="camera"), photos(photos.frame[::-1], domain="camera")
    np.testing.assert_array_equal(upright.images, reverse.images[::-1])
    np.testing.assert_array_equal(upright.columns["camera"], reverse.columns["camera"][::-1])


def test_kinds_of_columns(photos, caplog):
    frame = photos.frame.assign(
        flag=[True, False] * 5,
        whole=[1.0, 2.0] * 5,
        gap=[None, "a"] * 5,
        hole=[None, *[0.5] * 9],
        country=["NA", "DE"] * 5,
    )
    data = photos(frame)
    assert data.spec.values["flag"] == ("False", "True")
    assert data.spec.values["whole"] == ("1", "2")
    assert data.spec.values["gap"] == ("missing", "a")
    assert data.spec.values["country"] == ("DE", "NA")
    assert data.columns["gap"].tolist() == [0, 1] * 5
    assert "'gap': 5 missing values are a category of their own" in caplog.text
    assert "'hole' is left out: 1 missing values" in caplog.text
    assert "hole" not in data.columns


def test_an_id_column_is_kept_when_asked_for(photos):
    assert photos(domain="camera", factors=["id"]).spec.sizes["id"] == 10


@pytest.mark.parametrize("column", ["Image", "whatever"])
def test_the_path_column_is_found(photos, column):
    assert len(photos(photos.frame.rename(columns={"path": column}))) == 10


def test_a_path_column_that_cannot_be_found(photos):
    frame = photos.frame.assign(a=photos.frame["path"], b=photos.frame["path"]).drop(columns="path")
    refused(photos, "Give --path-column, one of camera, subject, temperature, id, a, b", frame)
    assert len(photos(frame, path_column="b")) == 10
    refused(photos, "no column 'bb'", frame, path_column="bb")


def test_given_splits(photos):
    words = ["train"] * 6 + ["val"] * 2 + ["Test"] * 2
    frame = photos.frame.assign(fold=words)
    data = photos(frame, split_column="fold", domain="camera")
    assert data.split.tolist() == [0] * 6 + [1] * 2 + [2] * 2
    assert "fold" not in data.columns
    assert photos(frame.rename(columns={"fold": "split"})).split.tolist() == data.split.tolist()
    refused(photos, "leave out --group, --test-fraction", split_column="split", group="camera", test_fraction=0.5)
    refused(photos, r"1 image\(s\) are neither .*p00.png \(practice\)", frame.assign(split=["practice", *words[1:]]))
    refused(photos, "the test split has no images", frame.assign(split="train"))
    refused(photos, "have no train image: right", frame.assign(split=["train", "test"] * 5), domain="camera")
    late = frame.assign(split=["train"] * 8 + ["test"] * 2, y=[0, 1] * 4 + [1, 1])
    refused(photos, "every image of the test split has 'y' = 1", late, label="y")


def test_made_splits(photos):
    one, again, other = photos(), photos(), photos(split_seed=1)
    assert one.split.tolist() == again.split.tolist() != other.split.tolist()
    grouped = photos(group="subject", test_fraction=0.4)
    parts = [set(grouped.columns["subject"][grouped.rows(part)].tolist()) for part in ("train", "test")]
    assert not parts[0] & parts[1]
    assert "subject" not in grouped.spec.factors
    by_subject = photos(stratify="subject", test_fraction=0.25, validation_fraction=0.25)
    for subject in range(3):
        assert np.sum(by_subject.split[by_subject.columns["subject"] == subject] == 0) >= 1
    refused(photos, "both below 1", test_fraction=1.5)
    refused(
        photos,
        "have no 'subject', the column of --group",
        photos.frame.assign(subject=[None, *"abcabcabc"]),
        group="subject",
    )


@pytest.mark.parametrize("role", ["domain", "label", "bias"])
def test_unlabelled_rows(photos, role):
    frame = photos.frame.assign(camera=[None] * 4 + ["left", "right"] * 3)
    refused(
        photos, r"4 image\(s\) have no 'camera': .*p00.png, .*p01.png, .*p02.png and 1 more", frame, **{role: "camera"}
    )
    refused(photos, "1 image.* have no 'hole'", photos.frame.assign(hole=[None, *[0.5] * 9]), targets=["hole"])


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"domain": "camra"}, "photos has no column 'camra' .--domain.. Did you mean 'camera'"),
        ({"stratify": "camra"}, "--stratify"),
        ({"group": "camra"}, "--group"),
        ({"split_column": "camra"}, "--split-column"),
        ({"factors": ["camera", "x"]}, "no column 'x' .--factors."),
        ({"domain": "temperature"}, "temperature: that column of photos is not a categorical one"),
        ({"size": 2}, "at least 8 pixels"),
    ],
)
def test_wrong_options(photos, values, message):
    refused(photos, message, **values)


def test_domains_that_make_no_sense(photos, cache):
    refused(photos, "every image of photos has the same 'camera'", photos.frame.assign(camera="x"), domain="camera")
    assert not list(cache.iterdir())  # found out before any image was decoded
    lonely = photos.frame.assign(camera=["x", "y", *["z"] * 8])
    refused(photos, r"2 value\(s\) of 'camera' have a single image: x, y; add", lonely, domain="camera")


def test_tables_that_do_not_fit_the_images(photos):
    gone = photos.frame.assign(path=["x.png", "y.png", *photos.frame["path"][2:]])
    refused(photos, "2 of 10 images named in column 'path' .* do not exist: .*x.png, .*y.png; paths are relative", gone)
    refused(photos, r"1 row\(s\) .* have no 'path'", photos.frame.assign(path=[None, *photos.frame["path"][1:]]))
    twice = pd.concat([photos.frame, photos.frame.head(2).assign(path=["./p00.png", "p01.png"])])
    refused(photos, r"2 row\(s\) .* has a row already: .*p00.png, .*p01.png", twice)
    refused(photos, r"4 image\(s\) .* have no row in .*: p06.png, p07.png, p08.png and 1 more", photos.frame.head(6))


def test_tables_that_cannot_be_read(photos, tmp_path):
    refused(photos, "has no rows", photos.frame.head(0))
    photos.table.write_text("")
    refused(photos, "cannot read the table .*labels.csv")
    photos.table.write_text('a,b\n1,2,3,4\n"')
    refused(photos, "cannot read the table .*labels.csv")
    photos.table.unlink()
    refused(photos, "no table of labels at .*labels.csv")
    (tmp_path / "labels.xlsx").write_text("")
    refused(load, "expected .csv, .tsv or .parquet", str(photos.root), options(labels=str(tmp_path / "labels.xlsx")))
    (tmp_path / "labels.parquet").write_text("no")
    refused(load, "cannot read the table", str(photos.root), options(labels=str(tmp_path / "labels.parquet")))


def test_folders_that_cannot_be_read(tmp_path, caplog):
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "raw.heic").write_text("")
    refused(load, "no images in .*empty: expected files ending in .jpg", str(tmp_path / "empty"), options())
    assert "1 file(s) are no images that can be read and are left out: raw.heic" in caplog.text
    write_tree(tmp_path / "some", ["."])
    refused(load, "There are no labels; give --labels", str(tmp_path / "some"), options(domain="camera"))
    refused(load, "--path-column needs a table", str(tmp_path / "some"), options(path_column="x"))


def test_a_corrupt_image_stops_everything(photos, cache):
    (photos.root / "p03.png").write_bytes(b"x")
    refused(photos, "1 of 10 images cannot be read: .*p03.png; mend or remove them")
    assert not list(cache.iterdir())


def test_hidden_files_are_ignored(tmp_path, caplog):
    write_tree(tmp_path / "some", ["."])
    (tmp_path / "some" / "._0.png").write_text("")
    (tmp_path / "some" / ".DS_Store").write_text("")
    with caplog.at_level(logging.WARNING):
        assert len(load(str(tmp_path / "some"), options())) == 5
    assert not caplog.text
    with pytest.raises(DataError):
        load(str(tmp_path / "nowhere" / ""), options())
