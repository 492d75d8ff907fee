"""Retrieval: do the nearest neighbours of a code show the same content?"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, cast, get_args

import numpy as np
from jaxtyping import Bool, Float64, Int64

from unbraid.errors import UserError, did_you_mean
from unbraid.metrics import metric
from unbraid.metrics.intervals import bootstrap_mean, share
from unbraid.metrics.nearest import Gallery, search, usable
from unbraid.metrics.nearest import neighbours as neighbours  # part of this module's interface
from unbraid.records import Score
from unbraid.tables import SPLITS, Codes, DataSpec

_Subject = tuple[str, ...]  # what a score is about: a factor, all factors, or a target


@metric(
    needs={"content"}, higher_is_better=True, source="Kahana & Hoshen 2022, arXiv:2203.11284, and its published code"
)
def retrieval(
    codes: Codes,
    rng: np.random.Generator,
    *,
    k: int = 1,
    galleries: Sequence[str] | None = None,
    margins: Mapping[str, int] | None = None,
    as_published: bool = False,
    r_precision: bool = False,
) -> list[Score]:
    """Share of the k nearest neighbours that have the query's value, for each content factor and for all at once.

    Queries are the test rows, the gallery is train and test, the distance Euclidean between codes of unit length.
    "all" is the published gallery; in "other_domains" the domain is no help to the neighbour. The published number is
    top-1. For a real-valued target it is the mean absolute error of the neighbours' values as predictions. Rows with a
    missing value are left out of that column's score, as queries and as neighbours; rows with an all-zero code of all.
    Interval: Wilson's over queries for top-1, which is 0 or 1 for each; else percentile bootstrap.

    Formula:
        top-k       mean over queries q, mean over the k nearest i, of [|v_i - v_q| <= margin]
        at once     the same of [every factor matches]
        error       mean over q, mean over the k nearest i, of |t_i - t_q|
        R-precision share of matches among the R nearest, R = number of rows of the gallery that match q
        MAP@R       1/R sum over r <= R of [r-th matches] (matches among the r nearest) / r
        Differences of circular factors are min(d, size - d). Queries with R = 0 have no R-precision.

    Range:
        0 to 1, higher is better; the error lower. Chance is the exact expectation for the gallery in random order.

    Misleads:
        An image that is in the data twice finds its copy, whatever the code knows. With the gallery "all" a neighbour
        can match for being of the same domain. Where few rows of the gallery match, top-k cannot reach 1 for large k.
        Of equally near rows any may come first: codes of one dimension, or of few different values, say little here.

    Args:
        galleries: Default: "all", and "other_domains" where the data name a domain.
        margins: Factor -> difference that still counts as the same value (0; published: 2 for SmallNORB's azimuth).
        as_published: Take the query from its neighbours by rank, as the published code does: the first neighbour is
            dropped, so that a copy of the query may be dropped in its place, and the query then finds itself. No
            matter in "other_domains", which never holds the query.
        r_precision: Add R-precision and MAP@R (Musgrave et al. 2020, arXiv:2003.08505); sorts R rows per query.

    Raises:
        UserError: If k is not positive, a gallery is unknown or needs a domain and there is none, or a margin names no
            content factor.
    """
    default = ("all",) if codes.spec.domain is None else ("all", "other_domains")
    galleries, margins = default if galleries is None else galleries, margins or {}
    _check(codes.spec, k, galleries, margins)
    return [
        score
        for gallery in galleries
        for pool, subjects in _pools(codes, cast(Gallery, gallery), margins)
        for score in _retrieve(pool, subjects, k, as_published, r_precision, rng)
    ]


@dataclass(frozen=True)
class _Pool:
    """Rows that are compared with each other, and what of them counts as the same."""

    codes: Codes
    rows: Int64[np.ndarray, " n"]  # of train and test, ascending
    gallery: Gallery
    margins: Mapping[str, int]
    note: str  # which test rows are not among them, and why

    def is_factors(self, subject: _Subject) -> bool:
        return subject[0] not in self.codes.spec.targets

    def matches(
        self, factors: Sequence[str], queries: Int64[np.ndarray, " q"], found: Int64[np.ndarray, "q k"]
    ) -> Bool[np.ndarray, "q k"]:
        """Whether all these factors of a neighbour have the query's value."""
        every = np.ones(found.shape, dtype=bool)
        for name in factors:
            column, size = self.codes.columns[name], self.codes.spec.sizes[name]
            distance = np.abs(column[found] - column[queries][:, None])
            if name in self.codes.spec.circular:
                distance = np.minimum(distance, size - distance)
            every &= distance <= self.margins.get(name, 0)
        return every

    def count(self, factors: Sequence[str], queries: Int64[np.ndarray, " q"]) -> Int64[np.ndarray, " q"]:
        """Rows of each query's gallery, less the query, that match it in all these factors; in none: all its rows."""
        return self._sum(lambda group: self._count((*group, *factors), queries)) - (self.gallery != "other_domains")

    def mean_difference(self, target: str, queries: Int64[np.ndarray, " q"]) -> Float64[np.ndarray, " q"]:
        """Mean absolute difference between each query and the rows of its gallery, less the query."""
        return self._sum(lambda group: self._differences(target, group, queries)) / self.count((), queries)

    def _sum(self, over: Callable[[tuple[str, ...]], np.ndarray]) -> np.ndarray:
        """A sum over the gallery, the query included, from sums over the rows that share some columns with a query."""
        if self.gallery == "all":
            return over(())
        assert self.codes.spec.domain is not None
        same = over((self.codes.spec.domain,))
        return same if self.gallery == "same_domain" else over(()) - same

    def _count(self, columns: Sequence[str], queries: Int64[np.ndarray, " q"]) -> Int64[np.ndarray, " q"]:
        total = np.zeros(len(queries), dtype=np.int64)
        for shifts in product(*(self._shifts(name) for name in columns)):
            total += self._count_shifted(columns, shifts, queries)
        return total

    def _shifts(self, column: str) -> range:
        """Differences that count as the same value, each value once."""
        margin, size = self.margins.get(column, 0), self.codes.spec.sizes[column]
        if column in self.codes.spec.circular and 2 * margin >= size:
            return range(size)
        return range(-min(margin, size - 1), min(margin, size - 1) + 1)

    def _count_shifted(
        self, columns: Sequence[str], shifts: Sequence[int], queries: Int64[np.ndarray, " q"]
    ) -> Int64[np.ndarray, " q"]:
        """Rows with exactly a query's values plus ``shifts``. Combinations are numbered anew with each column."""
        have, want = np.zeros(len(self.rows), dtype=np.int64), np.zeros(len(queries), dtype=np.int64)
        num = np.array([len(self.rows)])
        for name, shift in zip(columns, shifts, strict=True):
            column, size = self.codes.columns[name], self.codes.spec.sizes[name]
            value = column[queries] + shift
            if name in self.codes.spec.circular:
                value %= size
            want = np.where((want < 0) | (value < 0) | (value >= size), -1, want * size + value)
            known, have, num = np.unique(have * size + column[self.rows], return_inverse=True, return_counts=True)
            place = np.searchsorted(known, want).clip(max=len(known) - 1)
            want = np.where(known[place] == want, place, -1)
        return np.where(want < 0, 0, num[want])

    def _differences(
        self, target: str, group: Sequence[str], queries: Int64[np.ndarray, " q"]
    ) -> Float64[np.ndarray, " q"]:
        """Sum of absolute differences between each query and the rows that share these columns with it."""
        value, sums = self.codes.columns[target].astype(np.float64), np.zeros(len(queries))
        if not group:
            return _absolute_sums(value[queries], value[self.rows])
        (column,) = (self.codes.columns[name] for name in group)
        for one in np.unique(column[queries]):
            some = column[queries] == one
            sums[some] = _absolute_sums(value[queries[some]], value[self.rows[column[self.rows] == one]])
        return sums


def _absolute_sums(values: Float64[np.ndarray, " q"], among: Float64[np.ndarray, " n"]) -> Float64[np.ndarray, " q"]:
    """For each value the sum of its absolute differences from ``among``, by way of their cumulative sums."""
    among = np.sort(among)
    below, sums = np.searchsorted(among, values), np.concatenate([[0.0], np.cumsum(among)])
    return values * (2 * below - len(among)) + sums[-1] - 2 * sums[below]


def _check(spec: DataSpec, k: int, galleries: Sequence[str], margins: Mapping[str, int]) -> None:
    if k < 1:
        raise UserError(f"k, the number of neighbours, must be at least 1, not {k}")
    for gallery in galleries:
        if gallery not in get_args(Gallery):
            raise UserError(f"unknown gallery {gallery!r}.{did_you_mean(gallery, get_args(Gallery))}")
        if gallery != "all" and spec.domain is None:
            raise UserError(f"the gallery {gallery!r} needs a domain, and the data name none")
    for name in margins:
        if name not in spec.content:
            raise UserError(f"a margin is given for {name!r}, no content factor.{did_you_mean(name, spec.content)}")


def _pools(codes: Codes, gallery: Gallery, margins: Mapping[str, int]) -> Iterable[tuple[_Pool, list[_Subject]]]:
    """The subjects of scores by the rows that count for them: most share all rows, and so one search."""
    factors, targets, domain = codes.spec.content, codes.spec.targets, codes.spec.domain
    subjects = [(name,) for name in factors] + [factors] * (len(factors) > 1) + [(name,) for name in targets]
    pools: dict[bytes, tuple[_Pool, list[_Subject]]] = {}
    for subject in subjects:
        rows, note = usable(codes, subject if gallery == "all" or domain is None else (*subject, domain))
        pools.setdefault(rows.tobytes(), (_Pool(codes, rows, gallery, margins, note), []))[1].append(subject)
    return pools.values()


def _retrieve(
    pool: _Pool, subjects: Sequence[_Subject], k: int, as_published: bool, r_precision: bool, rng: np.random.Generator
) -> Iterator[Score]:
    test = pool.rows[pool.codes.split[pool.rows] == SPLITS.index("test")]
    queries = test[pool.count((), test) >= k]
    few = f"test rows left out for fewer than {k} rows to choose from: {len(test) - len(queries)}"
    note = "; ".join(filter(None, (pool.note, few if len(queries) < len(test) else "")))
    chances = {subject: _chances(pool, subject, queries, k, r_precision) for subject in subjects}
    values = {subject: {name: np.full(len(queries), np.nan) for name in chances[subject]} for subject in subjects}
    matching = {
        subject: pool.count(subject, queries) for subject in subjects if r_precision and pool.is_factors(subject)
    }
    depth = max(k, *(int(num.max(initial=0)) for num in matching.values()), 0)
    by_rank = as_published and pool.gallery != "other_domains"  # where the query is not among the rows anyway
    for places, found, _ in search(pool.codes, queries, pool.rows, depth + by_rank, pool.gallery, with_query=by_rank):
        for subject in subjects:
            num = matching[subject][places] if subject in matching else None
            for name, measured in _measure(pool, subject, queries[places], found[:, int(by_rank) :], k, num).items():
                values[subject][name][places] = measured
    for subject in subjects:
        for name, measured in values[subject].items():
            variant = f"{name}, {pool.gallery.replace('_', ' ')}{', as published' if by_rank else ''}"
            yield _score(subject, measured, chances[subject][name], variant, note, rng)


def _measure(
    pool: _Pool,
    subject: _Subject,
    queries: Int64[np.ndarray, " q"],
    found: Int64[np.ndarray, "q r"],
    k: int,
    matching: Int64[np.ndarray, " q"] | None,
) -> dict[str, Float64[np.ndarray, " q"]]:
    """What a mean over queries is taken of, by name. NaN where a query has none."""
    if not pool.is_factors(subject):
        value = pool.codes.columns[subject[0]].astype(np.float64)
        return {f"top-{k} mean absolute error": np.abs(value[found[:, :k]] - value[queries][:, None]).mean(axis=1)}
    same = pool.matches(subject, queries, found)
    measured = {f"top-{k}": same[:, :k].mean(axis=1)}
    if matching is not None:
        rank, num = np.arange(1, found.shape[1] + 1), np.where(matching > 0, matching, np.nan)
        hits = same & (rank <= matching[:, None])
        measured["R-precision"] = hits.sum(axis=1) / num
        measured["MAP@R"] = (hits * np.cumsum(hits, axis=1) / rank).sum(axis=1) / num
    return measured


def _chances(
    pool: _Pool, subject: _Subject, queries: Int64[np.ndarray, " q"], k: int, r_precision: bool
) -> dict[str, Float64[np.ndarray, " q"]]:
    """The expectation of each of these for a gallery in random order."""
    if not pool.is_factors(subject):
        return {f"top-{k} mean absolute error": pool.mean_difference(subject[0], queries)}
    matching, num = pool.count(subject, queries), pool.count((), queries)
    share = matching / num
    if not r_precision:
        return {f"top-{k}": share}
    harmonic = np.cumsum(1 / np.arange(1, matching.max(initial=1) + 1))
    again = (matching - 1) / np.maximum(num - 1, 1)  # that a second row matches if a first one does
    average = (harmonic[matching - 1] * (1 - again) + again * matching) / num
    return {f"top-{k}": share, "R-precision": share, "MAP@R": average}


def _score(
    subject: _Subject,
    values: Float64[np.ndarray, " q"],
    chance: Float64[np.ndarray, " q"],
    variant: str,
    note: str,
    rng: np.random.Generator,
) -> Score:
    about: dict[str, Any] = {"column": "", "over": subject} if len(subject) > 1 else {"column": subject[0]}
    about |= {"variant": variant, "higher_is_better": "error" not in variant}
    asked = ~np.isnan(values)
    values, chance = values[asked], chance[asked]
    if not len(values):
        return retrieval.score(None, note=f"no test row can be asked: {note or 'none has a match to find'}", **about)
    if (chance == (1.0 if about["higher_is_better"] else 0.0)).all():
        return retrieval.score(None, note="every row to choose from has the query's value", **about)
    if about["higher_is_better"] and not chance.any():
        return retrieval.score(None, note="no row to choose from has the query's value", **about)
    hits = about["higher_is_better"] and np.isin(values, (0.0, 1.0)).all()
    low, high = share(values == 1)[1:] if hits else bootstrap_mean(values, rng)
    facts: dict[str, Any] = {"low": low, "high": high, "chance": float(chance.mean()), "num": len(values), "note": note}
    return retrieval.score(float(values.mean()), **facts, **about)
