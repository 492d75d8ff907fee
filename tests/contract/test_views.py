"""What every row of ``VIEWS`` promises the loader."""

import pytest
import torch

from unbraid.augment import VIEWS, views

pytestmark = pytest.mark.parametrize("name", VIEWS)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def images(num: int = 12, channels: int = 3, height: int = 32, width: int = 32) -> torch.Tensor:
    return torch.rand(num, channels, height, width, generator=generator(1))


def view(name: str, x: torch.Tensor, num_views: int = 1, seed: int = 0) -> torch.Tensor:
    recipe = views(name)
    return recipe.apply(x, recipe.draw(len(x), num_views, generator(seed)))


@pytest.mark.parametrize("size", [(32, 32), (64, 64), (24, 40)])
@pytest.mark.parametrize("channels", [1, 3])
def test_shape_and_range_are_kept_and_the_images_untouched(name, channels, size):
    x = images(4, channels, *size)
    before = x.clone()
    found = view(name, x, num_views=2)
    assert found.shape == (4, 2, channels, *((32, 32) if name.endswith("-32") else size))
    assert found.dtype == torch.float32
    assert found.min() >= 0
    assert found.max() <= 1
    assert torch.equal(x, before)


def test_the_seed_decides_and_each_image_has_its_own_draw(name):
    same = images(1).expand(12, -1, -1, -1)
    found, again, other = view(name, same), view(name, same), view(name, same, seed=1)
    assert torch.equal(found, again)
    left_to_chance = not torch.allclose(found, other, atol=1e-6)
    assert left_to_chance == (not torch.allclose(found, found[:1].expand_as(found), atol=1e-6))


def test_a_process_applies_its_rows_of_the_global_draw(name):
    x, recipe = images(), views(name)
    draws = recipe.draw(12, 2, generator())
    whole = recipe.apply(x, draws)
    for rows in (slice(0, 6), slice(6, 12), slice(1, 12, 2), slice(3, 4)):
        assert torch.equal(recipe.apply(x[rows], draws[rows]), whole[rows])


def test_any_dtype_and_memory_format_comes_back(name):
    x = images()
    found = view(name, x)
    half = view(name, x.bfloat16())
    assert half.dtype == torch.bfloat16
    assert torch.equal(half, view(name, x.bfloat16().float()).bfloat16())
    last = view(name, x.contiguous(memory_format=torch.channels_last))
    assert last.flatten(0, 1).is_contiguous(memory_format=torch.channels_last)
    assert torch.allclose(last, found, atol=1e-5)


def test_no_views_and_no_images_are_no_special_case(name):
    assert view(name, images(), num_views=0).shape == (12, 0, 3, 32, 32)
    assert view(name, images(0), num_views=1).shape == (0, 1, 3, 32, 32)
