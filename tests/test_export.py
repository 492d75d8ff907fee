"""The encoder elsewhere: the same codes from ONNX Runtime, from torch.export, and from the weights alone."""

import json

import numpy as np
import onnxruntime
import pytest
import torch
from desk import refuse, say
from safetensors.numpy import load_file

from unbraid import run as runs
from unbraid.encoder import load
from unbraid.errors import UserError
from unbraid.export import export

IMAGES = np.random.default_rng(0).integers(0, 256, (5, 28, 28, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("run") / "dcodr-norec"
    options = {"preset": "tiny", "epochs": 1, "device": "cpu", "precision": "fp32", "metrics": ["retrieval"]}
    return runs.train("dcodr-norec", "digits", out=path, **options).path


@pytest.fixture(scope="module")
def expected(folder):
    encoder = load(folder)
    height, width = encoder.spec.image_shape[1:]
    images = IMAGES[:, :height, :width] if height <= 28 else np.zeros((5, height, width, 3), np.uint8) + IMAGES.mean()
    images = images.astype(np.uint8)
    return (images.transpose(0, 3, 1, 2) / np.float32(255)).astype(np.float32), encoder.encode(images)


def test_onnx(folder, expected, tmp_path, capsys):
    assert "is written" in say(capsys, "export", str(folder), "--out", str(tmp_path / "encoder.onnx"))
    session = onnxruntime.InferenceSession(tmp_path / "encoder.onnx", providers=["CPUExecutionProvider"])
    images, codes = expected
    for rows in (slice(0, 1), slice(0, 5)):
        (found,) = session.run(["codes"], {"images": images[rows]})
        np.testing.assert_allclose(found, codes[rows], atol=1e-5)


def test_torch(folder, expected, tmp_path):
    program = torch.export.load(export(folder, tmp_path / "encoder.pt2", "torch")).module()
    np.testing.assert_allclose(program(torch.from_numpy(expected[0])).detach(), expected[1], atol=1e-5)


def test_safetensors(folder, tmp_path):
    weights = load_file(export(folder, tmp_path / "encoder.safetensors", "safetensors"))
    method = load(folder).method
    assert set(weights) == set(method.state_dict())
    assert json.loads((tmp_path / "encoder.json").read_text())["method"] == "dcodr-norec"


def test_mistakes(folder, tmp_path, capsys):
    assert "--format is one of onnx, torch, safetensors, groups" in refuse(
        capsys, "export", str(folder), "--format", "onx"
    )
    assert "no run at" in refuse(capsys, "export", str(tmp_path / "nothing"))
    with pytest.raises(UserError, match="Did you mean 'onnx'"):
        export(folder, tmp_path / "x", "onx")
