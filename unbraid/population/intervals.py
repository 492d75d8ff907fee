"""Rows in which every learned factor is fixed: surrogate labels cut at their largest gaps, and the cells of the cuts.

A surrogate label is a latent mean. If the latent has learned a discrete factor its sorted values come in clusters, and
the gap between two clusters is far larger than those inside. An interval is a run of rows between two such gaps.

Source
    Estermann, Marks & Yanik 2020, arXiv:2010.13527, and the behaviour of its published code.
Differences
    ``fidelity="published"`` repeats the published rules row by row: intervals begin one row too early and end one too
    early, the outermost values of a latent are dropped when it has four gaps or more (or two, if it is alone), a latent
    gives five candidates at most, 50 rows or fewer cannot be cut, gaps are overlooked where they are more than a
    sixteenth of all, among the outer fifteenths of the rows, or within a fiftieth of them from a larger one, and noise
    has gaps. ``"fixed"`` cuts 20 rows or more at the gaps exactly and keeps every value that has six rows.
    Both find the cells by grouping rows; the published code intersects every combination of intervals, up to
    5^latents. Where that code stops with an error, ``reduce`` goes on or says why not.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float, Int64

from unbraid.errors import UserError

Fidelity = Literal["published", "fixed"]

LEAST_ROWS = 10  # of a reduced data set
_LEAST_CELL = 6  # rows that share an interval of every latent
_MOST_CANDIDATES = 5  # intervals of a latent, as published
_LEAST_TO_CUT = {"published": 51, "fixed": 20}
_OUTER = 15  # published: one row in so many is left out at either end when gaps are judged
_APART = 50  # published: gaps are at least one row in so many apart
_TO_DEVIATION = 1.4826  # from the median absolute deviation, of a normal distribution
_NEAR = 20  # fixed: gaps on either side that a gap is compared with


@dataclass(frozen=True, kw_only=True)
class Intervals:
    """Where one label is cut. Interval i holds the rows ``order[starts[i]:stops[i]]``; the clearest comes first."""

    order: Int64[np.ndarray, " n"]  # rows by ascending label
    starts: Int64[np.ndarray, " k"]
    stops: Int64[np.ndarray, " k"]
    clarity: Float[np.ndarray, " k"]  # smaller of the two bounding gaps over the mean gap inside

    def __len__(self) -> int:
        return len(self.starts)

    def rows(self, number: int) -> Int64[np.ndarray, " m"]:
        """The rows of an interval, by ascending label."""
        return self.order[self.starts[number] : self.stops[number]]

    def numbers(self) -> Int64[np.ndarray, " n"]:
        """Which interval each row is in, -1 for none."""
        found = np.full(len(self.order), -1)
        for number in range(len(self)):
            found[self.rows(number)] = number
        return found


@dataclass(frozen=True)
class Reduction:
    """Row numbers of the reduced data set, or None and the reason why there is none."""

    rows: Int64[np.ndarray, " m"] | None
    reason: str = ""


def split(label: Float[np.ndarray, " n"], *, alone: bool, fidelity: Fidelity = "published") -> Intervals:
    """Cut a label at its large gaps; without such a gap there is no interval.

    Args:
        alone: Whether it is the only label, which the published rules for the outermost intervals depend on.

    Raises:
        UserError: If there are too few rows.
    """
    if len(label) < (least := _LEAST_TO_CUT[fidelity]):
        raise UserError(f"{len(label)} rows are too few to look for gaps in a label; {least} are needed")
    order = np.argsort(label)
    gaps = np.diff(label[order])
    peaks = large_gaps(gaps, fidelity)
    return _published(order, gaps, peaks, alone) if fidelity == "published" else _exact(order, gaps, peaks)


def large_gaps(gaps: Float[np.ndarray, " m"], fidelity: Fidelity = "published") -> Int64[np.ndarray, " p"]:
    """Places of the gaps far above the usual.

    Published: above the median + 7 deviations of the gaps below median + 4 deviations of all; if more than a sixteenth
    of the gaps are large, they pass for usual. The outer fifteenths of the rows, where gaps are large, are left out.

    Fixed: gaps with at least 6 rows on either side, of m gaps g_1 .. g_m those with::

        g_i > f q_i / log 4     f = max(7, 2 log m); q_i: upper quartile of the 41 gaps around i, mirrored at the ends
        g_i >= M + f s          M: median; s: standard deviation of the gaps up to M + 4 * 1.4826 * median |g - M|
        g_i >= g_max / 8        g_max: the largest gap for which the first line holds

    and, of two that are less than 6 rows apart, the larger. Noise hardly ever has a gap f times the usual. Where labels
    are sparse their gaps are exponential, and q_i / log 4 is the mean of those nearby.
    """
    from scipy.ndimage import percentile_filter
    from scipy.signal import find_peaks

    if fidelity == "published":
        outer, apart = len(gaps) // _OUTER, max(1, len(gaps) // _APART)
        inner = gaps[outer : len(gaps) - outer]
        usual = inner[inner <= np.median(inner) + 4 * inner.std()]
        peaks, _ = find_peaks(inner, height=np.median(inner) + 7 * usual.std(), distance=apart)
        return (peaks + outer).astype(np.int64)
    factor, middle = max(7.0, 2 * np.log(len(gaps))), np.median(gaps)
    usual = gaps[gaps <= middle + 4 * _TO_DEVIATION * np.median(np.abs(gaps - middle))]
    near = percentile_filter(gaps, 75, size=2 * _NEAR + 1, mode="mirror") / np.log(4)
    tall = np.where(gaps > factor * near, gaps, 0.0)
    tall[: _LEAST_CELL - 1] = tall[len(gaps) - _LEAST_CELL + 1 :] = 0.0  # a few rows apart from the others
    peaks, _ = find_peaks(tall, height=max(middle + factor * usual.std(), tall.max() / 8), distance=_LEAST_CELL)
    return peaks.astype(np.int64)


def rank(heights: Float[np.ndarray, " k1"], means: Float[np.ndarray, " k"]) -> Int64[np.ndarray, " k"]:
    """Intervals by falling clarity, from the gaps around them and the mean gap inside each."""
    return np.argsort(-_clarity(heights, means), kind="stable")


def _clarity(heights: Float[np.ndarray, " k1"], means: Float[np.ndarray, " k"]) -> Float[np.ndarray, " k"]:
    low = np.minimum(heights[:-1], heights[1:]).astype(float)
    return np.divide(low, means, out=np.full(len(low), np.inf), where=means > 0)


def _published(
    order: Int64[np.ndarray, " n"], gaps: Float[np.ndarray, " m"], peaks: Int64[np.ndarray, " p"], alone: bool
) -> Intervals:
    """A gap stands between two rows; the published slices begin at the lower of them."""
    num = len(order)
    if len(peaks) == 1:
        bounds = np.array([0, peaks[0], num - 2 if alone else num])
        tightness = 1 / np.array([gaps[: peaks[0]].mean(), gaps[peaks[0] :].mean()])
        return Intervals(order=order, starts=bounds[:-1], stops=bounds[1:], clarity=tightness)  # in order, not ranked
    bounds, heights = peaks, gaps[peaks]
    if 2 <= len(peaks) <= 3 and not alone:
        bounds = np.concatenate([[0], peaks, [num - 2]])
        heights = np.concatenate([[1.0], heights, [1.0]])
    return _ranked(order, bounds[:-1], bounds[1:], heights, [gaps[a:b].mean() for a, b in itertools.pairwise(bounds)])


def _exact(order: Int64[np.ndarray, " n"], gaps: Float[np.ndarray, " m"], peaks: Int64[np.ndarray, " p"]) -> Intervals:
    if not len(peaks):
        return _ranked(order, peaks, peaks, np.zeros(1), [])
    bounds = np.concatenate([[0], peaks + 1, [len(order)]])
    heights = np.concatenate([gaps[peaks[:1]], gaps[peaks], gaps[peaks[-1:]]])  # an end has one gap only
    inside = [gaps[a : b - 1].mean() if b - 1 > a else np.inf for a, b in itertools.pairwise(bounds)]
    return _ranked(order, bounds[:-1], bounds[1:], heights, inside)


def _ranked(
    order: Int64[np.ndarray, " n"],
    starts: Int64[np.ndarray, " k"],
    stops: Int64[np.ndarray, " k"],
    heights: Float[np.ndarray, " k1"],
    means: Sequence[float],
) -> Intervals:
    if not len(starts):
        return Intervals(order=order, starts=starts[:0], stops=stops[:0], clarity=np.zeros(0))
    inside = np.asarray(means, dtype=float)
    best = rank(heights, inside)
    clarity = _clarity(heights, inside)[best]
    return Intervals(order=order, starts=starts[best], stops=stops[best], clarity=clarity)


def reduce(
    labels: Float[np.ndarray, "n a"],
    *,
    choice: int = 0,
    first: bool = True,
    side_cutoff: float = 0.0,
    fidelity: Fidelity = "published",
) -> Reduction:
    """Rows in which every label stays inside one of its intervals.

    One label: the ``choice``-th clearest interval, rows in order of the label. Several: of the cells, those of the
    most usual size first, the ``choice``-th; rows ascending.

    Args:
        choice: Which value, or combination of values, is fixed ("x_peak").
        first: Whether this is the first reduction of a leaf run; later ones take the best, whatever the ``choice``.
        side_cutoff: Share of an interval that is dropped at either end, if there is one label.

    Raises:
        UserError: If ``choice`` is negative or ``side_cutoff`` is not in [0, 0.5).
    """
    if choice < 0 or not 0 <= side_cutoff < 0.5:
        raise UserError(f"a choice is at least 0 and a side cutoff in [0, 0.5), not {choice} and {side_cutoff}")
    if not labels.shape[1]:
        return Reduction(None, "no dimension has learned a factor")
    try:
        cuts = [split(label, alone=labels.shape[1] == 1, fidelity=fidelity) for label in labels.T]
    except UserError as error:
        return Reduction(None, str(error))
    for number, cut in enumerate(cuts, start=1):
        if not len(cut):
            return Reduction(None, f"label {number} of {len(cuts)} has no gap that stands out")
    rows = _one(cuts[0], choice, first, side_cutoff) if len(cuts) == 1 else _cell(cuts, choice, first, fidelity)
    if isinstance(rows, str):
        return Reduction(None, rows)
    if len(rows) < LEAST_ROWS:
        return Reduction(None, f"{len(rows)} rows are left, and {LEAST_ROWS} are the least")
    return Reduction(rows)


def _one(cut: Intervals, choice: int, first: bool, side_cutoff: float) -> Int64[np.ndarray, " m"] | str:
    if first and choice >= len(cut):
        return f"choice {choice} of {len(cut)} interval(s) only"
    rows = cut.rows(choice if first else int(cut.clarity.argmax()))
    trim = int(side_cutoff * len(rows))
    return rows[trim : len(rows) - trim]


def _cell(cuts: Sequence[Intervals], choice: int, first: bool, fidelity: Fidelity) -> Int64[np.ndarray, " m"] | str:
    """Rows with the same interval of every label. Cells come in the order in which a product would list them."""
    numbers = np.stack([cut.numbers() for cut in cuts], axis=1)
    if fidelity == "published":
        numbers[numbers >= _MOST_CANDIDATES] = -1
    inside = np.flatnonzero((numbers >= 0).all(axis=1))
    if not len(inside):
        return "no row lies inside an interval of every label"
    _, cell, size = np.unique(numbers[inside][:, ::-1], axis=0, return_inverse=True, return_counts=True)
    large = np.flatnonzero(size >= _LEAST_CELL)
    if not len(large):
        return f"no combination of values has {_LEAST_CELL} rows: the labels explain the whole data set"
    usual = large[np.argsort(np.abs(size[large] - np.median(size[large])), kind="stable")]
    if first and choice >= len(usual):
        return f"choice {choice} of {len(usual)} combination(s) only"
    return inside[cell == usual[choice if first else 0]]
