"""unbraid train: an encoder, its codes and their scores."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unbraid.cli.parsing import add_fields, say, value
from unbraid.errors import UserError, did_you_mean

if TYPE_CHECKING:
    from jsonargparse import ArgumentParser, Namespace

    from unbraid.types import Method


def parser(parser: "ArgumentParser", words: Sequence[str]) -> None:
    from unbraid.methods import METHODS

    parser.add_argument("method", type=str, help=f"{', '.join(METHODS)}; train METHOD --help lists its options")
    if words and words[0] in ("-h", "--help"):
        return
    if not words or words[0].startswith("-"):
        raise UserError(f"name a method first, unbraid train METHOD ...: one of {', '.join(METHODS)}")
    from jsonargparse import ActionConfigFile

    from unbraid.config import Settings, preset_values
    from unbraid.data.options import DataOptions
    from unbraid.methods import method

    kind = method(words[0])
    config_file = value(words, "--config")
    chosen = {} if config_file is None else _read_config(config_file, words[0], kind)
    preset, data = (value(words, f"--{name}") or str(chosen.get(name) or "") for name in ("preset", "data"))
    defaults = preset_values(kind, data or "digits", preset)
    parser.add_argument("--config", action=ActionConfigFile, help="YAML file of any of these options")
    parser.add_argument("--data", type=str, default="digits", help="a data set's name, or the path of your own images")
    parser.add_argument("--out", type=str | None, default=None, help="run directory; default: runs/METHOD-DATA-SEED")
    parser.add_argument(
        "--preset", type=str | None, default=None, help=f"{', '.join(kind.presets)}; default: the data's"
    )
    add_fields(parser, kind.config_class, f"hyper-parameters of {words[0]}", defaults)
    add_fields(parser, Settings, "how to run", {"views": kind.views} | defaults)
    add_fields(parser, DataOptions, "what the data mean")


def _read_config(file: str, method: str, kind: "type[Method]") -> dict[str, Any]:
    """The file of ``--config``, before the parser reads it: it may choose the preset or the data.

    Raises:
        UserError: If it is no mapping of known options; names the nearest to an unknown one.
    """
    import yaml

    from unbraid.config import Settings, field_names
    from unbraid.data.options import DataOptions

    try:
        with Path(file).open() as opened:
            values = yaml.safe_load(opened)
    except OSError as error:
        raise UserError(f"cannot read {file}: {error.strerror}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{file} is not YAML: {error}") from None
    if not isinstance(values, dict):
        raise UserError(f"{file} holds no options; write one 'name: value' on each line")
    known = {"method", "data", "out", "preset"}.union(*map(field_names, (kind.config_class, Settings, DataOptions)))
    for name in values:
        if name not in known:
            raise UserError(f"{file}: {method} has no option {name!r}.{did_you_mean(str(name), known)}")
    if values.get("method", method) != method:
        raise UserError(f"{file} is for method {values['method']}, not for {method}")
    return values


def run(args: "Namespace") -> object:
    from unbraid.run import train

    options = {name: value for name, value in vars(args).items() if name not in ("config", "method", "data", "out")}
    done = train(args.method, args.data, out=args.out, **options)
    say(f"{done.path} is done: unbraid audit {done.path}")
    return {"run": done.path}
