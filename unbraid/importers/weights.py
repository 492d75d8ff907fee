"""Published names of weights to ours, and a run directory around them."""

import dataclasses
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from unbraid import checkpoint, data
from unbraid.config import RunConfig
from unbraid.encoder import build
from unbraid.environment import environment
from unbraid.errors import UserError
from unbraid.hparams import parse
from unbraid.records import RunDir, write_json
from unbraid.run import check_free
from unbraid.tables import DataSpec


def rename(state: Mapping[str, Tensor], patterns: Sequence[tuple[str, str]]) -> tuple[dict[str, Tensor], list[str]]:
    """The tensors under our names, and the published names that no pattern matches.

    Args:
        patterns: Regular expressions of the published names with their replacements; the first that matches counts.
    """
    found: dict[str, Tensor] = {}
    unknown = []
    for name, value in state.items():
        for pattern, ours in patterns:
            if re.fullmatch(pattern, name):
                found[re.sub(pattern, ours, name)] = value
                break
        else:
            unknown.append(name)
    return found, unknown


def published_config(method: str, data: str, *, views: str | None = None, **hparams: Any) -> RunConfig:
    """A run of the published settings: the method's defaults, and what the folder says; no preset of the data."""
    config = RunConfig.make(method, data, preset="tiny", **({} if views is None else {"views": views}))
    return dataclasses.replace(config, hparams=parse(config.kind.config_class, hparams, owner=method))


def published_spec(image_shape: Sequence[int], num_domains: int, num_images: int, name: str) -> DataSpec:
    """What a training folder says of its data; ``image_shape`` is (H, W, C)."""
    height, width, channels = image_shape
    sizes = {"domain": num_domains}
    shape = (int(channels), int(height), int(width))
    return DataSpec(
        name=name, image_shape=shape, num_train=num_images, sizes=sizes, factors=("domain",), domain="domain"
    )


def write_run(
    out: Path, config: RunConfig, spec: DataSpec, state: Mapping[str, Tensor], unknown: Sequence[str], source: Path
) -> RunDir:
    """A run directory whose encoder is the published one; ``unbraid evaluate`` then encodes and scores.

    Raises:
        UserError: If a tensor is missing, unknown or of another shape, or ``out`` is not free.
    """
    run = RunDir(out)
    check_free(run, config)
    method = build(config, spec)
    own = method.state_dict()
    missing = [name for name in own if name not in state]
    unknown = [*unknown, *(name for name in state if name not in own)]
    other = [name for name in state if name in own and own[name].shape != state[name].shape]
    complaints = [
        f"{len(names)} {what} ({', '.join(names[:3])}{', ...' if len(names) > 3 else ''})"
        for what, names in (("missing", missing), ("unknown", unknown), ("of another shape", other))
        if names
    ]
    if complaints:
        raise UserError(f"{source} does not hold a published {config.method}: tensors {'; '.join(complaints)}")
    out.mkdir(parents=True, exist_ok=True)
    write_json(run.spec, spec.to_dict())
    write_json(run.env, environment() | {"notes": [f"weights imported from {source}"]})
    checkpoint.save(
        run.checkpoint,
        weights={name: state[name] for name in own},
        optimizers={},
        state={"step": 1, "num_steps": 1, "sums": {}, "summed": 0, "seconds": 0.0},
    )
    write_json(run.config, config.to_dict())
    return run


def data_spec(path: str | None, fallback: DataSpec, config: RunConfig, *, any_size: bool = False) -> DataSpec:
    """The spec of the data that the run is to be evaluated on, checked against what the folder says.

    Args:
        any_size: The network takes images of any height and width.

    Raises:
        UserError: If images, domains or labels are others than those of the weights.
    """
    if path is None:
        return fallback
    spec = data.load(path, config.options).spec
    fits = spec.image_shape[0] == fallback.image_shape[0] if any_size else spec.image_shape == fallback.image_shape
    if not fits:
        raise UserError(f"{path} has images {spec.image_shape} (C, H, W), the weights take {fallback.image_shape}")
    for role in config.kind.needs.labels & {"domain", "label"}:
        num, known = (_num(one, role) for one in (spec, fallback))
        if known > 1 and num != known:
            raise UserError(f"{path} has {num} {role}s, the weights know {known}")
    return spec


def _num(spec: DataSpec, role: str) -> int:
    column = getattr(spec, role)
    return spec.sizes[column] if column else 0


def plain(settings: Mapping[str, Any], key: str, kinds: type | tuple[type, ...], where: Path) -> Any:
    """One setting. Raises: UserError if it is missing or of another type."""
    value = settings.get(key)
    if isinstance(value, np.generic):
        value = value.item()
    if not isinstance(value, kinds):
        raise UserError(f"{where} lacks {key}, or it is of another type; is this the folder of a published run?")
    return value
