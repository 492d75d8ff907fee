"""Losses of mixed images against the published numbers and nested differentiation."""

import pytest
import torch
import torch.nn.functional as F
from published_ip_irm import GOLDEN, features, logits, shares, tiny_weight, views

from unbraid.losses.partition_mixup import mixed_contrast_of_subsets, mixing, mixture_weights

EXACT = {"rel": 1e-9, "abs": 1e-11}


def ones(num):
    return torch.ones(num, 1, dtype=torch.float64)


def tiny_net(x):
    return F.normalize(x @ tiny_weight().T)


def roll(num):
    return torch.arange(num).roll(1)


def mixed(x, partner, share):
    return share[:, None] * x + (1 - share[:, None]) * x[partner]


@pytest.mark.parametrize("own_share", [False, True])
def test_mixed_loss_of_the_whole_batch(own_share):  # G5
    x1, x2 = views(8)
    share, partner = shares(8), roll(8)
    query, key = tiny_net(mixed(x1, partner, share)), tiny_net(x2)
    own = (share if own_share else share.mean().expand(8))[:, None] / 8
    found = mixed_contrast_of_subsets(query, key, partner, own, 1 / 8 - own, ones(8), temperature=0.5, scale="key")
    want = GOLDEN["G5"]["baseline"]["per_sample_lam_would_be" if own_share else "official"]
    assert found.loss.item() == pytest.approx(want, **EXACT)
    x = query @ key.T / 0.5
    s = torch.ones(8, dtype=torch.float64, requires_grad=True)
    terms = [F.cross_entropy(x * s, y, reduction="none") for y in (torch.arange(8), partner)]
    (slope,) = torch.autograd.grad((own[:, 0] * terms[0] + (1 / 8 - own[:, 0]) * terms[1]).sum(), s)
    assert found.penalty.item() == pytest.approx(slope.square().sum().item(), **EXACT)
    scalar = mixed_contrast_of_subsets(query, key, partner, own, 1 / 8 - own, ones(8), temperature=0.5)
    assert scalar.penalty.item() == pytest.approx(slope.sum().square().item(), **EXACT)


@pytest.mark.parametrize("form", ["online", "offline"])
@pytest.mark.parametrize("normalize", [True, False])
def test_published_soft_mixed_losses(form, normalize):  # G9
    z1, z2 = features(6, 5)
    q = logits(6, 2, 0).softmax(1)
    own, other = mixture_weights(q, roll(6), shares(6), f"published-{form}", normalize_anchors=normalize)
    found = mixed_contrast_of_subsets(z1, z2, roll(6), own, other, q, temperature=0.2, scale="key", renormalize=True)
    for k in range(2):
        want = GOLDEN["G9"][f"{form}_env{k}" + ("" if normalize else "_nonorm")]
        assert found.loss[k].item() == pytest.approx(want, **EXACT)
        if normalize:
            assert found.penalty[k].item() == pytest.approx(GOLDEN["G9"][f"{form}_pen_env{k}"], **EXACT)


def test_mixing_draws():  # G15
    torch.manual_seed(0)
    partner, share = mixing(5, 1.0)
    assert partner.tolist() == GOLDEN["G15"]["cpu_seed0"]["perm"]
    assert share.tolist() == pytest.approx(GOLDEN["G15"]["cpu_seed0"]["lam"], rel=1e-6)
