"""The contrastive losses against the published system's numbers, loops from the paper, and closed forms."""

import math

import pytest
import torch
import torch.nn.functional as F
from formulas import sine
from published_ip_irm import GOLDEN, tiny_weight, views
from pytorch_metric_learning.losses import NTXentLoss

from unbraid.losses import domain_info_nce, draw_negatives, nt_xent

LABELS = torch.tensor([0, 0, 0, 0, 1, 1, 1, 1])


def codes(shape=(8, 4), a=0.7, b=0.1):
    return sine(shape, a, b).requires_grad_()


def loss(z, p, domain, temperature=0.2, negatives=None, normalize=True):
    norm = F.normalize if normalize else lambda x, dim: x
    z, p = norm(z, dim=-1), None if p is None else norm(p, dim=-1)
    return domain_info_nce(z, p, domain, temperature, None if negatives is None else torch.as_tensor(negatives))


@pytest.mark.parametrize(
    ("domain", "temperature", "expected", "grad_z", "grad_p"),
    [
        (LABELS, 0.2, 4.1261420250, 1.4668945074, 0.7948775887),  # G1
        (LABELS, 0.1, 8.0073375702, 3.0577595234, 1.6415165663),  # G1b
        (None, 0.2, 4.5505466461, 1.1729024649, 0.8111699224),  # G3
    ],
)
def test_published_values_and_gradients(domain, temperature, expected, grad_z, grad_p):
    z, p = codes(), codes((8, 1, 4), 0.9, 0.4)
    value = loss(z, p, domain, temperature)
    value.backward()
    assert value.item() == pytest.approx(expected, rel=1e-5)
    assert z.grad.norm().item() == pytest.approx(grad_z, rel=1e-5)
    assert p.grad.norm().item() == pytest.approx(grad_p, rel=1e-5)


def test_published_value_without_normalisation():  # G1c
    z, p = codes(), codes((8, 1, 4), 0.9, 0.4)
    assert loss(z, p, LABELS, normalize=False).item() == pytest.approx(7.8602399826, rel=1e-5)


def test_published_value_without_positives():  # G2
    z = codes()
    value = loss(z, None, LABELS)
    value.backward()
    assert value.item() == pytest.approx(0.2727182618, rel=1e-5)
    assert z.grad.norm().item() == pytest.approx(0.3851242065, rel=1e-5)


def test_published_value_with_two_positives():  # G4
    assert loss(codes(), codes((8, 2, 4), 0.9, 0.4), LABELS).item() == pytest.approx(1.0703028440, rel=1e-5)


@pytest.mark.parametrize(
    ("domain", "expected", "rows"),
    [
        (LABELS, 2.6704406738, [[3, 2], [3, 0], [0, 3], [2, 0], [7, 6], [6, 4], [5, 7], [4, 5]]),  # G5
        (None, 2.5140953064, [[7, 3], [2, 0], [7, 4], [6, 2], [2, 6], [4, 1], [0, 1], [2, 3]]),  # G5b
        (
            torch.tensor([0, 0, 0, 0, 0, 1, 1, 1]),  # G6: unequal domains, with replacement
            3.0941967964,
            [[1, 4, 2], [0, 4, 4], [4, 4, 1], [4, 1, 2], [0, 3, 2], [6, 6, 6], [5, 7, 5], [6, 6, 5]],
        ),
    ],
)
def test_published_values_with_drawn_negatives(domain, expected, rows):
    value = loss(codes(), codes((8, 1, 4), 0.9, 0.4), domain, negatives=rows)
    assert value.item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    ("domain", "most", "num", "repeats"),
    [
        ([0] * 4 + [1] * 4, 2, 2, False),
        ([0] * 4 + [1] * 4, 64, 3, False),
        ([0] * 8, 64, 7, False),
        ([0] * 5 + [1] * 3, 64, 3, True),  # a domain of three has two others
    ],
)
def test_drawn_negatives_follow_the_published_rule(domain, most, num, repeats):
    domain = torch.tensor(domain)
    torch.manual_seed(0)
    drawn = torch.stack([draw_negatives(domain, most) for _ in range(200)])  # (R, B, n)
    assert drawn.shape[2] == num
    assert (domain[drawn] == domain[:, None]).all()
    assert (drawn != torch.arange(8)[:, None]).all()
    assert any(len(set(row.tolist())) < num for row in drawn.flatten(0, 1)) == repeats
    share = F.one_hot(drawn, 8).sum(dim=(0, 2)) / (200 * num)  # of each candidate, for each anchor
    candidates = (domain[:, None] == domain) & ~torch.eye(8, dtype=torch.bool)
    expected = candidates / candidates.sum(1, keepdim=True)
    assert (share - expected).abs().max() < 0.12


def test_positive_equal_to_anchor_and_all_equal():  # G7, G8
    z = codes()
    assert loss(z, z[:, None], LABELS).item() == pytest.approx(0.2727181315, rel=1e-5)
    ones = torch.ones(8, 4)
    assert loss(ones, ones[:, None], LABELS).item() == pytest.approx(math.log(4), rel=1e-6)


def test_published_values_at_full_batch():  # G9, G9b, G9c
    z, p = codes((128, 16), 0.31, 0.2), codes((128, 1, 16), 0.77, 0.5)
    domain = torch.arange(4).repeat_interleave(32)
    value = loss(z, p, domain)
    value.backward()
    assert value.item() == pytest.approx(6.6042432785, rel=1e-5)
    assert z.grad.norm().item() == pytest.approx(0.1571442336, rel=1e-5)
    assert p.grad.norm().item() == pytest.approx(0.1550480723, rel=1e-5)
    assert loss(z, None, domain).item() == pytest.approx(1.7856010752, rel=1e-5)
    assert loss(z[:64], p[:64], None).item() == pytest.approx(7.3884649277, rel=1e-5)


def by_loops(z, p, domain, temperature):
    total = 0.0
    for i in range(len(z)):
        positive = sum(math.exp(float(z[i] @ p[i, k]) / temperature) for k in range(p.shape[1]))
        others = [j for j in range(len(z)) if j != i and (domain is None or domain[j] == domain[i])]
        negative = sum(math.exp(float(z[i] @ z[j]) / temperature) for j in others)
        total += -math.log(positive / (positive + negative))
    return total / len(z)


@pytest.mark.parametrize("views", [1, 3])
@pytest.mark.parametrize("domains", [[0, 1, 0, 2, 1, 0, 2, 2, 2, 1], None])
def test_equals_loops(views, domains):
    generator = torch.Generator().manual_seed(0)
    z = F.normalize(torch.randn(10, 5, generator=generator), dim=-1)
    p = F.normalize(torch.randn(10, views, 5, generator=generator), dim=-1)
    domain = None if domains is None else torch.tensor(domains)
    assert domain_info_nce(z, p, domain, 0.3).item() == pytest.approx(by_loops(z, p, domain, 0.3), rel=1e-5)


def test_invariances():
    z, p = codes().detach(), codes((8, 1, 4), 0.9, 0.4).detach()
    value = loss(z, p, LABELS)
    rotation = torch.linalg.qr(torch.randn(4, 4, generator=torch.Generator().manual_seed(1)))[0]
    torch.testing.assert_close(loss(z @ rotation, p @ rotation, LABELS), value, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(loss(3 * z, 0.1 * p, LABELS), value)
    order = torch.tensor([2, 0, 3, 1, 7, 6, 4, 5])
    torch.testing.assert_close(loss(z[order], p[order], LABELS), value)
    torch.testing.assert_close(loss(z, p, 1 - LABELS), value)


def test_no_gradient_crosses_domains():
    z, p = codes(), codes((8, 1, 4), 0.9, 0.4).detach()
    pairs = torch.zeros(8, 8)
    for i in range(8):  # the loss of one anchor, seen alone
        mine = LABELS.clone()
        z.grad = None
        part = F.normalize(z, dim=-1)
        logits = domain_info_nce(part[LABELS[i] == LABELS], F.normalize(p, dim=-1)[LABELS[i] == LABELS], None, 0.2)
        logits.backward()
        pairs[i] = z.grad.abs().sum(1)
        assert (pairs[i][mine != mine[i]] == 0).all()


def test_an_anchor_without_negatives_adds_nothing():
    z, p = codes((3, 4)), codes((3, 1, 4), 0.9, 0.4)
    value = loss(z, p, torch.tensor([0, 0, 1]))
    assert value.item() * 3 == pytest.approx(2 * loss(z[:2], p[:2], None).item(), rel=1e-5)


def test_no_negatives_at_all_is_an_error():
    with pytest.raises(ValueError, match="two images of a domain"):
        draw_negatives(torch.arange(4), 64)


def test_nt_xent_equals_an_independent_library():
    generator = torch.Generator().manual_seed(0)
    first, second = (F.normalize(torch.randn(12, 6, generator=generator), dim=-1) for _ in range(2))
    expected = NTXentLoss(temperature=0.3)(torch.cat([first, second]), torch.arange(12).repeat(2))
    torch.testing.assert_close(nt_xent(first, second, 0.3), expected, rtol=1e-5, atol=1e-6)


def two_views(num: int) -> list[torch.Tensor]:
    """The inputs of the published code's golden values, through its linear network."""
    return [F.normalize(x @ tiny_weight().T, dim=-1) for x in views(num)]


def debiased_by_loops(z1, z2, temperature, tau_plus):
    z = torch.cat([z1, z2])
    num, total = len(z) - 2, 0.0
    for a in range(len(z)):
        similar = [math.exp(float(z[a] @ z[b]) / temperature) for b in range(len(z))]
        twin = (a + len(z1)) % len(z)
        negatives = sum(similar) - similar[a] - similar[twin]
        negatives = max((negatives - tau_plus * num * similar[twin]) / (1 - tau_plus), num * math.exp(-1 / temperature))
        total -= math.log(similar[twin] / (similar[twin] + negatives))
    return total / len(z)


def test_debiased_loss_is_the_published_codes():
    first, second = two_views(6)
    plain, debiased = (GOLDEN["G11"][name]["loss"] for name in ("standard", "debiased_tau_plus_01"))
    assert nt_xent(first, second, 0.5).item() == pytest.approx(plain, rel=1e-9)
    assert nt_xent(first, second, 0.5, 0.1).item() == pytest.approx(debiased, rel=1e-9)
    assert nt_xent(first, second, 0.5, 1e-12).item() == pytest.approx(plain, rel=1e-9)


@pytest.mark.parametrize(("temperature", "tau_plus"), [(0.5, 0.1), (0.1, 0.3), (1.0, 0.9)])  # the last is at its floor
def test_debiased_loss_is_that_of_loops(temperature, tau_plus):
    first, second = two_views(5)
    expected = debiased_by_loops(first, second, temperature, tau_plus)
    assert nt_xent(first, second, temperature, tau_plus).item() == pytest.approx(expected, rel=1e-9)


def test_debiased_loss_at_a_low_temperature_in_single_precision():
    first, second = (z.float() for z in two_views(6))
    expected = debiased_by_loops(*two_views(6), 0.03, 0.1)
    assert nt_xent(first, second, 0.03, 0.1).item() == pytest.approx(expected, rel=1e-4)
