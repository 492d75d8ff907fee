"""Traversals on the page: each dimension with its picture and its KL, and no heading where nobody drew one."""

import base64
import io

import numpy as np
from fake_runs import write_run
from PIL import Image

from unbraid.report import report
from unbraid.report.plots import row_uri


def test_each_dimension_stands_on_the_page_with_its_kl(tmp_path):
    run = write_run(tmp_path)
    page = report([tmp_path], tmp_path / "page.html").read_text()
    assert "Traversals</h3>" not in page
    with np.load(run.samples) as file:
        arrays = dict(file)
    images = np.random.default_rng(0).integers(256, size=(2, 10, 8, 8, 3), dtype=np.uint8)
    arrays |= {"traversal_images": images, "traversal_dim": np.array([4, 1]), "traversal_kl": np.array([2.5, 0.125])}
    np.savez(run.samples, **arrays)
    page = report([tmp_path], tmp_path / "page.html").read_text()
    assert "Traversals</h3>" in page
    assert page.index("dimension 4") < page.index("2.50 nats") < page.index("dimension 1") < page.index("0.12 nats")
    assert row_uri(images[1]) in page


def test_a_row_shows_its_images_beside_each_other():
    images = np.random.default_rng(0).integers(255, size=(3, 4, 6, 1), dtype=np.uint8)
    picture = Image.open(io.BytesIO(base64.b64decode(row_uri(images).partition(",")[2])))
    pixels = np.asarray(picture)
    assert pixels.shape == (4, 3 * 6 + 6)
    for image, left in zip(images, (0, 11, 18)):
        np.testing.assert_array_equal(pixels[:, left : left + 6], image[..., 0])
