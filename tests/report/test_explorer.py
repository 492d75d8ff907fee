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
from unbraid.report.explorer import ACROSS, explore, read_gallery
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
    found = read_gallery(samples, codes)
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
    found = read_gallery(read_arrays(runs[0].samples), codes)
    packed = explore([("a", "red", found)])
    sheet = np.asarray(Image.open(io.BytesIO(base64.b64decode(packed.sheet.partition(",")[2]))))
    assert sheet.shape == (8 * packed.down, 8 * ACROSS, 3)
    for place, image in enumerate(found.images):
        top, left = 8 * (place // ACROSS), 8 * (place % ACROSS)
        np.testing.assert_array_equal(sheet[top : top + 8, left + 1 : left + 7], image)
        assert (sheet[top : top + 8, [left, left + 7]] == 255).all()


def test_runs_without_this_gallery_are_named(runs, codes):
    found = read_gallery(read_arrays(runs[0].samples), codes)
    other = dataclasses.replace(found, images=255 - found.images)
    packed = explore([("old", "red", "no gallery"), ("a", "red", found), ("b", "blue", found), ("other", "red", other)])
    assert [run["title"] for run in packed.data["runs"]] == ["a", "b"]
    assert [title for title, _ in packed.absent] == ["old", "other"]
    assert packed.absent[0][1] == "no gallery"
    assert "other images" in packed.absent[1][1]
    assert explore([("old", "red", "no gallery")]) is None


def test_no_gallery_without_codes_or_with_other_codes_or_nan(runs, codes):
    samples = read_arrays(runs[0].samples)
    assert "evaluate" in read_gallery(samples, None)
    assert "evaluate" in read_gallery({"strip_images": samples["strip_images"]}, codes)
    assert "other images" in read_gallery(samples, codes.take(np.arange(20)))
    assert "not finite" in read_gallery(samples, dataclasses.replace(codes, z=codes.z * np.float32("nan")))
    assert "fewer than two" in read_gallery(samples | {"gallery_rows": samples["gallery_rows"][:1]}, codes)


def test_the_page_says_why_a_run_is_not_there(tmp_path):
    runs = write_galleries(tmp_path)
    codes = Codes.load(runs[1].codes)
    dataclasses.replace(codes, z=codes.z * np.float32("nan")).save(runs[1].codes)
    text = report([tmp_path], tmp_path / "page.html").read_text()
    assert "Not here: simclr, seed 0 (codes that are not finite: its training diverged)." in text


def test_only_names_that_occur_are_packed(runs, codes):
    samples = read_arrays(runs[0].samples)
    few = np.where(codes.columns["color"] < 2, 90_000 - 7 * codes.columns["color"], -1)
    spec = dataclasses.replace(codes.spec, sizes={**codes.spec.sizes, "color": 100_000}, values={})
    plain = read_gallery(samples, codes)
    found = read_gallery(samples, dataclasses.replace(codes, spec=spec, columns=codes.columns | {"color": few}))
    color, before = found.columns[-1], plain.columns[-1]
    assert color["names"] == ["89993", "90000"]
    assert sorted(color["values"]) == sorted({0: 1, 1: 0}.get(value, -1) for value in before["values"])


def test_data_without_a_domain_have_no_other_domains(runs, codes):
    spec = dataclasses.replace(codes.spec, domain=None, factors=(), label="digit")
    found = read_gallery(read_arrays(runs[0].samples), dataclasses.replace(codes, spec=spec))
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
