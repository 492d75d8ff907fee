"""What a run says about one image: pure functions from pixels and codes to answers, without a web page."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
import torch
from jaxtyping import Float32, Int64, UInt8

from unbraid.data.pictures import deep_files
from unbraid.encode import as_pixels, to_pixels
from unbraid.encoder import Encoder, load, load_data
from unbraid.errors import DataError, UserError
from unbraid.explore.heads import Head, fit_heads
from unbraid.metrics.nearest import search, unit_rows
from unbraid.records import Record, RunDir
from unbraid.tables import SPLITS, Codes, Dataset, DataSpec
from unbraid.types import Decodes, Method, Posterior

MOST_SLIDERS = 12  # dimensions, those of the largest KL


@dataclass(frozen=True)
class Neighbour:
    """An image of the run's data near a code."""

    row: int
    similarity: float  # cosine
    labels: Mapping[str, str]  # column -> name of its value


@dataclass(frozen=True)
class Answer:
    """What the linear probe of one column says of a code."""

    head: Head
    likely: Sequence[tuple[str, float]]  # names of values with probabilities, most likely first
    number: float | None = None  # of a target, in place of them


@dataclass(frozen=True)
class OpenRun:
    """A run with its data and codes, ready to answer."""

    run: RunDir
    encoder: Encoder
    dataset: Dataset
    codes: Codes
    heads: Mapping[str, Head]
    swaps: bool  # whether the method draws the same code differently in another domain
    usual_similarity: float  # of an image of the gallery and its nearest neighbour among them: the median

    @property
    def spec(self) -> DataSpec:
        return self.codes.spec

    @property
    def gallery(self) -> Int64[np.ndarray, " m"]:
        """Rows that are shown: the test split, or all where there is none."""
        return _gallery(self.codes)

    @property
    def has_test_images(self) -> bool:
        return bool((self.codes.split == SPLITS.index("test")).any())

    @property
    def sliders(self) -> Int64[np.ndarray, " s"]:
        """The dimensions that can be moved, of the largest KL first; none where the method has no posterior."""
        method = self.encoder.method
        if not isinstance(method, Posterior) or not isinstance(method, Decodes) or self.codes.kl is None:
            return np.arange(0)
        return np.argsort(-self.codes.kl, kind="stable")[:MOST_SLIDERS]


def open_run(folder: os.PathLike[str] | str) -> OpenRun:
    """A run, its data, and probes fitted on its codes.

    Raises:
        UserError: If the run is not one, has no codes, or its data are missing or have changed.
    """
    encoder, run = load(folder), RunDir(folder)
    again = f"unbraid evaluate {run.path}"
    if not run.codes.is_file():
        raise UserError(f"{run.path} has no codes yet: {again}")
    codes = Codes.load(run.codes)
    if not np.isfinite(codes.z).all():
        raise UserError(f"the codes of {run.path} are not finite: its training diverged; lower its learning rate")
    dataset = load_data(encoder.config)
    if not np.array_equal(codes.split, dataset.split):
        raise DataError(f"the codes of {run.path} are of other rows than its data now has: {again}")
    spec = codes.spec
    columns = [*spec.factors, *filter(None, (spec.domain, spec.label, spec.bias)), *spec.targets]
    heads = fit_heads(codes, list(dict.fromkeys(columns)))
    swaps, usual = _swaps(encoder.method, codes), _usual_similarity(codes)
    return OpenRun(run, encoder, dataset, codes, heads, swaps, usual)


def _usual_similarity(codes: Codes) -> float:
    rows = _gallery(codes)
    some = rows[:: max(1, len(rows) // 500)]
    return float(np.median(np.concatenate([best[:, 0] for _, _, best in search(codes, some, rows, 1)])))


def _swaps(method: Method, codes: Codes) -> bool:
    """Tried out, since a method that knows no domain may ignore the one it is to draw in."""
    if not isinstance(method, Decodes) or codes.spec.domain is None:
        return False
    size = codes.spec.sizes[codes.spec.domain]
    drawn = draw(method, np.repeat(codes.z[:1], size, axis=0), range(size))
    return bool(np.ptp(drawn, axis=0).any())


def read_pixels(opened: OpenRun, file: Path | str) -> UInt8[np.ndarray, "1 h w c"]:
    """An image file as the encoder sees it.

    Raises:
        DataError: If it is none, or of another size than the encoder's, whose images are not square.
    """
    _, height, width = opened.spec.image_shape
    return as_pixels([file] if height == width else _as_it_is(Path(file), opened.spec), opened.spec)


def _as_it_is(file: Path, spec: DataSpec) -> UInt8[np.ndarray, "1 h w c"]:
    """The pixels of a file of the encoder's size: how the data's other sizes became an oblong is not known."""
    from PIL import Image

    channels, height, width = spec.image_shape
    deep = deep_files([file])  # refuses what is no image
    with Image.open(file) as image:
        if deep or image.size != (width, height) or image.has_transparency_data:
            raise DataError(f"{file.name}: this encoder takes opaque images of {width} x {height} pixels and 8 bits")
        try:
            pixels = np.asarray(image.convert("L" if channels == 1 else "RGB"))
        except OSError as error:
            raise DataError(f"{file.name} is damaged: {error}") from None
    return pixels.reshape(1, height, width, -1)


def random_image(opened: OpenRun, rng: np.random.Generator) -> UInt8[np.ndarray, "h w c"]:
    """One of the run's, of `OpenRun.gallery`."""
    return opened.dataset.images[rng.choice(opened.gallery)]


def neighbours(
    opened: OpenRun, z: Float32[np.ndarray, "1 d"], num: int, *, each_domain: bool = False
) -> list[Neighbour]:
    """The images of the gallery whose codes are nearest, nearest first.

    Args:
        each_domain: No two of one domain.
    """
    rows = opened.gallery
    similarity = (unit_rows(opened.codes.z[rows]) @ unit_rows(z.copy()).T)[:, 0]
    order = np.argsort(-similarity, kind="stable")
    if each_domain and opened.spec.domain is not None:
        domain = opened.codes.columns[opened.spec.domain][rows]
        order = order[np.sort(np.unique(domain[order], return_index=True)[1])]
    return [Neighbour(int(rows[i]), float(similarity[i]), labels(opened, int(rows[i]))) for i in order[:num]]


def labels(opened: OpenRun, row: int) -> dict[str, str]:
    """Column -> name of its value in a row, as far as it is known; the domain last."""
    codes, spec = opened.codes, opened.spec
    names = dict.fromkeys([*spec.content, *filter(None, (spec.label, spec.domain))])
    values = {name: int(codes.columns[name][row]) for name in names}
    return {name: spec.names_of(name)[value] for name, value in values.items() if value >= 0}


def answers(opened: OpenRun, z: Float32[np.ndarray, "1 d"]) -> list[Answer]:
    """What each probe says of a code."""
    return [_answer(opened.spec, head, z) for head in opened.heads.values()]


def _answer(spec: DataSpec, head: Head, z: Float32[np.ndarray, "1 d"]) -> Answer:
    if head.values is None:
        return Answer(head, [], float(head.scores(z)[0, 0]))
    found = head.probabilities(z)[0]
    order = np.argsort(-found, kind="stable")
    names = spec.names_of(head.column)
    return Answer(head, [(names[head.values[i]], float(found[i])) for i in order])


def leakage(opened: OpenRun) -> list[Record]:
    """How well each probe of the run reads the domain; its scores in the run directory."""
    records = [record for record in opened.run.records() if record.metric == "leakage"]
    return [one for one in records if one.value is not None and "shuffled" not in one.variant]


def swap(opened: OpenRun, z: Float32[np.ndarray, "1 d"], domains: Sequence[int]) -> UInt8[np.ndarray, "k h w c"]:
    """The content of a code drawn in each of these domains."""
    return draw(opened.encoder.method, np.repeat(z, len(domains), axis=0), domains)


def traverse(
    opened: OpenRun, z: Float32[np.ndarray, "1 d"], values: Sequence[float], domain: int = 0
) -> UInt8[np.ndarray, "2 h w c"]:
    """The code as drawn, and drawn with its ``sliders`` set to these values."""
    moved = z.copy()
    moved[0, opened.sliders] = values
    return draw(opened.encoder.method, np.concatenate([z, moved]), [domain, domain])


def draw(method: Method, z: Float32[np.ndarray, "n d"], domains: Sequence[int]) -> UInt8[np.ndarray, "n h w c"]:
    """Codes as images."""
    with torch.inference_mode():
        drawn = cast(Decodes, method).decode(torch.from_numpy(z), torch.tensor(list(domains)))
    return to_pixels(drawn)


def _gallery(codes: Codes) -> Int64[np.ndarray, " n"]:
    """Rows of the test split, or all where there is none."""
    rows = np.flatnonzero(codes.split == SPLITS.index("test"))
    return rows if len(rows) else np.arange(len(codes))
