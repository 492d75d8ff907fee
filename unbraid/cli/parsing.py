"""What the commands share: parsing with errors in plain words, options from dataclasses, and a voice."""

import dataclasses
import json
import re
import sys
import typing
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any

from unbraid.errors import UserError, did_you_mean

if TYPE_CHECKING:
    from jsonargparse import ArgumentParser, Namespace

_ELSEWHERE = {  # options of other tools
    "--resume": " What was stopped goes on by itself: give the same command again",
    **{f"--{role}-column": f" --{role} takes the name of the column" for role in ("domain", "label", "bias")},
}


def parse(parser: "ArgumentParser", words: Sequence[str]) -> "Namespace":
    """Raises: UserError in place of the parser's own errors, with the nearest option for an unknown one."""
    from jsonargparse import ArgumentError

    command = parser.prog.removeprefix("unbraid ")
    known = {option for action in parser._actions for option in action.option_strings}
    words = [_underscored(word, known) for word in words]
    for word in words:
        option = word.partition("=")[0]
        if word.startswith("--") and option not in known:
            hint = _ELSEWHERE.get(option.replace("_", "-")) or did_you_mean(option, known - {"--help", "-h"})
            raise UserError(f"{command} has no option {option!r}.{hint}")
    try:
        return parser.parse_args(_config_first(words))
    except ArgumentError as error:
        raise UserError(f"{command}: {_plainly(str(error))}") from None


def _config_first(words: list[str]) -> list[str]:
    """Flags win over the file of options, wherever it stands on the line."""
    place = next((i for i, word in enumerate(words) if word.partition("=")[0] == "--config"), len(words))
    end = place + (1 if place < len(words) and "=" in words[place] else 2)
    return words[place:end] + words[:place] + words[end:]


def _plainly(complaint: str) -> str:
    """What the parser says about a value, in fewer words."""
    text = " ".join(complaint.split())
    pattern = r"""Parser key "(\w+)": Expected a (?:<class '(\w+)'>|typing\.Literal\[(.*)\])\. Got value: (.*)"""
    if (match := re.fullmatch(pattern, text)) is None:
        return text
    name, kind, options, value = match.groups()
    return f"{name} must be {kind or f'one of {options}'}, not {value!r}"


def _underscored(word: str, known: set[str]) -> str:
    """``--batch-size`` and ``--batch_size`` are one option."""
    option, equals, value = word.partition("=")
    plain = option[:2] + option[2:].replace("-", "_")
    return plain + equals + value if word.startswith("--") and plain in known else word


def say(text: str) -> None:
    sys.stdout.write(text + "\n")


def add_fields(
    parser: "ArgumentParser", config_class: type, title: str, defaults: Any = None, *, without: Collection[str] = ()
) -> None:
    """One option per field, with the field's own type, default and doc."""
    hints = typing.get_type_hints(config_class)
    group = parser.add_argument_group(title)
    for field in [field for field in dataclasses.fields(config_class) if field.name not in without]:
        default = (defaults or {}).get(field.name, field.default)
        kind: dict[str, Any] = {"type": hints[field.name]}
        if list[str] in (hints[field.name], *typing.get_args(hints[field.name])):
            kind = {"type": str, "nargs": "*"}  # --factors azimuth elevation
        if hints[field.name] is bool:
            kind |= {"nargs": "?", "const": True}  # --augment, or --augment false
        group.add_argument(f"--{field.name}", **kind, default=default, help=field.metadata["doc"])


def name_values(option: str, words: Sequence[str]) -> dict[str, Any]:
    """``epochs=20 backbone=small perceptual=null``: JSON values, and text where they are none."""
    found: dict[str, Any] = {}
    for word in words:
        name, equals, text = word.partition("=")
        if not equals or not name:
            raise UserError(f"{option} takes NAME=VALUE, not {word!r}")
        try:
            found[name.replace("-", "_")] = json.loads(text)
        except json.JSONDecodeError:
            found[name.replace("-", "_")] = text
    return found


def value(words: Sequence[str], option: str) -> str | None:
    """The value of an option before the whole line is parsed: it decides on the defaults of others."""
    for word, after in zip(words, [*words[1:], ""]):
        if word == option:
            return after
        if word.startswith(f"{option}="):
            return word.partition("=")[2]
    return None
