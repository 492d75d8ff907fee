"""Exact nearest neighbours by cosine similarity, in blocks of queries and of rows: memory does not grow with either."""

from collections.abc import Iterable, Iterator
from typing import Literal

import numpy as np
from jaxtyping import Float32, Int64

from unbraid.errors import UserError
from unbraid.tables import SPLITS, Codes

Gallery = Literal["all", "other_domains", "same_domain"]
Found = tuple[Int64[np.ndarray, " b"], Int64[np.ndarray, "b k"], Float32[np.ndarray, "b k"]]

_BLOCK = 2**23  # similarities that are held at a time, 32 MiB; their partition holds twice as much again
_ROWS = 1024  # rows of the gallery in a block, or 4 k if that is more


def neighbours(
    codes: Codes, queries: Int64[np.ndarray, " q"], k: int, gallery: Gallery = "all"
) -> tuple[Int64[np.ndarray, "q k"], Float32[np.ndarray, "q k"]]:
    """Row numbers and cosine similarities of the k nearest rows of train and test, nearest first, never the query.

    Where the gallery holds fewer than k rows for a query, the last row numbers are -1.

    Raises:
        UserError: If the gallery depends on the domain and the data name none.
    """
    rows = np.flatnonzero(codes.split != SPLITS.index("validation"))
    found = np.full((len(queries), k), -1)
    similarity = np.full((len(queries), k), -np.inf, dtype=np.float32)
    for places, nearest, values in search(codes, queries, rows, k, gallery):
        found[places], similarity[places] = nearest, values
    return found, similarity


def usable(codes: Codes, columns: Iterable[str]) -> tuple[Int64[np.ndarray, " n"], str]:
    """Rows of train and test with no missing value in these columns and a code that has a direction.

    Also, in words, how many test rows are not among them, and why; "" if all are.
    """
    wanted, test = codes.split != SPLITS.index("validation"), codes.split == SPLITS.index("test")
    missing = np.zeros(len(codes), dtype=bool)
    for name in columns:
        missing |= ~codes.is_known(name)
    if len(codes) and not np.ptp(codes.z, axis=0).any():
        return np.arange(0), "every row has the same code"
    if not test.any():
        return np.arange(0), "no rows in the test split"
    zero = ~codes.z.any(axis=1)
    counts = {"a missing value": np.sum(test & missing), "an all-zero code": np.sum(test & zero & ~missing)}
    return (
        np.flatnonzero(wanted & ~missing & ~zero),
        "; ".join(f"test rows left out for {reason}: {num}" for reason, num in counts.items() if num),
    )


def search(
    codes: Codes,
    queries: Int64[np.ndarray, " q"],
    rows: Int64[np.ndarray, " n"],
    k: int,
    gallery: Gallery = "all",
    *,
    with_query: bool = False,
) -> Iterator[Found]:
    """`neighbours` among ``rows`` (ascending), block by block: places in ``queries``, row numbers, similarities.

    Similarities are float32: which of two neighbours is nearer is not told where both stand within 0.0005 of the query
    (Euclidean, at unit length), nor which of several equals comes first.

    Args:
        with_query: The query is a neighbour of itself, where it is one of ``rows``.

    Raises:
        UserError: If k is not positive, or the gallery depends on the domain and the data name none.
    """
    if k < 1:
        raise UserError(f"k, the number of neighbours, must be at least 1, not {k}")
    if gallery == "all":
        yield from _blocks(codes.z, queries, rows, k, None, with_query)
        return
    if codes.spec.domain is None:
        raise UserError(f"the gallery {gallery!r} needs a domain, and the data name none")
    domain = codes.columns[codes.spec.domain]
    if gallery == "other_domains":
        yield from _blocks(codes.z, queries, rows, k, domain, with_query)
        return
    for value in np.unique(domain[queries]):
        places = np.flatnonzero(domain[queries] == value)
        same = rows[domain[rows] == value]
        for part, found, similarity in _blocks(codes.z, queries[places], same, k, None, with_query):
            yield places[part], found, similarity


def _blocks(
    z: Float32[np.ndarray, "n d"],
    queries: Int64[np.ndarray, " q"],
    rows: Int64[np.ndarray, " m"],
    k: int,
    apart: Int64[np.ndarray, " n"] | None,
    with_query: bool,
) -> Iterator[Found]:
    """Rows with the query's value of ``apart`` are no neighbours."""
    width = max(_ROWS, 4 * k)
    step = max(1, _BLOCK // min(width, len(rows) + 2 * k))
    for start in range(0, len(queries), step):
        some = queries[start : start + step]
        unit = unit_rows(z[some])
        own = np.where(np.isin(some, rows), np.searchsorted(rows, some), -1)  # a query's place in rows
        found, best = np.empty((len(some), 0), dtype=np.int64), np.empty((len(some), 0), dtype=np.float32)
        for first in range(0, len(rows), width):
            part = rows[first : first + width]
            similarity = unit @ unit_rows(z[part]).T  # (b, m)
            if apart is not None:
                np.putmask(similarity, apart[some][:, None] == apart[part], -np.inf)
            if not with_query:
                here = np.flatnonzero((own >= first) & (own < first + len(part)))
                similarity[here, own[here] - first] = -np.inf
            places, values = _above(similarity, best.min(axis=1)) if best.shape[1] == k else _everything(similarity)
            found = np.concatenate([found, part[places]], axis=1)
            best = np.concatenate([best, values], axis=1)
            top = _largest(best, k)
            found, best = np.take_along_axis(found, top, axis=1), np.take_along_axis(best, top, axis=1)
        order = np.argsort(-best, axis=1, kind="stable")
        found, best = np.take_along_axis(found, order, axis=1), np.take_along_axis(best, order, axis=1)
        found[np.isneginf(best)] = -1
        short = [(0, 0), (0, k - best.shape[1])]
        yield (
            np.arange(start, start + len(some)),
            np.pad(found, short, constant_values=-1),
            np.pad(best, short, constant_values=-np.inf),
        )


def unit_rows(z: Float32[np.ndarray, "b d"]) -> Float32[np.ndarray, "b d"]:
    """Each row divided by its length, in place; an all-zero row stays as it is."""
    z /= np.maximum(np.sqrt(np.einsum("bd,bd->b", z, z)), 1e-12)[:, None]
    return z


def _above(
    values: Float32[np.ndarray, "b m"], least: Float32[np.ndarray, " b"]
) -> tuple[Int64[np.ndarray, "b w"], Float32[np.ndarray, "b w"]]:
    """Places and values above ``least`` in each row, filled up with -inf: after the first rows they are few."""
    row, place = np.divmod(np.flatnonzero(values > least[:, None]), values.shape[1])
    num = np.bincount(row, minlength=len(least))
    column = np.arange(len(row)) - np.repeat(np.cumsum(num) - num, num)
    places = np.zeros((len(least), num.max(initial=0)), dtype=np.int64)
    above = np.full(places.shape, -np.inf, dtype=np.float32)
    places[row, column], above[row, column] = place, values[row, place]
    return places, above


def _everything(
    values: Float32[np.ndarray, "b m"],
) -> tuple[Int64[np.ndarray, "b m"], Float32[np.ndarray, "b m"]]:
    return np.broadcast_to(np.arange(values.shape[1]), values.shape), values


def _largest(values: Float32[np.ndarray, "b m"], k: int) -> Int64[np.ndarray, "b w"]:
    """Places of the k largest values of each row, or of all, in no order."""
    if k == 1 and values.shape[1]:
        return values.argmax(axis=1, keepdims=True)
    if k >= values.shape[1]:
        return np.broadcast_to(np.arange(values.shape[1]), values.shape)
    return np.argpartition(values, -k, axis=1)[:, -k:]
