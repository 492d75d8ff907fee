"""LORD's two stages: their terms against loops, what each leaves alone, the cosine, and that it learns."""

import pytest
import torch
from fake_training import RecordingStep, brightened, tiny_batch, tiny_dataset, tiny_loader

from unbraid.errors import UserError
from unbraid.hparams import parse
from unbraid.methods.lord import LORD, Config
from unbraid.nets.lord_encoder import LORDEncoder

SMALL = (1, 32, 32)


def build(image_shape=SMALL, **values):
    torch.manual_seed(0)
    return LORD(Config(**LORD.presets["tiny"] | values), tiny_dataset(image_shape).spec).train()


def terms_of(model, batch, seed=5):
    """The terms of one update with their graph, before any optimiser changes a weight."""
    found = {}
    torch.manual_seed(seed)
    model.update(batch, lambda optimizer, terms, *, log=None: found.update({optimizer: terms}))
    ((optimizer, terms),) = found.items()
    return optimizer, terms


def copies(*modules):
    return [value.detach().clone() for module in modules for value in module.state_dict().values()]


def unchanged(before, *modules):
    return all(torch.equal(old, new) for old, new in zip(before, copies(*modules), strict=True))


def test_decay_acts_on_the_noisy_code():
    model, batch = build(decay=0.3, noise=0.7), tiny_batch(build(), SMALL)
    optimizer, terms = terms_of(model, batch)
    assert optimizer == "latent"
    torch.manual_seed(5)
    noise = 0.7 * torch.randn(len(batch.index), 8)
    table, expected = model.content_embedding.weight.detach(), 0.0
    gradient = torch.zeros_like(table)
    for row, index in enumerate(batch.index.tolist()):
        for d in range(8):
            noisy = table[index, d] + noise[row, d]
            expected += 0.3 * float(noisy) ** 2 / len(batch.index)
            gradient[index, d] += 0.3 * 2 * noisy / len(batch.index)
    assert terms["decay"].item() == pytest.approx(expected, rel=1e-5)
    (found,) = torch.autograd.grad(terms["decay"], model.content_embedding.weight)
    torch.testing.assert_close(found, gradient)
    noisy = table[batch.index] + noise
    drawn = model.latent_decoder(noisy, model.domain_embedding(batch.domain))
    assert terms["rec"].item() == pytest.approx(model.distance(drawn, batch.x).item(), rel=1e-5)


def test_encoders_match_the_embeddings_without_noise():
    model, batch = build(match_weight=3.0), tiny_batch(build(), SMALL)
    model.begin_epoch(1, [], RecordingStep(model))
    optimizer, terms = terms_of(model, batch)
    assert optimizer == "amortized"
    z, seen = model.encoder(batch.x), model.domain_encoder(batch.x)
    pairs = {"content": (z, model.content_embedding.weight[batch.index]),
             "domain": (seen, model.domain_embedding.weight[batch.domain])}  # fmt: skip
    for name, (a, b) in pairs.items():
        squares = [(x - y) ** 2 for one, other in zip(a.tolist(), b.tolist()) for x, y in zip(one, other)]
        assert terms[name].item() == pytest.approx(3 * sum(squares) / len(squares), rel=1e-5)
    assert terms["rec"].item() == pytest.approx(model.distance(model.decoder(z, seen), batch.x).item(), rel=1e-5)


def test_each_stage_changes_its_own_half():
    model = build()
    step, batch = RecordingStep(model), tiny_batch(model, SMALL)
    latent = (model.content_embedding, model.domain_embedding, model.latent_decoder)
    amortized = (model.encoder, model.domain_encoder, model.decoder)
    before = copies(*amortized), copies(*latent)
    model.begin_epoch(0, [], step)
    model.update(batch, step)
    assert unchanged(before[0], *amortized)
    assert not any(unchanged(copies(part), part) is False for part in latent)
    assert not unchanged(before[1], *latent)
    other_rows = torch.ones(72, dtype=torch.bool).index_fill_(0, batch.index, False)
    assert torch.equal(before[1][0][other_rows], model.content_embedding.weight[other_rows])

    model.begin_epoch(1, [], step)
    assert unchanged(copies(model.latent_decoder), model.decoder)  # fine-tuning begins at stage one's decoder
    before = copies(*latent), copies(model.decoder)
    for _ in range(3):
        model.update(batch, step)
    assert unchanged(before[0], *latent)
    assert not unchanged(before[1], model.decoder)
    assert [name for name, _ in step.losses] == ["latent"] + ["amortized"] * 3


def test_noise_is_for_training_alone():
    model = build().eval()
    x = tiny_batch(model, SMALL).x
    assert torch.equal(model.encode(x), model.encode(x))  # and an unseen image has a code before stage two


def test_the_stage_is_in_the_checkpoint():
    model, other = build(), build()
    model.begin_epoch(1, [], RecordingStep(model))
    other.load_state_dict(model.state_dict())
    assert other.amortizing
    assert terms_of(other, tiny_batch(other, SMALL))[0] == "amortized"


def test_each_stage_has_the_cosine_of_torch():
    model = build(epochs=7)  # three epochs, then four
    for first_epoch, length, lr in ((0, 3, model.cfg.decoder_lr), (3, 4, model.cfg.amortized_lr)):
        optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(()))], lr=lr)
        cosine = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=length * 5, eta_min=1e-5)
        for i in range(length * 5):
            assert lr * model.lr_scale(first_epoch + i / 5) == pytest.approx(cosine.get_last_lr()[0], rel=1e-6)
            optimizer.step()
            cosine.step()


def test_one_epoch_has_no_two_stages():
    with pytest.raises(UserError, match="epochs must be at least 2"):
        parse(Config, {"epochs": 1}, owner="lord")


def test_published_encoder():
    encoder = LORDEncoder((3, 64, 64), 128)
    convs = [(3, 64, 7), (64, 128, 4), (128, 256, 4), (256, 256, 4), (256, 256, 4)]
    linears = [(4096, 256), (256, 256), (256, 128)]
    expected = sum(a * b * k * k + b for a, b, k in convs) + sum(a * b + b for a, b in linears)
    assert sum(param.numel() for param in encoder.parameters()) == expected
    assert encoder(torch.rand(2, 3, 64, 64)).shape == (2, 128)
    assert LORDEncoder((1, 56, 64), 8, width=4)(torch.rand(2, 1, 56, 64)).shape == (2, 8)


@pytest.mark.slow
def test_it_draws_an_image_in_another_domain():
    """The tiny data's domains differ in brightness: the darkest and the brightest can be told in what it draws."""
    model = build(epochs=30, batch_size=36, noise=0.3, latent_lr=2e-2, decoder_lr=3e-3, amortized_lr=3e-3)
    step, loader = RecordingStep(model), tiny_loader(model, SMALL)
    batches = loader.batches()
    for epoch in range(30):
        model.begin_epoch(epoch, [], step)
        for _ in range(loader.num_batches):
            model.update(next(batches), step)
    batches.close()
    assert (brightened(model, loader) > 0.1).all()
