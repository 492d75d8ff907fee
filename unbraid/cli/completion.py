"""unbraid completion: a script by which the shell completes commands, options and names.

It is written once, from the parsers of all commands, and starts no Python when a key is pressed.
"""

import argparse
import importlib
import types
import typing
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from unbraid.cli.parsing import say
from unbraid.errors import UserError

if TYPE_CHECKING:
    from jsonargparse import ArgumentParser, Namespace

_PATHS = ("codes", "config", "folder", "folders", "labels", "out", "path", "run", "start_from")


def parser(parser: "ArgumentParser", words: Sequence[str]) -> None:
    parser.add_argument(
        "shell",
        type=Literal["bash", "zsh", "fish"],
        help="bash: unbraid completion bash > ~/.local/share/bash-completion/completions/unbraid; "
        "zsh: into a file _unbraid on $fpath; fish: into ~/.config/fish/completions/unbraid.fish",
    )


def run(args: "Namespace") -> None:
    try:
        import shtab
    except ModuleNotFoundError:
        raise UserError("unbraid completion needs one more package: pip install shtab") from None
    say(shtab.complete(everything(), args.shell))


def everything() -> argparse.ArgumentParser:
    """One parser of all commands, whose methods, studies and actions are commands themselves."""
    from unbraid.cli import COMMANDS

    whole = argparse.ArgumentParser(prog="unbraid")
    commands = whole.add_subparsers()
    for name, command in COMMANDS.items():
        _describe(commands.add_parser(name, help=_quoted(command.help)), name, [])
    return whole


def _describe(target: argparse.ArgumentParser, command: str, words: list[str]) -> None:
    """Give ``target`` the arguments of a command that is followed by these words."""
    from unbraid.cli import COMMANDS, scripting

    if names := _branches(command, words):
        below = target.add_subparsers()
        for name in names:
            _describe(below.add_parser(name, help=name), command, [*words, name])
        return
    from jsonargparse import ArgumentParser

    source = ArgumentParser(prog=command, exit_on_error=False)
    importlib.import_module(f"unbraid.cli.{COMMANDS[command].module}").parser(source, words)
    if COMMANDS[command].scripted:
        scripting.add_options(source)
    names_of = _names(command, words)
    for action in source._actions:
        if action.dest not in ("help", "print_config", *_SAID.get(command, ())):
            _copy(target, action, names_of)


_SAID = {"train": ("method",), "study": ("name",), "population": ("action", "method")}  # by the words before


def _branches(command: str, words: list[str]) -> Collection[str]:
    """The words by which the options of a command differ."""
    from unbraid.cli.population import ACTIONS
    from unbraid.methods import METHODS
    from unbraid.studies import STUDIES

    first = {"train": METHODS, "study": STUDIES, "population": ACTIONS}
    if not words:
        return first.get(command, ())
    return METHODS if command == "population" and words[1:] == [] and words[0] in ("pbt", "pu", "rpu") else ()


def _names(command: str, words: list[str]) -> Mapping[str, Iterable[str]]:
    """Argument -> what it may be, where its type does not say so."""
    from unbraid.augment import VIEWS
    from unbraid.data import DATASETS
    from unbraid.export import FORMATS
    from unbraid.importers import IMPORTERS
    from unbraid.methods import METHODS, method
    from unbraid.metrics import METRICS
    from unbraid.population.presets import PRESETS

    presets = [*method(words[-1]).presets] if words and words[-1] in METHODS else []
    if command == "population" and words and (published := f"published-{words[0]}") in PRESETS:
        presets.append(published)
    names = {"data": DATASETS, "views": VIEWS, "metrics": ["all", *METRICS], "preset": presets, "method": METHODS}
    return names | {"format": FORMATS, "system": IMPORTERS, "name": [*METHODS, *METRICS, "udr"]}


def _copy(target: argparse.ArgumentParser, action: argparse.Action, names: Mapping[str, Iterable[str]]) -> None:
    import shtab

    kind: dict[str, Any] = {"help": _quoted((action.help or "").split(";")[0])}
    if action.nargs == 0:
        kind["action"] = "store_true"
    else:
        kind["nargs"] = action.nargs
        kind["choices"] = list(names.get(action.dest, ())) or _values(getattr(action, "_typehint", None)) or None
    copied = target.add_argument(*(action.option_strings or [action.dest]), **kind)
    if action.dest in _PATHS:
        copied.complete = shtab.FILE  # type: ignore[attr-defined]


def _values(hint: Any) -> list[str]:
    """What a type allows, if it can be listed."""
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return [value for one in typing.get_args(hint) for value in _values(one)]
    if typing.get_origin(hint) is Literal:
        return list(map(str, typing.get_args(hint)))
    return ["true", "false"] if hint is bool else []


def _quoted(text: str) -> str:
    return text.replace("%", "%%")
