"""What the report shows: neighbours by the definition, and content drawn in another domain."""

import dataclasses

import numpy as np
import pytest
import torch
from fake_training import tiny_dataset

from unbraid.encode import encode_dataset, to_tensor
from unbraid.hparams import parse
from unbraid.methods import method
from unbraid.samples import save_samples

GALLERY = {"gallery_rows", "gallery_images"}


def build(name):
    kind = method(name)
    torch.manual_seed(0)
    return kind(parse(kind.config_class, kind.presets["tiny"], owner=name), tiny_dataset().spec).eval()


@pytest.fixture(scope="module")
def model():
    return build("dcodr")


def samples(path, model, data, seed=0):
    codes = encode_dataset(model, data)
    save_samples(path / "samples.npz", model, data, codes, seed)
    with np.load(path / "samples.npz") as file:
        return codes, dict(file)


def rows_of(data, images):
    """The rows of the data set that show these images; no two rows are alike."""
    return np.array([int(np.flatnonzero((data.images == image).all((1, 2, 3))).item()) for image in images])


def test_strips_are_test_images_with_their_nearest_neighbours(tmp_path, model):
    data = tiny_dataset()
    codes, found = samples(tmp_path, model, data)
    assert found["strip_images"].shape == (8, 7, 32, 32, 3)
    for images, match, domains in zip(found["strip_images"], found["strip_match"], found["strip_domain"]):
        query, *near = rows_of(data, images)
        assert data.split[query] == 2
        distance = np.linalg.norm(codes.z - codes.z[query], axis=1)
        distance[query] = np.inf
        np.testing.assert_allclose(distance[near], np.sort(distance)[:6], atol=1e-3)
        same = [all(data.columns[name][query] == data.columns[name][row] for name in ("shape", "pose")) for row in near]
        assert match.tolist() == same
        assert domains.tolist() == data.columns["camera"][[query, *near]].tolist()


def test_swaps_are_the_content_of_the_column_in_the_domain_of_the_row(tmp_path, model):
    data = tiny_dataset()
    _, found = samples(tmp_path, model, data)
    grid = found["swap_images"]
    assert grid.shape == (5, 7, 32, 32, 3)  # four cameras, six images
    assert (grid[0, 0] == 255).all()
    contents, givers = rows_of(data, grid[0, 1:]), rows_of(data, grid[1:, 0])
    assert set(data.split[[*contents, *givers]]) == {2}
    np.testing.assert_array_equal(contents, found["swap_content_rows"])
    np.testing.assert_array_equal(givers, found["swap_domain_rows"])
    cameras = data.columns["camera"][givers]
    assert sorted(cameras) == [0, 1, 2, 3]
    with torch.inference_mode():
        z = model.encode(to_tensor(data.images[contents], torch.device("cpu")))
        for row, camera in enumerate(cameras):
            drawn = model.decode(z, torch.full((6,), camera)).permute(0, 2, 3, 1).numpy()
            assert np.abs(grid[row + 1, 1:] / 255 - drawn).max() <= 0.51 / 255


def test_the_seed_decides(tmp_path, model):
    first, again, other = (samples(tmp_path, model, tiny_dataset(), seed)[1]["strip_images"] for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_a_method_that_cannot_draw_and_data_without_a_domain(tmp_path, model):
    _, found = samples(tmp_path, build("untrained"), tiny_dataset())
    assert set(found) == {"strip_images", "strip_match", "strip_domain", *GALLERY}
    data = tiny_dataset()
    data = dataclasses.replace(data, spec=dataclasses.replace(data.spec, domain=None, factors=()))
    _, found = samples(tmp_path, build("untrained"), data)
    assert set(found) == {"strip_images", "strip_match", *GALLERY}
    assert not found["strip_match"].any()


def test_without_a_test_row_nothing_is_drawn(tmp_path, model):
    data = tiny_dataset()
    data = data.take(data.rows("train"))
    for one in (model, build("beta-vae")):
        _, found = samples(tmp_path, one, data)
        assert set(found) == {"strip_images", "strip_match", "strip_domain"}
        assert not len(found["strip_images"])


def test_few_rows(tmp_path, model):
    data = tiny_dataset()
    data = dataclasses.replace(data, split=np.where(np.arange(96) < 90, 1, data.split).astype(np.uint8))
    _, found = samples(tmp_path, build("untrained"), data)
    assert found["strip_images"].shape == (6, 6, 32, 32, 3)  # six test images, five others each
