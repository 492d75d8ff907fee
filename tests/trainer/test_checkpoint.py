"""Checkpoints are whole or not there, and a damaged one is named."""

import pickle

import pytest
import torch

from unbraid import checkpoint
from unbraid.errors import UserError


def write(folder, value=1.0):
    weights = {"w": torch.full((3,), value)}
    checkpoint.save(folder, weights=weights, optimizers={"main": {"state": {}}}, state={"step": 5})


def test_round_trip(tmp_path):
    write(tmp_path / "c")
    assert checkpoint.load_weights(tmp_path / "c")["w"].tolist() == [1.0] * 3
    assert checkpoint.load_state(tmp_path / "c")["step"] == 5
    assert checkpoint.load_optimizers(tmp_path / "c") == {"main": {"state": {}}}


def test_a_failed_write_leaves_the_old_one(tmp_path, monkeypatch):
    write(tmp_path / "c")

    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(OSError, match="No space"):
        write(tmp_path / "c", value=2.0)
    assert checkpoint.load_weights(tmp_path / "c")["w"].tolist() == [1.0] * 3
    assert [path.name for path in tmp_path.iterdir()] == ["c"]


@pytest.mark.parametrize("name", ["weights.safetensors", "optimizers.pt", "state.json"])
@pytest.mark.parametrize("damage", ["cut", "flipped", "gone"])
def test_damage_is_named(tmp_path, name, damage):
    write(tmp_path / "c")
    file = tmp_path / "c" / name
    content = bytearray(file.read_bytes())
    if damage == "gone":
        file.unlink()
    else:
        content[len(content) // 2] ^= 0xFF
        file.write_bytes(content[: len(content) // 2] if damage == "cut" else content)
    for read in (checkpoint.load_weights, checkpoint.load_optimizers):
        if name in ("state.json", {"load_weights": "weights.safetensors"}.get(read.__name__, "optimizers.pt")):
            with pytest.raises(UserError, match=r"is damaged .*delete that folder"):
                read(tmp_path / "c")


def test_no_pickle_is_executed(tmp_path):
    class Bomb:
        def __reduce__(self):
            return (pytest.fail, ("pickle was executed",))

    write(tmp_path / "c")
    bomb = pickle.dumps(Bomb())
    (tmp_path / "c" / "optimizers.pt").write_bytes(bomb)
    with pytest.raises(UserError, match="is damaged"):
        checkpoint.load_optimizers(tmp_path / "c")
