"""Probes: predictors trained on frozen codes. `leakage` reads the domain, `informativeness` what should be kept.

A weak probe passes for invariance, so there are three sizes: linear, a small nonlinear one in closed form, and a
network of six layers. All are trained on the rows of the train split and scored on those of the test split. `chance`
is what the constant answer gets there: the most frequent value of the train rows, or their mean for a real-valued
target. Beside each score stands a control of the same capacity: the same probe trained on shuffled labels.
"""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from jaxtyping import Float32, Int64

from unbraid.metrics import Metric, metric
from unbraid.metrics.estimators import BALANCED, LINEAR, RANDOM_FEATURES, SIX_LAYER, Probe, six_layer
from unbraid.metrics.intervals import share
from unbraid.metrics.probe_scores import accuracies, batch_error, errors, same_rows
from unbraid.metrics.tasks import problem
from unbraid.records import Score
from unbraid.tables import Codes

_DCODR = "Kahana & Hoshen 2022, arXiv:2203.11284, evaluation by probes"
_IP_IRM = "Wang et al. 2021, arXiv:2110.15255, and its published code"
_QUICK = (LINEAR, BALANCED, RANDOM_FEATURES)
_FREQUENT = 1.5  # times its even share among the train rows: from there on a probe may best answer one value only
_FEW_ROWS = 700  # below, the published network has under five batches an epoch and can stop before batch norm settles


@metric(needs={"domain"}, higher_is_better=False, source=_DCODR)
def leakage(codes: Codes, rng: np.random.Generator) -> list[Score]:
    """Accuracy with which quick probes read the domain from the code; a code that hides it scores at chance.

    "linear" is logistic regression, "random features" ridge regression on 1,024 random ReLU features. Each has a
    control, the mean of five such probes trained on shuffled labels: what it scores above chance is the capacity of
    the probe, not knowledge in the code. The interval of a control is over the shuffles: where codes lie in a few
    clusters the probe answers each with one value, so that one shuffle can hit all or nothing. Where one value is over
    1.5 times as frequent among the train rows as if all were equally so, there is a third probe, "linear, balanced
    accuracy": it weights the rows so that all values count the same. Intervals over test rows are Wilson's.

    Formula:
        mean over test rows of [probe(z) = domain], the probe fitted on the train rows.
        Balanced accuracy: the mean over the domains of that mean over the rows of one.
    Range:
        0 to 1, lower is better. Chance is the share of the most frequent train value among the test rows, and of
        balanced accuracy 1 / number of domains among them.
    Misleads:
        Where one domain is much more frequent than the others, its name is the best answer to almost every code, and
        accuracy stays at chance although the code leaks: there read the balanced accuracy.
        It is a lower bound: what these probes cannot read, `six-layer-probe` may. A code that knows nothing leaks
        nothing, so read it beside `informativeness`. Rows that resemble each other make the interval too narrow.
    """
    assert codes.spec.domain is not None
    return list(_read(_QUICK, {codes.spec.domain: leakage}, (), codes, rng))


@metric(needs={"content"}, higher_is_better=True, source=_DCODR)
def informativeness(codes: Codes, rng: np.random.Generator) -> list[Score]:
    """What quick probes read of each content factor (accuracy) and each target (R^2 and mean absolute error).

    The probes, intervals and controls are those of `leakage`; targets are read by ridge regression.

    Formula:
        factor: mean over test rows of [probe(z) = value]
        target: R^2 = 1 - mean (t - probe(z))^2 / var t, and mean |t - probe(z)|
    Range:
        Accuracy 0 to 1 and R^2 up to 1, higher is better; the error in units of the target, lower is better. Chance is
        what the most frequent value, or the mean, of the train rows gets.
    Misleads:
        That a probe can read a factor does not say that the code holds it alone, or in few dimensions. A factor that
        goes with the domain is read through a leak of the domain.
    """
    columns = dict.fromkeys(codes.spec.content, informativeness)
    return list(_read(_QUICK, columns, codes.spec.targets, codes, rng))


@metric(
    needs={"content or domain"},
    higher_is_better=True,
    source=_DCODR + "; its published code for layers, steps and stopping",
)
def six_layer_probe(
    codes: Codes,
    rng: np.random.Generator,
    *,
    protocols: Sequence[str] = SIX_LAYER,
) -> list[Score]:
    """`leakage` and `informativeness` by the network of DCoDR's protocol: it reads what no line can.

    "six-layer" is the published protocol: codes of unit length, a constant step size, an early stop. Targets are read
    by one network with an output for each and the L1 loss. The published number is their mean absolute error averaged
    over batches of 128 test rows, the last of them smaller; it stands beside that over rows. "six-layer, standardised"
    is the better judge: each dimension is standardised, and the step size falls to 0 in 20 epochs, or in 300 steps if
    these are more. Each column has a control, one such network trained on shuffled labels.

    Formula:
        5 x [linear without bias, batch norm, leaky ReLU 0.01] of width 128, then linear; Adam, 1e-3, batches of 128.
        The weights of the epoch that does best on a held-out tenth of the train rows are kept.
    Range:
        As `leakage`, `informativeness`.
    Misleads:
        Where codes of unit length vary little about their mean, the published protocol reads far less than a linear
        probe: low leakage by it alone is no invariance. Few rows make it stop too early, a note says when, and it may
        not reach targets far from 0 at all.

    Args:
        protocols: Of "six-layer" and "six-layer, standardised".

    Raises:
        UserError: If a protocol has another name.
    """
    content, domain = codes.spec.content, codes.spec.domain
    columns = dict.fromkeys(content, informativeness) | ({} if domain is None else {domain: leakage})
    scores = list(_read([six_layer(name) for name in protocols], columns, codes.spec.targets, codes, rng))
    if (num := len(codes.rows("train"))) >= _FEW_ROWS:
        return scores
    few = f"{num} train rows are few for this probe, it may stop too early"
    return [
        score
        if "standardised" in score.variant or score.value is None
        else dataclasses.replace(score, note="; ".join(filter(None, (score.note, few))))
        for score in scores
    ]


@metric(needs={"label"}, higher_is_better=True, source=_IP_IRM, slow=True)  # a second, but it loads torch
def linear_evaluation(codes: Codes, rng: np.random.Generator) -> list[Score]:
    """Top-1 and top-5 accuracy of one linear layer that predicts the label from the code as it is, not normalised.

    Adam, step size 1e-3, weight decay 1e-6, batches of 512, 100 epochs and at least 1,000 steps (the published 5,000
    rows make so many). The published code keeps the encoder in train mode and augments its inputs; here codes are
    fixed. Interval: Wilson's, over test rows. Top-5 needs more than five values.

    Formula:
        mean over test rows of [label among the k largest of W z + b]
    Range:
        0 to 1, higher is better. Chance is what the k most frequent labels of the train rows get.
    Misleads:
        The number of steps is fixed, so codes of small scale are read less well than the same codes made larger;
        `informativeness` standardises them.
    """
    from unbraid.metrics.network_probe import linear_evaluation as fit

    column = codes.spec.label
    assert column is not None
    known = codes.known(column)
    train, test = known.rows("train"), known.rows("test")
    if note := problem(train, test, column):
        return [linear_evaluation.score(None, column=column, variant="top-1", note=note)]
    labels, truth, size = train.columns[column], test.columns[column], codes.spec.sizes[column]
    logits = fit(train.z, labels, test.z, size, seed=int(rng.integers(2**62)))
    return top_accuracies(logits, labels, truth, column)


def top_accuracies(
    logits: Float32[np.ndarray, "m k"],
    labels: Int64[np.ndarray, " n"],
    truth: Int64[np.ndarray, " m"],
    column: str,
    settings: str = "",
) -> list[Score]:
    """Scores of `linear_evaluation`: top-1 and, of more than five values, top-5; ``labels`` are the train rows'."""
    size, order = logits.shape[1], np.argsort(-logits, axis=1)
    frequent = np.argsort(-np.bincount(labels, minlength=size), kind="stable")
    scores = []
    for k in (1, 5) if size > 5 else (1,):
        value, low, high = share((order[:, :k] == truth[:, None]).any(axis=1))
        chance = float(np.isin(truth, frequent[:k]).mean())
        facts = {"column": column, "variant": f"top-{k}{settings}", "num": len(truth)}
        scores.append(linear_evaluation.score(value, low=low, high=high, chance=chance, **facts))
    return scores


def _read(
    probes: Sequence[Probe],
    columns: Mapping[str, Metric],
    targets: Sequence[str],
    codes: Codes,
    rng: np.random.Generator,
) -> Iterator[Score]:
    """By each probe the score and the control of each column and target; of one that no probe can read, the reason."""
    metrics = dict.fromkeys(targets, informativeness) | dict(columns)
    for names, train, test in same_rows(codes, [*columns, *targets]):
        problems = {name: problem(train, test, name) for name in names}
        for name in filter(problems.get, names):
            yield metrics[name].score(None, column=name, variant=probes[0].variant, note=problems[name])
        readable = [name for name in names if not problems[name]]
        for probe in probes:
            asked = {name: columns[name] for name in readable if name in columns}
            if probe.balanced:
                asked = {name: metric for name, metric in asked.items() if _is_unbalanced(train, name)}
            yield from _read_columns(probe, asked, train, test, rng)
            if not probe.balanced:
                yield from _read_targets(probe, [name for name in readable if name in targets], train, test, rng)


def _is_unbalanced(train: Codes, column: str) -> bool:
    counts = np.unique(train.columns[column], return_counts=True)[1]
    return bool(counts.max() > _FREQUENT * counts.mean())


def _read_columns(
    probe: Probe, columns: Mapping[str, Metric], train: Codes, test: Codes, rng: np.random.Generator
) -> Iterator[Score]:
    if not columns:
        return
    labels = _with_shuffles(train, list(columns), probe.num_shuffles, rng)  # (R, C, N)
    sizes = [train.spec.sizes[name] for name in columns] * len(labels)
    predicted = probe.classify(train.z, labels.reshape(len(sizes), -1), sizes, test.z, rng)
    predicted = predicted.reshape(len(labels), len(columns), -1)
    pairs = [
        accuracies(columns[name], train, test, name, probe, predicted[:, place]) for place, name in enumerate(columns)
    ]
    yield from (found for found, _ in pairs)
    yield from (control for _, control in pairs)


def _read_targets(
    probe: Probe, targets: Sequence[str], train: Codes, test: Codes, rng: np.random.Generator
) -> Iterator[Score]:
    if not targets:
        return
    predicted = probe.regress(train.z, _with_shuffles(train, targets, probe.num_shuffles, rng), test.z, rng)
    for score in errors(informativeness, train, test, targets, probe.variant, predicted, rng):
        if probe.least_squares or "R2" not in score.variant:
            yield score
    if probe.batch_size:
        variant = f"{probe.variant}, mean absolute error over batches"
        yield batch_error(informativeness, train, test, targets, variant, predicted[0], probe.batch_size, rng)


def _with_shuffles(train: Codes, names: Sequence[str], num_shuffles: int, rng: np.random.Generator) -> np.ndarray:
    """The columns as they are, then with their rows shuffled."""
    table = np.stack([train.columns[name] for name in names])  # (C, N)
    return np.stack([table, *(table[:, rng.permutation(table.shape[1])] for _ in range(num_shuffles))])
