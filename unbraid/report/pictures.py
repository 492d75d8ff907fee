"""What a run's samples show: its retrieval strips, its swap grid, its traversals, each ready for the template."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int64

from unbraid.report import plots
from unbraid.tables import Codes

MAX_QUERIES = 8
MAX_NEIGHBOURS = 7


@dataclass(frozen=True)
class Thumb:
    """One image of a retrieval strip; ``match`` is None for the query."""

    uri: str
    domain: str
    match: bool | None


@dataclass(frozen=True)
class Swap:
    """A grid as one picture, and what is known of the images that gave content (columns) and domain (rows)."""

    uri: str
    contents: list[str]
    domains: list[str]


@dataclass(frozen=True)
class Dimension:
    """A row of a traversal: its frames beside each other, and what each was decoded at."""

    name: str
    uri: str
    kl: str
    values: list[str]


def strips(samples: Mapping[str, np.ndarray], codes: Codes | None) -> Iterator[list[Thumb]]:
    if "strip_images" not in samples or (codes and not codes.spec.content):
        return  # without content factors no neighbour is right or wrong
    images = samples["strip_images"][:MAX_QUERIES, : 1 + MAX_NEIGHBOURS]
    domains = samples.get("strip_domain")
    names = codes.spec.values.get(codes.spec.domain or "", ()) if codes else ()
    for row, (strip, matches) in enumerate(zip(images, samples["strip_match"])):
        values = [] if domains is None else domains[row].tolist()
        said = [names[value] if value < len(names) else str(value) for value in values] or [""] * len(strip)
        yield [Thumb(*thumb) for thumb in zip(map(plots.thumb_uri, strip), said, [None, *matches.tolist()])]


def swap(samples: Mapping[str, np.ndarray], codes: Codes | None) -> Swap | None:
    if "swap_images" not in samples:
        return None
    grid = samples["swap_images"]
    contents, domains = ([f"image {place}" for place in range(1, num)] for num in (grid.shape[1], grid.shape[0]))
    if codes is not None and "swap_content_rows" in samples:
        contents = _said(codes, samples["swap_content_rows"], codes.spec.content)
        domains = _said(codes, samples["swap_domain_rows"], [codes.spec.domain or ""])
    return Swap(plots.swap_uri(grid), contents, domains)


def _said(codes: Codes, rows: Int64[np.ndarray, " r"], columns: Sequence[str]) -> list[str]:
    """The values of each row in words: ``digit 3, slant 12 deg``; those that are missing are left out."""
    spec = codes.spec
    said = [
        [
            f"{name} {spec.names_of(name)[value]}"
            for name in columns
            if name in spec.sizes and (value := int(codes.columns[name][row])) >= 0
        ]
        for row in rows
    ]
    return [", ".join(words) for words in said]


def traversal(samples: Mapping[str, np.ndarray]) -> Iterator[Dimension]:
    if "traversal_images" not in samples:
        return
    steps = samples.get("traversal_values", np.linspace(-2, 2, samples["traversal_images"].shape[1] - 1))
    values = ["as decoded", *(f"{value:+.1f}" for value in steps)]
    rows = (samples[f"traversal_{name}"] for name in ("dim", "images", "kl"))
    for dim, images, kl in zip(*rows, strict=True):
        yield Dimension(f"dimension {dim}", plots.row_uri(images), f"{kl:.2f} nats", values)
