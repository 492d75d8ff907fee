"""Partitions by gradient ascent on the logits of each image's membership."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from unbraid.partitions.problem import Found, Problem


@dataclass(frozen=True)
class Schedule:
    """Adam's steps, and when to stop: after ``patience`` turns without a better mean risk.

    With a ``tolerance`` only an improvement by that share of the risk counts, and the first ``decays`` times that
    patience ends, the step is made smaller instead.
    """

    lr: float
    most: int  # turns
    least: int = 0
    milestones: tuple[int, ...] = ()  # turns after which the step is made smaller
    patience: int = 5
    tolerance: float = 0.0
    decays: int = 0
    decay: float = 0.2


PUBLISHED = Schedule(lr=0.5, most=61, least=52, milestones=(5, 35))
PUBLISHED_MIXED_ONLINE = Schedule(lr=0.1, most=31, least=27, milestones=(5, 25))


def learned(problem: Problem, start: Float[Tensor, "r n k"], schedule: Schedule) -> Found:
    """The best of R searches from different logits, which share each batch's similarity matrix.

    Of each search the logits of the turn of least risk are taken, of these those whose partition has the least risk.
    Moments are kept for all images and move the logits of absent ones too, as published.

    Source: Wang et al. 2021, arXiv:2110.15255, equation 3, and its published code.
    """
    logits = start.clone().requires_grad_()
    adam = torch.optim.Adam([logits], lr=schedule.lr)
    best, best_risk = start.clone(), start.new_full((len(start),), math.inf)
    mark, waited, decays = best_risk.clone(), torch.zeros(len(start), dtype=torch.int64), 0
    for turn in range(schedule.most):
        risk = _turn(problem, turn, logits, adam)
        if turn + 1 in schedule.milestones:
            _decay(adam, schedule.decay)
        better = risk < best_risk
        best[better], best_risk = logits.detach()[better], torch.where(better, risk, best_risk)
        progress = (risk < mark - schedule.tolerance * mark.abs().nan_to_num(posinf=0)).cpu()
        mark = torch.where(progress.to(risk.device), risk, mark)
        waited = torch.where(progress, 0, waited + 1)
        if turn + 1 >= schedule.least and bool((waited >= schedule.patience).all()):
            if decays == schedule.decays:
                break
            decays += 1
            waited.zero_()
            _decay(adam, schedule.decay)
    values = problem.values(best.argmax(2), turn + 1)
    chosen = problem.best(best.argmax(2), values)
    return Found(best[chosen], logits.detach()[chosen], float(values[chosen]), turn + 1)


def _turn(problem: Problem, turn: int, logits: Float[Tensor, "r n k"], adam: torch.optim.Adam) -> Float[Tensor, " r"]:
    """One pass over the features. The mean of the risks before each step."""
    risks = []
    for batch in problem.batches(turn):
        risk = problem.risk(batch, logits[:, batch.index].softmax(2))
        adam.zero_grad(set_to_none=True)
        risk.sum().backward(inputs=[logits])
        adam.step()
        risks.append(risk.detach())
    return torch.stack(risks).mean(0)


def _decay(adam: torch.optim.Adam, factor: float) -> None:
    for group in adam.param_groups:
        group["lr"] *= factor
