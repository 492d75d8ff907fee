"""DANN: the sign and the size of the reversed gradient, the schedule, and that the encoder hides the domain."""

import math

import pytest
import torch
import torch.nn.functional as F
from fake_training import RecordingStep, tiny_batch, tiny_dataset, tiny_loader

from unbraid.losses import nt_xent
from unbraid.methods.dann import DANN, Config
from unbraid.nets.gradient_reversal import reverse_gradient

SMALL = (3, 16, 16)


def build(image_shape=SMALL, **values):
    torch.manual_seed(0)
    return DANN(Config(**DANN.presets["tiny"] | values), tiny_dataset(image_shape).spec).train()


def test_forward_is_the_identity_and_backward_the_negative_multiple():
    x = torch.linspace(-2, 2, 6, requires_grad=True)
    y = reverse_gradient(x, torch.tensor(0.3))
    assert torch.equal(x, y)
    (y**3).sum().backward()
    torch.testing.assert_close(x.grad, -0.3 * 3 * x.detach() ** 2)


@pytest.mark.parametrize("done", [0, 3])
def test_classifier_learns_to_read_and_encoder_to_hide(done):
    model = build(domain_weight=0.7)
    batch, found = tiny_batch(model, SMALL), {}
    model.done.fill_(done)
    z = [model.encoder(view) for view in batch.views.unbind(1)]
    contrast = nt_xent(*(F.normalize(model.projector(one), dim=-1) for one in z), 0.5)
    logits = model.classifier(F.normalize(torch.cat(z), dim=-1))
    domain = sum(-logits[i].log_softmax(0)[batch.domain[i % 16]] for i in range(32)) / 32
    model.update(batch, lambda optimizer, terms, *, log=None: found.update(terms, **log))
    strength = 2 / (1 + math.exp(-10 * done / 8)) - 1  # 2 epochs of 4 batches
    assert found["reversal"].item() == pytest.approx(strength, abs=1e-6)
    assert found["contrast"].item() == pytest.approx(contrast.item(), rel=1e-5)
    assert found["domain"].item() == pytest.approx(0.7 * domain.item(), rel=1e-5)

    def gradients(loss, module):
        return torch.autograd.grad(loss, list(module.parameters()), retain_graph=True)

    total = found["contrast"] + found["domain"]
    for got, want in zip(gradients(total, model.classifier), gradients(domain, model.classifier), strict=True):
        torch.testing.assert_close(got, 0.7 * want, rtol=1e-4, atol=1e-6)
    parts = (gradients(loss, model.encoder) for loss in (total, contrast, domain))
    for got, keep, read in zip(*parts, strict=True):
        torch.testing.assert_close(got, keep - strength * 0.7 * read, rtol=1e-3, atol=1e-5)


def test_schedule_counts_updates_ends_near_one_and_is_in_the_checkpoint():
    model = build()
    step, batch = RecordingStep(model), tiny_batch(model, SMALL)
    factors = []
    for _ in range(10):
        factors.append(model.reversal().item())
        model.update(batch, step)
    expected = [2 / (1 + math.exp(-10 * min(i / 8, 1))) - 1 for i in range(10)]
    assert factors == pytest.approx(expected, abs=1e-6)
    other = build()
    other.load_state_dict(model.state_dict())
    assert other.done.item() == 10


def last_domain_loss(strength=None):
    """How well the classifier reads the domain after 60 updates, in nats; log 4 is a guess."""
    model = build(epochs=30, batch_size=36, classifier_width=32, lr=3e-3)
    if strength is not None:
        model.reversal = lambda: torch.tensor(strength)
    step, batches = RecordingStep(model), tiny_loader(model, SMALL).batches()
    for _ in range(60):
        model.update(next(batches), step)
    batches.close()
    return sum(terms["domain"] for _, terms in step.losses[-10:]) / 10


def test_the_encoder_hides_the_domain_from_the_classifier():
    assert last_domain_loss() > last_domain_loss(strength=0.0) + 0.2
