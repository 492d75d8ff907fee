"""A run opened again: its configuration, its data, its method, and what it has learned."""

import dataclasses
import logging
import os
from typing import Any

import numpy as np
import torch
from jaxtyping import Float32

from unbraid import checkpoint, data
from unbraid.atomic import recover_folder
from unbraid.config import RunConfig
from unbraid.encode import as_pixels, encode_pixels
from unbraid.errors import UserError
from unbraid.records import RunDir, read_json
from unbraid.seeds import integer
from unbraid.tables import Dataset, DataSpec
from unbraid.types import Method

_log = logging.getLogger("unbraid")


def load_data(config: RunConfig) -> Dataset:
    return data.load(config.data, config.options)


def build(config: RunConfig, spec: DataSpec) -> Method:
    """The method with its initial weights, which the seed decides.

    Raises:
        UserError: If the data lack what the method needs.
    """
    for role in config.kind.needs.labels:
        if not (spec.factors if role == "factors" else getattr(spec, role)):
            columns = ", ".join(spec.sizes)
            raise UserError(
                f"{config.method} needs a {role}: give --{role}, one of {columns}"
                if columns
                else f"{config.method} needs a {role}, and {spec.name} has no categorical column; give it labels"
            )
    torch.manual_seed(integer(config.settings.seed, "init"))
    try:
        return config.kind(config.hparams, spec)
    except UserError:
        raise
    except ValueError as error:
        raise UserError(f"{config.method} cannot be built for {spec.name}: {error}") from None


@dataclasses.dataclass(frozen=True)
class Encoder:
    """A trained run, ready to encode."""

    method: Method
    config: RunConfig
    spec: DataSpec

    def __repr__(self) -> str:
        channels, height, width = self.spec.image_shape
        return f"Encoder({self.config.method} trained on {self.config.data}, images {height}x{width}x{channels})"

    def encode(self, images: Any) -> Float32[np.ndarray, "n d"]:
        """Codes of images, in evaluation mode.

        Args:
            images: uint8 (N, H, W, C) or (N, H, W), floats in [0, 1] (N, C, H, W), or paths of image files.

        Raises:
            DataError: If they are none of these, or of another size than the encoder's.
        """
        return encode_pixels(self.method, as_pixels(images, self.spec))


def load(path: os.PathLike[str] | str, device: torch.device | str = "cpu") -> Encoder:
    """The encoder of a run directory; one that is not trained to its end is said to be so.

    Raises:
        UserError: If there is none, or it is damaged.
    """
    run = RunDir(path)
    config = open_config(run)
    recover_folder(run.checkpoint)
    if not run.checkpoint.is_dir():
        raise UserError(f"{run.path} has no checkpoint yet; train it first")
    spec = read_json(run.spec, DataSpec.from_dict)
    method = build(dataclasses.replace(config, hparams=_offline(config.hparams)), spec)
    method.load_state_dict(checkpoint.load_weights(run.checkpoint))
    state = checkpoint.load_state(run.checkpoint)
    step, num_steps = state.get("step", 0), state.get("num_steps", 0)
    if step < num_steps:
        _log.warning("%s is not finished: its encoder after %d of %d steps", path, step, num_steps)
    return Encoder(method.to(device).to(memory_format=torch.channels_last).eval(), config, spec)


def _offline(hparams: Any) -> Any:
    """The same network without fetching initial weights, which the checkpoint replaces at once."""
    plain = {"weights": "none", "perceptual": "random"}
    return dataclasses.replace(hparams, **{name: plain[name] for name in plain if hasattr(hparams, name)})


def open_config(run: RunDir) -> RunConfig:
    """Raises: UserError if the folder holds no run, or one of another version."""
    if not run.exists():
        raise UserError(f"no run at {run.path} (a folder with config.json)")
    return read_json(run.config, RunConfig.from_dict)
