"""A published LORD folder, made here under other names, gives the same codes as a run directory."""

from collections import OrderedDict

import numpy as np
import pytest
import torch
from desk import refuse, say
from torch import nn

from unbraid.encoder import load
from unbraid.errors import UserError
from unbraid.importers.lord import read
from unbraid.nets import AdaINDecoder
from unbraid.nets.lord_encoder import LORDEncoder

WIDTH, Z, DOMAIN = 4, 6, 10


@pytest.fixture
def folder(tmp_path):
    """The folder, its content encoder, its decoder and the class embedding."""
    torch.manual_seed(0)
    (path := tmp_path / "lord").mkdir()
    content, classes = (LORDEncoder((3, 32, 32), dim, width=WIDTH) for dim in (Z, DOMAIN))
    decoder = AdaINDecoder(Z, DOMAIN, (3, 32, 32), width=16)
    parts = {
        "a_content": content.state_dict(),
        "b_class": classes.state_dict(),
        "c_mod": decoder.modulation.state_dict(),
        "d_gen": {k: v for k, v in decoder.state_dict().items() if not k.startswith("modulation")},
    }
    state = OrderedDict((f"{part}.{name}", value) for part, found in parts.items() for name, value in found.items())
    torch.save(state, path / "amortized.pth")
    tables = {"content.weight": torch.randn(50, Z), "class.weight": torch.randn(5, DOMAIN)}
    torch.save(tables, path / "latent.pth")
    return path, content.eval(), decoder.eval(), nn.Embedding.from_pretrained(tables["class.weight"])


def test_same_codes_and_same_drawings(folder, tmp_path, capsys):
    path, encoder, decoder, classes = folder
    say(capsys, "import", "lord", str(path), "--out", str(tmp_path / "run"))
    loaded = load(tmp_path / "run")
    images = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), dtype=np.uint8)
    domain = torch.tensor([0, 4, 2])
    with torch.no_grad():
        z = encoder(torch.from_numpy(images).permute(0, 3, 1, 2) / 255)
        drawn = decoder(z, classes(domain))
        torch.testing.assert_close(loaded.method.decode(z, domain), drawn, atol=1e-5, rtol=1e-5)
    np.testing.assert_allclose(loaded.encode(images), z.numpy(), atol=1e-5)
    assert loaded.spec.image_shape == (3, 32, 32)
    assert (loaded.spec.sizes["domain"], loaded.spec.num_train) == (5, 50)
    assert loaded.config.hparams.epochs == 400


def test_what_is_not_there_is_named(folder, tmp_path, capsys):
    path = folder[0]
    state = torch.load(path / "amortized.pth", weights_only=True)
    torch.save({k: v for k, v in state.items() if not k.startswith("b_class")}, path / "amortized.pth")
    with pytest.raises(UserError, match="no network with the shapes of LORD's domain_encoder"):
        read(path, tmp_path / "run")
    torch.save({"x.weight": torch.zeros(2, 2)}, path / "amortized.pth")
    assert "holds no encoder of LORD's" in refuse(capsys, "import", "lord", str(path))
    (path / "latent.pth").write_bytes(b"damaged")
    assert "is not a file of weights" in refuse(capsys, "import", "lord", str(path))
    assert "leave --epoch out" in refuse(capsys, "import", "lord", str(path), "--epoch", "20")
