"""A training folder of DCoDR's published code -> a run directory.

The folder holds ``config.pkl``, ``encoder_<epoch>.pth`` and, with reconstruction, ``generator_<epoch>.pth``.
"""

from pathlib import Path
from typing import Any

from unbraid.importers.unpickle import read_settings
from unbraid.importers.weights import data_spec, plain, published_config, published_spec, rename, write_run
from unbraid.nets.backbones import read_state
from unbraid.records import RunDir

_ENCODER = (
    (r"content_encoder\.module\.resnet50\.(.*)", r"encoder.trunk.\1"),
    (r"content_encoder\.module\.fc_layers\.0\.(.*)", r"encoder.projection.\1"),
    (r"siamese\.module\.(.*)", r"encoder.head.\1"),
)
_LAYERS = {"0": "0", "2": "1", "4": "2"}  # linear maps among their activations -> linear maps
_CONVS = {"1": "0", "5": "1", "9": "2", "13": "3"}  # convolutions among upsamplings, activations and AdaIN
_GENERATOR = (
    (r"class_embedding\.module\.(weight)", r"domain_embedding.\1"),
    (r"modulation\.module\.adain_per_layer\.(.*)", r"decoder.modulation.layers.\1"),
    *((rf"generator\.module\.fc_layers\.{theirs}\.(.*)", rf"decoder.fc.{ours}.\1") for theirs, ours in _LAYERS.items()),
    *(
        (rf"generator\.module\.adain_conv_layers\.{theirs}\.(.*)", rf"decoder.convs.{ours}.\1")
        for theirs, ours in _CONVS.items()
    ),
    (r"generator\.module\.last_conv_layers\.(.*)", r"decoder.last.\1"),
)


def read(folder: Path, out: Path, *, data: str | None = None, epoch: str = "last") -> RunDir:
    """Nothing in the folder is executed: settings are read by a restricted reader, weights as tensors alone.

    Args:
        data: The data that ``unbraid evaluate`` will encode: a name or a path. Default: none, the run can only encode.
        epoch: Which of the stored ones: "last", "180", ...

    Raises:
        UserError: If a file is missing or damaged, or the weights are not the published network's.
    """
    settings = read_settings(where := folder / "config.pkl")
    name = plain(settings, "dataset_name", str, where)
    reconstructs = (folder / f"generator_{epoch}.pth").is_file()
    state, unknown = rename(read_state(folder / f"encoder_{epoch}.pth"), _ENCODER)
    if reconstructs:
        more, also = rename(read_state(folder / f"generator_{epoch}.pth"), _GENERATOR)
        state, unknown = state | more, unknown + also
    train = plain(settings, "train", dict, where)
    steps = plain(train, "learning_rate", dict, where)
    values: dict[str, Any] = {
        "epochs": plain(train, "n_epochs", int, where),
        "batch_size": plain(train, "num_b_cls", int, where) * plain(train, "num_b_cls_samp", int, where),
        "domains_per_batch": plain(train, "num_b_cls", int, where),
        "z_dim": plain(settings, "content_dim", int, where),
        "head": bool(plain(settings, "use_fc_head", (bool, int, str), where)),
        "temperature": float(plain(settings, "tau", (int, float), where)),
        "positives": int(plain(settings, "num_pos", (int, float), where)),
        "max_negatives": int(plain(settings, "num_rand_negs", (int, float), where)),
        "encoder_lr": plain(steps, "encoder", float, where),
    }
    if reconstructs:
        values |= {
            "domain_dim": plain(settings, "class_dim", int, where),
            "rec_weight": float(plain(settings, "reconstruction_decay", (int, float), where)),
            "decoder_lr": plain(steps, "generator", float, where),
            "domain_lr": plain(steps, "latent", float, where),
            "perceptual": "random",  # no part of the encoder, and rebuilt from VGG-16's weights when training goes on
        }
    num_domains = int(plain(settings, "n_classes", int, where)) if reconstructs else 1  # not recorded without decoder
    config = published_config("dcodr" if reconstructs else "dcodr-norec", data or name, **values)
    told = published_spec(
        plain(settings, "img_shape", (tuple, list), where), num_domains, plain(settings, "n_imgs", int, where), name
    )
    return write_run(out, config, data_spec(data, told, config), state, unknown, folder)
