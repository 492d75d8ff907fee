"""The explorer's data: neighbours by the definition, one sheet of images, and runs that do not fit left out by name."""

import base64
import dataclasses
import io
import json

import numpy as np
import pytest
from fake_galleries import COLORS, GALLERY, write_galleries
from pages import Page
from PIL import Image

from unbraid.report import report
from unbraid.report.explorer import ACROSS, explore, gallery_of
from unbraid.report.runs import read_arrays
from unbraid.tables import Codes


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    return write_galleries(tmp_path_factory.mktemp("galleries"))


@pytest.fixture(scope="module")
def codes(runs):
    return Codes.load(runs[0].codes)


def test_neighbours_are_those_of_a_loop_over_the_gallery(runs, codes):
    samples = read_arrays(runs[0].samples)
    found = gallery_of(samples, codes)
    names = ("digit", "angle", "color")  # content first
    assert [column["name"] for column in found.columns] == list(names)
    assert [column["domain"] for column in found.columns] == [False, False, True]
    rows = sorted(samples["gallery_rows"], key=lambda row: [codes.columns[name][row] for name in names])
    unit = codes.z[rows] / np.linalg.norm(codes.z[rows], axis=1, keepdims=True)
    for place, row in enumerate(rows):
        others = [other for other in np.argsort(((unit - unit[place]) ** 2).sum(axis=1)) if other != place]
        assert found.nearest[place] == others[:8]
        apart = [other for other in others if codes.columns["color"][rows[other]] != codes.columns["color"][row]]
        assert found.others[place] == apart[:8]
        assert [column["values"][place] for column in found.columns] == [codes.columns[name][row] for name in names]


def test_the_sheet_holds_every_image_in_the_middle_of_its_square(runs, codes):
    found = gallery_of(read_arrays(runs[0].samples), codes)
    packed = explore([("a", "red", found)])
    sheet = np.asarray(Image.open(io.BytesIO(base64.b64decode(packed.sheet.partition(",")[2]))))
    assert sheet.shape == (8 * packed.down, 8 * ACROSS, 3)
    for place, image in enumerate(found.images):
        top, left = 8 * (place // ACROSS), 8 * (place % ACROSS)
        np.testing.assert_array_equal(sheet[top : top + 8, left + 1 : left + 7], image)
        assert (sheet[top : top + 8, [left, left + 7]] == 255).all()


def test_runs_without_this_gallery_are_named(runs, codes):
    found = gallery_of(read_arrays(runs[0].samples), codes)
    other = dataclasses.replace(found, images=255 - found.images)
    packed = explore([("old", "red", None), ("a", "red", found), ("b", "blue", found), ("other", "red", other)])
    assert [run["title"] for run in packed.data["runs"]] == ["a", "b"]
    assert packed.absent == ["old", "other"]
    assert explore([("old", "red", None)]) is None


def test_no_gallery_without_codes_or_with_other_codes_or_nan(runs, codes):
    samples = read_arrays(runs[0].samples)
    assert gallery_of(samples, None) is None
    assert gallery_of({"strip_images": samples["strip_images"]}, codes) is None
    assert gallery_of(samples, codes.take(np.arange(20))) is None
    assert gallery_of(samples, dataclasses.replace(codes, z=codes.z * np.float32("nan"))) is None


def test_data_without_a_domain_have_no_other_domains(runs, codes):
    spec = dataclasses.replace(codes.spec, domain=None, factors=(), label="digit")
    found = gallery_of(read_arrays(runs[0].samples), dataclasses.replace(codes, spec=spec))
    assert found.others is None
    assert [column["name"] for column in found.columns] == ["digit"]


def test_labels_that_end_a_script_do_not_end_it(runs):
    root = runs[0].path.parent
    page = Page(report([root], root / "page.html").read_text())
    assert page.open == []
    (data,) = [json.loads(text) for text in page.scripts if '"across"' in text[:200]]
    assert data["count"] == GALLERY
    assert data["columns"][-1]["names"] == list(COLORS)
    swaps = [attrs for _, attrs in page.tags if "data-domains" in attrs]
    assert json.loads(swaps[0]["data-domains"])[0] == "color </script><b>violet"
    assert len(json.loads(swaps[0]["data-contents"])) == 6
