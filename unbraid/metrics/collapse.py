"""Has the code collapsed? How many dimensions it uses, how evenly it fills the sphere, how close same content lies.

Test rows; intervals: jackknife over 20 groups of rows. Uniformity and alignment are of codes scaled to unit length.
Letters: D dimensions, r groups.
"""

from typing import Any

import numpy as np
from jaxtyping import Float, Float32, Int64

from unbraid.errors import UserError
from unbraid.metrics import metric
from unbraid.metrics.information import constant_code, few_rows
from unbraid.metrics.intervals import NUM_GROUPS, jackknife
from unbraid.metrics.unsupervised import covariances
from unbraid.records import Score
from unbraid.tables import Codes

_MAX_ROWS = 5000  # whose pairs are all compared for the uniformity: 25 million, half a second
_BLOCK_ROWS = 1000  # of the pairs that are held at a time


@metric(higher_is_better=True, source="Roy & Vetterli 2007, The effective rank, EUSIPCO")
def effective_rank(codes: Codes, rng: np.random.Generator) -> list[Score]:
    """How many dimensions the codes fill, a real number: of the centred codes, one row for each test row.

    Formula:
        exp(- sum_i p_i log p_i), p_i = s_i / sum_j s_j, s the singular values of z - mean(z)
    Range:
        1 (all codes on a line) to D. Higher is less collapsed. No chance level: noise fills every dimension.
    Misleads:
        More is not better by itself: noise has the highest, and a code of three factors needs no more than 3. It weighs
        dimensions by their width, so that scaling one changes it. Rows bound it: it cannot exceed N - 1.
    """
    z = rng.permutation(codes.rows("test").z)
    if reason := few_rows(z) or constant_code(z):
        return [effective_rank.score(None, note=reason)]
    values = rank(covariances(z))
    low, high = np.clip(jackknife(float(values[0]), values[1:]), 1.0, z.shape[1])
    note = f"of {z.shape[1]} dimensions" + (f", but {len(z)} rows only" if len(z) <= z.shape[1] else "")
    return [effective_rank.score(float(values[0]), low=float(low), high=float(high), num=len(z), note=note)]


def rank(covariance: Float[np.ndarray, "*k d d"]) -> Float[np.ndarray, "*k"]:
    """Effective rank of the centred codes: their singular values are the roots of the eigenvalues, up to a factor."""
    from scipy.special import entr

    singular = np.sqrt(np.maximum(np.linalg.eigvalsh(covariance), 0.0))
    return np.exp(entr(singular / np.maximum(singular.sum(axis=-1, keepdims=True), 1e-300)).sum(axis=-1))


@metric(higher_is_better=False, source="Burda et al. 2016, arXiv:1509.00519, active units, with a relative threshold")
def dead_dimensions(codes: Codes, rng: np.random.Generator, *, threshold: float = 0.1) -> list[Score]:
    """Share of the dimensions that hardly vary: standard deviation at most a tenth of the largest.

    The published units are active if their variance exceeds 0.01, for a prior of variance 1. Relative to the largest
    this can be asked of any code.

    Formula:
        #{d: std(z_d) <= threshold max_e std(z_e)} / D
    Range:
        0 to 1 (constant code); lower is better. No chance level: noise uses every dimension.
    Misleads:
        A code needs no more dimensions than there are factors: dead ones are a fault of a contrastive code, and how a
        VAE drops what it does not need. One very wide dimension makes all others look dead. It does not see dimensions
        that repeat each other; the effective rank does.
    """
    if not 0 < threshold < 1:
        raise UserError(f"the threshold of a dead dimension is a share of the largest one, not {threshold}")
    z = rng.permutation(codes.rows("test").z)
    facts: dict[str, Any] = {"variant": f"at most {threshold} of the largest", "num": len(z)}
    if reason := few_rows(z):
        return [dead_dimensions.score(None, note=reason, **facts)]
    if reason := constant_code(z):
        return [dead_dimensions.score(1.0, low=1.0, high=1.0, note=reason, **facts)]
    deviation = np.sqrt(np.maximum(np.diagonal(covariances(z), axis1=1, axis2=2), 0.0))
    dead = deviation <= threshold * deviation.max(axis=1, keepdims=True)  # (k, d)
    low, high = np.clip(jackknife(float(dead[0].mean()), dead[1:].mean(axis=1)), 0.0, 1.0)
    note = f"{dead[0].sum()} of {z.shape[1]} dimensions"
    return [dead_dimensions.score(float(dead[0].mean()), low=float(low), high=float(high), note=note, **facts)]


@metric(higher_is_better=False, source="Wang & Isola 2020, arXiv:2005.10242")
def uniformity(codes: Codes, rng: np.random.Generator) -> list[Score]:
    """How evenly the codes fill the unit sphere: over all rows and, where the data name a domain, within each domain.

    DCoDR spreads every domain over the sphere, so that their marginals are the same: see "within domains". Pairs of at
    most 5000 rows are compared, drawn at random.

    Formula:
        log E exp(-2 |u - v|^2) over pairs u, v of different rows, in "within domains" over those of the same domain
    Range:
        0 (all codes in one point) down to log 0F1(; D/2; 4) - 4, near -4 for many dimensions; lower is better.
        Chance, the best to be had, is that bound: the even distribution, which noise of any isotropic kind has.
    Misleads:
        It knows nothing of what the codes mean, noise is best. Codes with a few well separated values, such as a
        perfect code of few factors, are far from uniform. Only the direction of a code is seen, never its length, and
        a constant offset of all codes looks like collapse.
    """
    test, domain = codes.rows("test"), codes.spec.domain
    scores = [_uniformity(test, np.zeros(len(test), dtype=np.int64), "all rows", rng)]
    if domain is not None:
        known = test.known(domain)
        scores.append(_uniformity(known, known.columns[domain], "within domains", rng))
    return scores


def _uniformity(codes: Codes, classes: Int64[np.ndarray, " n"], variant: str, rng: np.random.Generator) -> Score:
    """Over pairs of rows of the same class."""
    from scipy.special import hyp0f1

    if reason := few_rows(codes.z) or _no_direction(codes.z):
        return uniformity.score(None, variant=variant, note=reason)
    order = rng.permutation(len(codes))
    z, classes, groups = _unit(codes.z[order]), classes[order], np.arange(len(codes)) % NUM_GROUPS
    members = [np.flatnonzero(classes == value) for value in np.unique(classes)]
    limit = max(2, int(_MAX_ROWS / len(members) ** 0.5))
    members = [rows[:limit] for rows in members if len(rows) > 1]
    potential, pairs = np.zeros((NUM_GROUPS, NUM_GROUPS)), np.zeros((NUM_GROUPS, NUM_GROUPS))
    for rows in members:
        potential += potentials(z[rows], groups[rows])
        num = np.bincount(groups[rows], minlength=NUM_GROUPS)
        pairs += np.outer(num, num) - np.diag(num)
    mass, num_pairs = (_without(table.sum(axis=1), np.diag(table)) for table in (potential, pairs))
    if not num_pairs.all():
        return uniformity.score(None, variant=variant, note="too few pairs of rows of the same domain")
    values, num_rows = np.log(np.minimum(mass / num_pairs, 1.0)), sum(map(len, members))
    low, high = jackknife(float(values[0]), values[1:])
    return uniformity.score(
        float(values[0]),
        variant=variant,
        low=low,
        high=min(high, 0.0),
        chance=float(np.log(hyp0f1(z.shape[1] / 2, 4.0)) - 4),
        num=num_rows,
        note=f"{num_rows} of {len(codes)} rows" if num_rows < len(codes) else "",
    )


def potentials(u: Float[np.ndarray, "n d"], groups: Int64[np.ndarray, " n"]) -> Float[np.ndarray, "r r"]:
    """Sum of exp(-2 |u - v|^2) over pairs of different rows of unit length, by the groups of the two."""
    member = np.eye(NUM_GROUPS, dtype=np.float32)[groups]
    u = u.astype(np.float32)
    total = np.zeros((NUM_GROUPS, NUM_GROUPS))
    for start in range(0, len(u), _BLOCK_ROWS):
        rows = slice(start, start + _BLOCK_ROWS)
        total += member[rows].T @ (np.exp(4 * (u[rows] @ u.T) - 4) @ member)
    return total - np.diag(np.bincount(groups, minlength=NUM_GROUPS))


@metric(needs={"content"}, higher_is_better=False, source="Wang & Isola 2020, arXiv:2005.10242")
def alignment(codes: Codes, rng: np.random.Generator) -> list[Score]:
    """How far apart codes of the same content lie: rows that share every factor, in different domains if there are any.

    Wang & Isola compare two views of an image; here the domain makes the two views. All pairs count; real-valued
    targets are not compared. Rows in which a factor or the domain is missing are left out.

    Formula:
        E |u - v|^2 over pairs of unit codes with equal content (and different domain)
    Range:
        0 (the code is a function of the content) to 4; lower is better. Chance is the mean over all pairs of rows.
    Misleads:
        A constant code is perfectly aligned, and near-constant ones nearly so: read it beside its chance and the
        uniformity. A factor that is not named, such as the noise of a real image, keeps it above 0.
    """
    content, domain = codes.spec.content, codes.spec.domain
    variant = "" if domain is None else "other domains"
    test = codes.rows("test").known(*content, *([] if domain is None else [domain]))
    reason = "" if content else "there is no factor besides the domain"
    if reason := reason or few_rows(test.z) or constant_code(test.z) or _no_direction(test.z):
        return [alignment.score(None, over=content, variant=variant, note=reason)]
    test = test.take(rng.permutation(len(test)))
    z, each = _unit(test.z), np.arange(len(test))
    same = np.unique(np.stack([test.columns[name] for name in content], axis=1), axis=0, return_inverse=True)[1].ravel()
    apart = each if domain is None else test.columns[domain]
    values, num = _alignment(z, same, apart)
    if values is None:
        return [
            alignment.score(None, over=content, variant=variant, note="too few pairs of test rows of the same content")
        ]
    everywhere, pairs = pair_sums(z, np.zeros(len(z), dtype=np.int64), each)
    low, high = np.clip(jackknife(float(values[0]), values[1:]), 0.0, 4.0)
    return [
        alignment.score(
            float(values[0]),
            over=content,
            variant=variant,
            low=float(low),
            high=float(high),
            chance=float(2 - 2 * everywhere.sum() / pairs.sum()),
            num=num,
        )
    ]


def _alignment(
    u: Float[np.ndarray, "n d"], same: Int64[np.ndarray, " n"], apart: Int64[np.ndarray, " n"]
) -> tuple[Float[np.ndarray, " k"] | None, int]:
    """Mean squared distance of the pairs, with all rows and without each group; number of rows that have a pair."""
    cosine, pairs = pair_sums(u, same, apart)
    groups = np.array_split(np.arange(len(u)), NUM_GROUPS)
    inside = np.array([[part.sum() for part in pair_sums(u[rows], same[rows], apart[rows])] for rows in groups])
    by_group = np.array([[cosine[rows].sum(), pairs[rows].sum()] for rows in groups])
    cosines, counts = (_without(by_group[:, place], inside[:, place]) for place in (0, 1))
    num = int(np.sum(pairs > 0))
    return (np.maximum(2 - 2 * cosines / counts, 0.0) if counts.all() else None), num


def pair_sums(
    u: Float[np.ndarray, "n d"], same: Int64[np.ndarray, " n"], apart: Int64[np.ndarray, " n"]
) -> tuple[Float[np.ndarray, " n"], Int64[np.ndarray, " n"]]:
    """For each row: sum of the cosines to its partners, and their number. Partners agree in ``same``, not in ``apart``.

    Without a loop over pairs: partners are all rows that agree, less those that agree in both.
    """
    cosine, number = np.zeros(len(u)), np.zeros(len(u), dtype=np.int64)
    both = np.unique(np.stack([same, apart], axis=1), axis=0, return_inverse=True)[1].ravel()
    for sign, place in ((1, same), (-1, both)):
        sums = np.zeros((int(place.max()) + 1, u.shape[1]))
        np.add.at(sums, place, u)
        cosine += sign * (u * sums[place]).sum(axis=1)
        number += sign * np.bincount(place)[place]
    return cosine, number


def _without(by_group: Float[np.ndarray, " r"], inside: Float[np.ndarray, " r"]) -> Float[np.ndarray, " k"]:
    """A sum over ordered pairs, then without each group, from the pairs that start and that stay in each group."""
    total = by_group.sum()
    return np.concatenate([[total], total - 2 * by_group + inside])


def _unit(z: Float32[np.ndarray, "n d"]) -> Float[np.ndarray, "n d"]:
    z = z.astype(np.float64)
    return z / np.linalg.norm(z, axis=1, keepdims=True)


def _no_direction(z: Float32[np.ndarray, "n d"]) -> str:
    zero = int(np.sum(~z.any(axis=1)))
    return f"{zero} codes are zero and have no direction" if zero else ""
