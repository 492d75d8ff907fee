"""A model of the published code of PBT-VAE and rPU-VAE -> a run directory.

``bestmodels/model.pth`` of a run's folder, or any file of that form: one autoencoder, or the five of an individual of
PU-VAE side by side. The beta that is stored with five is not the one that they were trained with, and is left out.

Source
    Estermann, Marks & Yanik, NeurIPS 2020, arXiv:2010.13527, and its published code.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from unbraid.encoder import build
from unbraid.errors import UserError
from unbraid.importers.unpickle import read_checkpoint
from unbraid.importers.weights import data_spec, plain, published_config, published_spec, rename, write_run
from unbraid.records import RunDir

_NAMES = (
    (r"(\d)\.((?:encoder|decoder)\..*)", r"vaes.\1.\2"),
    (r"((?:encoder|decoder)\..*)", r"vaes.0.\1"),
)
_SIDE = 64  # pixels; the network takes no other


def read(path: Path, out: Path, *, data: str | None = None, epoch: str = "last") -> RunDir:
    """Objects in the file are not executed; tensors, numbers and text are read.

    Args:
        data: The data that ``unbraid evaluate`` will encode: a name or a path. Default: none, the run can only encode.
        epoch: Of a folder, "last" is the final model; "001" that of the recursion's iteration of this number.

    Raises:
        UserError: If the file is missing or damaged, or its networks are not the published ones.
    """
    ending = "" if epoch == "last" else f"_iteration-{epoch}"
    file = path if path.is_file() else path / "bestmodels" / f"model{ending}.pth"
    checkpoint = read_checkpoint(file)
    weights = plain(checkpoint, "model_state_dict", dict, file)
    state, unknown = rename({name: value for name, value in weights.items() if isinstance(value, Tensor)}, _NAMES)
    ends = [state.get(f"vaes.0.{name}") for name in ("encoder.conv_z.bias", "decoder.conv_final.bias")]
    if ends[0] is None or ends[1] is None:
        raise UserError(f"{file} holds no convolutional encoder and decoder of the published names")
    num_models = len({name.split(".")[1] for name in state})
    settings = _settings(checkpoint, num_models, file)
    name = file.stem if path == file else path.resolve().name
    config = published_config("beta-tcvae", data or name, z_dim=len(ends[0]) // 2, num_models=num_models, **settings)
    spec = data_spec(data, published_spec((_SIDE, _SIDE, len(ends[1])), 1, 1, name), config)
    own = build(config, spec).state_dict()
    unknown = [name for name in unknown if not name.endswith("prior_params")]  # zeros: the standard normal
    return write_run(
        out, config, spec, state | {key: own[key] for key in own if not key.startswith("vaes.")}, unknown, file
    )


def _settings(checkpoint: Mapping[str, Any], num_models: int, file: Path) -> dict[str, Any]:
    """The weights of the objective's parts, its numerics and the batch."""
    settings = plain(checkpoint, "hyperparam_state_dict", dict, file)
    total, information = (plain(settings, key, bool, file) for key in ("tcvae", "include_mutinfo"))
    values: dict[str, Any] = {
        "estimator": "mss" if plain(settings, "mss", bool, file) else "mws",
        "numerics": "published",
        "batch_size": plain(checkpoint, "batch_size", int, file),
    }
    if num_models > 1:
        return values
    beta, drop = (float(plain(settings, key, (int, float), file)) for key in ("beta", "lamb"))
    whole = 1.0 if total else beta
    return values | {"beta": beta, "alpha": whole * information, "gamma": whole * (1 - drop)}
