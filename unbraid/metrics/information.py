"""Mutual information between each dimension of a code and each factor, and three scores of it: MIG, nMIG, modularity.

A dimension is cut into equal-width bins and the information is the plug-in estimate in nats, as in disentanglement_lib.
Everything is computed from contingency tables: what a group of rows adds to a table can be taken off again.

Letters: D dimensions, G factors, b bins, v values of a factor.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Float32, Int64

from unbraid.errors import UserError
from unbraid.metrics import Metric, metric
from unbraid.metrics.intervals import NUM_GROUPS, jackknife, within
from unbraid.records import Score
from unbraid.tables import Codes

_NUM_SHUFFLES = 5
_FEW_ROWS = 0.1  # share of a factor's entropy that a shuffled dimension may seem to carry before the score says so


def bin_codes(z: Float[np.ndarray, "n d"], bins: int = 20) -> Int64[np.ndarray, "d n"]:
    """The equal-width bin, 0 .. bins-1, between a dimension's least and greatest value that each code falls in.

    A value on an edge belongs to the upper bin, the greatest value to the last. One row for each dimension.

    Raises:
        UserError: For fewer than two bins.
    """
    if bins < 2:
        raise UserError(f"a code cannot be cut into {bins} bins; at least 2")
    columns = z.T.astype(np.float64)
    lefts = (np.linspace(column.min(), column.max(), bins, endpoint=False) for column in columns)
    return np.stack([np.digitize(column, left) - 1 for column, left in zip(columns, lefts)])


def contingency(
    binned: Int64[np.ndarray, "d n"], labels: Int64[np.ndarray, " n"], bins: int, num_values: int
) -> Int64[np.ndarray, "d b v"]:
    """How many rows have which bin and which label, for every dimension; rows labelled -1 are left out.

    Tables of disjoint rows add up.
    """
    shape = (len(binned), bins, 1 + num_values)  # the first column for what is left out
    cells = (np.arange(shape[0])[:, None] * bins + binned) * shape[2] + (1 + labels)
    return np.bincount(cells.ravel(), minlength=np.prod(shape)).reshape(shape)[:, :, 1:]


def entropy(counts: Int64[np.ndarray, "d v"]) -> Float[np.ndarray, " d"]:
    """Plug-in entropy of each row of counts, in nats: log n - sum_i c_i log c_i / n."""
    from scipy.special import xlogy

    whole = np.arange(counts.max() + 1)
    total = counts.sum(axis=1)
    return np.log(total) - xlogy(whole, whole)[counts].sum(axis=1) / total  # a table: counts are small whole numbers


def mutual_information(counts: Int64[np.ndarray, "d b v"]) -> Float[np.ndarray, " d"]:
    """Plug-in mutual information of each table, in nats: H(bin) + H(value) - H(bin, value)."""
    information = entropy(counts.sum(axis=2)) + entropy(counts.sum(axis=1)) - entropy(counts.reshape(len(counts), -1))
    return np.maximum(information, 0.0)


def information_matrix(
    binned: Int64[np.ndarray, "d n"], factors: Int64[np.ndarray, "n g"], bins: int = 20
) -> tuple[Float[np.ndarray, "d g"], Float[np.ndarray, " g"]]:
    """Mutual information of each dimension and factor, and the entropy of each factor, in nats.

    For a subset of rows or factors, pass the subset. Rows in which a factor is -1 are left out of that factor.
    """
    tables = [contingency(binned, labels, bins, int(labels.max()) + 1) for labels in factors.T]
    entropies = np.concatenate([entropy(counts[:1].sum(axis=1)) for counts in tables])
    return np.stack([mutual_information(counts) for counts in tables], axis=1), entropies


def information_gap(
    information: Float[np.ndarray, "*k d g"], entropies: Float[np.ndarray, "*k g"]
) -> Float[np.ndarray, "*k g"]:
    """MIG of each factor: what its best dimension knows more than its second best, as a share of its entropy."""
    best = np.sort(information, axis=-2)
    return _share(best[..., -1, :] - best[..., -2, :], entropies)


def normalised_gap(
    information: Float[np.ndarray, "*k d g"], entropies: Float[np.ndarray, "*k g"]
) -> Float[np.ndarray, "*k g"]:
    """nMIG of each factor: what its best dimension knows of it less what that dimension knows of any other factor."""
    known = _share(information, entropies[..., None, :])
    best = np.take_along_axis(known, known.argmax(axis=-2)[..., None], axis=-2)  # (*k, g, g): best dimension, factor
    others = np.where(np.eye(best.shape[-1], dtype=bool), 0.0, best)
    return known.max(axis=-2) - others.max(axis=-1)


def dimension_modularity(information: Float[np.ndarray, "*k d g"]) -> Float[np.ndarray, "*k d"]:
    """1 if a dimension knows of one factor only, 0 if it knows as much of all, or nothing."""
    square = information**2
    most = square.max(axis=-1)
    rest = (square.sum(axis=-1) - most) / (square.shape[-1] - 1)
    return np.where(most > 0, 1 - _share(rest, most), 0.0)


def few_rows(z: Float32[np.ndarray, "n d"]) -> str:
    """Why so few codes are not scored; empty if there are enough to leave out groups of them."""
    if not len(z):
        return "no rows in the test split"
    return f"{len(z)} test rows are too few" if len(z) < NUM_GROUPS else ""


def constant_code(z: Float32[np.ndarray, "n d"]) -> str:
    """Why a collapsed code is not scored; empty if it is not one."""
    return "" if np.ptp(z, axis=0).any() else "the code is the same for every test row"


def _share(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return np.divide(part, whole, out=np.zeros_like(part), where=whole > 0)


@metric(
    needs={"content"},
    higher_is_better=True,
    source="Chen et al. 2018, arXiv:1802.04942; binned as in Locatello et al. 2019, arXiv:1811.12359",
)
def mig(codes: Codes, rng: np.random.Generator, *, bins: int = 20) -> list[Score]:
    """Mutual Information Gap: does one dimension, and one only, know each factor?

    Test rows, 20 equal-width bins for each dimension and each real-valued target. The published defaults draw 10,000
    rows. The domain is no factor: a code may hide it. Interval: jackknife over 20 groups of rows, bin edges held.

    Formula:
        MIG_f = (I_1 - I_2) / H(f), the two largest of I(z_d; f) over the dimensions d; the score is their mean over f
    Range:
        0 (no factor has a dimension of its own) to 1; higher is better. A dimension carries at most log(bins) nats, so
        a factor of more values than bins cannot reach 1; the note gives the bound. Chance: rows of codes shuffled.
    Misleads:
        A dimension may know several factors and still have a gap of 1 for each; nMIG and modularity see that. A
        factor coded as a circle takes two dimensions and scores near 0. With few rows every dimension seems to know
        something, which lowers the score of a good code; the note says so.
    """
    if codes.z.shape[1] == 1:
        note = "the code has one dimension, there is no second to compare"
        return [mig.score(None, over=_columns(codes), variant=f"{bins} bins", note=note)]
    return _per_factor(mig, codes.rows("test"), information_gap, bins, rng, least=0.0)


@metric(
    needs={"content"},
    higher_is_better=True,
    source="Estermann, Marks & Yanik 2020, arXiv:2010.13527, and its published code",
)
def nmig(codes: Codes, rng: np.random.Generator, *, bins: int = 20) -> list[Score]:
    """Normalised Mutual Information Gap: does the dimension that knows a factor best know of no other factor?

    Rows, bins and interval as in `mig`; rows in which a factor is missing are left out, as factors are compared.

    Formula:
        n(d, f) = I(z_d; f) / H(f), d* = argmax_d n(d, f): nMIG_f = n(d*, f) - max_{g != f} n(d*, g); mean over f.
        For a single factor: n(d*, f)
    Range:
        -1 to 1, higher is better; 0 is a dimension that knows as much of another factor. The bound of `mig` holds.
        Chance: rows of codes shuffled.
    Misleads:
        A factor copied into many dimensions costs nothing here; MIG sees that. Factors that depend on each other in
        the data cannot be told apart by any code and lower it.
    """
    return _per_factor(nmig, codes.rows("test").known(*_columns(codes)), normalised_gap, bins, rng, least=-1.0)


@metric(needs={"content"}, higher_is_better=True, source="Ridgeway & Mozer 2018, arXiv:1802.05312")
def modularity(codes: Codes, rng: np.random.Generator, *, bins: int = 20) -> list[Score]:
    """Does each dimension know of one factor only?

    Rows, bins and interval as in `nmig`.

    Formula:
        M_d = 1 - (sum_f I(z_d; f)^2 - m) / (m (F - 1)) with m = max_f I(z_d; f)^2; the score is the mean over d.
        A dimension that knows nothing counts 0
    Range:
        0 to 1, higher is better. Chance, from shuffled rows, lies far above 0.
    Misleads:
        It asks not how much is known: a dimension of noise scores what chance gives, and chance is high where one
        factor has many more values than the others. Read it beside its chance. It squares nats, so that a factor of
        many values outweighs one of few.
    """
    rows = codes.rows("test").known(*_columns(codes))
    found, problems = _measure(rows, bins, rng)
    facts = {"over": tuple(found), "variant": f"{bins} bins", "num": len(rows), "note": _listed(problems)}
    if len(found) < 2:
        reason = _listed(problems) or "there is one factor only, and it needs two"
        return [modularity.score(None, **facts | {"over": _columns(codes), "note": reason})]
    values = dimension_modularity(np.stack([factor.information for factor in found.values()], axis=-1))
    return [_score(modularity, values.mean(axis=-1), least=0.0, **facts)]


class _Factor(NamedTuple):
    """Replicates k: with all rows; NUM_GROUPS times without a group; _NUM_SHUFFLES times with shuffled codes."""

    information: Float[np.ndarray, "k d"]
    entropy: Float[np.ndarray, " k"]
    num: int  # rows in which it is known
    num_values: int  # that it has there


def _columns(codes: Codes) -> tuple[str, ...]:
    return (*codes.spec.content, *codes.spec.targets)


def _measure(codes: Codes, bins: int, rng: np.random.Generator) -> tuple[dict[str, _Factor], dict[str, str]]:
    """The factors that can be scored, and for the others the reason why not."""
    if reason := few_rows(codes.z) or constant_code(codes.z):
        return {}, dict.fromkeys(_columns(codes), reason)
    codes = codes.take(rng.permutation(len(codes)))
    binned, orders = bin_codes(codes.z, bins), [rng.permutation(len(codes)) for _ in range(_NUM_SHUFFLES)]
    found, problems = {}, {}
    for name in _columns(codes):
        labels = _labels(codes, name, bins)
        known = labels[labels >= 0]
        if len(known) < NUM_GROUPS:
            problems[name] = f"{len(known)} test rows are too few"
        elif np.ptp(known) == 0:
            problems[name] = "one value only in the test rows"
        else:
            found[name] = _replicate(binned, labels, bins, orders)
    return found, problems


def _labels(codes: Codes, name: str, bins: int) -> Int64[np.ndarray, " n"]:
    """0 .. values-1, targets binned; -1 where missing."""
    column = codes.columns[name]
    categorical = name in codes.spec.sizes
    known = codes.is_known(name)
    labels = np.full(len(codes), -1)
    if known.any():
        cells = column[known] if categorical else bin_codes(column[known][:, None], bins)[0]
        labels[known] = np.unique(cells, return_inverse=True)[1]
    return labels


def _replicate(
    binned: Int64[np.ndarray, "d n"], labels: Int64[np.ndarray, " n"], bins: int, orders: list[Int64[np.ndarray, " n"]]
) -> _Factor:
    """The rows come in random order, so that the groups of the jackknife are slices."""
    num_values = int(labels.max()) + 1

    def tables() -> Iterator[Int64[np.ndarray, "d b v"]]:
        yield (counts := contingency(binned, labels, bins, num_values))
        for part in np.array_split(np.arange(len(labels)), NUM_GROUPS):
            group = slice(part[0], part[-1] + 1)
            yield counts - contingency(binned[:, group], labels[group], bins, num_values)
        for order in orders:
            yield contingency(binned, labels[order], bins, num_values)

    measured = [(mutual_information(counts), entropy(counts[:1].sum(axis=1))) for counts in tables()]
    information, entropies = zip(*measured)
    return _Factor(np.stack(information), np.concatenate(entropies), int(np.sum(labels >= 0)), num_values)


def _per_factor(
    metric: Metric,
    codes: Codes,
    gap: Callable[[np.ndarray, np.ndarray], np.ndarray],
    bins: int,
    rng: np.random.Generator,
    least: float,
) -> list[Score]:
    """A score for each factor, and their mean."""
    found, problems = _measure(codes, bins, rng)
    variant = f"{bins} bins"
    scores = [metric.score(None, column=name, variant=variant, note=reason) for name, reason in problems.items()]
    if not found:
        return [*scores, metric.score(None, over=_columns(codes), variant=variant, note=_listed(problems))]
    information = np.stack([factor.information for factor in found.values()], axis=-1)  # (k, d, g)
    values = gap(information, np.stack([factor.entropy for factor in found.values()], axis=-1))  # (k, g)
    for (name, factor), column in zip(found.items(), values.T):
        note = _note(factor, bins)
        scores.append(_score(metric, column, least, column=name, variant=variant, num=factor.num, note=note))
    bound = np.mean([_bound(factor, bins) for factor in found.values()])
    notes = [_listed(problems), f"at most {bound:.2f} is possible in {variant}" if bound < 1 else ""]
    facts = {"over": tuple(found), "variant": variant, "num": max(factor.num for factor in found.values())}
    return [*scores, _score(metric, values.mean(axis=-1), least, note="; ".join(filter(None, notes)), **facts)]


def _score(metric: Metric, values: Float[np.ndarray, " k"], least: float, **facts: Any) -> Score:
    """From replicates as in ``_Factor``; the interval, and what rounding adds, is cut off at ``least`` and 1."""
    value, without, shuffled = np.split(np.clip(values, least, 1.0), [1, 1 + NUM_GROUPS])
    low, high = within(float(value[0]), jackknife(float(value[0]), without), least)
    return metric.score(float(value[0]), low=low, high=high, chance=float(shuffled.mean()), **facts)


def _bound(factor: _Factor, bins: int) -> float:
    """What no code can exceed, for a dimension carries at most log(bins) nats."""
    return min(1.0, float(np.log(bins) / factor.entropy[0]))


def _note(factor: _Factor, bins: int) -> str:
    notes = []
    if (bound := _bound(factor, bins)) < 1:
        notes.append(f"at most {bound:.2f} is possible: {factor.num_values} values in {bins} bins")
    if (share := factor.information[1 + NUM_GROUPS :].mean() / factor.entropy[0]) > _FEW_ROWS:
        notes.append(f"few rows: a dimension that knows nothing seems to carry {100 * share:.0f} % of it")
    return "; ".join(notes)


def _listed(problems: Mapping[str, str]) -> str:
    """``shape, pose: one value only in the test rows``."""
    by_reason: dict[str, list[str]] = {}
    for name, reason in problems.items():
        by_reason.setdefault(reason, []).append(name)
    return "; ".join(f"{', '.join(names)}: {reason}" for reason, names in by_reason.items())
