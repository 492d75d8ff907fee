"""A checkpoint of IP-IRM's published code, ``model_400.pth``, or the folder that holds some -> a run directory.

The file is the state of the network alone, under ``nn.DataParallel``; its partitions are in other files and left out.
"""

from pathlib import Path

from unbraid.encoder import build
from unbraid.errors import UserError
from unbraid.importers.weights import data_spec, published_config, published_spec, rename, write_run
from unbraid.nets.backbones import read_state
from unbraid.records import RunDir

_SIDE = 32  # pixels: what the published training crops to; the network takes any
_PARTS = {"0": "conv1", "1": "bn1", "3": "layer1", "4": "layer2", "5": "layer3", "6": "layer4"}
_NAMES = [
    *((rf"(?:module\.)?f\.{number}\.(.*)", rf"encoder.encoder.trunk.{part}.\1") for number, part in _PARTS.items()),
    (r"(?:module\.)?g\.(.*)", r"projector.\1"),
]
_LEARNED = ("encoder.", "projector.")


def read(path: Path, out: Path, *, data: str | None = None, epoch: str = "last") -> RunDir:
    """Weights are read as tensors alone.

    Args:
        data: The data that ``unbraid evaluate`` will encode: a name or a path. Default: none, the run can only encode.
        epoch: Which of the folder's checkpoints: "last", "375", ...

    Raises:
        UserError: If the file is missing or damaged, or not of the published network.
    """
    file = path if path.is_file() else _find(path, epoch)
    state, unknown = rename(read_state(file), _NAMES)
    sizes = [len(state[name]) for name in ("projector.0.weight", "projector.3.weight") if name in state]
    if len(sizes) < 2:
        raise UserError(f"{file} holds no projector, g.0 and g.3; is it a checkpoint of IP-IRM's?")
    name = file.stem if path == file else path.resolve().name
    numbers = {"hidden_dim": sizes[0], "projection_dim": sizes[1]}
    config = published_config("ip-irm", data or name, views="ip-irm-32", fidelity="published", **numbers)
    spec = data_spec(data, published_spec((_SIDE, _SIDE, 3), 1, 1, name), config, any_size=True)
    own = build(config, spec).state_dict()
    return write_run(
        out, config, spec, state | {key: own[key] for key in own if not key.startswith(_LEARNED)}, unknown, file
    )


def _find(folder: Path, epoch: str) -> Path:
    files = {file.stem.removeprefix("model_"): file for file in folder.glob("model_*.pth")}
    numbers = [name for name in files if name.isdigit()]
    chosen = max(numbers, key=int, default="400") if epoch == "last" else epoch
    if chosen not in files:
        raise UserError(f"{folder} has no model_{chosen}.pth; it has {', '.join(sorted(numbers, key=int)) or 'none'}")
    return files[chosen]
