"""Views of images by name: ``views("simclr")``, or one of several transformations: ``views("gaussian-blur,crop")``."""

from typing import TYPE_CHECKING

from unbraid.errors import UserError
from unbraid.registry import lookup

if TYPE_CHECKING:
    from unbraid.augment.recipes import Recipe

VIEWS = {
    "identity": "recipes:IDENTITY",
    "dcodr": "recipes:DCODR",  # Kahana & Hoshen 2022
    "dcodr-simsiam": "recipes:DCODR_SIMSIAM",
    "simclr": "recipes:SIMCLR",  # Chen et al. 2020
    "ip-irm": "recipes:IP_IRM",  # Wang et al. 2021
    "ip-irm-32": "recipes:IP_IRM_32",  # the same, in crops of 32 pixels
    "crop-flip": "recipes:CROP_FLIP",  # Lee et al. 2021
    "gaussian-blur": "recipes:GAUSSIAN_BLUR",
    "high-contrast": "recipes:HIGH_CONTRAST",
    "high-saturation": "recipes:HIGH_SATURATION",
    "crop": "recipes:CROP",
    "horizontal-flip": "recipes:HORIZONTAL_FLIP",
    "vertical-flip": "recipes:VERTICAL_FLIP",
    "rotation": "recipes:ROTATION",
    "random-erasing": "recipes:RANDOM_ERASING",
    "hue-rotation": "recipes:HUE_ROTATION",
    "low-brightness": "recipes:LOW_BRIGHTNESS",
    "high-brightness": "recipes:HIGH_BRIGHTNESS",
    "low-contrast": "recipes:LOW_CONTRAST",
    "grayscale": "recipes:GRAYSCALE",
}


def views(name: str) -> "Recipe":
    """The recipe of that name. Names joined by commas: each view is made by one of them, drawn at random.

    Raises:
        UserError: If a name is not in ``VIEWS``, comes twice, or is of views of a size that others have not.
    """
    from unbraid.augment.combine import OneOf
    from unbraid.augment.recipes import Recipe

    names = [part.strip() for part in name.split(",")]
    if len(set(names)) < len(names):
        raise UserError(f"views {name!r} name a transformation twice; name each once")
    ops = tuple(lookup("view recipe", VIEWS, part, __name__) for part in names)
    if len(ops) == 1:
        return Recipe(ops[0])
    for part, op in zip(names, ops):
        if op.side:
            raise UserError(f"views {part} are {op.side} pixels wide, and others as the images; name {part} alone")
    return Recipe(OneOf(ops))
