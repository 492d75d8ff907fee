"""What is saved of a biased network and of partitions, against a network that reads the colour and nothing else."""

import numpy as np
import pytest
import torch
from fake_bias import ColourReader, Divider, Untrained, biased_dataset, is_aligned
from fake_training import tiny_batch, tiny_dataset, tiny_loader

from unbraid.hparams import parse
from unbraid.methods import method
from unbraid.metrics.association import from_arrays, name_of
from unbraid.samples.bias import save_bias
from unbraid.samples.partitions import save_partitions
from unbraid.types import KnowsBias, SwapsBias


@pytest.fixture(scope="module")
def data():
    return biased_dataset()


@pytest.fixture(scope="module")
def saved(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("bias") / "bias.npz"
    save_bias(path, ColourReader(data), data, 0)
    with np.load(path, allow_pickle=False) as file:
        return dict(file)


def test_rows_are_those_of_the_train_split_and_numbers_are_the_networks(data, saved):
    rows = saved["row"]
    assert rows.tolist() == data.rows("train").tolist()
    assert saved["label"].tolist() == data.columns["shape"][rows].tolist()
    assert saved["biased_answer"].tolist() == data.columns["colour"][rows].tolist()
    assert saved["debiased_answer"].tolist() == saved["label"].tolist()
    assert saved["aligned"].tolist() == is_aligned(data)[rows].tolist()
    assert (saved["weight"] == ~saved["aligned"]).all()
    logits = 40 * data.images[rows].mean(axis=(1, 2)) / 255
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(saved["biased_confidence"], p[np.arange(len(p)), saved["label"]], rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(saved["biased_loss"], -np.log(saved["biased_confidence"]), rtol=1e-3, atol=1e-5)


def test_the_gallery_has_the_easiest_and_the_hardest_of_each_label(data, saved):
    place, hard = saved["gallery_place"], saved["gallery_hard"]
    np.testing.assert_array_equal(saved["gallery_images"], data.images[saved["row"][place]])
    for label in range(3):
        rows = np.flatnonzero(saved["label"] == label)
        loss = np.sort(saved["biased_loss"][rows])
        mine = saved["label"][place] == label
        np.testing.assert_allclose(saved["biased_loss"][place[mine & ~hard]], loss[:5])
        np.testing.assert_allclose(saved["biased_loss"][place[mine & hard]], loss[::-1][:5])


def test_the_bias_gets_its_name_without_being_told(data, saved):
    found = from_arrays(saved)
    assert set(found) == {"colour", "size"}
    assert name_of(found) == "colour"


def test_swapped_features(data, saved):
    assert saved["swap_row_label"].tolist() == saved["swap_column_label"].tolist() == [0, 1, 2]
    assert set(data.split[saved["swap_row"]]) == {2}
    assert is_aligned(data)[saved["swap_column"]].all()
    np.testing.assert_array_equal(saved["swap_answer"], np.repeat([[0], [1], [2]], 3, axis=1))
    np.testing.assert_array_equal(saved["swap_biased_answer"], np.repeat([[0, 1, 2]], 3, axis=0))


def test_other_methods_write_nothing(tmp_path, data):
    save_bias(tmp_path / "bias.npz", Untrained(data), data, 0)
    save_partitions(tmp_path / "partitions.npz", Untrained(data), data, 0)
    assert list(tmp_path.iterdir()) == []


def test_partitions_with_images_of_each_side_and_what_they_go_with(tmp_path, data):
    model = Divider(data)
    save_partitions(tmp_path / "partitions.npz", model, data, 0)
    with np.load(tmp_path / "partitions.npz", allow_pickle=False) as file:
        found = dict(file)
    train = data.rows("train")
    np.testing.assert_array_equal(found["environments"], model.found_partitions.environments.numpy())
    assert (found["epochs"].tolist(), found["objective"].tolist()) == ([0, 10], pytest.approx([-0.5, -0.9]))
    newest = found["gallery_partition"] == 1
    colours = found["gallery_images"][newest][:, 0, 7].argmax(axis=1)
    assert (colours > 0).tolist() == (found["gallery_environment"][newest] == 1).tolist()
    names = [from_arrays({k[2:]: v for k, v in found.items() if k.startswith(f"{p}:")}) for p in (0, 1)]
    assert [name_of(one) for one in names] == [None, "colour"]
    assert len(train) == found["environments"].shape[1]


@pytest.mark.parametrize("name", ["lff", "disent-swap", "jtt"])
def test_methods_with_a_biased_network(tmp_path, name):
    kind = method(name)
    torch.manual_seed(0)
    model = kind(parse(kind.config_class, kind.presets["tiny"], owner=name), tiny_dataset().spec)
    assert isinstance(model, KnowsBias)
    assert isinstance(model, SwapsBias) == (name == "disent-swap")
    batch = tiny_batch(model)
    if name == "jtt":
        model.begin_epoch(1, tiny_loader(model).in_order(16), lambda *_, **__: None)
    model.train().update(batch, lambda *_, **__: None)
    weight = model.eval().bias_weight(torch.arange(72), torch.from_numpy(tiny_dataset().columns["shape"][:72]))
    seen = torch.isin(torch.arange(72), batch.index)
    assert ((weight[seen] >= 0) & (weight[seen] <= 1)).all()
    if name == "jtt":
        wrong = model.bias_predict(batch.x).argmax(1) != batch.label
        assert torch.equal(weight[batch.index] == 1, wrong)
    else:
        assert weight[~seen].isnan().all()
    save_bias(tmp_path / "bias.npz", model, tiny_dataset(), 0)
    with np.load(tmp_path / "bias.npz") as file:
        assert "aligned" not in file  # each camera is as frequent in every shape
        assert ("swap_answer" in file) == (name == "disent-swap")


def test_disent_swap_without_a_swap_is_its_own_prediction():
    kind = method("disent-swap")
    model = kind(parse(kind.config_class, kind.presets["tiny"], owner=""), tiny_dataset().spec).eval()
    x = tiny_batch(model).x
    answers = model.swap_predict(x, x)
    torch.testing.assert_close(answers[0], model.predict(x))
    torch.testing.assert_close(answers[1], model.bias_predict(x))
    swapped = model.swap_predict(x, x.flip(0))[1]
    by_hand = model.bias_head(torch.cat([model.encoder(x), model.bias_encoder(x).flip(0)], dim=1))
    torch.testing.assert_close(swapped, by_hand)
