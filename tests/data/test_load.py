import dataclasses

import numpy as np
import pytest

from unbraid.data import DATASETS, base_name, load, slug
from unbraid.data.options import DataOptions
from unbraid.errors import DataError, UserError

SPRITES = "sprites:size=8,scales=1,orientations=2,positions=2"


def test_parameters_are_parsed_by_their_annotations():
    data = load(f"{SPRITES},bias=0.5")
    assert data.spec.image_shape == (3, 8, 8)
    assert data.spec.sizes["orientation"] == 2
    assert len(data) < len(load(SPRITES))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("digit", "Did you mean 'digits'"),
        ("photos/", "no folder or file at photos/"),
        ("labels.csv", "no folder or file at labels.csv"),
        ("digits:biass=0.9", "no parameter 'biass'.*Did you mean 'bias'"),
        ("digits:size=big", "size must be of type int, not 'big'"),
        ("digits:num=1.5", "num must be of type int"),
        ("digits:bias", "written digits:name=value"),
        ("digits:source=svhn", "must be one of mnist, sklearn"),
        ("digits:bias=2", "bias=2.0 must be 0 to 1"),
        ("sprites:colors=1", "colors=1 2 to 6|colors=1 must be|colors=1"),
    ],
)
def test_wrong_names(name, message):
    with pytest.raises(UserError, match=message) as caught:
        load(name)
    assert "\n" not in str(caught.value)


def test_a_file_of_another_kind(tmp_path):
    (tmp_path / "x.zip").write_text("")
    with pytest.raises(DataError, match="expected a folder, a table"):
        load(str(tmp_path / "x.zip"))


def test_roles_may_be_given_for_any_data_set():
    options = DataOptions(domain="orientation", label="color", bias="x", factors=["shape", "y"], circular=["y"])
    spec = load(SPRITES, options).spec
    assert (spec.domain, spec.label, spec.bias) == ("orientation", "color", "x")
    assert spec.factors == ("shape", "y")
    assert spec.circular == {"y"}
    spec = load(SPRITES, DataOptions(factors=["x"])).spec
    assert spec.circular == frozenset()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"domain": "colour"}, "no categorical column 'colour' for --domain. Did you mean 'color'"),
        ({"factors": ["shap"]}, "--factors. Did you mean 'shape'"),
        ({"targets": ["x"]}, "--targets x: that column of sprites is not a real-valued one"),
        ({"targets": ["z"]}, "no real-valued column 'z' for --targets. It has none"),
        ({"circular": ["x"], "factors": ["y"]}, "--circular x"),
        ({"domain": "scale"}, "every image of sprites has the same 'scale'"),
        ({"size": 32, "group": "x"}, "--size, --group: for a folder or table of own images only, and sprites is not"),
    ],
)
def test_wrong_roles(options, message):
    with pytest.raises(UserError, match=message):
        load(SPRITES, DataOptions(**options))


def test_every_option_is_documented():
    assert all(field.metadata["doc"] for field in dataclasses.fields(DataOptions))


@pytest.mark.parametrize(
    ("name", "base", "folder"),
    [
        ("digits", "digits", "digits"),
        ("digits:bias=0.9,size=32", "digits", "digits-bias-0.9-size-32"),
        ("photos/", "photos", "photos"),
        ("a/my photos.csv", "my photos", "my-photos"),
        ("preprocess/cars3d_train.npz", "cars3d", "cars3d"),
        ("shapes3d__class_shape__train__reduced_50K.npz", "shapes3d__class_shape", "shapes3d__class_shape"),
    ],
)
def test_names_of_runs(name, base, folder):
    assert base_name(name) == base
    assert slug(name) == folder


def test_the_second_load_is_mapped_from_the_cache(cache):
    first, second = load(SPRITES), load(SPRITES)
    assert isinstance(second.images, np.memmap)
    assert first.images.filename == second.images.filename
    assert len(list(cache.iterdir())) == 1
    assert set(DATASETS) >= {"digits", "sprites"}
