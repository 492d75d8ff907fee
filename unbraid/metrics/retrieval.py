"""Retrieval: does the nearest neighbour of a code show the same content?"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float32, Int64

from unbraid.errors import UserError, did_you_mean
from unbraid.metrics import metric
from unbraid.metrics.intervals import bootstrap_mean
from unbraid.records import Score
from unbraid.tables import SPLITS, Codes

Gallery = Literal["all", "other_domains", "same_domain"]

_BLOCK_BYTES = 64 * 2**20  # of similarities that are held at a time


@metric(
    needs={"content"}, higher_is_better=True, source="Kahana & Hoshen 2022, arXiv:2203.11284, and its published code"
)
def retrieval(
    codes: Codes,
    rng: np.random.Generator,
    *,
    k: int = 1,
    galleries: Sequence[Gallery] | None = None,
    margins: Mapping[str, int] | None = None,
) -> list[Score]:
    """Share of the k nearest neighbours that have the query's value, for each content factor and for all at once.

    Queries are the test rows, the gallery is train and test, the distance Euclidean between codes of unit length.
    "all" is the published gallery; in "other_domains" the domain is no help to the neighbour. The published code
    removes the query from its own neighbours by rank, so that a duplicate may be removed in its place; here the query
    is removed. `chance` is the expected share for neighbours drawn at random from the same gallery. Interval:
    percentile bootstrap over queries.

    Args:
        galleries: Default: "all", and "other_domains" where the data name a domain.
        margins: Factor -> difference that still counts as the same value (0); circular factors wrap around.

    Raises:
        UserError: If a margin names no content factor, or a gallery needs a domain and there is none.
    """
    factors, margins = codes.spec.content, dict(margins or {})
    if unknown := [name for name in margins if name not in factors]:
        raise UserError(f"a margin is given for {unknown[0]!r}, no content factor.{did_you_mean(unknown[0], factors)}")
    default: tuple[Gallery, ...] = ("all",) if codes.spec.domain is None else ("all", "other_domains")
    return [score for gallery in galleries or default for score in _retrieve(codes, k, gallery, margins, rng)]


def _retrieve(
    codes: Codes, k: int, gallery: Gallery, margins: Mapping[str, int], rng: np.random.Generator
) -> Iterator[Score]:
    factors = codes.spec.content
    queries = np.flatnonzero(codes.split == SPLITS.index("test"))
    found, _ = neighbours(codes, queries, k, gallery)
    answered = (found >= 0).all(axis=1)
    queries, found = queries[answered], found[answered]
    same = {name: _match(codes, name, queries, found, margins.get(name, 0)) for name in factors}  # (Q, k) each
    for names in (*((name,) for name in factors), *([factors] if len(factors) > 1 else [])):
        column = names[0] if len(names) == 1 else ""
        variant = f"top-{k}, {gallery.replace('_', ' ')}"
        if not len(queries):
            yield retrieval.score(None, column=column, variant=variant, note=f"no test row has {k} rows to choose from")
            continue
        hits = np.logical_and.reduce([same[name] for name in names]).mean(axis=1)  # (Q,)
        low, high = bootstrap_mean(hits, rng)
        yield retrieval.score(
            float(hits.mean()),
            column=column,
            variant=variant,
            low=low,
            high=high,
            chance=_chance(codes, names, queries, gallery, margins),
            num=len(queries),
            note="" if column else "every factor at once",
        )


def neighbours(
    codes: Codes, queries: Int64[np.ndarray, " q"], k: int, gallery: Gallery = "all"
) -> tuple[Int64[np.ndarray, "q k"], Float32[np.ndarray, "q k"]]:
    """Row numbers and cosine similarities of the k nearest rows of train and test, nearest first, never the query.

    Where the gallery holds fewer than k rows for a query, the last row numbers are -1. Memory stays bounded.

    Raises:
        UserError: If the gallery depends on the domain and the data name none.
    """
    if gallery != "all" and codes.spec.domain is None:
        raise UserError(f"the gallery {gallery!r} needs a domain, and the data name none")
    rows = _gallery_rows(codes)
    z = codes.z / np.maximum(np.linalg.norm(codes.z, axis=1, keepdims=True), 1e-12)
    found = np.full((len(queries), k), -1)
    similarity = np.full((len(queries), k), -np.inf, dtype=np.float32)
    width = min(k, len(rows))
    for part in _chunks(len(queries), 4 * len(rows)):
        block = z[queries[part]] @ z[rows].T  # (q, n)
        block[_excluded(codes, queries[part], rows, gallery)] = -np.inf
        top = np.argpartition(block, len(rows) - width, axis=1)[:, len(rows) - width :]
        values = np.take_along_axis(block, top, axis=1)
        order = np.argsort(-values, axis=1, kind="stable")
        similarity[part, :width] = np.take_along_axis(values, order, axis=1)
        found[part, :width] = rows[np.take_along_axis(top, order, axis=1)]
    found[np.isneginf(similarity)] = -1
    return found, similarity


def _gallery_rows(codes: Codes) -> Int64[np.ndarray, " n"]:
    return np.flatnonzero(np.isin(codes.split, [SPLITS.index("train"), SPLITS.index("test")]))


def _chunks(num: int, bytes_per_row: int) -> Iterator[slice]:
    step = max(1, _BLOCK_BYTES // max(1, bytes_per_row))
    return (slice(start, start + step) for start in range(0, num, step))


def _excluded(
    codes: Codes, queries: Int64[np.ndarray, " q"], rows: Int64[np.ndarray, " n"], gallery: Gallery
) -> Bool[np.ndarray, "q n"]:
    excluded = queries[:, None] == rows
    if gallery != "all":
        assert codes.spec.domain is not None
        domain = codes.columns[codes.spec.domain]
        same = domain[queries][:, None] == domain[rows]
        excluded |= same if gallery == "other_domains" else ~same
    return excluded


def _match(
    codes: Codes, factor: str, queries: Int64[np.ndarray, " q"], found: Int64[np.ndarray, "q k"], margin: int
) -> Bool[np.ndarray, "q k"]:
    column = codes.columns[factor]
    distance = np.abs(column[found] - column[queries][:, None])
    if factor in codes.spec.circular:
        distance = np.minimum(distance, codes.spec.sizes[factor] - distance)
    return distance <= margin


def _chance(
    codes: Codes, factors: Sequence[str], queries: Int64[np.ndarray, " q"], gallery: Gallery, margins: Mapping[str, int]
) -> float:
    """Exact expectation for a random row of the gallery: matching over allowed rows, averaged over queries."""
    matching, allowed = _count(codes, factors, queries, margins), np.full(len(queries), len(_gallery_rows(codes)))
    if gallery == "all":
        return float(np.mean((matching - 1) / (allowed - 1)))  # less the query itself
    assert codes.spec.domain is not None
    same = _count(codes, (codes.spec.domain, *factors), queries, margins)
    same_allowed = _count(codes, (codes.spec.domain,), queries, margins)
    if gallery == "same_domain":
        return float(np.mean((same - 1) / (same_allowed - 1)))
    return float(np.mean((matching - same) / (allowed - same_allowed)))


def _count(
    codes: Codes, columns: Sequence[str], queries: Int64[np.ndarray, " q"], margins: Mapping[str, int]
) -> Int64[np.ndarray, " q"]:
    """Rows of train and test, the query included, that match each query in all these columns."""
    table = np.stack([codes.columns[name] for name in columns], axis=1)
    counts = Counter(map(tuple, table[_gallery_rows(codes)].tolist()))
    wanted = list(map(tuple, table[queries].tolist()))
    matching = {
        values: sum(counts[near] for near in product(*(_near(codes, *item, margins) for item in zip(columns, values))))
        for values in set(wanted)
    }
    return np.array([matching[values] for values in wanted])


def _near(codes: Codes, column: str, value: int, margins: Mapping[str, int]) -> set[int]:
    """The values that count as the same as this one."""
    margin, size = margins.get(column, 0), codes.spec.sizes[column]
    near = range(value - margin, value + margin + 1)
    return {other % size for other in near} if column in codes.spec.circular else set(near) & set(range(size))
