"""Generalised cross-entropy: published values and gradients, closed form, and the factor between them."""

import pytest
import torch
import torch.nn.functional as F

from unbraid.losses.generalized_cross_entropy import generalized_cross_entropy, relative_difficulty

LOGITS = [[2, 0.5, -1], [0.1, 0.2, 0.3], [-3, 4, 1], [1, -2, 0]]
LABEL = torch.tensor([0, 1, 2, 1])
PUBLISHED = [0.14266440, 0.35666439, 0.25250337, 0.22485082]
PUBLISHED_GRADIENT = [
    [-0.03168901, 0.02590813, 0.00578088],
    [0.02432447, -0.05403446, 0.02970998],
    [1.796574e-5, 0.01970183, -0.01971979],
    [0.01183978, -0.01619539, 0.00435561],
]
TRUE = [0.22203113, 0.76802313, 1.2595862, 1.2915521]


def values_and_gradient(exact, power=0.7):
    logits = torch.tensor(LOGITS, requires_grad=True)
    gce = generalized_cross_entropy(F.cross_entropy(logits, LABEL, reduction="none"), power, exact=exact)
    return gce.detach(), torch.autograd.grad(gce.mean(), logits)[0]


def test_published_values_and_gradient():
    values, gradient = values_and_gradient(exact=False)
    torch.testing.assert_close(values, torch.tensor(PUBLISHED), rtol=1e-6, atol=0)
    torch.testing.assert_close(gradient, torch.tensor(PUBLISHED_GRADIENT), rtol=1e-6, atol=1e-8)
    one = generalized_cross_entropy(F.cross_entropy(torch.tensor([[1.0, 2.0]]), LABEL[1:2], reduction="none"), 0.7)
    assert one.item() == pytest.approx(0.17610505, rel=1e-6)


@pytest.mark.parametrize("power", [0.05, 0.7, 1.0])
def test_exact_is_the_closed_form_and_published_power_times_its_gradient(power):
    values, gradient = values_and_gradient(exact=True, power=power)
    p = torch.tensor(LOGITS).double().softmax(1)
    chosen = p[torch.arange(4), LABEL]
    torch.testing.assert_close(values, ((1 - chosen**power) / power).float(), rtol=1e-5, atol=1e-7)
    closed = chosen[:, None] ** power * (p - F.one_hot(LABEL, 3)) / 4
    torch.testing.assert_close(gradient, closed.float(), rtol=1e-5, atol=1e-7)
    torch.testing.assert_close(values_and_gradient(False, power)[1], power * gradient, rtol=1e-5, atol=1e-8)


def test_values_of_the_true_one():
    torch.testing.assert_close(values_and_gradient(exact=True)[0], torch.tensor(TRUE), rtol=1e-6, atol=0)


def test_difficulty_is_the_biased_networks_share():
    biased, debiased = torch.tensor([3.0, 0.0, 1.0, 0.0]), torch.tensor([1.0, 1.0, 1.0, 0.0])
    torch.testing.assert_close(relative_difficulty(biased, debiased), torch.tensor([0.75, 0.0, 0.5, 0.0]))
