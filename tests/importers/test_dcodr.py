"""A published training folder, made here with the published names, gives the same codes as a run directory."""

import pickle
from collections import OrderedDict

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from desk import refuse, say
from torch import nn

from unbraid.cli import main
from unbraid.encoder import load
from unbraid.errors import UserError
from unbraid.importers.dcodr import read
from unbraid.importers.unpickle import read_settings
from unbraid.nets import AdaINDecoder, backbone

RATES = {"generator": 3e-4, "latent": 3e-3, "encoder": 1e-4}
SETTINGS = {
    "img_shape": (64, 64, 3),
    "n_imgs": 640,
    "device": torch.device("cpu"),
    "train": {"n_epochs": 200, "batch_size": 64, "num_b_cls": 4, "num_b_cls_samp": 32, "learning_rate": RATES},
    "content_dim": 128,
    "class_dim": 16,
    "dataset_name": "toys_train",
    "n_classes": np.int64(5),
    "num_rand_negs": 64,
    "num_pos": 1,
    "tau": 0.2,
    "use_fc_head": True,
    "reconstruction_decay": 0.3,
}
ENCODER = {
    "trunk.": "content_encoder.module.resnet50.",
    "projection.": "content_encoder.module.fc_layers.0.",
    "head.": "siamese.module.",
}
GENERATOR = {
    "modulation.layers.": "modulation.module.adain_per_layer.",
    **{f"fc.{i}.": f"generator.module.fc_layers.{2 * i}." for i in range(3)},
    **{f"convs.{i}.": f"generator.module.adain_conv_layers.{4 * i + 1}." for i in range(4)},
    "last.": "generator.module.last_conv_layers.",
}


def published(state, names) -> OrderedDict:
    prefix = {key: next(ours for ours in names if key.startswith(ours)) for key in state}
    return OrderedDict((names[prefix[key]] + key.removeprefix(prefix[key]), value) for key, value in state.items())


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The folder, its encoder and its decoder."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("tau_0_2")
    encoder, decoder = backbone("resnet50", out_dim=128, head=True), AdaINDecoder(128, 16, (3, 64, 64))
    classes = nn.Embedding(5, 16)
    torch.save(published(encoder.state_dict(), ENCODER), path / "encoder_last.pth")
    generator = published(decoder.state_dict(), GENERATOR) | {"class_embedding.module.weight": classes.weight.data}
    torch.save(generator, path / "generator_last.pth")
    (path / "config.pkl").write_bytes(pickle.dumps(SETTINGS))
    return path, encoder.eval(), decoder.eval(), classes


def test_published_names_count(folder):
    state = torch.load(folder[0] / "encoder_last.pth", weights_only=True)
    assert len(state) == 328  # with head, as the specification of the format says
    assert all(name.split(".")[0] in ("content_encoder", "siamese") for name in state)


def test_same_codes_and_same_drawings(folder, tmp_path, capsys):
    path, encoder, decoder, classes = folder
    out = say(capsys, "import", "dcodr", str(path), "--out", str(tmp_path / "run"))
    assert out.endswith(f"unbraid export {tmp_path / 'run'}\n")
    images = np.random.default_rng(0).integers(0, 256, (3, 64, 64, 3), dtype=np.uint8)
    loaded = load(tmp_path / "run")
    with torch.no_grad():
        x = torch.from_numpy(images).permute(0, 3, 1, 2) / 255
        z = F.normalize(encoder(x), dim=-1)
        drawn = decoder(z, classes(torch.tensor([0, 4, 2])))
        ours = loaded.method.decode(z, torch.tensor([0, 4, 2]))
    np.testing.assert_allclose(loaded.encode(images), z.numpy(), atol=1e-5)
    torch.testing.assert_close(ours, drawn, atol=1e-5, rtol=1e-5)
    assert loaded.config.hparams.head
    assert loaded.config.hparams.max_negatives == 64
    assert loaded.spec.sizes == {"domain": 5}


def test_without_generator_it_is_the_contrastive_half(folder, tmp_path):
    (part := tmp_path / "part").mkdir()
    for name in ("config.pkl", "encoder_last.pth"):
        (part / name).symlink_to(folder[0] / name)
    assert load(read(part, tmp_path / "run").path).config.method == "dcodr-norec"


def test_what_does_not_fit_is_listed(folder, tmp_path, capsys):
    (part := tmp_path / "part").mkdir()
    (part / "config.pkl").symlink_to(folder[0] / "config.pkl")
    assert "no weights at" in refuse(capsys, "import", "dcodr", str(part))
    state = torch.load(folder[0] / "encoder_last.pth", weights_only=True)
    state["surplus.weight"] = state.pop("siamese.module.0.weight")
    torch.save(state, part / "encoder_last.pth")
    line = refuse(capsys, "import", "dcodr", str(part), "--out", str(tmp_path / "run"))
    assert "1 missing (encoder.head.0.weight); 1 unknown (surplus.weight)" in line
    assert not (tmp_path / "run").exists()
    assert "no folder" in refuse(capsys, "import", "dcodr", str(tmp_path / "nowhere"))
    assert "Did you mean 'dcodr'" in refuse(capsys, "import", "dcod", str(part))


def test_pickled_code_is_never_run(tmp_path):
    class Trap:
        def __reduce__(self):
            return (tmp_path / "sprung").touch, ()

    (path := tmp_path / "config.pkl").write_bytes(pickle.dumps({"a": 1, "trap": Trap(), "n": np.int64(3)}))
    settings = read_settings(path)
    assert (settings["a"], settings["n"]) == (1, 3)
    assert not (tmp_path / "sprung").exists()
    path.write_bytes(b"cos\nsystem\n(S'exit 1'\ntR.")
    with pytest.raises(UserError, match="no dictionary"):
        read_settings(path)
    path.write_bytes(b"\x80\x04damaged")
    with pytest.raises(UserError, match="damaged or no pickle"):
        read_settings(path)


def test_missing_settings_are_named(folder, tmp_path):
    (part := tmp_path / "part").mkdir()
    (part / "encoder_last.pth").symlink_to(folder[0] / "encoder_last.pth")
    (part / "config.pkl").write_bytes(pickle.dumps({key: SETTINGS[key] for key in SETTINGS if key != "tau"}))
    with pytest.raises(UserError, match="lacks tau"):
        read(part, tmp_path / "run")
    assert main(["import", "dcodr", str(part)]) == 2
