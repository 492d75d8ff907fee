"""What every method owes, for each row of METHODS: no list to maintain."""

import ast
import inspect
from pathlib import Path

import pytest
import torch
from fake_training import RecordingStep, tiny_batch, tiny_dataset, tiny_loader

from unbraid.augment import views
from unbraid.data import DATASETS
from unbraid.hparams import parse
from unbraid.methods import METHODS, method
from unbraid.seeds import integer
from unbraid.types import Batch, Decodes, Method

IMAGE = (3, 32, 32)


def build(name: str, image_shape=IMAGE, preset="tiny", seed=0) -> Method:
    kind = method(name)
    torch.manual_seed(integer(seed, "init"))
    cfg = parse(kind.config_class, kind.presets[preset], owner=name)
    return kind(cfg, tiny_dataset(image_shape).spec)


def train(model: Method, batch: Batch, num: int) -> list[dict[str, float]]:
    step = RecordingStep(model)
    for i in range(num):
        torch.manual_seed(i)
        model.update(batch, step)
    return step.losses


@pytest.fixture(params=METHODS)
def name(request):
    return request.param


def test_builds_from_every_preset_and_has_a_tiny_one(name):
    kind = method(name)
    assert "tiny" in kind.presets
    for preset, values in {"defaults": {}, **kind.presets}.items():
        numbers = {option: value for option, value in values.items() if option != "views"}
        parse(kind.config_class, numbers, owner=f"{name}, preset {preset}")
        views(values.get("views", kind.views))


def test_updates_lower_the_first_optimisers_terms(name):
    model = build(name)
    if not model.optimizers():
        pytest.skip("trains nothing")
    losses = train(model.train(), tiny_batch(model), 30)
    first = [sum(terms.values()) for optimizer, terms in losses if optimizer == losses[0][0]]
    assert sum(first[-3:]) / 3 < first[0]


def test_terms_are_finite_scalars(name):
    model = build(name)
    for _, terms in train(model.train(), tiny_batch(model), 2):
        assert all(torch.isfinite(torch.tensor(value)) for value in terms.values())


def test_each_trainable_parameter_is_in_one_optimiser_and_gets_a_gradient(name):
    model = build(name)
    optimizers = model.optimizers()
    if not optimizers:
        pytest.skip("trains nothing")
    owned = [id(p) for o in optimizers.values() for group in o.param_groups for p in group["params"]]
    trainable = {id(p): key for key, p in model.named_parameters() if p.requires_grad}
    assert len(owned) == len(set(owned))
    assert set(owned) == set(trainable)
    step, batch = RecordingStep(model.train()), tiny_batch(model)
    for epoch in range(model.cfg.epochs):  # a method may train its parts in stages
        model.begin_epoch(epoch, tiny_loader(model).in_order(model.cfg.batch_size), step)
        model.update(batch, step)
    assert [key for key, p in model.named_parameters() if p.requires_grad and p.grad is None] == []


def test_encode_is_deterministic_and_row_by_row(name):
    model = build(name).eval()
    x = tiny_batch(model).x
    with torch.inference_mode():
        z = model.encode(x)
        assert z.shape[0] == len(x)
        assert z.dtype == torch.float32
        assert torch.equal(z, model.encode(x))
        torch.testing.assert_close(model.encode(x[:3]), z[:3], rtol=1e-4, atol=1e-5)


def test_labels_that_were_not_declared_are_not_there(name):
    model = build(name)
    batch = tiny_batch(model)
    for role in ("domain", "label", "factors", "bias"):
        assert (getattr(batch, role) is not None) == (role in model.needs.labels)


def test_same_seed_same_bits(name):
    first, second = (build(name) for _ in range(2))
    for model in (first, second):
        train(model.train(), tiny_batch(model), 3)
    other = build(name, seed=1)
    states = [model.state_dict() for model in (first, second, other)]
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])
    assert any(not torch.equal(states[0][key], states[2][key]) for key in states[0])


@pytest.mark.parametrize("channels", [1, 3])
def test_grey_and_colour(name, channels):
    model = build(name, image_shape=(channels, 32, 32))
    train(model.train(), tiny_batch(model, image_shape=(channels, 32, 32)), 1)


def test_decoded_images_are_images(name):
    model = build(name).eval()
    if not isinstance(model, Decodes):
        pytest.skip("does not draw")
    batch = tiny_batch(model)
    with torch.inference_mode():
        drawn = model.decode(model.encode(batch.x), torch.zeros(len(batch.x), dtype=torch.int64))
    assert drawn.shape == batch.x.shape
    assert 0 <= drawn.min() <= drawn.max() <= 1


def test_step_size_is_a_pure_function_of_progress(name):
    model = build(name)
    scales = [model.lr_scale(epoch) for epoch in (0.0, 0.5, 1.9, 0.0)]
    assert scales[0] == scales[3] == 1.0
    assert all(scale > 0 for scale in scales)


def test_file_names_no_data_set_outside_its_presets(name):
    source = Path(inspect.getfile(method(name)))
    tree = ast.parse(source.read_text())
    kept = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign) and any(getattr(target, "id", "") == "presets" for target in node.targets)
    ]
    allowed = {id(part) for node in kept for part in ast.walk(node)}
    words = [n.value for n in ast.walk(tree) if isinstance(n, ast.Constant) and id(n) not in allowed]
    assert not set(DATASETS) & {word for word in words if isinstance(word, str)}
