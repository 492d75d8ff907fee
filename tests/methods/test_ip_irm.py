"""IP-IRM: a published step, when partitions are sought and kept, the mends, and what options refuse."""

import dataclasses

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from fake_training import RecordingStep, tiny_batch, tiny_dataset, tiny_loader
from published_ip_irm import GOLDEN, logits, shares, tiny_weight, views

import unbraid
from unbraid.config import RunConfig
from unbraid.encoder import load
from unbraid.errors import UserError
from unbraid.losses.objectives import barlow_twins, simsiam, vicreg
from unbraid.methods import ip_irm
from unbraid.methods.ip_irm import IPIRM, Config
from unbraid.partitions.fidelity import MENDS
from unbraid.tables import DataSpec
from unbraid.types import Batch

SMALL = (3, 16, 16)
EXACT = {"rel": 1e-9}


def build(**values):
    torch.manual_seed(0)
    return IPIRM(Config(**IPIRM.presets["tiny"] | values), tiny_dataset(SMALL).spec).train()


def begin(model, *epochs):
    for epoch in epochs:
        torch.manual_seed(epoch)
        loader = tiny_loader(model, SMALL).in_order(24, epoch)
        model.begin_epoch(epoch, loader, lambda *_: None)


# --- one published step


def published_step(partitions, num_environments=2, epoch=0, **values):
    """The terms of one update, and the gradient by the weights of a linear network, on eight rows of numbers."""
    weight = tiny_weight().requires_grad_()
    spec = DataSpec(name="eight", image_shape=(1, 1, 4), num_train=8, sizes={})
    options = {"fidelity": "published", "temperature": 0.5, "num_environments": num_environments}
    model = IPIRM(Config(**IPIRM.presets["tiny"] | {"epochs": 400, "backbone": "mlp"} | options | values), spec)
    model.outputs = lambda x: F.normalize(x.flatten(1) @ weight.T)
    model.epoch = epoch
    for place, phase in enumerate(partitions):
        model.bank.add(logits(8, num_environments, phase).argmax(1), place, 0.0)
    pictures = torch.stack(views(8), dim=1)[:, :, None, None]  # (8, 2, 1, 1, 4)
    found = {}
    model.update(Batch(torch.arange(8), pictures[:, 0], pictures), lambda _, terms, *, log: found.update(terms))
    loss = sum(found.values())
    (gradient,) = torch.autograd.grad(loss, weight)
    return found, loss.item(), gradient


@pytest.mark.parametrize(
    ("run", "partitions", "values"),
    [
        ("P1_keep", [0.2], {}),
        ("P2_keep", [0.2, 1.5], {}),
        ("P2_nokeep", [0.2, 1.5], {"global_contrast": False}),
        ("P1_keep_lambda2", [0.2], {"penalty_weight": 2.0}),
        ("single_tensor_keep", [0.2, 1.5], {"retain_partitions": False}),
        ("K3_keep", [0.2], {"num_environments": 3}),
        ("P1_keep_penalty_iters5_epoch1", [0.2], {"penalty_start": 5}),
        ("P1_keep_penalty_iters250_epoch1", [0.2], {"penalty_start": 250}),
        ("P2_keep_tau02", [0.2, 1.5], {"temperature": 0.2}),
    ],
)
def test_published_step(run, partitions, values):  # G4
    want = GOLDEN["G4"][run]
    _, loss, gradient = published_step(partitions, **values)
    assert loss == pytest.approx(want["loss"], **EXACT)
    assert gradient[0].numpy() == pytest.approx(np.array(want["grad_row0"]), **EXACT)
    assert gradient.norm().item() == pytest.approx(want["grad_norm"], **EXACT)


@pytest.mark.parametrize(
    ("run", "partitions", "values"),
    [
        ("retain_P1", [0.2], {}),
        ("retain_P2", [0.2, 1.5], {}),
        ("retain_P1_lambda2", [0.2], {"penalty_weight": 2.0}),
        ("noretain", [0.2], {"retain_partitions": False}),
        ("noretain_lambda2", [0.2], {"retain_partitions": False, "penalty_weight": 2.0}),
        ("noretain_nokeep", [0.2], {"retain_partitions": False, "global_contrast": False}),
    ],
)
def test_published_step_on_mixed_images(run, partitions, values, monkeypatch):  # G5
    monkeypatch.setattr(ip_irm, "mixing", lambda num, alpha: (torch.arange(num).roll(1), shares(num)))
    want = GOLDEN["G5"][run]
    terms, _, gradient = published_step(partitions, mixup=True, **values)
    whole = terms.get("whole", 0.0)  # what it shows has the mean over partitions, its gradient the sum
    shown = whole + (terms["environments"] + terms["penalty"]) / len(partitions)
    assert shown.item() == pytest.approx(want["loss"], **EXACT)
    assert gradient[0].numpy() == pytest.approx(np.array(want["grad_row0"]), **EXACT)
    assert gradient.norm().item() == pytest.approx(want["grad_norm"], **EXACT)


def test_an_empty_subset_is_refused_as_published_and_left_out_when_fixed():
    with pytest.raises(UserError, match="less than 1 images"):
        published_step([0.2], num_environments=8)
    with pytest.raises(UserError, match="less than 2 images"):
        published_step([0.2], num_environments=4, mixup=True)
    for mixup in (False, True):
        _, loss, gradient = published_step([0.2, 1.5], num_environments=6, mixup=mixup, fidelity="fixed")
        assert np.isfinite(loss)
        assert torch.isfinite(gradient).all()


def test_a_mend_changes_what_it_says_and_all_are_fixed():
    assert published_step([0.2], fidelity=",".join(MENDS))[1] == published_step([0.2], fidelity="fixed")[1]
    plain, scalar = published_step([0.2]), published_step([0.2], fidelity="scalar")
    assert plain[0]["environments"] == scalar[0]["environments"]
    assert plain[0]["penalty"] != scalar[0]["penalty"]
    delayed = published_step([0.2], fidelity="delay", penalty_start=250)
    assert delayed[0]["penalty"] == 0
    twice = published_step([0.2, 0.2], mixup=True, fidelity="mean,own-share,scalar,subsets")
    assert len(twice[0]) == 3


def test_fixed_steps_do_not_depend_on_the_order_of_the_batch():
    model = build(fidelity="fixed")
    begin(model, 0)
    batch, found = tiny_batch(model, SMALL), []
    for rows in (torch.arange(16), torch.randperm(16)):
        parts = {name: getattr(batch, name)[rows] for name in ("index", "x", "views")}
        model.update(dataclasses.replace(batch, **parts), lambda _, terms, *, log: found.append(terms))
    for name, value in found[0].items():
        assert value.item() == pytest.approx(found[1][name].item(), rel=1e-4)


# --- the penalty's weight


def test_penalty_schedule():
    model = build(penalty_weight=1.0, penalty_start=3, penalty_ramp=4)
    weights = []
    for epoch in range(8):
        model.epoch = epoch
        weights.append(model.penalty_weight())
    assert weights == [0, 0, 0.25, 0.5, 0.75, 1, 1, 1]


# --- when partitions are sought, and which are kept


@pytest.mark.parametrize(("size", "name"), [(0, "cap0"), (5, "cap5")])
def test_partitions_held_in_each_epoch(size, name, monkeypatch):  # G13
    model = build(epochs=400, maximize_every=50, bank_size=size)
    labels = torch.nn.functional.one_hot(torch.arange(72) % 2, 2).float()
    monkeypatch.setattr(IPIRM, "_search", lambda self, _: ip_irm.Found(labels, labels, 1.0, 1))
    held = {}
    for epoch in range(400):
        model.begin_epoch(epoch, tiny_loader(model, SMALL).in_order(24), lambda *_: None)
        held[str(epoch + 1)] = len(model.partitions)
    want = GOLDEN["G13"][name]
    assert {epoch: held[epoch] for epoch in want["P_at"]} == want["P_at"]
    assert sum(held.values()) / 400 == want["mean_P"]
    assert model.bank.epochs.tolist() == list(range(0, 400, 50))[-size:]


def test_partitions_stay_as_they_were_found_when_fixed():  # G14
    for fidelity, changed in (("fixed", False), ("published", True)):
        model = build(
            epochs=4, random_start=False, fidelity=fidelity, search_stop="published", restarts=1, search_batch_size=72
        )
        begin(model, 0, 1)
        first, second = model.partitions.clone()
        model.encoder.apply(lambda part: isinstance(part, torch.nn.Conv2d) and torch.nn.init.normal_(part.weight))
        begin(model, 2)
        assert len(model.partitions) == 3
        assert torch.equal(model.partitions[0], first)
        if not changed:
            assert torch.equal(model.partitions[1], second)
        else:  # the newest search went on in it
            agree = (model.partitions[1] == model.partitions[2]).float().mean()
            assert agree > (model.partitions[2] == second).float().mean()


def test_search_waits_for_a_plateau():
    model = build(epochs=20, maximize_when="plateau", maximize_every=2, patience=2)
    begin(model, 0)
    for epoch, loss in enumerate([5.0, 4.0, 3.0, 2.0, 1.999, 1.998, 1.0], start=1):
        model.plateau.add(torch.tensor(loss))
        begin(model, epoch)
    assert model.bank.epochs[: len(model.bank)].tolist() == [0, 6]


def test_before_the_first_search_the_whole_batch_is_the_loss():
    model = build(epochs=3, warmup_epochs=2, global_contrast=False)
    begin(model, 0, 1)
    found = {}
    model.update(tiny_batch(model, SMALL), lambda _, terms, *, log: found.update(terms))
    assert list(found) == ["whole"]
    begin(model, 2)
    model.update(tiny_batch(model, SMALL), lambda _, terms, *, log: found.update(terms))
    assert set(found) == {"whole", "environments", "penalty"}
    assert len(model.partitions) == 1


def test_the_baselines_seek_no_partition_and_have_the_losses_of_simclr():  # G11
    model = build(finder="none", tau_plus=0.1)
    begin(model, 0, 1)
    assert len(model.partitions) == 0
    model.outputs = lambda x: F.normalize(x.flatten(1) @ tiny_weight().T)
    pictures = torch.stack(views(6), dim=1)[:, :, None, None]
    batch, found = Batch(torch.arange(6), pictures[:, 0], pictures), {}
    model.update(batch, lambda _, terms, *, log: found.update(terms))
    assert found["whole"].item() == pytest.approx(GOLDEN["G11"]["debiased_tau_plus_01"]["loss"], **EXACT)
    model.cfg = dataclasses.replace(model.cfg, tau_plus=0.0)
    model.update(batch, lambda _, terms, *, log: found.update(terms))
    assert found["whole"].item() == pytest.approx(GOLDEN["G11"]["standard"]["loss"], **EXACT)


@pytest.mark.parametrize("preset", [name for name in IPIRM.presets if name.endswith(("-simclr", "-dcl", "-baseline"))])
def test_presets_of_baselines(preset):
    cfg = RunConfig.make("ip-irm", preset.partition("-")[0], preset=preset)
    hparams = cfg.hparams
    assert (hparams.finder, hparams.temperature, hparams.epochs) == ("none", 0.5, 400)
    assert hparams.tau_plus == (0.1 if preset.endswith("dcl") else 0)
    assert hparams.mixup == ("mixup" in preset)
    assert cfg.settings.views == ("ip-irm-32" if preset.startswith("stl10") else "ip-irm")


def test_a_longer_training_goes_on_from_a_shorter_one():
    first, longer, shorter = build(epochs=2), build(epochs=4), build(epochs=1)
    begin(first, 0, 1)
    for model in (longer, shorter):
        model.load_state_dict(first.state_dict())
    assert torch.equal(longer.partitions, first.partitions)
    assert torch.equal(shorter.partitions, first.partitions[1:])  # the newest
    begin(longer, 2, 3)
    assert longer.bank.epochs.tolist() == [0, 1, 2, 3]
    assert torch.equal(longer.partitions[:2], first.partitions)
    other = IPIRM(first.cfg, dataclasses.replace(tiny_dataset(SMALL).spec, num_train=10))
    with pytest.raises(RuntimeError, match=r"size mismatch for bank\.environments"):
        other.load_state_dict(first.state_dict())


@pytest.mark.parametrize(
    "values",
    [
        {"finder": "clusters"},
        {"finder": "ranked", "num_environments": 3},
        {"search_online": True},
        {"search_online": True, "search_mixup": True, "mixup": True},
        {"search_online": True, "search_mixup": True, "mixup": True, "fidelity": "published", "search_batch_size": 72},
        {"search_mixup": True, "mixup": True, "fidelity": "published"},
        {"mixup": True, "penalty": "v-rex"},
        {"penalty": "irm-key", "random_start": False, "constraint": "confident", "normalize_anchors": False},
        {"objective": "simsiam", "penalty": "v-rex"},
        {"objective": "vicreg", "penalty": "v-rex"},
        {"objective": "barlow-twins", "penalty": "v-rex", "finder": "clusters"},
    ],
)
def test_options_search_and_train(values):
    model = build(epochs=2, search_turns=3, **values)
    step, batch = RecordingStep(model), tiny_batch(model, SMALL)
    begin(model, 0, 1)
    assert model.training
    assert model.partitions.shape == (2, 72)
    assert (model.partitions.amax(1) < model.cfg.num_environments).all()
    assert torch.isfinite(model.bank.values).all()
    if model.cfg.fidelity == "fixed":
        model.update(batch, step)
        assert all(np.isfinite(value) for _, terms in step.losses for value in terms.values())


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"objective": "vicreg"}, "objective vicreg has no logits for penalty irm; use penalty v-rex"),
        ({"objective": "vicreg", "penalty": "v-rex", "mixup": True}, "has no mixup form"),
        ({"finder": "clusters", "search_online": True}, "needs features of all images at once"),
        ({"tau_plus": 1.0}, "tau_plus 1.0 must be a share below 1"),
        ({"tau_plus": 0.1, "mixup": True}, "of objective simclr without mixup"),
        ({"search_mixup": True}, "search_mixup needs search_online"),
        ({"num_environments": 300}, "more than the 256"),
        ({"fidelity": "fixd"}, "not 'fixd'. Did you mean 'fixed'"),
        ({"fidelity": "scalar,delays"}, "not 'delays'. Did you mean 'delay'"),
        ({"fidelity": "published,scalar"}, "published stands alone; name the mends only"),
    ],
)
def test_mistakes_are_named(values, message):
    with pytest.raises(UserError, match=message):
        build(**values)


# --- the network and the other objectives


def test_published_network():  # G12
    with torch.device("meta"):
        model = IPIRM(Config(), DataSpec(name="x", image_shape=(3, 32, 32), num_train=4, sizes={}))
    assert sum(param.numel() for param in model.parameters()) == GOLDEN["G12"]["n_params"]
    assert sum(param.numel() for param in model.projector.parameters()) == GOLDEN["G12"]["n_params_g"]
    shapes = {name: list(value.shape) for name, value in model.projector.state_dict().items()}
    assert shapes["0.weight"] == [512, 2048]
    assert shapes["3.bias"] == [128]


@pytest.mark.parametrize(
    ("data", "preset", "recipe"),
    [("stl10", None, "ip-irm-32"), ("photos", "stl10-mixup-set5", "ip-irm-32"), ("cifar100", "cifar100", "ip-irm")],
)
def test_presets_crop_as_published(data, preset, recipe):
    assert RunConfig.make("ip-irm", data, preset=preset).settings.views == recipe
    assert RunConfig.make("ip-irm", data, preset=preset, views="simclr").settings.views == "simclr"


def test_crops_may_be_smaller_than_the_images(tmp_path):
    options = {"preset": "tiny", "precision": "fp32", "metrics": ["mig"], "max_steps": 1, "views": "ip-irm-32"}
    run = unbraid.train("ip-irm", "digits:source=sklearn,num=100,size=48", out=tmp_path / "run", **options)
    assert load(run.path).spec.image_shape == (3, 48, 48)
    assert len(load(run.path).method.partitions) == 1


def test_an_mlp_takes_no_smaller_crops(tmp_path):
    options = {"preset": "tiny", "precision": "fp32", "backbone": "mlp", "views": "ip-irm-32"}
    with pytest.raises(UserError, match="views are of 32 x 32 pixels, the images of 48 x 48; choose another"):
        unbraid.train("ip-irm", "digits:source=sklearn,num=100,size=48", out=tmp_path / "run", **options)


def test_a_network_of_numbers_sees_pixels_from_0_to_1():
    assert build(backbone="mlp").encoder.divisor == 1


@pytest.mark.parametrize("objective", [simsiam, barlow_twins, vicreg])
def test_weights_of_zero_and_one_are_a_subset(objective):
    torch.manual_seed(0)
    first, second = torch.randn(2, 12, 6, dtype=torch.float64)
    weight = (torch.arange(12) % 3 > 0).double()
    whole = objective(first[weight > 0], second[weight > 0], torch.ones(8, dtype=torch.float64))
    assert objective(first, second, weight).item() == pytest.approx(whole.item(), **EXACT)
