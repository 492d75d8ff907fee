"""Linear evaluation of a run on its images: against the score on stored codes, and a loop of the published habit."""

import copy

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from desk import write_desk

import unbraid
from unbraid import data
from unbraid.cli import main
from unbraid.encode import to_tensor
from unbraid.encoder import load, load_data
from unbraid.errors import UserError
from unbraid.metrics.network_probe import linear_evaluation as fit
from unbraid.records import RunDir
from unbraid.seeds import integer
from unbraid.studies.linear_evaluation import Protocol, linear_evaluation

DATA = "digits:source=sklearn,num=300"
TINY = {"preset": "tiny", "precision": "fp32", "epochs": 1, "metrics": ["knn"]}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    return unbraid.train("barlow-twins", DATA, out=tmp_path_factory.mktemp("runs") / "run", **TINY)


def labelled(run):
    """Encoder, images and labels of both splits."""
    encoder = load(run.path)
    dataset = load_data(encoder.config)
    label = dataset.columns[dataset.spec.label]
    return encoder.method, [
        (
            to_tensor(dataset.images[dataset.rows(split)], torch.device("cpu")),
            torch.from_numpy(label[dataset.rows(split)]),
        )
        for split in ("train", "test")
    ]


def test_as_it_is_it_learns_from_features_that_are_not_normalised(trained):
    method, ((x, y), (x_test, y_test)) = labelled(trained)
    with torch.inference_mode():
        z, z_test = (method.encoder(images).numpy() for images in (x, x_test))
    options = {"seed": integer(0, "linear-evaluation"), "epochs": 7, "batch_size": 64, "least_steps": 0}
    right = fit(z, y.numpy(), z_test, 10, **options).argmax(1) == y_test.numpy()
    top1, top5 = linear_evaluation(trained, Protocol(epochs=7, batch_size=64))
    assert top1.value == pytest.approx(right.mean(), abs=0.02)  # pieces of other sizes differ in the last bits
    assert top1.low <= top1.value < top5.value
    assert top1.variant == "top-1, on images, 7 epochs, batch norm eval"


def test_batch_norm_in_train_mode_adapts_and_leaves_the_run_alone(trained):
    method, ((x, y), (x_test, y_test)) = labelled(trained)
    before = copy.deepcopy(method.state_dict())
    torch.manual_seed(integer(0, "linear-evaluation"))
    layer = torch.nn.Linear(8, 10)
    optimizer = torch.optim.Adam(layer.parameters(), lr=1e-3, weight_decay=1e-6)
    method.train()
    for _ in range(3):  # the whole train split in one batch, so that its order does not matter
        with torch.no_grad():
            z = method.encoder(x)
        optimizer.zero_grad()
        F.cross_entropy(layer(z), y).backward()
        optimizer.step()
    method.eval()
    assert not torch.equal(before["encoder.trunk.1.running_mean"], method.encoder.trunk[1].running_mean)
    with torch.no_grad():
        right = layer(method.encoder(x_test)).argmax(1) == y_test
    top1, _ = linear_evaluation(trained, Protocol(epochs=3, batch_size=len(x), batch_norm="train"))
    assert top1.value == pytest.approx(right.double().mean().item(), abs=0.02)
    after = load(trained.path).method.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_the_published_protocol_from_the_command_line(trained, capsys):
    words = ["--epochs", "2", "--batch_size", "64", "--augment", "true", "--batch_norm", "train"]
    assert main(["linear", str(trained.path), *words]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith("digit, top-1, on images, 2 epochs, batch norm train, augmented: 0.")
    kept = [record for record in RunDir(trained.path).records() if record.metric == "linear-evaluation"]
    assert {"top-1, on images, 2 epochs, batch norm train, augmented"} < {record.variant for record in kept}
    assert any(record.metric == "knn" for record in trained.records())


def test_missing_labels_are_left_out(trained, monkeypatch):
    whole = data.load(DATA)
    label = whole.columns["digit"].copy()
    label[whole.rows("train")[20:]] = -1
    holed = whole.take(np.arange(len(whole)))
    holed.columns["digit"][:] = label
    monkeypatch.setattr("unbraid.studies.linear_evaluation.load_data", lambda config: holed)
    assert linear_evaluation(trained, Protocol(epochs=1))[0].num == len(whole.rows("test"))
    holed.columns["digit"][:] = -1
    with pytest.raises(UserError, match="needs train and test images of digits with a label"):
        linear_evaluation(trained, Protocol(epochs=1))


def test_without_a_label_or_a_run(tmp_path, capsys):
    write_desk(tmp_path)
    run = unbraid.train("barlow-twins", str(tmp_path / "photos"), size=32, out=tmp_path / "run", **TINY)
    with pytest.raises(UserError, match="linear evaluation needs a label, and photos names none"):
        linear_evaluation(run, Protocol())
    assert main(["linear", str(tmp_path / "nothing")]) == 2
    assert "no run at" in capsys.readouterr().err
    assert main(["linear", str(run.path), "--batch_norm", "frozen"]) == 2
    assert "batch_norm must be one of" in capsys.readouterr().err
