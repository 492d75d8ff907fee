"""Likelihoods, total correlation and penalties against loops, closed forms and published values."""

import itertools
import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.distributions import Normal

from unbraid.losses.group_evidence import kl_to_standard_normal
from unbraid.losses.total_correlation import (
    decompose,
    density_ratio,
    gaussian_log_density,
    permutation_loss,
    permute_dims,
    stratified_log_weights,
)
from unbraid.losses.variational import bernoulli_nll, capacity, dip_penalty, gaussian_nll

FOLDER = Path(__file__).parents[1] / "golden"
GOLDEN = json.loads((FOLDER / "vae_losses.json").read_text())
VARIANTS = [name for name in GOLDEN["loss_variants"] if name != "elbo"]


@pytest.fixture(scope="module")
def inputs():
    with np.load(FOLDER / "vae_loss_inputs.npz") as file:
        return {name: torch.from_numpy(np.asarray(file[name])) for name in file}


def posteriors(num=5, width=3):
    generator = torch.Generator().manual_seed(0)
    z, mean, log_var = (torch.randn(num, width, generator=generator, dtype=torch.float64) for _ in range(3))
    return z, mean, log_var


def test_gaussian_density_has_the_published_values():
    z = torch.tensor([[0.3, -1.2], [2.0, 0.0]])
    mean, log_sigma = torch.tensor([[0.1, 0.0], [1.0, -0.3]]), torch.tensor([[-0.5, 0.2], [1.0, -2.0]])
    found = gaussian_log_density(z, mean, 2 * log_sigma)
    torch.testing.assert_close(found, torch.tensor(GOLDEN["normal_logdensity"]), rtol=1e-5, atol=0)
    kl = kl_to_standard_normal(mean, 2 * log_sigma)
    torch.testing.assert_close(kl, torch.tensor(GOLDEN["normal_kld"]).sum(1), rtol=1e-5, atol=0)


def test_bernoulli_has_the_published_values_and_a_stable_form():
    x = torch.tensor([0, 1, 0.5, 1, 0, 0.25]).view(6, 1, 1, 1)
    logits = torch.tensor([0, 0, 2, -30, 30, -1.5]).view(6, 1, 1, 1).requires_grad_()
    found = bernoulli_nll(logits, x, published=True)
    torch.testing.assert_close(-found, torch.tensor(GOLDEN["bernoulli_logdensity"]), rtol=1e-5, atol=0)
    stable = bernoulli_nll(logits, x)
    torch.testing.assert_close(stable[:3], found[:3])
    torch.testing.assert_close(stable[3:5], torch.tensor([30.0, 30.0]))
    (gradient,) = torch.autograd.grad(stable.sum(), logits)
    torch.testing.assert_close(gradient.flatten()[3:5], torch.tensor([-1.0, 1.0]))


def test_gaussian_likelihood_is_that_of_torch():
    torch.manual_seed(0)
    logits, x = torch.randn(2, 3, 4, 4), torch.rand(2, 3, 4, 4)
    expected = -Normal(torch.sigmoid(logits), 1.0).log_prob(x).sum((1, 2, 3))
    torch.testing.assert_close(gaussian_nll(logits, x), expected)


@pytest.mark.parametrize("name", VARIANTS)
def test_objective_is_the_published_one(inputs, name):
    options = {key: float(value) for key, value in (part.split("=") for part in name.split(","))}
    beta, rest, mutual = options["beta"], 1 - options["lamb"], options["include_mutinfo"]
    weights = (mutual, beta, rest) if options["tcvae"] else (beta * mutual, beta, beta * rest)
    mean, log_sigma = inputs["z_params"].unbind(2)
    parts = decompose(
        inputs["zs"], mean, 2 * log_sigma, int(inputs["N"]),
        estimator="mss" if options["mss"] else "mws", published=True,
    )  # fmt: skip
    found = -bernoulli_nll(inputs["logits"], inputs["x"], published=True)
    found = found - sum(weight * part for weight, part in zip(weights, parts))
    torch.testing.assert_close(found, torch.tensor(GOLDEN["loss_variants"][name]), rtol=1e-6, atol=0)


def test_parts_add_up_to_the_kl_of_the_sample(inputs):
    z, mean, log_var = posteriors()
    expected = (Normal(mean, (log_var / 2).exp()).log_prob(z) - Normal(0.0, 1.0).log_prob(z)).sum(1)
    for estimator in ("mws", "mss"):
        torch.testing.assert_close(sum(decompose(z, mean, log_var, 40, estimator=estimator)), expected)


@pytest.mark.parametrize("estimator", ["mws", "mss"])
def test_decomposition_against_loops(estimator):
    z, mean, log_var = posteriors()
    num, width, num_data = *z.shape, 40
    m = num - 1
    for i in range(num):
        log_qz, log_product = 0.0, 0.0
        weights = [1 / (num * num_data)] * num
        if estimator == "mss":
            weights = [1 / m] * num
            weights[i], weights[(i + 1) % num] = 1 / num_data, (num_data - m) / (num_data * m)
        density = [[math.exp(Normal(mean[j, k], math.exp(log_var[j, k] / 2)).log_prob(z[i, k])) for k in range(width)]
                   for j in range(num)]  # fmt: skip
        log_qz = math.log(sum(weights[j] * math.prod(density[j]) for j in range(num)))
        for k in range(width):
            log_product += math.log(sum(weights[j] * density[j][k] for j in range(num)))
        found = decompose(z, mean, log_var, num_data, estimator=estimator)
        assert found.total_correlation[i].item() == pytest.approx(log_qz - log_product)
        assert found.mutual_information[i].item() == pytest.approx(sum(map(math.log, density[i])) - log_qz)


def test_stratified_weights_are_right_and_the_published_ones_are_not():
    published = stratified_log_weights(4, 100, published=True).exp()
    torch.testing.assert_close(published.float(), torch.tensor(GOLDEN["mss_W_B4_N100"]))
    weights = stratified_log_weights(5, 100).exp()
    torch.testing.assert_close(weights.sum(1), torch.ones(5, dtype=torch.float64))
    torch.testing.assert_close(weights.diagonal(), torch.full((5,), 0.01, dtype=torch.float64))


@pytest.mark.parametrize("published", [False, True])
def test_stratified_sampling_is_unbiased_and_the_published_weights_are_not(published):
    """Over every batch of three of five images in which the first is the second."""
    z, mean, log_var = posteriors(num=5, width=2)
    density = gaussian_log_density(z[:1], mean, log_var).sum(1).exp()  # at the first image's sample
    weights = stratified_log_weights(3, 5, published=published).exp()[1]
    batches = itertools.permutations(range(1, 5), 2)
    found = np.mean([(weights * density[[before, 0, after]]).sum().item() for before, after in batches])
    assert (found == pytest.approx(density.mean().item())) != published


def test_permuted_dims_keep_each_dimension_and_break_rows():
    torch.manual_seed(0)
    z = torch.arange(50.0)[:, None].repeat(1, 3)
    permuted = permute_dims(z)
    torch.testing.assert_close(permuted.sort(0).values, z)
    assert not (permuted[:, 0] == permuted[:, 1]).all()


def test_discriminator_losses_against_the_papers_formulas():
    torch.manual_seed(0)
    real, permuted = torch.randn(6, 2), torch.randn(6, 2)
    p_real, p_permuted = real.softmax(1)[:, 0], permuted.softmax(1)[:, 0]
    torch.testing.assert_close(density_ratio(real), (p_real / (1 - p_real)).log().mean())
    expected = -(p_real.log().sum() + (1 - p_permuted).log().sum()) / 12
    torch.testing.assert_close(permutation_loss(real, permuted), expected)


@pytest.mark.parametrize("second", [False, True])
def test_dip_penalty_against_loops(second):
    _, mean, log_var = posteriors(num=6, width=3)
    covariance = np.cov(mean.numpy().T, bias=True)
    if second:
        covariance = covariance + np.diag(np.exp(log_var.numpy()).mean(0))
    expected = 0.0
    for i, j in itertools.product(range(3), repeat=2):
        expected += 5 * (covariance[i, j] - 1) ** 2 if i == j else 2 * covariance[i, j] ** 2
    found = dip_penalty(mean, log_var if second else None, off_diagonal=2.0, diagonal=5.0)
    assert found.item() == pytest.approx(expected)


def test_capacity_grows_evenly_and_stays():
    assert [capacity(step, 25.0, 100) for step in (0, 50, 100, 500)] == [0, 12.5, 25, 25]
    assert capacity(0, 25.0, 0) == 25
