"""The family of variational autoencoders: what sets each apart, several side by side, labels of a few images."""

import dataclasses

import numpy as np
import pytest
import torch
from fake_training import RecordingStep, tiny_batch, tiny_dataset, tiny_loader

from unbraid.encode import encode_dataset, to_tensor
from unbraid.errors import UserError
from unbraid.hparams import parse
from unbraid.losses.group_evidence import kl_to_standard_normal
from unbraid.losses.total_correlation import decompose
from unbraid.losses.variational import bernoulli_nll, gaussian_nll
from unbraid.methods import method
from unbraid.methods.semi_beta_vae import factor_distance
from unbraid.nets.conv_vae import Draw
from unbraid.nets.precision import apply_precision
from unbraid.samples import save_samples
from unbraid.types import Ensemble, Posterior

FAMILY = ("beta-vae", "annealed-vae", "beta-tcvae", "factor-vae", "dip-vae", "semi-beta-vae")
GREY = (1, 16, 16)


def build(name, seed=0, **values):
    kind = method(name)
    torch.manual_seed(seed)
    cfg = parse(kind.config_class, kind.presets["tiny"] | values, owner=name)
    return kind(cfg, tiny_dataset(GREY).spec).train()


def batch_of(model):
    return tiny_batch(model, GREY)


def terms_of(model, batch, seed=0):
    step = RecordingStep(model)
    torch.manual_seed(seed)
    model.update(batch, step)
    return dict(step.losses)["main"]


def draw_of(model, batch, seed=0):
    torch.manual_seed(seed)
    return model.vae(batch.x)


@pytest.mark.parametrize("name", FAMILY)
def test_codes_carry_the_kl_of_each_dimension(name):
    model, data = build(name).eval(), tiny_dataset(GREY)
    assert isinstance(model, Posterior)
    codes = encode_dataset(model, data)
    with torch.inference_mode():
        mean, log_var = model.posterior(to_tensor(data.images, torch.device("cpu")))
    np.testing.assert_allclose(codes.z, mean.numpy(), atol=1e-5)
    assert codes.kl.shape == (4,)
    assert codes.kl.sum() == pytest.approx(kl_to_standard_normal(mean, log_var).mean().item(), rel=1e-4)


def test_beta_weighs_the_kl():
    batch = batch_of(build("beta-vae"))
    draw = draw_of(build("beta-vae"), batch)
    found = terms_of(build("beta-vae", beta=3.0), batch)
    assert found["rec"] == pytest.approx(bernoulli_nll(draw.logits, batch.x).mean().item())
    assert found["kl"] == pytest.approx(3 * kl_to_standard_normal(draw.mean, draw.log_var).mean().item())
    found = terms_of(build("beta-vae", likelihood="gaussian"), batch)
    assert found["rec"] == pytest.approx(gaussian_nll(draw.logits, batch.x).mean().item())


def test_capacity_grows_with_the_updates_and_is_in_the_checkpoint():
    model = build("annealed-vae", growth_steps=4, capacity=8.0, gamma=2.0, lr=0.0)
    batch, wanted = batch_of(model), []
    kl = kl_to_standard_normal(*draw_of(model, batch)[:2]).mean().item()
    for _ in range(6):
        wanted.append(terms_of(model, batch)["capacity"] / 2 + kl)
        again = build("annealed-vae", growth_steps=4, capacity=8.0, gamma=2.0, lr=0.0)
        again.load_state_dict(model.state_dict())
        model = again
    assert kl < 0.5
    assert wanted[1:] == pytest.approx([2, 4, 6, 8, 8], abs=1)
    assert wanted[2] - wanted[1] == pytest.approx(2)


def test_the_published_objective_of_beta_tcvae():
    options = {"num_models": 1, "beta": 5.0, "numerics": "published"}
    model = build("beta-tcvae", **options)
    batch = batch_of(model)
    torch.manual_seed(0)
    (draw,) = model.vaes(batch.x)
    parts = [part.mean().item() for part in decompose(draw.z, draw.mean, draw.log_var, 72, published=True)]
    found = terms_of(build("beta-tcvae", **options), batch)
    assert list(found.values())[1:] == pytest.approx([parts[0], 5 * parts[1], parts[2]])
    assert found["rec"] == pytest.approx(bernoulli_nll(draw.logits, batch.x, published=True).mean().item())


def test_networks_side_by_side_train_as_each_alone():
    both = build("beta-tcvae", num_models=2, lr=1e-2)
    batch, num = batch_of(both), len(batch_of(both).x)
    alone = [build("beta-tcvae", num_models=1, lr=1e-2) for _ in range(2)]
    for place, model in enumerate(alone):
        model.vaes[0].load_state_dict(both.vaes[place].state_dict())
    terms_of(both, batch)
    for place, model in enumerate(alone):
        torch.manual_seed(0)
        for _ in range(place):
            torch.randn(num, 4)  # the noise of the networks before
        model.update(batch, RecordingStep(model))
        for name, value in model.vaes[0].state_dict().items():
            torch.testing.assert_close(both.vaes[place].state_dict()[name], value)


def test_the_chosen_network_is_the_one_that_encodes_also_after_a_checkpoint():
    model = build("beta-tcvae", num_models=3).eval()
    assert isinstance(model, Ensemble)
    x = batch_of(model).x
    with torch.inference_mode():
        means, log_vars = model.posteriors(x)
        assert means.shape == log_vars.shape == (3, len(x), 4)
        torch.testing.assert_close(model.encode(x), means[0])
        model.choose(2)
        again = build("beta-tcvae", seed=1, num_models=3).eval()
        again.load_state_dict(model.state_dict())
        for one in (model, again):
            torch.testing.assert_close(one.encode(x), means[2])
            torch.testing.assert_close(one.posterior(x)[1], log_vars[2])
            torch.testing.assert_close(one.decode(means[2], torch.zeros(len(x), dtype=torch.int64)),
                                       model.vaes[2].decode(means[2]))  # fmt: skip


def test_a_chosen_network_can_be_exported():
    model = build("beta-tcvae", num_models=2).eval()
    model.choose(1)
    net = torch.nn.Module()
    net.method, net.forward = model, model.encode
    x = batch_of(model).x
    program = torch.export.export(net, (x,))
    torch.testing.assert_close(program.module()(x), model.encode(x))


def test_losses_are_float32_under_bfloat16():
    model = apply_precision(build("beta-tcvae"), "bf16", "cpu")
    batch = batch_of(model)
    (draw, _) = model.vaes(batch.x)
    assert {part.dtype for part in draw} == {torch.float32}
    assert all(np.isfinite(value) for value in terms_of(model, batch).values())


@pytest.mark.parametrize(("variant", "ratio"), [("i", 10), ("ii", 1)])
def test_dip_weighs_variances_by_its_variant(variant, ratio):
    options = {"variant": variant, "off_diagonal": 2.0}
    batch = batch_of(build("dip-vae"))
    draw = draw_of(build("dip-vae"), batch)
    covariance = np.cov(draw.mean.detach().numpy().T, bias=True)
    if variant == "ii":
        covariance = covariance + np.diag(draw.log_var.exp().mean(0).detach().numpy())
    on = np.diag(covariance)
    expected = 2 * ((covariance**2).sum() - (on**2).sum()) + 2 * ratio * ((on - 1) ** 2).sum()
    assert terms_of(build("dip-vae", **options), batch)["dip"] == pytest.approx(expected, rel=1e-4)


def test_the_discriminator_finds_what_the_autoencoder_correlates():
    model = build("factor-vae", discriminator_width=32, discriminator_lr=1e-2, lr=0.0, z_dim=2)
    torch.manual_seed(0)
    last = torch.zeros(512, 2, requires_grad=True)  # so that the autoencoder's terms have a gradient
    z = last + torch.randn(512, 1).repeat(1, 2) + 0.1 * torch.randn(512, 2)
    model.vae.forward = lambda x: Draw(z, torch.zeros_like(z), z, torch.zeros_like(x))
    step, batch = RecordingStep(model), batch_of(model)
    before = [param.clone() for param in model.vae.parameters()]
    for seed in range(60):
        torch.manual_seed(seed)
        model.update(batch, step)
    found = [terms["permuted"] for name, terms in step.losses if name == "discriminator"]
    assert found[0] == pytest.approx(np.log(2), abs=0.05)
    assert found[-1] < 0.4
    assert all(torch.equal(old, new) for old, new in zip(before, model.vae.parameters()))


def test_labelled_images_are_a_few_of_the_train_split_and_stay_the_same():
    model = build("semi-beta-vae", num_labels=20)
    loader = tiny_loader(model, GREY)
    torch.manual_seed(0)
    model.begin_epoch(0, loader.in_order(16), RecordingStep(model))
    kept = model.images.clone()
    data = tiny_dataset(GREY)
    rows = [
        int(np.flatnonzero((data.images == image.permute(1, 2, 0).numpy()).all((1, 2, 3))).item()) for image in kept
    ]
    assert len(set(rows)) == 20
    assert max(rows) < 72
    expected = np.stack([data.columns[name][rows] / size for name, size in data.spec.sizes.items()], axis=1)
    np.testing.assert_allclose(model.targets.numpy(), expected, atol=1e-6)
    model.begin_epoch(1, loader.in_order(16), RecordingStep(model))
    assert torch.equal(model.images, kept)


def test_distance_to_the_factors_against_the_formula():
    mean, target = torch.tensor([[0.3, 5.0]]), torch.tensor([[0.25]])
    p = 1 / (1 + np.exp(-0.3))
    found = {kind: factor_distance(mean, target, kind).item() for kind in ("xent", "l2")}
    assert found["xent"] == pytest.approx(-(0.25 * np.log(p) + 0.75 * np.log(1 - p)), rel=1e-5)
    assert found["l2"] == pytest.approx((p - 0.25) ** 2, rel=1e-5)


def test_labels_teach_the_first_dimensions():
    model = build("semi-beta-vae", num_labels=72, lr=3e-3, beta=0.1)
    loader = tiny_loader(model, GREY)
    model.begin_epoch(0, loader.in_order(16), step := RecordingStep(model))
    batches = loader.batches()
    for seed in range(60):
        torch.manual_seed(seed)
        model.update(next(batches), step)
    data = tiny_dataset(GREY)
    codes = encode_dataset(model.eval(), data)
    train = data.split == 0
    assert np.corrcoef(codes.z[train, 0], data.columns["camera"][train])[0, 1] > 0.8


def test_fewer_dimensions_than_factors_are_refused():
    with pytest.raises(UserError, match="z_dim is 2; each of the 3 factors needs a dimension"):
        build("semi-beta-vae", z_dim=2)


def test_a_run_draws_traversals_of_the_dimensions_with_most_information(tmp_path):
    model, data = build("beta-vae").eval(), tiny_dataset(GREY)
    codes = dataclasses.replace(encode_dataset(model, data), kl=np.array([0.1, 3, 0, 2], dtype=np.float32))
    save_samples(tmp_path / "samples.npz", model, data, codes, 0)
    with np.load(tmp_path / "samples.npz") as file:
        found = dict(file)
    assert found["traversal_dim"].tolist() == [1, 3, 0, 2]
    assert found["traversal_images"].shape == (4, 10, 16, 16, 1)
    assert (found["traversal_images"][:, 0] == found["traversal_images"][0, 0]).all()
    drawn = found["traversal_images"][..., 0]
    candidates = [codes.z[row] for row in data.rows("test")]
    z = min(candidates, key=lambda z: np.abs(shown(model, z) - drawn[0, 0]).sum()).copy()
    assert np.abs(shown(model, z) - drawn[0, 0]).max() < 1
    z[3] = 2.0
    assert np.abs(shown(model, z) - drawn[1, -1]).max() < 1


def shown(model, z):
    with torch.inference_mode():
        image = model.decode(torch.as_tensor(z)[None], torch.zeros(1, dtype=torch.int64))
    return image[0, 0].numpy() * 255


def test_published_grids_are_searched():
    fields = {field.name: field for field in dataclasses.fields(method("beta-tcvae").config_class)}
    grids = {name: fields[name].metadata["search"].options for name in ("beta", "batch_size", "lr")}
    assert [len(grid) for grid in grids.values()] == [23, 8, 30]
    betas = sorted({int(1.5**power) for power in np.linspace(1, 15, 24)})
    assert list(grids["beta"]) == betas
    np.testing.assert_allclose(grids["lr"], np.logspace(-5, 0, 30))
