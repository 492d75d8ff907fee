"""What a run found, in a file that needs no unbraid: its encoder (ONNX, a program of ``torch.export``, safetensors), or
groups of images that it makes out (CSV)."""

import dataclasses
import json
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from unbraid.atomic import atomic_file
from unbraid.data.more_columns import ROW, value_names
from unbraid.encoder import Encoder, load, load_data
from unbraid.errors import UserError, did_you_mean
from unbraid.samples.bias import seen_by_both
from unbraid.tables import Dataset
from unbraid.types import FindsPartitions, KnowsBias, Partitions

_BATCH = 2  # of the example that is traced; the exported encoder takes any number of images


class _Encode(nn.Module):
    """Images (N, C, H, W) in [0, 1] to codes (N, D): a method seen as a module with one input and one output."""

    def __init__(self, encoder: Encoder) -> None:
        super().__init__()
        self.method = encoder.method

    def forward(self, images: Float[Tensor, "n c h w"]) -> Float[Tensor, "n d"]:
        return self.method.encode(images)


def export(run: Path | str, out: Path | str, format: str = "onnx") -> Path:
    """Write the encoder of a run directory, or the groups that it found, to ``out``.

    Args:
        format: "onnx", "torch" (a program for ``torch.export.load``), "safetensors" (every weight of the method, with
            a JSON file of its configuration beside it) or "groups" (a table with a line per image, for ``--columns``).

    Raises:
        UserError: If the run has no encoder, or none of groups, the format is unknown or what it needs is not
            installed.
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


def _groups(encoder: Encoder, path: Path) -> None:
    """One line per image: its row, its label if it has one, and what the method makes of it."""
    import pandas as pd

    method, dataset = encoder.method, load_data(encoder.config)
    label = dataset.spec.label
    columns: dict[str, Any] = {ROW: np.arange(len(dataset))}
    if label is not None:
        columns[label] = value_names(dataset, label)[dataset.columns[label]]
    if isinstance(method, KnowsBias):
        columns |= _bias_groups(method, dataset)
    elif isinstance(method, FindsPartitions):
        if not len(method.found_partitions):
            raise UserError(f"this run of {encoder.config.method} ended before it sought a partition; train it longer")
        columns |= _partition_groups(method.found_partitions, dataset)
    else:
        raise UserError(f"{encoder.config.method} makes out no groups: it has no biased network and finds no partition")
    with atomic_file(path) as temporary:
        pd.DataFrame(columns).to_csv(temporary, index=False)


def _bias_groups(method: KnowsBias, dataset: Dataset) -> dict[str, np.ndarray]:
    """Aligned is what the biased network answers rightly: where it fails, an image lacks what is easy in its label."""
    seen = seen_by_both(method, dataset, np.arange(len(dataset)))
    answer = seen["biased_answer"]
    return {
        "candidate_group": np.where(answer == seen["label"], "aligned", "conflicting"),
        "biased_answer": value_names(dataset, str(dataset.spec.label))[answer],
        "biased_confidence": seen["biased_confidence"].round(6),
    }


def _partition_groups(found: Partitions, dataset: Dataset) -> dict[str, np.ndarray]:
    """The side of each training image in each partition; other images are on none."""
    sides = np.full((len(found), len(dataset)), "", dtype=object)
    sides[:, dataset.rows("train")] = found.environments.cpu().numpy()
    return {f"partition_epoch_{epoch}": line for epoch, line in zip(found.epochs.tolist(), sides)}


FORMATS: Mapping[str, Callable[[Encoder, Path], Any]] = {
    "onnx": _onnx,
    "torch": _torch,
    "safetensors": _safetensors,
    "groups": _groups,
}


def _example(encoder: Encoder) -> Float[Tensor, "n c h w"]:
    return torch.zeros(_BATCH, *encoder.spec.image_shape)
