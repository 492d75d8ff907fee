"""DCI: disentanglement, completeness, informativeness, from how important each dimension of a code is to each factor.

An estimator is fitted to the train rows of each column; it says how important each dimension is and predicts the test
rows. Three estimators have three names: `dci` (trees grown at random, seconds), `dci-lasso` (linear, L1) and `dci-gbt`
(boosted trees, the published setting of disentanglement_lib, minutes).
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial

import numpy as np
from jaxtyping import Float

from unbraid.errors import UserError
from unbraid.metrics import Metric, metric
from unbraid.metrics.importance import Learn, Learned, boosting, linear, trees
from unbraid.metrics.intervals import bootstrap_errors, half_sampling, within
from unbraid.metrics.probe_scores import r2_ends
from unbraid.metrics.tasks import Task, scores_of_rows, tasks
from unbraid.records import Score
from unbraid.tables import Codes

_DIGITS = 7  # the 1e-11 of ``concentration`` moves the eighth and later ones
_EASTWOOD = "Eastwood & Williams 2018, A framework for the quantitative evaluation of disentangled representations"


def disentanglement(importance: Float[np.ndarray, "d g"]) -> float:
    """Does each dimension matter to one factor only? 1 - entropy over factors, dimensions weighted by importance.

    As published in code, 1e-11 is added before the entropy; if nothing is important all dimensions weigh the same.

    Raises:
        UserError: For fewer than two factors.
    """
    if importance.shape[1] < 2:
        raise UserError("disentanglement compares factors, and there is one only; completeness needs no second")
    return _weighted(importance)


def completeness(importance: Float[np.ndarray, "d g"]) -> float:
    """Does each factor stand in one dimension only? 1 - entropy over dimensions, factors weighted by importance.

    Raises:
        UserError: For a code of one dimension.
    """
    if len(importance) < 2:
        raise UserError("completeness compares dimensions, and the code has one only")
    return _weighted(importance.T)


def concentration(importance: Float[np.ndarray, "a b"]) -> Float[np.ndarray, " a"]:
    """1 - entropy of each row to the base of its length; of the transpose, the completeness of each factor."""
    share = importance + 1e-11
    share = share / share.sum(axis=1, keepdims=True)
    return np.maximum(0.0, 1 + np.sum(share * np.log(share), axis=1) / np.log(importance.shape[1]))


def _weighted(importance: Float[np.ndarray, "a b"]) -> float:
    weight = importance.sum(axis=1) if importance.any() else np.ones(len(importance))
    return float(concentration(importance) @ weight / weight.sum())


@metric(needs={"content"}, higher_is_better=True, source=_EASTWOOD)
def dci(codes: Codes, rng: np.random.Generator) -> list[Score]:
    """DCI: does a dimension tell of one factor (D), does a factor stand in one dimension (C), is it there at all (I)?

    The estimator is ten extremely randomised trees that look at all dimensions in every split (Geurts et al. 2006),
    with leaves of 10 rows or more. Chosen by measuring: at 10,000 x 128 a forest that looks at some dimensions only was
    slower, predicted worse and called dimensions important that know nothing. Regression trees for targets.
    Interval of D and C: from the ten random halves of the train rows that the trees are grown on. It holds the chance
    in single trees and is too wide, up to fourfold for some hundred rows. Of I: over test rows. Chance: D and
    C of shuffled train rows; I of a constant.

    Formula:
        R_kf >= 0 is the importance of dimension k to factor f; here each column of R sums to 1.
        D = sum_k rho_k (1 - H(R_k. / sum_f R_kf)), rho_k = sum_f R_kf / sum R; H to the base of the number of factors.
        C = sum_f rho_f (1 - H(R_.f / sum_k R_kf)), and per factor; H to the base of the number of dimensions.
        I = accuracy on test rows; R^2 for real-valued targets. The total is the mean, of each kind apart.
    Range:
        0 to 1, higher is better.
    Misleads:
        D and C depend on the estimator and its settings more than on anything else; compare like with like only.
        Dimensions that know nothing still get some importance. D is high for a code that knows one factor per
        dimension badly: read it with I.
    """
    return _dci(dci, codes, rng, trees)


@metric(needs={"content"}, higher_is_better=True, source=_EASTWOOD + ", Lasso")
def dci_lasso(codes: Codes, rng: np.random.Generator) -> list[Score]:
    """DCI from linear predictors with an L1 penalty: sparse weights, so that a dimension without use has none.

    The paper regresses every factor with the Lasso and tunes the penalty; here factors are classified (L1 multinomial
    logistic regression), real-valued targets regressed, and the penalty is fixed where a code of pure noise gets no
    weight 99 times in 100; chance is therefore 0. Interval of D and C: refits on ten random halves of the train rows.
    Of I: over test rows. Chance of I: a constant.

    Formula:
        As `dci`, R_kf = |w_k| (mean over the values of f), divided by its sum over k.
        Logistic: min_w mean_i -log p(f_i | z_i) + sum_c t_c |w_c|, t_c = q sqrt(p_c (1 - p_c) / N), with q the normal
        quantile of 1 - 0.01 / 2DK. Lasso: min_w |f - z w|^2 / 2N + q / sqrt(N) |w|, q that of 1 - 0.01 / 2D.
        z and real-valued targets have mean 0 and deviation 1.
    Range:
        0 to 1, higher is better. Where no weight passes the penalty D and C are 0, as published.
    Misleads:
        What is not linear in the code is not there. Of two equal dimensions one may get all the weight, so that a
        duplicated code can look complete.
    """
    return _dci(dci_lasso, codes, rng, linear)


@metric(needs={"content"}, higher_is_better=True, slow=True, source="Locatello et al. 2019, arXiv:1811.12359")
def dci_gbt(codes: Codes, rng: np.random.Generator) -> list[Score]:
    """DCI as disentanglement_lib computes it: gradient-boosted trees as scikit-learn has them by default.

    100 trees of depth 3 per value and a learning rate of 0.1; regression trees for real-valued targets. The published
    code leaves ties between splits to a random state that nobody set; here the seed of the audit sets it. D and C have
    no interval and no chance level: each would cost several fits more, and one takes minutes. Interval of I: over
    test rows.

    Formula:
        As `dci`, R_kf = the decrease of impurity at the splits of dimension k.
    Range:
        0 to 1, higher is better.
    Misleads:
        As `dci`.
    """
    return _dci(dci_gbt, codes, rng, boosting)


def _dci(metric: Metric, codes: Codes, rng: np.random.Generator, learn: Learn) -> list[Score]:
    found = tasks(codes, (*codes.spec.content, *codes.spec.targets))
    able = [task for task in found if not task.problem]
    learned = {task.name: learn(task.x, task.y, task.x_test, rng) for task in able}
    return [*_structure(metric, able, learned), *_informativeness(metric, codes, found, learned, rng)]


def _structure(metric: Metric, able: Sequence[Task], learned: Mapping[str, Learned]) -> Iterator[Score]:
    """Disentanglement and completeness, and the completeness of each column."""
    if not able:
        return
    over = tuple(learned)
    importance = np.stack([one.importance for one in learned.values()], axis=1)
    halves = [np.stack(half, axis=1) for half in zip(*(one.halves for one in learned.values()))]
    shuffled = [one.shuffled for one in learned.values() if one.shuffled is not None]
    parts: dict[tuple[str, str], Callable[[np.ndarray], float]] = {("disentanglement", ""): disentanglement}
    for place, name in enumerate(over):
        parts["completeness", name] = partial(_of_one, place=place)
    parts["completeness", ""] = completeness
    constant = all(np.ptp(task.x, axis=0).max() == 0 for task in able)
    for (variant, column), statistic in parts.items():
        facts = {"variant": variant, "column": column, "over": () if column else over}
        problem = "the code is constant" if constant else ""
        if variant == "disentanglement" and len(over) < 2:
            problem = "it compares factors, and there is one only"
        if variant == "completeness" and len(importance) < 2:
            problem = "it compares dimensions, and the code has one only"
        if problem:
            yield metric.score(None, note=problem, **facts)
            continue
        value = round(statistic(importance), _DIGITS)
        low, high = within(value, half_sampling(value, np.array([statistic(half) for half in halves])), 0.0)
        yield metric.score(
            value,
            low=low,
            high=high,
            chance=round(statistic(np.stack(shuffled, axis=1)), _DIGITS) if shuffled else None,
            split="train",
            num=max(len(task.y) for task in able if column in ("", task.name)),
            note=f"interval over {len(halves)} halves of the train rows" if halves else "no interval: it costs minutes",
            **facts,
        )


def _of_one(importance: Float[np.ndarray, "d g"], place: int) -> float:
    return float(concentration(importance.T)[place])


def _informativeness(
    metric: Metric, codes: Codes, found: Sequence[Task], learned: Mapping[str, Learned], rng: np.random.Generator
) -> Iterator[Score]:
    """Accuracy of factors and, apart from it, R^2 of targets."""
    factors = [task for task in found if task.name in codes.spec.content]
    hits = {task.name: learned[task.name].predicted == task.y_test for task in factors if not task.problem}
    chance = {task.name: task.constant for task in factors if not task.problem}
    yield from scores_of_rows(metric, factors, hits, chance, rng, "informativeness")
    for task in found:
        if task.name not in codes.spec.targets:
            continue
        facts = {"column": task.name, "variant": "informativeness, R2"}
        if task.problem:
            yield metric.score(None, note=task.problem, **facts)
            continue
        truth = task.y_test.astype(float)
        residual = np.stack([truth - learned[task.name].predicted, truth - task.y.mean(dtype=float)])
        value, guess = (1 - np.mean(residual**2, axis=1) / truth.var()).tolist()
        ends = bootstrap_errors(truth[None], residual[:1, None], rng)[0]
        yield metric.score(value, chance=guess, num=len(truth), **facts, **r2_ends(value, ends[:, 0, 0]))
