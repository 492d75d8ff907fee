"""unbraid study: many runs and what they say together."""

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from unbraid.cli.parsing import add_fields, name_values, say
from unbraid.errors import UserError, did_you_mean

if TYPE_CHECKING:
    from jsonargparse import ArgumentParser, Namespace

_GENERAL = ("name", "data", "out", "seeds", "preset", "options")


def parser(parser: "ArgumentParser", words: Sequence[str]) -> None:
    from unbraid.studies import STUDIES, find_study

    parser.add_argument("name", type=str, help=f"{', '.join(STUDIES)}; study NAME --help lists its options")
    if words and words[0] in ("-h", "--help"):
        return
    if not words or words[0].startswith("-"):
        raise UserError(f"name a study first, unbraid study NAME ...: one of {', '.join(STUDIES)}")
    if words[0] not in STUDIES:
        raise UserError(f"unknown study {words[0]!r}.{did_you_mean(words[0], STUDIES)}")
    from unbraid.data.options import DataOptions

    kind = find_study(words[0])
    seeds = " ".join(map(str, kind.seeds))
    add = parser.add_argument
    add("--data", type=str, default="digits", help="a data set's name, or the path of your own images")
    add("--out", type=str | None, default=None, help="folder of runs and results; default: runs/study-DATA")
    add("--seeds", type=int, nargs="*", default=None, help=f"of training; default: {seeds}")
    add("--preset", type=str | None, default=None, help="of every method; default: the data's")
    add("--options", type=str, nargs="*", default=[], help="NAME=VALUE as for train; each goes to methods that have it")
    add_fields(parser, kind, f"options of {words[0]}")
    add_fields(parser, DataOptions, "what the data mean")


def run(args: "Namespace") -> object:
    from rich.console import Console
    from rich.markdown import Markdown

    from unbraid.data.options import DataOptions
    from unbraid.studies import study

    own = {name: value for name, value in vars(args).items() if name not in _GENERAL}
    changed = {name: value for name, value in own.items() if value != getattr(DataOptions, name, None)}
    options = name_values("--options", args.options)
    if twice := sorted(set(changed) & set(options)):
        raise UserError(f"{', '.join(twice)}: given as an option of the study and in --options; give it once")
    given = {"out": args.out, "seeds": args.seeds, "preset": args.preset}
    outcome = study(args.name, args.data, **given, **changed, **options)
    if sys.stdout.isatty():
        Console().print(Markdown(outcome.text))
    else:
        say(outcome.text)
    return outcome.rows
