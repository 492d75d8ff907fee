"""Losses and penalties of subsets against the published numbers, nested differentiation and plain losses."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from published_ip_irm import GOLDEN, features, logits, membership

from unbraid.losses import nt_xent
from unbraid.losses.partition import contrast_of_subsets, imbalance

EXACT = {"rel": 1e-9, "abs": 1e-11}
PUBLISHED = {"temperature": 0.5, "penalty_temperature": 0.5, "scale": "column"}


def ones(num, subsets=1):
    return torch.ones(num, subsets, dtype=torch.float64)


def published_layout(z1, z2, temperature):
    """Logits with the positive first, then the negatives in ascending order, by loops."""
    z, num = torch.cat([z1, z2]), len(z1)
    rows = []
    for r in range(2 * num):
        twin = (r + num) % (2 * num)
        rows.append([z[r] @ z[twin]] + [z[r] @ z[j] for j in range(2 * num) if j not in (r, twin)])
    return torch.stack([torch.stack(row) for row in rows]) / temperature


def nested_penalty(x, scale_shape):
    scale = torch.ones(scale_shape, dtype=x.dtype, requires_grad=True)
    loss = F.cross_entropy(x * scale, torch.zeros(len(x), dtype=torch.int64))
    (slope,) = torch.autograd.grad(loss, scale, create_graph=True)
    return slope.square().sum()


def test_layout_and_loss():  # G1
    z1, z2 = features(4, 3)
    assert published_layout(z1, z2, 0.5)[0].tolist() == pytest.approx(GOLDEN["G1"]["logits_row0"], **EXACT)
    for temperature, want in ((0.5, GOLDEN["G1"]["ce"]), (1.0, GOLDEN["G1"]["ce_tau1"])):
        found = contrast_of_subsets(z1, z2, ones(4), temperature=temperature)
        assert found.loss.item() == pytest.approx(want, **EXACT)
        assert found.loss.item() == pytest.approx(nt_xent(z1, z2, temperature).item(), **EXACT)
        assert found.penalty.item() == 0


def test_penalty_and_its_gradient():  # G2a, G2b
    z1, z2 = (z.requires_grad_() for z in features(6, 5))
    found = contrast_of_subsets(z1, z2, ones(6), **PUBLISHED)
    assert found.loss.item() == pytest.approx(GOLDEN["G2"]["ce_tau05"], **EXACT)
    assert found.penalty.item() == pytest.approx(GOLDEN["G2"]["penalty_irm_temp_0_5"], **EXACT)
    found.penalty.sum().backward()
    assert z1.grad[0].tolist() == pytest.approx(GOLDEN["G2"]["grad_wrt_z1_row0"], **EXACT)
    assert z1.grad.norm().item() == pytest.approx(GOLDEN["G2"]["grad_wrt_z1_norm"], **EXACT)


@pytest.mark.parametrize(("scale", "moves"), [("column", True), ("key", False), ("scalar", False)])
def test_order_of_the_batch(scale, moves):  # G2c
    z1, z2 = features(6, 5)
    order = torch.tensor([3, 0, 5, 1, 4, 2])
    options = PUBLISHED | {"scale": scale}
    plain, permuted = (contrast_of_subsets(z1[o], z2[o], ones(6), **options) for o in (torch.arange(6), order))
    swapped = contrast_of_subsets(z2, z1, ones(6), **options)
    assert swapped.penalty.item() == pytest.approx(plain.penalty.item(), **EXACT)
    assert (permuted.penalty.item() != pytest.approx(plain.penalty.item(), **EXACT)) == moves
    if moves:
        assert permuted.penalty.item() == pytest.approx(GOLDEN["G2"]["penalty_after_permuting_batch"], **EXACT)


def test_scalar_penalty():  # G2d
    found = contrast_of_subsets(*features(6, 5), ones(6), **PUBLISHED | {"scale": "scalar"})
    assert found.penalty.item() == pytest.approx(GOLDEN["G2"]["scalar_theta_variant"], **EXACT)


@pytest.mark.parametrize("size", [0, 1, 2])
@pytest.mark.parametrize("scale", ["column", "key", "scalar"])
def test_small_subsets(size, scale):  # G2e
    z1, z2 = (z.requires_grad_() for z in features(6, 5))
    weight = (torch.arange(6) < size).double()[:, None]
    found = contrast_of_subsets(z1, z2, weight, **PUBLISHED | {"scale": scale})
    (found.loss + found.penalty).sum().backward()
    assert torch.isfinite(z1.grad).all()
    if size < 2:
        assert found.loss.item() == pytest.approx(0, abs=1e-12)
        assert found.penalty.item() == pytest.approx(0, abs=1e-12)
    elif scale == "column":
        assert found.loss.item() == pytest.approx(GOLDEN["G2"]["subset_of_size"]["2"]["ce"], **EXACT)
        assert found.penalty.item() == pytest.approx(GOLDEN["G2"]["subset_of_size"]["2"]["pen"], **EXACT)


@pytest.mark.parametrize("scale", ["column", "key", "scalar"])
@pytest.mark.parametrize("penalty_temperature", [0.5, 0.3])
def test_many_subsets_equal_one_at_a_time_with_nested_derivatives(scale, penalty_temperature):
    z1, z2 = (z.requires_grad_() for z in features(9, 5))
    weight = torch.cat([membership(9, 3, 0.2), membership(9, 2, 1.5), ones(9)], dim=1)
    together = contrast_of_subsets(
        z1, z2, weight, temperature=0.5, penalty_temperature=penalty_temperature, scale=scale
    )
    for k, rows in enumerate(weight.T.bool()):
        x = published_layout(z1[rows], z2[rows], 1.0)
        loss = F.cross_entropy(x / 0.5, torch.zeros(len(x), dtype=torch.int64))
        if scale == "key":  # columns moved to where their key is
            full = torch.cat([z1[rows], z2[rows]])
            s = torch.ones(len(full), dtype=torch.float64, requires_grad=True)
            sims = (full @ full.T / penalty_temperature * s).masked_fill(torch.eye(len(full), dtype=torch.bool), -1e9)
            twin = torch.arange(len(full)).roll(len(full) // 2)
            (slope,) = torch.autograd.grad(F.cross_entropy(sims, twin), s, create_graph=True)
            penalty = slope.square().sum()
        else:
            penalty = nested_penalty(x / penalty_temperature, (x.shape[1],) if scale == "column" else ())
        assert together.loss[k].item() == pytest.approx(loss.item(), **EXACT)
        assert together.penalty[k].item() == pytest.approx(penalty.item(), **EXACT)
        want = torch.autograd.grad(loss + penalty, (z1, z2))
        found = torch.autograd.grad(together.loss[k] + together.penalty[k], (z1, z2), retain_graph=True)
        for a, b in zip(want, found):
            torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-11)


SOFT = PUBLISHED | {"renormalize": True}


def test_soft_loss():  # G6
    want = GOLDEN["G6"]
    s = logits(6, 2, 0).requires_grad_()
    q = s.softmax(1)
    found = contrast_of_subsets(*features(6, 5), q, **SOFT)
    assert found.loss.tolist() == pytest.approx([want["L_env0_tau05"], want["L_env1_tau05"]], **EXACT)
    assert found.penalty.tolist() == pytest.approx([want["pen_env0_t05"], want["pen_env1_t05"]], **EXACT)
    risk = -(found.loss.mean() + 0.5 * found.penalty.mean())
    assert risk.item() == pytest.approx(want["risk_irmw05"], **EXACT)
    risk.backward()
    assert s.grad.numpy() == pytest.approx(np.array(want["dRisk_dS"]), **EXACT)
    other = contrast_of_subsets(*features(6, 5), q, **SOFT, normalize_anchors=False)
    assert other.loss.tolist() == pytest.approx([want["L_env0_tau05_nonorm"], want["L_env1_tau05_nonorm"]], **EXACT)


def test_soft_loss_of_sharp_and_of_even_shares():  # G6b
    z1, z2 = features(6, 5)
    q = F.one_hot(torch.tensor([0, 1, 0, 0, 1, 1]), 2).double()
    groups = [GOLDEN["G6"][f"onehot_env{k}"] for k in range(2)]
    found = contrast_of_subsets(z1, z2, q, **SOFT)
    assert found.loss.tolist() == pytest.approx([g["soft"] for g in groups], **EXACT)
    plain = contrast_of_subsets(z1, z2, q, temperature=0.5)
    assert plain.loss.tolist() == pytest.approx([g["plain_ce"] for g in groups], **EXACT)
    even = contrast_of_subsets(z1, z2, ones(6, 2) / 2, **SOFT)
    assert even.loss.tolist() == pytest.approx(GOLDEN["G6"]["uniform_equals_plain"], **EXACT)


def test_soft_loss_is_continuous_to_the_sharp_one():
    z1, z2 = features(6, 5)
    sharp = F.one_hot(torch.tensor([0, 1, 0, 0, 1, 1]), 2).double()
    nearly = (60 * sharp).softmax(1)
    for scale, renormalize in (("scalar", False), ("key", False), ("column", True)):
        options = PUBLISHED | {"scale": scale, "renormalize": renormalize}
        a, b = (contrast_of_subsets(z1, z2, q, **options) for q in (sharp, nearly))
        torch.testing.assert_close(torch.stack(a), torch.stack(b), rtol=1e-6, atol=1e-9)


def test_the_soft_penalty_is_the_derivative_by_the_columns():
    z1, z2 = features(7, 5)
    q = logits(7, 3, 0.3).softmax(1)
    index = torch.tensor([[i % 7, *(j % 7 for j in range(14) if j not in (i, (i + 7) % 14))] for i in range(14)])
    found = contrast_of_subsets(z1, z2, q, **SOFT)
    for k in range(3):
        w = q[index, k]
        log_w = (w[:, 1:] * 12 / w[:, 1:].sum(1, keepdim=True)).log()
        s = torch.ones(13, dtype=torch.float64, requires_grad=True)
        x = published_layout(z1, z2, 0.5) * s + torch.cat([torch.zeros(14, 1), log_w], dim=1)
        rows = F.cross_entropy(x, torch.zeros(14, dtype=torch.int64), reduction="none")
        (slope,) = torch.autograd.grad((w[:, 0] * rows).sum() / w[:, 0].sum(), s)
        assert found.penalty[k].item() == pytest.approx(slope.square().sum().item(), **EXACT)


def test_imbalance():  # G7
    third = torch.tensor([[1 / 3, 2 / 3]], dtype=torch.float64)
    assert -imbalance(third, "strict", published=True).item() == pytest.approx(GOLDEN["G7"]["H_third"], **EXACT)
    for q, want in (([0.5, 0.5], "relax_at_half"), ([1 / 3, 2 / 3], "relax_at_2to1"), ([0.1, 0.9], "relax_at_9to1")):
        q = torch.tensor([q], dtype=torch.float64)
        assert imbalance(q, "relaxed", published=True).item() == pytest.approx(GOLDEN["G7"][want], **EXACT)
        assert imbalance(q, "relaxed", published=False).item() == pytest.approx(GOLDEN["G7"][want], abs=1e-4)
    q = logits(6, 2, 0).softmax(1)
    for name, want in (("strict", "strict_on_q"), ("confident", "nonorm_on_q"), ("relaxed", "relax_on_q")):
        assert imbalance(q, name, published=True).item() == pytest.approx(GOLDEN["G7"][want], **EXACT)
    assert imbalance(q, "none", published=True) == 0
    assert torch.isfinite(imbalance(torch.tensor([[0.0, 1.0]]), "confident", published=True))


@pytest.mark.parametrize("num", [2, 3, 5])
def test_relaxed_imbalance_begins_where_one_environment_is_twice_each_other(num):
    q = torch.ones(1, num, dtype=torch.float64)
    q[0, 0] = 2
    q /= q.sum()
    assert imbalance(q, "relaxed", published=False).item() == pytest.approx(0, abs=1e-12)
    q[0, 0] += 0.01
    assert imbalance(q / q.sum(), "relaxed", published=False) > 0


def test_extremes_stay_finite():
    z = F.normalize(torch.tensor([[1.0, 0.0], [-1.0, 0.0], [1.0, 1e-4], [0.0, 1.0]]))
    for scale in ("column", "key", "scalar"):
        q = torch.eye(2).repeat(2, 1).requires_grad_()
        found = contrast_of_subsets(z, -z, q, temperature=0.05, penalty_temperature=0.05, scale=scale, renormalize=True)
        sum(found).sum().backward()
        assert torch.isfinite(q.grad).all()
    assert math.isfinite(sum(found).sum().item())
