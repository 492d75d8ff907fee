import dataclasses

import numpy as np
import pytest
from fake_sets import assert_same, small

from unbraid.data import load, official
from unbraid.data.options import DataOptions
from unbraid.errors import DataError, UserError


def published(num: int = 12, **changes) -> dict:
    """Arrays as the published preparation saves them; a change to None leaves the key out."""
    rng = np.random.default_rng(num)
    arrays = {
        "imgs": rng.integers(256, size=(num, 8, 8, 3), dtype=np.uint8),
        "classes": (np.arange(num) % 3).astype(np.uint32),
        "n_classes": np.array(3),
        "contents": (np.arange(num) % 4).astype(np.uint32),
        **changes,
    }
    return {key: value for key, value in arrays.items() if value is not None}


def save(path, **changes):
    np.savez(path, **published(**changes))
    return str(path)


def test_a_pair_becomes_two_splits(tmp_path):
    train, test = save(tmp_path / "cars3d_train.npz"), save(tmp_path / "cars3d_test.npz", num=6)
    data = load(train)
    assert data.split.tolist() == [0] * 12 + [2] * 6
    assert (data.spec.name, data.spec.num_train, data.spec.domain) == ("cars3d", 12, "domain")
    assert data.spec.sizes == {"domain": 3, "pose": 4}
    assert data.spec.content == ("pose",)
    np.testing.assert_array_equal(data.images[12:], published(6)["imgs"])
    assert_same(load(test), data)


def test_the_reduced_train_file_finds_the_test_file(tmp_path):
    save(tmp_path / "shapes3d__class_shape__test.npz", num=6)
    train = save(tmp_path / "shapes3d__class_shape__train__reduced_50K.npz")
    assert np.bincount(load(train).split).tolist() == [12, 0, 6]


def test_a_file_alone_gets_a_split(tmp_path):
    data = load(save(tmp_path / "toys.npz", num=30))
    for domain in range(3):
        assert np.sum(data.split[data.columns["domain"] == domain] == 2) == 2
    with pytest.raises(UserError, match="--test-fraction: for a folder"):
        load(str(tmp_path / "toys.npz"), DataOptions(test_fraction=0.5))


def test_names_of_contents_and_codes(tmp_path):
    contents = np.stack([np.arange(12) % 6 * 2, np.arange(12) % 3, np.arange(12) % 2], axis=1)
    spec = load(save(tmp_path / "smallnorb_train.npz", contents=contents)).spec
    assert spec.content == ("azimuth", "elevation", "lighting")
    assert spec.circular == {"azimuth"}
    assert spec.sizes["azimuth"] == 6
    assert spec.values["azimuth"] == ("0", "2", "4", "6", "8", "10")
    assert load(save(tmp_path / "x.npz", contents=contents)).spec.content == ("content0", "content1", "content2")


def test_landmarks_are_targets(tmp_path):
    landmarks = np.random.default_rng(0).random((12, 4)).astype(np.float32)
    data = load(save(tmp_path / "celeba_x64_train.npz", landmarks=landmarks, contents=None, n_classes=np.array(9)))
    assert data.spec.targets == ("landmark0", "landmark1", "landmark2", "landmark3")
    assert data.spec.sizes == {"domain": 9}  # classes that were left out keep their number
    np.testing.assert_array_equal(data.columns["landmark2"], landmarks[:, 2])


def test_float_images_are_rounded(tmp_path):
    images = published()["imgs"] // 2
    np.testing.assert_array_equal(load(save(tmp_path / "x.npz", imgs=images + 0.25)).images, images)
    with pytest.raises(DataError, match="imgs run from 0 to 1, expected 0 to 255"):
        load(save(tmp_path / "y.npz", imgs=np.tile([0.0, 1.0], (12, 8, 4)).reshape(12, 8, 8, 1)))


def test_round_trip_is_exact(tmp_path):
    data = small(12)
    data = dataclasses.replace(data, split=np.repeat(np.array([0, 1, 2], dtype=np.uint8), 4))
    data = dataclasses.replace(data, spec=dataclasses.replace(data.spec, num_train=4))
    written = official.write(data, tmp_path / "small")
    assert [file.name for file in written] == ["small_train.npz", "small_validation.npz", "small_test.npz"]
    assert_same(official.read(written[0]), data)


def test_written_files_are_what_the_published_loader_expects(tmp_path):
    path = official.write(small(12), tmp_path / "small.npz")[0]
    with np.load(path, allow_pickle=False) as file:
        assert file["imgs"].dtype == np.uint8
        assert file["imgs"].shape == (11, 4, 6, 3)
        assert int(file["n_classes"]) == 2
        assert file["n_classes"].shape == ()
        assert file["classes"].dtype.kind == "i"
        assert "contents" not in file  # the only factor is the domain
    data = small()
    data = dataclasses.replace(data, spec=dataclasses.replace(data.spec, domain=None))
    with pytest.raises(UserError, match="has no domain"):
        official.write(data, tmp_path / "x")


def test_contents_are_written_as_columns(tmp_path):
    data = small(12)
    columns = {**data.columns, "pose": np.arange(12) % 3}
    spec = dataclasses.replace(data.spec, sizes={"kind": 2, "pose": 3}, factors=("kind", "pose"))
    path = official.write(dataclasses.replace(data, spec=spec, columns=columns), tmp_path / "small")[0]
    with np.load(path) as file:
        np.testing.assert_array_equal(file["contents"], columns["pose"][:11, None])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"imgs": None}, "has no imgs; it holds classes, contents, n_classes"),
        ({"classes": None, "n_classes": None}, "has no classes, n_classes"),
        ({"contents": np.array([{}] * 12)}, "holds Python objects, which are never loaded"),
        ({"imgs": np.array([{}] * 12)}, "holds Python objects, which are never loaded"),
        ({"imgs": np.zeros((12, 8, 8), dtype=np.uint8)}, "expected .N, H, W, 1 or 3."),
        ({"classes": np.zeros(5, dtype=int)}, "classes are .5,. for 12 imgs"),
        ({"classes": np.arange(12)}, "classes run from 0 to 11, but n_classes is 3"),
        ({"contents": np.linspace(0, 1, 12)}, "expected whole numbers"),
    ],
)
def test_bad_files(tmp_path, changes, message):
    with pytest.raises(DataError, match=message) as caught:
        load(save(tmp_path / "x_train.npz", **changes))
    assert "\n" not in str(caught.value)


def test_damaged_files(tmp_path):
    path = tmp_path / "x.npz"
    path.write_bytes(b"no")
    with pytest.raises(DataError, match=r"damaged or no \.npz"):
        load(str(path))
    save(path)
    path.write_bytes(path.read_bytes()[:-400])
    with pytest.raises(DataError, match=r"damaged or no \.npz"):
        load(str(path))


def test_a_pair_of_different_sets(tmp_path):
    save(tmp_path / "x_test.npz", n_classes=np.array(5))
    with pytest.raises(DataError, match="differ in keys, n_classes or image size; to read one alone, rename it"):
        load(save(tmp_path / "x_train.npz"))
