"""DrNet: partners, the adversary and its confusion against loops, what each optimiser leaves alone."""

import math
from collections import Counter

import pytest
import torch
from fake_training import RecordingStep, brightened, tiny_batch, tiny_dataset, tiny_loader
from torch import nn

from unbraid.errors import UserError
from unbraid.losses.confusion import confusion_loss, draw_partner, same_domain_loss
from unbraid.methods.drnet import Config, DrNet
from unbraid.nets.dcgan import DCGANDecoder, DCGANEncoder

SMALL = (1, 16, 16)


def build(image_shape=SMALL, **values):
    torch.manual_seed(0)
    return DrNet(Config(**DrNet.presets["tiny"] | values), tiny_dataset(image_shape).spec).train()


def sigmoid(x):
    return 1 / (1 + math.exp(-x))


def test_partners_are_among_the_allowed_and_all_are_drawn():
    torch.manual_seed(0)
    domain = torch.tensor([0, 0, 0, 0, 1, 1])
    others = (domain[:, None] == domain) & ~torch.eye(6, dtype=torch.bool)
    drawn = Counter((row, column) for _ in range(600) for row, column in enumerate(draw_partner(others).tolist()))
    assert set(drawn) == {tuple(pair) for pair in others.nonzero().tolist()}
    assert all(abs(drawn[0, column] - 200) < 50 for column in (1, 2, 3))


def test_adversary_and_confusion_against_loops():
    same, different = torch.tensor([0.3, -2.0, 1.1]), torch.tensor([0.9, 0.1, -0.4])
    losses = [-math.log(1 - sigmoid(x)) for x in same.tolist()] + [-math.log(sigmoid(x)) for x in different.tolist()]
    assert same_domain_loss(same, different).item() == pytest.approx(sum(losses) / 6, rel=1e-5)
    half = [-0.5 * math.log(sigmoid(x)) - 0.5 * math.log(1 - sigmoid(x)) for x in same.tolist()]
    assert confusion_loss(same).item() == pytest.approx(sum(half) / 3, rel=1e-5)


def test_confusion_is_least_where_the_adversary_cannot_tell_whatever_its_marks():
    logits = torch.zeros(4, requires_grad=True)
    confusion_loss(logits).backward()
    assert confusion_loss(logits).item() == pytest.approx(math.log(2))
    assert logits.grad.tolist() == [0.0] * 4
    x = torch.tensor([0.7, -1.3])
    torch.testing.assert_close(confusion_loss(x), confusion_loss(-x))


class Table(nn.Module):
    """An encoder whose vectors are parameters, so that their gradients can be read."""

    def __init__(self, num, dim):
        super().__init__()
        self.rows = nn.Parameter(torch.randn(num, dim) / 2)

    def forward(self, x):
        return self.rows


def test_update_against_loops():
    model = build(confusion_weight=0.2)
    batch = tiny_batch(model, SMALL)
    num = len(batch.x)
    model.pose_encoder, model.static_encoder = Table(num, 8), Table(num, 8)
    pose, static = model.pose_encoder.rows, model.static_encoder.rows
    found = {}
    torch.manual_seed(3)
    model.update(batch, lambda optimizer, terms, *, log=None: found.update({optimizer: terms}))
    torch.manual_seed(3)
    domain = batch.domain.tolist()
    same = torch.tensor([[a == b for b in domain] for a in domain])
    others = same & ~torch.eye(num, dtype=torch.bool)
    twin, stranger, another, like = (draw_partner(mask) for mask in (others, ~same, others, others))

    def tell(i, j):
        return model.adversary(torch.cat([pose[i], pose[j]]))

    pairs = same_domain_loss(*(torch.cat([tell(i, p[i]) for i in range(num)]) for p in (twin, stranger)))
    assert found["adversary"]["pairs"].item() == pytest.approx(pairs.item(), rel=1e-5)
    logits = torch.cat([tell(i, twin[i]) for i in range(num)])
    terms = found["main"]
    assert terms["confusion"].item() == pytest.approx(0.2 * confusion_loss(logits).item(), rel=1e-5)
    differences = [(static[i] - static[like[i]]).square().mean().item() for i in range(num)]
    assert terms["similarity"].item() == pytest.approx(sum(differences) / num, rel=1e-5)
    drawn = model.decoder(torch.stack([torch.cat([static[another[i]], pose[i]]) for i in range(num)]))
    assert terms["rec"].item() == pytest.approx((drawn - batch.x).square().mean().item(), rel=1e-4)

    (gradient,) = torch.autograd.grad(terms["similarity"], static)  # as if the partner were a constant
    expected = torch.stack([2 * (static[i] - static[like[i]]) / (num * 8) for i in range(num)])
    torch.testing.assert_close(gradient, expected)
    assert torch.autograd.grad(found["adversary"]["pairs"], pose, allow_unused=True) == (None,)


def test_each_optimiser_changes_its_own_part():
    model = build()
    optimizers, batch = model.optimizers(), tiny_batch(model, SMALL)
    seen = []

    def step(name, terms, *, log=None):
        before = {key: value.clone() for key, value in model.named_parameters()}
        params = [param for group in optimizers[name].param_groups for param in group["params"]]
        torch.stack(list(terms.values())).sum().backward(inputs=params)
        optimizers[name].step()
        changed = {key.split(".")[0] for key, value in model.named_parameters() if not torch.equal(before[key], value)}
        seen.append((name, changed))

    model.update(batch, step)
    assert seen == [("adversary", {"adversary"}), ("main", {"pose_encoder", "static_encoder", "decoder"})]


def test_two_domains_are_needed():
    with pytest.raises(UserError, match="two domains"):
        build(domains_per_batch=1)


def test_networks_are_dcgans():
    torch.manual_seed(0)
    encoder, decoder = DCGANEncoder((3, 64, 64), 10), DCGANDecoder(20, (3, 64, 64))
    maps = [(3, 64), (64, 128), (128, 256), (256, 512), (512, 10)]
    assert count(encoder) == sum(a * b * 16 + b + 2 * b for a, b in maps)  # weights, biases, batch normalisation
    maps = [(20, 512), (512, 256), (256, 128), (128, 64), (64, 3)]
    assert count(decoder) == sum(a * b * 16 + b + 2 * a for a, b in maps) - 2 * 20
    weights = [param for param in encoder.parameters() if param.dim() > 1]
    assert all(w.mean().abs() < 0.003 and abs(w.std() - 0.02) < 0.002 for w in weights)
    z = encoder.eval()(torch.rand(2, 3, 64, 64))
    assert z.shape == (2, 10)
    assert z.abs().max() < 1
    image = decoder.eval()(torch.rand(2, 20))
    assert image.shape == (2, 3, 64, 64)
    assert 0 < image.min() < image.max() < 1


def count(model):
    return sum(param.numel() for param in model.parameters())


@pytest.mark.parametrize("shape", [(3, 56, 64), (3, 64, 40)])
def test_other_sizes_are_named(shape):
    with pytest.raises(ValueError, match="multiples of 16"):
        build(shape)


def test_it_draws_an_image_in_another_domain():
    """The tiny data's domains differ in brightness: the darkest and the brightest can be told in what it draws."""
    model = build(batch_size=32, domains_per_batch=4, width=8)
    step, loader = RecordingStep(model), tiny_loader(model, SMALL)
    batches = loader.batches()
    for _ in range(80):
        model.update(next(batches), step)
    batches.close()
    assert (brightened(model, loader) > 0.1).all()
