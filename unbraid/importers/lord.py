"""A training folder of LORD's published PyTorch code -> a run directory.

The folder holds ``latent.pth`` (embeddings) and ``amortized.pth`` (encoders, modulation, generator). Tensors are told
apart by the published architecture, not by name: each network is the group of tensors, under one first name, whose
shapes in their order are those of the network. Widths and image size follow from the shapes.
"""

import math
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from unbraid.config import RunConfig
from unbraid.encoder import build
from unbraid.errors import UserError
from unbraid.importers.weights import data_spec, published_config, published_spec, write_run
from unbraid.nets.backbones import read_state
from unbraid.records import RunDir
from unbraid.tables import DataSpec

Groups = dict[str, list[Tensor]]

# The published networks, each by the parts of ours that it holds, in its order.
_NETWORKS = (
    ("encoder.",),
    ("domain_encoder.",),
    ("decoder.modulation.",),
    ("decoder.fc.", "decoder.convs.", "decoder.last."),
)


def read(folder: Path, out: Path, *, data: str | None = None, epoch: str = "last") -> RunDir:
    """Nothing in the folder is executed; weights are read as tensors alone.

    Args:
        data: The data that ``unbraid evaluate`` will encode: a name or a path. Default: none, the run can only encode.
        epoch: LORD stores one pair of files; only "last" is there.

    Raises:
        UserError: If a file is missing or damaged, or a network is not found in it.
    """
    if epoch != "last":
        raise UserError("LORD's folder holds its last epoch only; leave --epoch out")
    amortized = _groups(read_state(folder / "amortized.pth"))
    embeddings = [group[0] for group in _groups(read_state(folder / "latent.pth")).values() if _is_table(group)]
    if len(embeddings) != 2:
        raise UserError(f"{folder / 'latent.pth'} holds {len(embeddings)} embedding tables, expected content and class")
    domains, contents = sorted(embeddings, key=len)
    spec = published_spec(_image_shape(amortized, folder), len(domains), len(contents), folder.name)
    config = _config(amortized, contents.shape[1], domains.shape[1], data or folder.name)
    state = _match(amortized, config, spec, folder)
    state |= {"content_embedding.weight": contents, "domain_embedding.weight": domains}
    return write_run(out, config, data_spec(data, spec, config), state, [], folder)


def _groups(state: Mapping[str, Tensor]) -> Groups:
    """First name -> tensors in their order; a wrapper's "module" is no name."""
    groups: Groups = {}
    for name, value in state.items():
        first = name.removeprefix("module.").partition(".")[0]
        groups.setdefault(first, []).append(value)
    return groups


def _is_table(group: list[Tensor]) -> bool:
    return len(group) == 1 and group[0].dim() == 2


def _encoders(groups: Groups) -> list[list[Tensor]]:
    """Groups that begin with a 7x7 convolution and end in a linear map."""
    return [
        group
        for group in groups.values()
        if group[0].dim() == 4 and group[0].shape[-1] == 7 and group[-2].dim() == 2 and len(group) == 16
    ]


def _image_shape(groups: Groups, folder: Path) -> tuple[int, int, int]:
    """(H, W, C), from the first linear map behind four halvings."""
    if not (encoders := _encoders(groups)):
        raise UserError(f"{folder / 'amortized.pth'} holds no encoder of LORD's (five convolutions, three linear maps)")
    convolution, linear = encoders[0][0], encoders[0][10]
    side = 16 * math.isqrt(linear.shape[1] // (4 * convolution.shape[0]))
    return side, side, convolution.shape[1]


def _config(groups: Groups, z_dim: int, domain_dim: int, data: str) -> RunConfig:
    width = _encoders(groups)[0][0].shape[0]
    convolutions = [value for group in groups.values() for value in group if value.dim() == 4 and value.shape[-1] == 3]
    return published_config(
        "lord",
        data,
        z_dim=z_dim,
        domain_dim=domain_dim,
        encoder_width=width,
        decoder_width=convolutions[0].shape[0] if convolutions else width,
        perceptual="random",  # no part of the encoder, and rebuilt from VGG-16's weights when training goes on
    )


def _match(groups: Groups, config: RunConfig, spec: DataSpec, folder: Path) -> dict[str, Tensor]:
    """Our names for the tensors of the group that has the shapes of each network.

    Raises:
        UserError: If a network of ours is not there, or stands there twice.
    """
    own = build(config, spec).state_dict()
    found: dict[str, Tensor] = {}
    for parts in _NETWORKS:
        names = [name for part in parts for name in own if name.startswith(part)]
        shapes = [own[name].shape for name in names]
        fitting = [title for title, group in groups.items() if [value.shape for value in group] == shapes]
        if len(fitting) != 1:
            what = "holds no network" if not fitting else f"holds {len(fitting)} networks"
            raise UserError(f"{folder / 'amortized.pth'} {what} with the shapes of LORD's {parts[0].rstrip('.')}")
        found |= dict(zip(names, groups[fitting[0]], strict=True))
    latent = {f"latent_{name}": value.clone() for name, value in found.items() if name.startswith("decoder.")}
    return found | latent | {name: own[name] for name in own if name == "_extra_state"}
