"""DisEnt: eight published steps, loops from the paper, which loss trains what, and each option that mends something."""

import json
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from fake_training import tiny_batch, tiny_dataset
from published_debias import PlainStep, published_fill, published_images

from unbraid.hparams import parse
from unbraid.methods.disent_swap import Config, DisEntSwap
from unbraid.tables import DataSpec
from unbraid.types import Batch

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "debias.json").read_text())
SPEC = DataSpec(
    name="golden", image_shape=(3, 28, 28), num_train=256, sizes={"target": 3, "bias": 3}, label="target", bias="bias"
)
GOLDEN_CONFIG = {
    "epochs": 8,
    "batch_size": 256,
    "backbone": "mlp",
    "lr": 2e-3,
    "align_weight": 10.0,
    "swap_align_weight": 5.0,
    "swap_weight": 0.5,
    "swap_start": 0.25,
    "lr_decay_every": 0.25,
}


def golden_model(**values):
    model = DisEntSwap(parse(Config, GOLDEN_CONFIG | values, owner="disent-swap"), SPEC).train()
    published_fill([model.encoder, model.head], 2)
    published_fill([model.bias_encoder, model.bias_head], 3)
    return model


def golden_batch():
    ids = GOLDEN["ids"]
    x = published_images(ids)
    return Batch(index=torch.arange(256), x=x, views=x.new_zeros(256, 0, 3, 28, 28), label=torch.tensor(ids) % 3)


class ScaledStep(PlainStep):
    """With the method's schedule, as the trainer applies it."""

    def __init__(self, model):
        super().__init__(model)
        self.model = model

    def __call__(self, optimizer, terms, *, log=None):
        for group in self.optimizer.param_groups:
            group["lr"] = self.model.cfg.lr * self.model.lr_scale(len(self.logs) / self.model.num_batches)
        super().__call__(optimizer, terms, log=log)


def published_accuracy(model, first, num):
    with torch.inference_mode():
        answers = model.predict(published_images(range(first, first + num))).argmax(1)
    return (answers == torch.arange(num) % 3).float().mean().item()


def test_first_published_forward():  # G8
    model = golden_model()
    with torch.inference_mode():
        x = published_images(GOLDEN["ids"][:1])
        z, bias_z = model.encode(x), model.bias_encoder(x)
        want = [0.073453, 0.133207, 0.076866, 0, 0, 0, 0.015011, 0.103433, 0.097573, 0.008059, 0, 0, 0, 0.061943,
                0.084622, 0.029678]  # fmt: skip
        torch.testing.assert_close(z[0], torch.tensor(want), rtol=1e-4, atol=1e-6)
        logits, bias_logits = model.predict(x), model.bias_head(torch.cat([z, bias_z], dim=1))
    torch.testing.assert_close(logits[0], torch.tensor([0.0971399, -0.1269998, -0.0226990]), rtol=1e-5, atol=1e-7)
    torch.testing.assert_close(bias_logits[0], torch.tensor([0.0208560, -0.1618418, -0.0154242]), rtol=1e-5, atol=1e-7)


def test_eight_published_steps(monkeypatch):  # G8
    perms = iter(GOLDEN["perms"])
    monkeypatch.setattr(torch, "randperm", lambda num, **options: torch.tensor(next(perms)))
    model, batch = golden_model(), golden_batch()
    step = ScaledStep(model)
    for t, want in enumerate(GOLDEN["steps"]):
        model.update(batch, step)
        found = {"swap_conflict": 0.0, "swap_align": 0.0} | step.logs[-1]
        found = {name: found[name] * (2 if "swap" in name else 1) for name in found}  # logged before swap_weight 0.5
        for name in ("conflict", "align", "swap_conflict", "swap_align"):
            assert found[name] == pytest.approx(want[name], rel=1e-5), (t, name)
        assert published_accuracy(model, 1000, 30) == pytest.approx(want["validation"], abs=1e-6), t
        assert published_accuracy(model, 2000, 60) == pytest.approx(want["test"], abs=1e-6), t
    assert next(perms, None) is None  # swapped in steps 3 to 7, no other
    for row, name, head in ((0, "bias", model.bias_head), (1, "intrinsic", model.head)):
        want = torch.tensor(GOLDEN["averages"][name])
        torch.testing.assert_close(model.table.averages[row], want, rtol=1e-5, atol=0)
        torch.testing.assert_close(head.bias.detach(), torch.tensor(GOLDEN["head"][name]), rtol=1e-4, atol=1e-6)
        want = torch.tensor(GOLDEN["head_weight"][name])
        torch.testing.assert_close(head.weight.detach(), want, rtol=1e-4, atol=2e-6)
    want = torch.tensor([[1.6692812, 1.8779078, 1.3855543], [1.1973845, 1.5424681, 1.4889801]])
    torch.testing.assert_close(model.table.class_maximum(), want, rtol=1e-5, atol=0)


def test_published_step_sizes():  # G7: 50 steps, swap after 10, decay each 10
    model = golden_model(epochs=50, swap_start=0.2, lr_decay_every=0.2)
    found = [model.lr_scale(t / model.num_batches) for t in range(50)]
    assert found == [1.0] * 20 + [0.5] * 10 + [0.25] * 10 + [0.125] * 10


@pytest.mark.parametrize("preset", [name for name in DisEntSwap.presets if "pct" in name])
def test_presets_are_the_published_fifty_thousand_batches(preset):
    size = {"cmnist": 55_000, "cifar10c": 45_000, "bffhq": 19_200}[preset.partition("-")[0]]
    cfg = parse(Config, DisEntSwap.presets[preset], owner="disent-swap")
    batches = size // cfg.batch_size
    assert 0 <= cfg.epochs * batches - 50_000 < batches
    assert round(cfg.swap_start * cfg.epochs * batches) == pytest.approx(10_000, rel=3e-3)
    model_lr = {"cmnist": 1e-2, "cifar10c": 5e-4 if "0.5" in preset else 1e-3, "bffhq": 1e-4}
    assert cfg.lr == model_lr[preset.partition("-")[0]]


@pytest.mark.parametrize(("backbone", "num_labels", "num"), [("mlp", 10, 247_346), ("resnet18", 10, 11_186_762)])
def test_published_numbers_of_parameters(backbone, num_labels, num):
    spec = DataSpec(name="x", image_shape=(3, 28, 28), num_train=4, sizes={"target": num_labels}, label="target")
    model = DisEntSwap(Config(backbone=backbone), spec)
    for parts in ((model.encoder, model.head), (model.bias_encoder, model.bias_head)):
        assert sum(param.numel() for part in parts for param in part.parameters()) == num


def tiny_model(**values):
    torch.manual_seed(0)
    return DisEntSwap(Config(**DisEntSwap.presets["tiny"] | values), tiny_dataset((3, 16, 16)).spec).train()


def terms_of(model, batch, done=0):
    found = {}
    model.done = done
    torch.manual_seed(1)
    model.update(batch, lambda optimizer, terms, *, log=None: found.update(terms, **log))
    return found


@pytest.mark.parametrize("exact", [False, True])
def test_terms_are_the_papers_sums(exact):
    options = {"align_weight": 3.0, "swap_weight": 0.5, "swap_align_weight": 2.0, "gce_power": 0.6}
    model = tiny_model(exact_gce=exact, **options)
    batch = tiny_batch(model, (3, 16, 16))
    found = terms_of(model, batch, done=model.swap_start + 1)
    torch.manual_seed(1)
    donor, y = torch.randperm(16).tolist(), batch.label.tolist()
    with torch.no_grad():
        z, b = model.encoder(batch.x), model.bias_encoder(batch.x)

        def minus_log(head, i, j, label):  # of the intrinsic half of image i and the bias half of image j
            return -head(torch.cat([z[i], b[j]])).log_softmax(0)[label]

        def gce(loss):
            p = torch.exp(-loss)
            return (1 - p**0.6) / 0.6 if exact else 0.6 * p**0.6 * loss

        plain, bias = ([minus_log(h, i, i, y[i]) for i in range(16)] for h in (model.head, model.bias_head))
        swapped = [minus_log(model.head, i, donor[i], y[i]) for i in range(16)]
        swapped_bias = [minus_log(model.bias_head, i, donor[i], y[donor[i]]) for i in range(16)]
        top = [[max(losses[i] for i in range(16) if y[i] == k) for k in range(3)] for losses in (bias, plain)]
        relative = [[losses[i] / m[y[i]] for i in range(16)] for losses, m in zip((bias, plain), top)]
        weight = [r / (r + s + 1e-8) for r, s in zip(*relative)]
        want = {
            "conflict": sum(w * loss for w, loss in zip(weight, plain)) / 16,
            "align": 3 * sum(map(gce, bias)) / 16,
            "swap_conflict": 0.5 * sum(w * loss for w, loss in zip(weight, swapped)) / 16,
            "swap_align": 0.5 * 2 * sum(map(gce, swapped_bias)) / 16,
            "weight": sum(weight) / 16,
        }
    assert found.keys() == want.keys()
    for name in want:
        assert found[name].item() == pytest.approx(want[name].item(), rel=1e-5), name


def test_no_swap_until_its_start_is_past():
    model = tiny_model(swap_start=0.5)
    batch = tiny_batch(model, (3, 16, 16))
    assert model.swap_start == 4  # of 2 epochs of 4 batches
    assert "swap_align" not in terms_of(model, batch, done=4)
    assert "swap_align" in terms_of(model, batch, done=5)


@pytest.mark.parametrize("term", ["conflict", "align", "swap_conflict", "swap_align"])
def test_a_loss_trains_one_network_alone(term):
    model = tiny_model()
    found = terms_of(model, tiny_batch(model, (3, 16, 16)), done=8)
    found[term].backward()
    trained = {name for name, child in model.named_children() if any(p.grad is not None for p in child.parameters())}
    assert trained == ({"encoder", "head"} if "conflict" in term else {"bias_encoder", "bias_head"})


def test_normalized_weights_have_mean_one_and_change_nothing_else():
    plain, mended = tiny_model(), tiny_model(normalized_weights=True)
    batch = tiny_batch(plain, (3, 16, 16))
    first, second = (terms_of(model, batch) for model in (plain, mended))
    assert second["weight"].item() == pytest.approx(1, abs=1e-6)
    assert (second["conflict"] * first["weight"]).item() == pytest.approx(first["conflict"].item(), rel=1e-5)
    assert torch.equal(first["align"], second["align"])


def test_paper_weights_are_of_the_batch_alone():
    model = tiny_model(paper_weights=True)
    batch = tiny_batch(model, (3, 16, 16))
    found = terms_of(model, batch)
    with torch.no_grad():
        both = torch.cat([model.encoder(batch.x), model.bias_encoder(batch.x)], dim=1)
        d, b = (F.cross_entropy(h(both), batch.label, reduction="none") for h in (model.head, model.bias_head))
    assert found["weight"].item() == pytest.approx((b / (b + d)).mean().item(), rel=1e-5)


def test_unit_pixels_are_seen_255_times_larger():
    published, mended = golden_model(), golden_model(unit_pixels=True)
    x = published_images([1, 2])
    with torch.no_grad():
        torch.testing.assert_close(mended.encode(x / 255), published.encode(x))


def test_the_code_is_the_intrinsic_half_and_a_prediction_reads_both():
    model = tiny_model().eval()
    x = tiny_batch(model, (3, 16, 16)).x
    with torch.inference_mode():
        z, logits = model.encode(x), model.predict(x)
        model.bias_encoder.encoder.trunk[0].weight.mul_(2).add_(0.1)
        assert torch.equal(model.encode(x), z)
        assert not torch.equal(model.predict(x), logits)


def test_the_number_of_updates_is_in_the_checkpoint():
    model = tiny_model()
    terms_of(model, tiny_batch(model, (3, 16, 16)), done=6)
    other = tiny_model()
    other.load_state_dict(model.state_dict())
    assert other.done == 7
