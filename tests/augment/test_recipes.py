"""What the names promise: which ops a recipe takes, how often, and in which order."""

import subprocess
import sys
from dataclasses import dataclass

import pytest
import torch

from unbraid.augment import VIEWS, ops, recipes, views
from unbraid.augment.combine import AnyOrder, Chain, Maybe, OneOf
from unbraid.errors import UserError

DARK, BRIGHT = ops.Brightness((0.5, 0.5)), ops.Brightness((2.0, 2.0))
FLIPS = OneOf((ops.HorizontalFlip(), ops.VerticalFlip(), DARK))


@dataclass(frozen=True)
class Digit(ops.Op):
    """Writes a digit behind those that are there."""

    digit: int

    def __call__(self, x, draws):
        return 10 * x + self.digit


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def images(num: int = 4, channels: int = 3, height: int = 8, width: int = 8) -> torch.Tensor:
    return torch.rand(num, channels, height, width, generator=generator(1))


def once(op: ops.Op, x: torch.Tensor) -> torch.Tensor:
    return op(x, op.draw(len(x), 1, generator())[:, 0])


def test_chain_applies_in_turn():
    x = images()
    assert torch.equal(once(Chain((BRIGHT, DARK)), x), (2 * x).clamp(0, 1) / 2)
    assert torch.equal(once(Chain(), x), x)


def test_one_of_applies_exactly_one_op_to_each_image_all_alike_often():
    x = images(num=600)
    found = once(FLIPS, x)
    options = torch.stack([x.flip(3), x.flip(2), x * 0.5])  # (3, B, C, H, W)
    hits = (options == found).flatten(2).all(dim=2)
    assert hits.sum(dim=0).eq(1).all()
    assert hits.sum(dim=1).min() > 160


def test_several_views_of_an_image_have_distinct_ops():
    x = images(num=50)
    recipe = recipes.Recipe(FLIPS)
    found = recipe.apply(x, recipe.draw(50, 3, generator()))
    for image, three in zip(x, found):
        options = [image.flip(2), image.flip(1), image * 0.5]
        hits = [n for view in three for n, option in enumerate(options) if torch.equal(view, option)]
        assert sorted(hits) == [0, 1, 2]


def test_more_views_than_distinct_ops_is_an_error_that_says_so():
    with pytest.raises(UserError, match=r"5 views .* only 4 are named"):
        views("dcodr").draw(8, 5, generator())


def test_maybe_keeps_its_probability():
    x = images(num=1000)
    changed = (once(Maybe(0.2, DARK), x) != x).flatten(1).any(dim=1)
    assert 160 < changed.sum() < 240
    assert torch.equal(once(Maybe(0.0, DARK), x), x)
    assert torch.equal(once(Maybe(1.0, DARK), x), x * 0.5)


def test_any_order_finds_every_order():
    found = once(AnyOrder((Digit(1), Digit(2), Digit(3))), torch.zeros(300, 1, 2, 2))[:, 0, 0, 0]
    orders, counts = found.unique(return_counts=True)
    assert orders.tolist() == [123, 132, 213, 231, 312, 321]
    assert counts.min() > 30


def test_a_list_of_names_is_one_of_them_and_its_views_are_distinct():
    recipe = views("horizontal-flip, vertical-flip")
    x = images()
    found = recipe.apply(x, recipe.draw(4, 2, generator()))
    assert torch.equal(found.sum(dim=1), x.flip(3) + x.flip(2))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("simcrl", "unknown view recipe 'simcrl'. Did you mean 'simclr'?"),
        ("crop,gausian-blur", "Did you mean 'gaussian-blur'?"),
        ("", "unknown view recipe ''"),
        ("crop,crop", "name each once"),
        ("crop,ip-irm-32", "name ip-irm-32 alone"),
    ],
)
def test_a_wrong_name_is_an_error_that_says_what_to_do(name, message):
    with pytest.raises(UserError) as error:
        views(name)
    assert message in str(error.value)


def test_dcodr_views_are_one_of_its_four():
    assert recipes.DCODR.ops == tuple(
        views(name).op for name in ("gaussian-blur", "high-contrast", "crop", "high-saturation")
    )


def test_simclr_blurs_from_64_pixels_on_only():
    blur = recipes.SIMCLR.ops[-1]
    small, large = images(num=20, height=32, width=32), images(num=20, height=64, width=64)
    assert torch.equal(once(blur, small), small)
    assert not torch.equal(once(blur, large), large)
    assert not torch.equal(once(recipes.IP_IRM.ops[-1], small), small)


def test_names_are_listed_without_torch():
    code = "import sys, unbraid.augment as a; assert len(a.VIEWS) > 15 and 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
    assert "dcodr" in VIEWS
