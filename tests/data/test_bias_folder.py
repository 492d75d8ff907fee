import dataclasses
from pathlib import Path

import numpy as np
import pytest
from fake_sets import small
from PIL import Image

from unbraid.cli import main
from unbraid.data import bias_folder, load
from unbraid.data.options import DataOptions
from unbraid.errors import DataError, UserError
from unbraid.tables import Dataset, DataSpec


def biased(name: str = "cmnist", *, conflicts: int = 1, shift: int = 0) -> Dataset:
    """Of 100 train rows so many conflict; the own bias value of label k is k + shift, modulo 2."""
    label = np.arange(120) % 2
    bias = (label + shift) % 2
    bias[:conflicts] = 1 - bias[:conflicts]
    bias[110:115] = 1 - bias[110:115]
    split = np.repeat(np.array([0, 1, 2], dtype=np.uint8), [100, 5, 15])
    images = np.broadcast_to(np.arange(120, dtype=np.uint8)[:, None, None, None], (120, 8, 8, 3)).copy()
    spec = DataSpec(name=name, image_shape=(3, 8, 8), num_train=100, sizes={"y": 2, "b": 2}, label="y", bias="b")
    return Dataset(spec=spec, images=images, columns={"y": label, "b": bias}, split=split)


def save(path: Path, grey: int = 0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (16, 16), (grey, grey, grey)).save(path)


def write_bffhq(root: Path) -> Path:
    for row in range(4):
        save(root / f"bffhq/0.5pct/align/{row % 2}/{row}_{row % 2}_{row % 2}.png", row)
        save(root / f"bffhq/valid/{row}_{row % 2}_{row // 2}.png", 10 + row)
        save(root / f"bffhq/test/{row}_{row % 2}_{row // 2}.png", 20 + row)
    save(root / "bffhq/0.5pct/conflict/0/4_0_1.png", 4)
    return root / "bffhq"


@pytest.mark.parametrize(
    ("name", "valid", "test"),
    [
        ("cmnist", "cmnist/1pct/valid/00100_0_0.png", "cmnist/test/1/00105_1_1.png"),
        ("cifar10c", "cifar10c/1pct/valid/0/00100_0_0.png", "cifar10c/test/1/00105_1_1.png"),
        ("bffhq", "bffhq/valid/00100_0_0.png", "bffhq/test/00105_1_1.png"),
        ("mine", "mine/1pct/valid/00100_0_0.png", "mine/test/1/00105_1_1.png"),
    ],
)
def test_the_published_layout(tmp_path, name, valid, test):
    data = biased(name)
    folder = bias_folder.write(data, tmp_path)
    assert folder == tmp_path / name / "1pct"
    for file in (f"{name}/1pct/conflict/0/00000_0_1.png", f"{name}/1pct/align/1/00001_1_1.png", valid, test):
        assert (tmp_path / file).is_file(), file
    assert len(list(tmp_path.rglob("*.png"))) == 120
    read = load(str(folder))
    order = np.argsort(read.images[:, 0, 0, 0])
    np.testing.assert_array_equal(read.images[order], data.images[..., : read.images.shape[-1]])
    np.testing.assert_array_equal(read.split[order], data.split)
    for ours, theirs in (("target", "y"), ("bias", "b")):
        np.testing.assert_array_equal(read.columns[ours][order], data.columns[theirs])
    assert (read.spec.label, read.spec.bias, read.spec.domain) == ("target", "bias", "bias")


def test_bias_values_are_renumbered_to_match_their_labels(tmp_path):
    straight, crossed = (bias_folder.write(biased(shift=shift), tmp_path / str(shift)) for shift in (0, 1))
    assert {file.name for file in straight.rglob("align/*/*")} >= {"00002_0_0.png", "00003_1_1.png"}
    assert len(list(crossed.rglob("conflict/*/*"))) == 1
    assert {file.name.split("_", 1)[1] for file in crossed.rglob("align/*/*")} == {"0_0.png", "1_1.png"}


@pytest.mark.parametrize(("conflicts", "percent"), [(1, "1pct"), (2, "2pct"), (5, "5pct"), (20, "20pct"), (0, "0pct")])
def test_the_share_names_the_folder(tmp_path, conflicts, percent):
    assert bias_folder.write(biased(conflicts=conflicts), tmp_path).name == percent


def test_coloured_digits_go_to_the_folder_of_their_nominal_share(tmp_path):
    data = biased(conflicts=9).take(np.arange(120))
    many = dataclasses.replace(
        data, images=data.images[..., :1], spec=dataclasses.replace(data.spec, image_shape=(1, 8, 8))
    )
    assert bias_folder.write(many, tmp_path).name == "9pct"
    share = 249 / 55_000 * 100
    assert next(nominal for nominal in bias_folder.PERCENTS if 0.85 <= share / nominal <= 1.15) == 0.5


def test_images_of_other_sizes_are_resized_and_it_is_said(tmp_path, caplog):
    folder = bias_folder.write(biased("mine"), tmp_path)
    assert load(str(folder), DataOptions(size=9)).spec.image_shape == (3, 9, 9)
    save(folder / "conflict/0/99999_0_1.png")  # 16 x 16
    assert load(str(folder)).spec.image_shape == (3, 64, 64)
    assert "no squares of one size: they are resized to 64 pixels" in caplog.text


def test_bffhq(tmp_path, monkeypatch):
    monkeypatch.setenv("UNBRAID_DATA", str(write_bffhq(tmp_path).parent))
    data, everything = load("bffhq:size=16"), load("bffhq:size=16,test=all")
    assert (data.spec.label, data.spec.bias, data.spec.image_shape) == ("age", "gender", (3, 16, 16))
    assert data.spec.values == {"age": ("young", "old"), "gender": ("female", "male")}
    assert [len(data.rows(split)) for split in ("train", "validation", "test")] == [5, 4, 2]
    assert len(everything.rows("test")) == 4
    test = data.rows("test")
    assert (data.columns["age"][test] != data.columns["gender"][test]).all()
    assert data.images[test, 0, 0, 0].tolist() == [21, 22]
    with pytest.raises(DataError, match=r"1pct has no folders align and conflict. Did you mean '0.5pct'"):
        load("bffhq:percent=1pct")
    with pytest.raises(UserError, match="size=4 must be at least 8"):
        load("bffhq:size=4")
    save(tmp_path / "bffhq/0.5pct/align/2/9_2_2.png")
    with pytest.raises(DataError, match="targets and biases go up to 2 and 2"):
        load("bffhq")


def test_misnamed_or_missing(tmp_path):
    folder = bias_folder.write(biased(), tmp_path)
    (folder / "align" / "0" / "00002_0_0.png").rename(folder / "align" / "0" / "photo.png")
    with pytest.raises(DataError, match=r"1 file\(s\) are not named <id>_<target>_<bias>: .*photo.png; rename"):
        load(str(folder))
    (folder / "align" / "0" / "photo.png").unlink()
    (folder / "align" / "0" / "00004_0_0.png").write_bytes(b"x")
    with pytest.raises(DataError, match="cannot be read"):
        load(str(folder))
    (folder.parent / "test").rename(folder.parent / "tests")
    with pytest.raises(DataError, match="a folder test in it or beside it"):
        load(str(folder))
    with pytest.raises(UserError, match="--group: for a folder or table of own images only"):
        load(str(folder), DataOptions(group="target"))
    with pytest.raises(UserError, match="at least 8 pixels"):
        load(str(folder), DataOptions(size=4))


def test_what_cannot_be_written(tmp_path):
    with pytest.raises(UserError, match="needs a label and a bias; give --label and --bias"):
        bias_folder.write(small(), tmp_path)
    data = biased()
    with pytest.raises(UserError, match="another most frequent 'b' for each 'y'"):
        bias_folder.write(dataclasses.replace(data, columns={**data.columns, "b": 0 * data.columns["b"]}), tmp_path)
    with pytest.raises(DataError, match="has rows without y or b"):
        bias_folder.write(dataclasses.replace(data, columns={**data.columns, "b": data.columns["b"] - 1}), tmp_path)
    assert not list(tmp_path.iterdir())


def test_command_line(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    bias_folder.write(biased(), tmp_path / "made")
    words = ["data", "export", "made/cmnist/1pct", "--size", "8", "--layout", "published", "--out", "again"]
    assert main(words) == 0
    assert capsys.readouterr().out == "again/cmnist/1pct is written: 100 train, 5 validation, 15 test\n"
    assert len(list((tmp_path / "again").rglob("*.png"))) == 120
