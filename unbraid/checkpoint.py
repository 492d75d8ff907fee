"""Checkpoints: whole or not there, and read back without executing pickle code."""

import hashlib
import json
import pickle
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from unbraid.atomic import atomic_folder
from unbraid.errors import UserError

_WEIGHTS, _OPTIMIZERS, _STATE = "weights.safetensors", "optimizers.pt", "state.json"


def save(folder: Path, *, weights: dict[str, Tensor], optimizers: dict[str, Any], state: dict[str, Any]) -> None:
    """Replace the checkpoint in ``folder``.

    Args:
        state: Plain values for JSON: the step, sums of the log, ...

    Raises:
        OSError: If the disk is full; the checkpoint before it stays.
    """
    with atomic_folder(folder) as temporary:
        try:
            save_file({name: value.contiguous() for name, value in weights.items()}, temporary / _WEIGHTS)
            torch.save(optimizers, temporary / _OPTIMIZERS)
        except (SafetensorError, RuntimeError) as error:  # what the two libraries make of a full disk
            reason = str(error).splitlines()[0]
            raise OSError(f"cannot write the checkpoint {folder}; is the disk full? ({reason})") from error
        sums = {name: _digest(temporary / name) for name in (_WEIGHTS, _OPTIMIZERS)}
        (temporary / _STATE).write_text(json.dumps(state | {"sha256": sums}, indent=2) + "\n")


def load_state(folder: Path) -> dict[str, Any]:
    """Raises: UserError if the file is missing or damaged."""
    try:
        return dict(json.loads((folder / _STATE).read_text()))
    except (OSError, ValueError, TypeError) as error:
        raise _damaged(folder, error) from None


def load_weights(folder: Path) -> dict[str, Tensor]:
    """Every parameter and buffer. Raises: UserError if the file is missing or damaged."""
    _check(folder, _WEIGHTS)
    try:
        return load_file(folder / _WEIGHTS)
    except (OSError, SafetensorError) as error:
        raise _damaged(folder, error) from None


def load_optimizers(folder: Path) -> dict[str, Any]:
    """The ``state_dict`` of each optimiser. Raises: UserError if the file is missing or damaged."""
    _check(folder, _OPTIMIZERS)
    try:
        return dict(torch.load(folder / _OPTIMIZERS, map_location="cpu", weights_only=True))
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        raise _damaged(folder, error) from None


def _check(folder: Path, name: str) -> None:
    expected = load_state(folder).get("sha256", {}).get(name)
    try:
        found = _digest(folder / name)
    except OSError as error:
        raise _damaged(folder, error) from None
    if found != expected:
        raise _damaged(folder, f"{name} is not what was written")


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _damaged(folder: Path, why: object) -> UserError:
    reason = str(why).splitlines()[0]
    return UserError(f"the checkpoint {folder} is damaged ({reason}); delete that folder to train from the start")
