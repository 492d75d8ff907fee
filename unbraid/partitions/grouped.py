"""Partitions of features without ascent: clusters, and halves by similarity to one image."""

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Int
from torch import Tensor

from unbraid.partitions.problem import Found, Problem


def clusters(problem: Problem, restarts: int, generator: torch.Generator) -> Found:
    """K-means of the features; of so many restarts the one of least risk."""
    from sklearn.cluster import KMeans

    features = problem.features()
    points = features.cpu().numpy()
    seeds = torch.randint(2**31, (restarts,), generator=generator).tolist()
    labels = [KMeans(problem.num_environments, n_init=1, random_state=seed).fit_predict(points) for seed in seeds]
    return _best(problem, torch.from_numpy(np.stack(labels)).long().to(features.device))


def ranked(problem: Problem, restarts: int, generator: torch.Generator) -> Found:
    """All images by their similarity to one drawn at random, cut into equal parts; the best of so many draws.

    Source: Wang et al. 2022 (EqInv), arXiv:2207.12258, section 4.1, whose rank is that of similarity to a class.
    """
    features, num = problem.features(), problem.num_images
    anchors = torch.randint(num, (restarts,), generator=generator).to(features.device)
    rank = (features @ features[anchors].T).argsort(dim=0, descending=True).argsort(dim=0)  # (N, R)
    return _best(problem, (rank * problem.num_environments // num).T)


def _best(problem: Problem, environments: Int[Tensor, "r n"]) -> Found:
    values = problem.values(environments)
    chosen = problem.best(environments, values)
    logits = F.one_hot(environments[chosen], problem.num_environments).float()
    return Found(logits, logits, float(values[chosen]), 1)
