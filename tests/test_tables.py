"""Rows with columns and a split: what goes to a file comes back, what does not fit together is refused."""

import dataclasses
import json

import jaxtyping
import numpy as np
import pytest
from fake_sets import small
from fakes import perfect_codes

from unbraid.errors import DataError
from unbraid.tables import Codes, Dataset, DataSpec


def assert_same(one: Codes, other: Codes) -> None:
    assert one.spec == other.spec
    assert one.columns.keys() == other.columns.keys()
    pairs = [(one.z, other.z), (one.split, other.split), (one.logits, other.logits), (one.kl, other.kl)]
    for first, second in [*pairs, *((one.columns[name], other.columns[name]) for name in one.columns)]:
        np.testing.assert_array_equal(first, second)
        assert first is second is None or first.dtype == second.dtype


@pytest.fixture
def path(tmp_path):
    return tmp_path / "codes.npz"


def with_everything() -> Codes:
    logits, kl = np.zeros((960, 3), np.float32), np.ones(4, np.float32)
    return dataclasses.replace(perfect_codes(), logits=logits, kl=kl)


@pytest.mark.parametrize("codes", [perfect_codes(), with_everything()], ids=["plain", "with logits and KL"])
def test_codes_come_back(path, codes):
    codes.save(path)
    assert_same(Codes.load(path), codes)
    assert [file.name for file in path.parent.iterdir()] == ["codes.npz"]


def test_a_spec_comes_back_from_json():
    for spec in (small().spec, perfect_codes().spec, DataSpec(name="x", image_shape=(1, 8, 8), num_train=0, sizes={})):
        assert DataSpec.from_dict(json.loads(json.dumps(spec.to_dict()))) == spec


def test_content_is_the_factors_less_the_domain():
    assert perfect_codes().spec.content == ("shape", "pose")
    assert dataclasses.replace(perfect_codes().spec, domain=None).content == ("domain", "shape", "pose")


def without(key: str) -> dict:
    arrays = {"z": np.zeros((2, 3), np.float32), "split": np.zeros(2, np.uint8), "spec": np.array("{}")}
    return {name: value for name, value in arrays.items() if name != key}


DAMAGE = {
    "empty": lambda path: path.write_bytes(b""),
    "text": lambda path: path.write_text("nonsense"),
    "no codes": lambda path: np.savez(path, **without("z")),
    "no spec": lambda path: np.savez(path, **without("spec")),
    "another spec": lambda path: np.savez(path, **without("")),
    "objects": lambda path: np.savez(path, **without("z"), z=np.array([{}], dtype=object)),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_damaged_files_are_named(path, kind):
    DAMAGE[kind](path)
    with pytest.raises(DataError, match=r"codes\.npz is damaged or not unbraid's .*; delete it and evaluate again"):
        Codes.load(path)


def test_a_missing_file_is_named(path):
    with pytest.raises(DataError, match=r"no codes at .*codes\.npz"):
        Codes.load(path)


def test_rows_of_splits():
    codes = with_everything()
    assert len(codes.rows("train")) == 720
    assert len(codes.rows("train", "test")) == 960
    assert len(codes.rows("validation")) == 0
    test = codes.rows("test")
    rows = np.flatnonzero(codes.split == 2)
    np.testing.assert_array_equal(test.z, codes.z[rows])
    np.testing.assert_array_equal(test.factors[:, 2], codes.columns["pose"][rows])
    assert test.logits.shape == (240, 3)
    data = small()
    assert data.rows("train").tolist() == [0, 1, 2, 3]
    assert data.rows("test").tolist() == [4]


def test_taking_rows():
    data = small()
    taken = data.take(np.array([4, 1, 1]))
    assert taken.spec == dataclasses.replace(data.spec, num_train=2)
    np.testing.assert_array_equal(taken.images, data.images[[4, 1, 1]])
    np.testing.assert_array_equal(taken.columns["length"], data.columns["length"][[4, 1, 1]])
    taken.images[:] = 0
    assert data.images.any()


@pytest.fixture
def unchecked():
    """Without the shapes being checked as elsewhere in the tests: as people run it."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


def changed(data: Dataset, **columns: np.ndarray) -> Dataset:
    return dataclasses.replace(data, columns={**data.columns, **columns})


def test_rows_that_do_not_match_are_refused(unchecked):
    data, codes = small(), perfect_codes()
    with pytest.raises(DataError, match="column 'kind' has 4 rows, there are 5 images or codes"):
        changed(data, kind=np.zeros(4, np.int64))
    with pytest.raises(DataError, match="column 'split' has 959 rows, there are 960"):
        dataclasses.replace(codes, split=codes.split[1:])


def test_roles_without_a_column_are_refused():
    data = small()
    for roles in ({"domain": "site"}, {"label": "site"}, {"factors": ("kind", "site")}, {"targets": ("site",)}):
        with pytest.raises(DataError, match="small names columns that it does not have: site"):
            dataclasses.replace(data, spec=dataclasses.replace(data.spec, **roles))


def test_arrays_are_shown_in_a_line():
    codes = perfect_codes()
    assert repr(codes).startswith("Codes(fake: ")
    assert "domain 'domain'; label 'shape'; columns domain, shape" in repr(codes)
    assert repr(codes).endswith(f"; {codes.z.shape[1]} dimensions)")


def test_a_notebook_shows_the_columns():
    codes = with_everything()
    spec = dataclasses.replace(codes.spec, targets=("<b>",))
    size = np.linspace(-1, 2, len(codes), dtype=np.float32)
    size[3] = np.nan
    shown = dataclasses.replace(codes, spec=spec, columns=codes.columns | {"<b>": size})._repr_html_()
    assert f"<p>{len(codes)} codes of {codes.z.shape[1]} dimensions, fake: " in shown
    assert "<tr><td>domain</td><td>domain, factor</td>" in shown
    assert "<tr><td>&lt;b&gt;</td><td></td><td>-1 to 2</td><td>1</td></tr>" in shown
