"""The encoder of a run alone, in a file that needs no unbraid: ONNX, a program of ``torch.export``, or safetensors."""

import dataclasses
import json
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from unbraid.atomic import atomic_file
from unbraid.errors import UserError, did_you_mean
from unbraid.run import Encoder, load

_BATCH = 2  # of the example that is traced; the exported encoder takes any number of images


class _Encode(nn.Module):
    """Images (N, C, H, W) in [0, 1] to codes (N, D): a method seen as a module with one input and one output."""

    def __init__(self, encoder: Encoder) -> None:
        super().__init__()
        self.method = encoder.method

    def forward(self, images: Float[Tensor, "n c h w"]) -> Float[Tensor, "n d"]:
        return self.method.encode(images)


def export(run: Path | str, out: Path | str, format: str = "onnx") -> Path:
    """Write the encoder of a run directory to ``out``.

    Args:
        format: "onnx", "torch" (a program for ``torch.export.load``) or "safetensors" (every weight of the method, with
            a JSON file of its configuration beside it).

    Raises:
        UserError: If the run has no encoder, the format is unknown or what it needs is not installed.
    """
    if format not in FORMATS:
        raise UserError(f"unknown format {format!r}.{did_you_mean(format, FORMATS)}")
    encoder = load(run)
    path = Path(out)
    path.parent.mkdir(parents=True, exist_ok=True)
    FORMATS[format](encoder, path)
    return path


def _onnx(encoder: Encoder, path: Path) -> None:
    try:
        import onnxscript  # noqa: F401
    except ImportError:
        raise UserError("--format onnx needs two more packages: pip install 'unbraid[export]'") from None
    program = torch.onnx.export(
        _Encode(encoder).eval(),
        (_example(encoder),),
        input_names=["images"],
        output_names=["codes"],
        dynamic_shapes={"images": {0: torch.export.Dim("n")}},
        dynamo=True,
        verbose=False,
    )
    assert program is not None
    with atomic_file(path) as temporary:
        program.save(str(temporary))


def _torch(encoder: Encoder, path: Path) -> None:
    batch = torch.export.Dim("n")
    program = torch.export.export(_Encode(encoder).eval(), (_example(encoder),), dynamic_shapes=({0: batch},))
    with atomic_file(path) as temporary, temporary.open("wb") as file, warnings.catch_warnings():
        warnings.filterwarnings("ignore", "No complete tensor found")  # of views; the weights are on the CPU
        torch.export.save(program, file)


def _safetensors(encoder: Encoder, path: Path) -> None:
    from safetensors.torch import save_file

    config = {
        "method": encoder.config.method,
        "hparams": dataclasses.asdict(encoder.config.hparams),
        "spec": encoder.spec.to_dict(),
    }
    weights = {name: value.contiguous() for name, value in encoder.method.state_dict().items()}
    with atomic_file(path) as temporary:
        save_file(weights, temporary)
    with atomic_file(path.with_suffix(".json")) as temporary:
        temporary.write_text(json.dumps(config, indent=2) + "\n")


FORMATS: Mapping[str, Callable[[Encoder, Path], Any]] = {
    "onnx": _onnx,
    "torch": _torch,
    "safetensors": _safetensors,
}


def _example(encoder: Encoder) -> Float[Tensor, "n c h w"]:
    return torch.zeros(_BATCH, *encoder.spec.image_shape)
