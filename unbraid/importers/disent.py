"""A training folder of DisEnt's, or LfF's, published code -> a run directory.

DisEnt's folder holds ``best_model_l.th`` and ``best_model_b.th``, and every thousand batches ``model_l_1000.th`` and
``model_b_1000.th``; that of its plain classifier ``best_model.th`` and ``model_1000.th``. The best is the best on the
test split. LfF's holds ``model.th``: its second network alone, a plain classifier, which becomes a run of vanilla.
"""

import math
from pathlib import Path

from torch import Tensor

from unbraid.encoder import build
from unbraid.errors import UserError
from unbraid.importers.weights import data_spec, published_config, rename, write_run
from unbraid.nets.backbones import read_state
from unbraid.nets.classifier import FLAT
from unbraid.records import RunDir
from unbraid.tables import DataSpec

_LAYERS = {"0": "1", "2": "3", "4": "5"}  # linear maps, ours behind a flattening
_SIDES = {2: 224, 10: 32}  # pixels, of BFFHQ and of CIFAR-10-C by the number of their classes
_FRESH = ("table.", "_extra_state")  # the tracked losses and the number of batches are not in the files


def read(folder: Path, out: Path, *, data: str | None = None, epoch: str = "last") -> RunDir:
    """Weights are read as tensors alone.

    Args:
        data: The data that ``unbraid evaluate`` will encode: a name or a path. Default: none, the run can only encode.
        epoch: "last" is the best; else the number of batches in the files' names.

    Raises:
        UserError: If a file is missing or damaged, or its network is neither the MLP nor ResNet-18.
    """
    state: dict[str, Tensor] = {}
    unknown: list[str] = []
    files = _find(folder, epoch)
    for prefix, file in zip(("", "bias_"), files):
        found, more = rename(read_state(file), _patterns(prefix))
        state, unknown = state | found, unknown + more
    if "head.weight" not in state:
        raise UserError(f"{files[0]} holds no last layer, fc or classifier; is it a file of DisEnt's or LfF's?")
    name = data or folder.resolve().name
    config = published_config("disent-swap" if len(files) == 2 else "vanilla", name, backbone=_backbone(state))
    spec = data_spec(data, _spec(state, name), config, any_size=config.hparams.backbone == "resnet18")
    own = build(config, spec).state_dict()
    return write_run(
        out, config, spec, state | {key: own[key] for key in own if key.startswith(_FRESH)}, unknown, folder
    )


def _find(folder: Path, epoch: str) -> list[Path]:
    """The intrinsic network's file and the bias network's, or a plain classifier's alone."""
    best = epoch == "last"
    pair = [folder / (f"best_model_{part}.th" if best else f"model_{part}_{epoch}.th") for part in "lb"]
    plain = [folder / name for name in (("best_model.th", "model.th") if best else (f"model_{epoch}.th",))]
    if any(file.is_file() for file in pair):
        return pair
    if found := [file for file in plain if file.is_file()]:
        return found[:1]
    raise UserError(f"{folder} holds none of {', '.join(file.name for file in [*pair, *plain])}; is it another folder?")


def _patterns(prefix: str) -> list[tuple[str, str]]:
    """Published names of one network to ours."""
    layers = [(rf"feature\.{theirs}\.(.*)", rf"{prefix}encoder.layers.{ours}.\1") for theirs, ours in _LAYERS.items()]
    return [
        *layers,
        (r"((?:conv1|bn1|layer\d)\..*)", rf"{prefix}encoder.encoder.trunk.\1"),
        (r"(?:fc|classifier)\.(weight|bias)", rf"{prefix}head.\1"),
    ]


def _backbone(state: dict[str, Tensor]) -> str:
    layers = [key for key in state if key.startswith("encoder.layers.") and key.endswith("weight")]
    widths = tuple(len(state[key]) for key in layers)
    return next((name for name, known in FLAT.items() if known == widths), "mlp" if widths else "resnet18")


def _spec(state: dict[str, Tensor], name: str) -> DataSpec:
    """What the weights say of the data; a ResNet takes images of any size, and has that of the published sets."""
    num = len(state["head.weight"])
    first = state.get("encoder.layers.1.weight")
    side = _SIDES.get(num, 224) if first is None else math.isqrt(first.shape[1] // 3)
    return DataSpec(name=name, image_shape=(3, side, side), num_train=1, sizes={"target": num}, label="target")
