"""unbraid encode: another data set's codes under a trained run."""

import json
import shutil

import numpy as np
import pytest
from desk import DATA, say

from unbraid.card import audit
from unbraid.cli import main
from unbraid.encoder import load
from unbraid.tables import Codes


def test_codes_of_other_data_can_be_audited(trained, tmp_path, capsys):
    out = tmp_path / "codes.npz"
    assert say(capsys, "encode", trained.path, "--data", DATA, "--out", out).endswith(f"unbraid audit {out}\n")
    ours, before = Codes.load(out), Codes.load(trained.codes)
    np.testing.assert_array_equal(ours.z, before.z)
    assert ours.spec == before.spec
    assert "can be read from the code" in say(capsys, "audit", out, "--metrics", "leakage")


def test_a_run_can_be_audited_from_python(trained):
    assert audit(trained, metrics=["leakage"]).spec.domain == "paint"


def test_a_run_that_is_not_finished_is_said_to_be_so(trained, tmp_path, caplog):
    for name in ("config.json", "spec.json"):
        shutil.copy(trained.path / name, tmp_path)
    shutil.copytree(trained.checkpoint, tmp_path / "checkpoint")
    load(tmp_path)
    assert not caplog.records  # only scores are missing
    state = json.loads((tmp_path / "checkpoint" / "state.json").read_text())
    (tmp_path / "checkpoint" / "state.json").write_text(json.dumps(state | {"num_steps": state["step"] + 3}))
    load(tmp_path)
    assert f"is not finished: its encoder after {state['step']} of {state['step'] + 3} steps" in caplog.text


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ((), "say what to encode with --data"),
        (("--data", DATA, "--out", "codes.csv"), "--out is a file ending in .npz, not codes.csv"),
        (("--data", "digits:size=16"), "of your own give --size 32 --color rgb"),
    ],
)
def test_a_mistake_is_one_line(trained, words, complaint, capsys):
    assert main(["encode", str(trained.path), *words]) == 2
    said = capsys.readouterr().err
    assert complaint in said
    assert said.count("\n") == 1
