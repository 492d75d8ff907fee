"""ML-VAE: evidence, divergences and the ELBO against loops and torch.distributions."""

import math

import pytest
import torch
from fake_training import RecordingStep, brightened, tiny_batch, tiny_dataset, tiny_loader
from formulas import sine
from torch.distributions import Normal, kl_divergence

from unbraid.losses.group_evidence import group_evidence, group_noise, group_shares, kl_to_standard_normal
from unbraid.methods.ml_vae import MLVAE, Config
from unbraid.nets.domain_memory import DomainMemory

SMALL = (1, 16, 16)
GROUP = torch.tensor([2, 0, 2, 2, 1, 0])  # of three, one and two rows


def build(image_shape=SMALL, **values):
    torch.manual_seed(0)
    return MLVAE(Config(**MLVAE.presets["tiny"] | values), tiny_dataset(image_shape).spec).train()


def gaussians():
    return sine((6, 4), 0.7, 0.1), sine((6, 4), 1.3, 0.2)  # means, log variances


def test_evidence_against_loops():
    mean, log_var = gaussians()
    found_mean, found_log_var = group_evidence(mean, log_var, GROUP)
    for i in range(6):
        for d in range(4):
            members = [j for j in range(6) if GROUP[j] == GROUP[i]]
            precisions = [1 / math.exp(log_var[j, d]) for j in members]
            weighted = sum(p * float(mean[j, d]) for p, j in zip(precisions, members))
            assert found_mean[i, d].item() == pytest.approx(weighted / sum(precisions), rel=1e-5)
            assert math.exp(found_log_var[i, d]) == pytest.approx(1 / sum(precisions), rel=1e-5)


def test_evidence_is_the_product_of_the_densities():
    mean, log_var = gaussians()
    product = Normal(
        *(f(x) for f, x in zip((lambda x: x, lambda x: (x / 2).exp()), group_evidence(*gaussians(), GROUP)))
    )
    each = Normal(mean, (log_var / 2).exp())
    points = torch.linspace(-2, 2, 9)
    members = GROUP == 2
    logs = torch.stack([each.log_prob(point)[members].sum(0) for point in points])  # (9, 4)
    found = torch.stack([product.log_prob(point)[0] for point in points])
    torch.testing.assert_close(found - found[:1], logs - logs[:1], rtol=1e-4, atol=1e-4)  # equal up to a constant


def test_divergence_is_that_of_torch():
    mean, log_var = gaussians()
    expected = kl_divergence(Normal(mean, (log_var / 2).exp()), Normal(0.0, 1.0)).sum(1)
    torch.testing.assert_close(kl_to_standard_normal(mean, log_var), expected)


def test_a_group_has_one_noise_and_counts_once():
    torch.manual_seed(0)
    noise = group_noise(torch.zeros(6, 2000), GROUP)
    assert torch.equal(noise, noise[[0, 1, 0, 0, 4, 1]])
    different = noise[[0, 1, 4]]
    torch.testing.assert_close(torch.cov(different), torch.eye(3), rtol=0, atol=0.1)
    torch.testing.assert_close(group_shares(GROUP), torch.tensor([1 / 3, 1 / 2, 1 / 3, 1 / 3, 1.0, 1 / 2]))


def terms_of(model, batch):
    found = {}
    torch.manual_seed(4)
    model.update(batch, lambda optimizer, terms, *, log=None: found.update(terms))
    return {name: value.item() for name, value in found.items()}


@torch.no_grad()
def test_elbo_against_loops():
    model = build(rec_weight=0.5)
    batch = tiny_batch(model, SMALL)
    found = terms_of(model, batch)
    torch.manual_seed(4)
    style, style_log_var, means, log_vars = model.encoder(batch.x).split(8, dim=1)
    z = style + (style_log_var / 2).exp() * torch.randn(16, 8)
    noise = torch.randn(16, 8)
    domains = batch.domain.tolist()
    rec = kl_style = kl_domain = 0.0
    for name in sorted(set(domains)):
        rows = [i for i in range(16) if domains[i] == name]
        precision = sum(torch.exp(-log_vars[i]) for i in rows)
        mean = sum(torch.exp(-log_vars[i]) * means[i] for i in rows) / precision
        group = Normal(mean, precision**-0.5)
        kl_domain += kl_divergence(group, Normal(0.0, 1.0)).sum().item()
        latent = group.mean + group.stddev * noise[rows[0]]
        for i in rows:
            drawn = Normal(model.decoder(z[i : i + 1], latent[None])[0], 1.0)
            rec += (drawn.log_prob(drawn.mean) - drawn.log_prob(batch.x[i])).sum().item()
            kl_style += kl_divergence(Normal(style[i], (style_log_var[i] / 2).exp()), Normal(0.0, 1.0)).sum().item()
    num = len(set(domains))
    expected = {"rec": rec / num, "kl_style": kl_style / num, "kl_domain": kl_domain / num}
    assert found == pytest.approx(expected, rel=1e-4)


def test_perceptual_reconstruction_and_its_frozen_network():
    model = build((1, 32, 32), reconstruction="perceptual")
    assert model.distance is not None
    frozen = [param.clone() for param in model.distance.parameters()]
    step, batch = RecordingStep(model), tiny_batch(model, (1, 32, 32))
    for _ in range(2):
        model.update(batch, step)
    assert all(torch.equal(old, new) for old, new in zip(frozen, model.distance.parameters(), strict=True))
    owned = {id(param) for group in step.optimizers["main"].param_groups for param in group["params"]}
    assert not owned & {id(param) for param in model.distance.parameters()}
    assert step.losses[-1][1]["rec"] < step.losses[0][1]["rec"]


def test_memory_is_the_mean_of_a_domain_in_the_last_batch_that_held_it():
    memory = DomainMemory(4, 2)
    memory.store(torch.ones(2, 2), torch.tensor([3, 1]))
    memory.store(torch.tensor([[2.0, 4.0], [4.0, 8.0], [5.0, 5.0]]), torch.tensor([1, 1, 0]))
    assert memory(torch.tensor([0, 1, 2, 3])).tolist() == [[5, 5], [3, 6], [0, 0], [1, 1]]
    assert set(memory.state_dict()) == {"vectors"}
    assert list(memory.parameters()) == []


@torch.no_grad()
def test_a_domain_is_drawn_with_the_evidence_of_its_last_batch():
    model = build()
    batch = tiny_batch(model, SMALL)
    terms_of(model, batch)
    _, _, means, log_vars = model.encoder(batch.x).split(8, dim=1)
    latent, _ = group_evidence(means, log_vars, batch.domain)
    z = model.encode(batch.x)
    torch.testing.assert_close(model.decode(z, batch.domain), model.decoder(z, latent))


@pytest.mark.slow
def test_it_draws_an_image_in_another_domain():
    """The tiny data's domains differ in brightness: the darkest and the brightest can be told in what it draws."""
    model = build(batch_size=32, domains_per_batch=4, lr=3e-3, rec_weight=50.0)
    step, loader = RecordingStep(model), tiny_loader(model, SMALL)
    batches = loader.batches()
    for _ in range(200):
        model.update(next(batches), step)
    batches.close()
    assert (brightened(model, loader) > 0.1).all()
