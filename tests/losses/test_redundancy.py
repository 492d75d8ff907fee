"""Barlow Twins, VICReg and SimSiam against loops over rows and dimensions, as the papers write them."""

import math

import pytest
import torch

from unbraid.losses.predictive import simsiam
from unbraid.losses.redundancy import barlow_twins, vicreg


def projections(num: int = 7, width: int = 4) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return list(torch.randn(4, num, width, generator=generator, dtype=torch.float64))


def columns(z):
    return [[float(value) for value in column] for column in z.T]


def covariance(first, second, num):
    mean1, mean2 = sum(first) / len(first), sum(second) / len(second)
    return sum((a - mean1) * (b - mean2) for a, b in zip(first, second)) / num


def barlow_by_loops(z1, z2):
    on = off = 0.0
    num = len(z1)
    for i, first in enumerate(columns(z1)):
        for j, second in enumerate(columns(z2)):
            spread = (covariance(first, first, num) + 1e-5) * (covariance(second, second, num) + 1e-5)
            correlation = covariance(first, second, num) / math.sqrt(spread)
            on, off = (on + (1 - correlation) ** 2, off) if i == j else (on, off + correlation**2)
    return on, off


def vicreg_by_loops(z1, z2):
    num, width = z1.shape
    distance = sum(float(sum((a - b) ** 2)) / width for a, b in zip(z1, z2)) / num
    variance = repeated = 0.0
    for z in (columns(z1), columns(z2)):
        for i, first in enumerate(z):
            variance += max(0.0, 1 - math.sqrt(covariance(first, first, num - 1) + 1e-4)) / width
            for j, second in enumerate(z):
                repeated += (i != j) * covariance(first, second, num - 1) ** 2 / width
    return distance, variance, repeated


@pytest.mark.parametrize(("loss", "loops"), [(barlow_twins, barlow_by_loops), (vicreg, vicreg_by_loops)])
@pytest.mark.parametrize("scale", [0.3, 2.0])
def test_terms_are_those_of_loops(loss, loops, scale):
    z1, z2 = (scale * z for z in projections()[:2])
    assert [float(term) for term in loss(z1, z2)] == pytest.approx(loops(z1, z2))


@pytest.mark.parametrize("loss", [barlow_twins, vicreg])
@pytest.mark.parametrize("rows", [[1, 4], [0, 2, 3, 6]])
def test_weights_of_0_and_1_choose_rows(loss, rows):
    z1, z2 = projections()[:2]
    weight = torch.zeros(7, dtype=torch.float64)
    weight[rows] = 1
    torch.testing.assert_close(loss(z1, z2, weight), loss(z1[rows], z2[rows]))


@pytest.mark.parametrize("loss", [barlow_twins, vicreg])
def test_subsets_side_by_side(loss):
    """As ``torch.vmap`` computes them; one of them is empty and one a single row."""
    z1, z2 = projections()[:2]
    weight = torch.tensor([[1, 1, 0, 0, 1, 0, 0], [0] * 7, [0, 0, 1, 0, 0, 0, 0]], dtype=torch.float64)
    terms = torch.vmap(loss, in_dims=(None, None, 0))(z1, z2, weight)
    for term, alone in zip(terms, loss(z1, z2, weight[0])):
        torch.testing.assert_close(term[0], alone)
        assert torch.isfinite(term).all()


@pytest.mark.parametrize("loss", [barlow_twins, vicreg])
def test_gradients(loss):
    z1, z2 = (z[:5].requires_grad_() for z in projections()[:2])
    assert torch.autograd.gradcheck(lambda *z: sum(loss(*z)), (z1, z2))


def test_equal_views_leave_little_to_gain():
    spread = 2 * torch.eye(4, dtype=torch.float64).repeat(2, 1) - 1
    on, _ = barlow_twins(spread, spread)
    assert float(on) == pytest.approx(0, abs=1e-8)
    assert float(vicreg(spread, spread)[0]) == 0
    collapsed = torch.ones(8, 4, dtype=torch.float64)
    assert float(vicreg(collapsed, collapsed)[1]) == pytest.approx(2 * 0.99)  # 1 - sqrt(epsilon), of two views


def test_simsiam_is_that_of_loops_and_holds_its_target():
    predicted1, predicted2, z1, z2 = (z.requires_grad_() for z in projections())

    def cosine(a, b):
        return sum(x * y for x, y in zip(a, b)) / math.sqrt(sum(x * x for x in a) * sum(y * y for y in b))

    rows = [[[float(x) for x in row] for row in z.detach()] for z in (predicted1, predicted2, z1, z2)]
    expected = [-(cosine(p1, t2) + cosine(p2, t1)) / 2 for p1, p2, t1, t2 in zip(*rows)]
    loss = simsiam(predicted1, predicted2, z1, z2)
    assert loss.tolist() == pytest.approx(expected)
    loss.sum().backward()
    assert (z1.grad, z2.grad) == (None, None)
    assert predicted1.grad.abs().sum() > 0
