"""The nearest neighbours of some test images under every run of a data set, packed for the page's script."""

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Int64, UInt8

from unbraid.metrics.retrieval import neighbours
from unbraid.report import plots
from unbraid.tables import SPLITS, Codes

NEIGHBOURS = 8
ACROSS = 16  # images in a row of the sheet

_OTHER = "a gallery of other images, which unbraid evaluate draws again"


@dataclass(frozen=True, kw_only=True)
class Gallery:
    """The M images of a gallery, their labels, and which of them are near to which by the codes of one run."""

    images: UInt8[np.ndarray, "m h w c"]
    columns: list[dict[str, Any]]  # name, whether it is the domain, its values by name, and which each image has
    nearest: list[list[int]]
    others: list[list[int]] | None  # the nearest of other domains, where there are domains


@dataclass(frozen=True, kw_only=True)
class Explorer:
    """What the script shows of one data set."""

    sheet: str  # a data URI: all images in one picture
    down: int  # rows of images in it
    data: dict[str, Any]
    absent: list[tuple[str, str]]  # runs that are not shown, and why


def read_gallery(samples: Mapping[str, np.ndarray], codes: Codes | None) -> Gallery | str:
    """The gallery of a run or, where it cannot be shown, the reason."""
    if codes is None or not {"gallery_rows", "gallery_images"} <= set(samples):
        return "no gallery, which unbraid evaluate gives it"
    rows: Int64[np.ndarray, " m"] = samples["gallery_rows"]
    if len(rows) < 2:
        return "fewer than two test images"
    if rows.max() >= len(codes):
        return _OTHER
    if not np.isfinite(codes.z[rows]).all():
        return "codes that are not finite: its training diverged"
    names = _columns(codes)
    order = np.lexsort([codes.columns[name][rows] for name in reversed(names)]) if names else np.arange(len(rows))
    rows = rows[order]
    shown = dataclasses.replace(
        codes.take(rows), split=np.full(len(rows), SPLITS.index("test"), dtype=np.uint8), logits=None
    )
    return Gallery(
        images=samples["gallery_images"][order],
        columns=[_column(shown, name) for name in names],
        nearest=_near(shown, "all"),
        others=None if codes.spec.domain is None else _near(shown, "other_domains"),
    )


def _columns(codes: Codes) -> list[str]:
    """Content first: what a good code's neighbours share."""
    spec = codes.spec
    roles = dict.fromkeys([*spec.content, spec.domain, spec.label, spec.bias])
    return [name for name in roles if name is not None and name in spec.sizes]


def _column(codes: Codes, name: str) -> dict[str, Any]:
    """The names of those values alone that occur, which are numbered anew; -1 is unknown."""
    values = codes.columns[name]
    found = np.unique(values[values >= 0])
    names = codes.spec.names_of(name)
    places = np.where(values < 0, -1, np.searchsorted(found, values))
    return {
        "name": name,
        "domain": name == codes.spec.domain,
        "names": [names[value] for value in found],
        "values": places.tolist(),
    }


def _near(codes: Codes, among: Any) -> list[list[int]]:
    found, _ = neighbours(codes, np.arange(len(codes)), min(NEIGHBOURS, len(codes) - 1), among)
    return [[int(place) for place in row if place >= 0] for row in found]


def explore(runs: Iterable[tuple[str, str, Gallery | str]]) -> Explorer | None:
    """
    Args:
        runs: Title, colour and gallery of each run of one data set, as of `read_gallery`.

    Returns:
        None if none of them has a gallery.
    """
    runs = list(runs)
    first = next((found for _, _, found in runs if isinstance(found, Gallery)), None)
    if first is None:
        return None
    shown, absent = list[dict[str, Any]](), list[tuple[str, str]]()
    for title, color, found in runs:
        if isinstance(found, str):
            absent.append((title, found))
        elif _same(found, first):
            shown.append({"title": title, "color": color, "nearest": found.nearest, "others": found.others})
        else:
            absent.append((title, _OTHER))
    return Explorer(
        sheet=plots.sheet_uri(first.images, ACROSS),
        down=-(-len(first.images) // ACROSS),
        data={"count": len(first.images), "across": ACROSS, "columns": first.columns, "runs": shown},
        absent=absent,
    )


def _same(one: Gallery, other: Gallery) -> bool:
    return np.array_equal(one.images, other.images) and one.columns == other.columns
