"""Precision and layout change how a network computes, not what it returns."""

import pytest
import torch
from torch import nn

from unbraid.nets import backbone
from unbraid.nets.precision import MEMORY_FORMATS, apply_precision, time_precisions


class Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.encoder = backbone("tiny", out_dim=6)
        self.several = Several()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.encoder(x)


class Several(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(6, 6)

    def forward(self, z: torch.Tensor) -> dict[str, torch.Tensor]:
        assert self.layer(z).dtype == torch.get_autocast_dtype("cpu") or not torch.is_autocast_enabled("cpu")
        return {"z": self.layer(z), "rows": torch.arange(len(z))}


X = torch.rand(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("precision", MEMORY_FORMATS)
def test_outputs_and_gradients_are_float32(precision):
    model = apply_precision(Model(), precision, "cpu")
    z = model(X.contiguous(memory_format=MEMORY_FORMATS[precision]))
    out = model.several(z)
    assert z.dtype == out["z"].dtype == torch.float32
    assert out["rows"].dtype == torch.int64
    out["z"].sum().backward()
    assert all(param.grad.dtype == torch.float32 for param in model.parameters())
    expected = Model()(X)
    assert torch.equal(z, expected) == (precision == "fp32")
    torch.testing.assert_close(z, expected, rtol=0.1, atol=0.05)


@pytest.mark.parametrize("precision", MEMORY_FORMATS)
def test_layout(precision):
    weight = apply_precision(Model(), precision, "cpu").encoder.trunk[3].weight
    assert weight.is_contiguous(memory_format=MEMORY_FORMATS[precision])


def test_bf16_computes_in_bf16():
    model = apply_precision(Model(), "bf16", "cpu")
    seen = []
    model.encoder.trunk[0].register_forward_hook(lambda module, args, out: seen.append(out.dtype))
    model(X)
    assert seen == [torch.bfloat16]
    assert model.encoder.trunk[0].weight.dtype == torch.float32


def test_names_of_parameters_stay():
    assert apply_precision(Model(), "bf16", "cpu").state_dict().keys() == Model().state_dict().keys()


def test_timing_gives_seconds_for_each_and_leaves_the_model_alone():
    model = Model()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    formats = []

    def run(copy: nn.Module, memory_format: torch.memory_format) -> None:
        assert copy is not model
        formats.append(memory_format)
        copy(X).sum().backward()
        with torch.no_grad():
            for param in copy.parameters():
                param.zero_()

    seconds = time_precisions(model, run, "cpu", seconds=0.0)
    assert list(seconds) == list(MEMORY_FORMATS)
    assert all(0 < value < 60 for value in seconds.values())
    assert set(formats) == set(MEMORY_FORMATS.values())
    assert 6 + 2 <= len(formats) <= 6 + 6  # a first pass and a second for each, then two rounds of those in the race
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(param.grad is None for param in model.parameters())
