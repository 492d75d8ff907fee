"""The gallery: test images of the data set's own choosing, small, the same whoever trained."""

import dataclasses

import numpy as np
import pytest
from fake_training import tiny_dataset
from PIL import Image

from unbraid.samples.gallery import gallery_of


def test_all_test_images_in_their_order():
    data = tiny_dataset()
    found = gallery_of(data)
    np.testing.assert_array_equal(found["gallery_rows"], data.rows("test"))
    np.testing.assert_array_equal(found["gallery_images"], data.images[found["gallery_rows"]])


def test_of_many_some_and_always_the_same(monkeypatch):
    data = tiny_dataset()
    monkeypatch.setattr("unbraid.samples.gallery._IMAGES", 10)
    rows = gallery_of(data)["gallery_rows"]
    assert len(set(rows.tolist())) == 10
    assert set(data.split[rows]) == {2}
    np.testing.assert_array_equal(rows, gallery_of(data)["gallery_rows"])


@pytest.mark.parametrize(("channels", "shape"), [(3, (48, 24)), (1, (48, 24))])
def test_large_images_are_made_small_and_keep_their_shape(channels, shape):
    data = tiny_dataset((channels, 96, 48))
    images = gallery_of(data)["gallery_images"]
    assert images.shape[1:] == (*shape, channels)
    picture = Image.fromarray(data.images[data.rows("test")[0]].squeeze())
    picture.thumbnail((48, 48))
    np.testing.assert_array_equal(images[0].squeeze(), np.asarray(picture))


def test_without_test_images_there_is_none():
    data = tiny_dataset()
    assert gallery_of(dataclasses.replace(data, split=np.zeros(96, dtype=np.uint8))) == {}
