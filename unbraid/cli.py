"""The command line: ``unbraid <command>``. Only the chosen command's parser, and what it needs, is imported."""

import dataclasses
import logging
import re
import sys
import typing
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unbraid import __version__
from unbraid.errors import Stopped, UserError, did_you_mean

if TYPE_CHECKING:
    from jsonargparse import ArgumentParser, Namespace

    from unbraid.records import RunDir
    from unbraid.types import Method


@dataclass(frozen=True)
class Command:
    """A word of the command line."""

    help: str
    parser: "Callable[[ArgumentParser, Sequence[str]], None]"  # adds arguments; sees the words after the command
    run: "Callable[[Namespace], None]"


def main(argv: Sequence[str] | None = None) -> int:
    """Exit codes: 0 done, 2 a mistake of the user's (one line on stderr), 130 stopped by Ctrl-C and ready to go on."""
    argv = list(sys.argv[1:] if argv is None else argv)
    try:
        _dispatch(argv)
    except UserError as error:
        return _fail(str(error), 2)
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        return _fail(
            f"{place}{error.strerror or error}; nothing was left half-written, mend it and run the same again", 2
        )
    except Stopped as stopped:
        return _fail(str(stopped), 130)
    except KeyboardInterrupt:
        return _fail("stopped; the same command goes on from the last checkpoint", 130)
    return 0


def _fail(message: str, code: int) -> int:
    sys.stderr.write(f"unbraid: {' '.join(message.split())}\n")
    return code


def _dispatch(argv: list[str]) -> None:
    logging.basicConfig(format="%(message)s", level=logging.WARNING)
    if not argv or argv[0] in ("-h", "--help"):
        return _say(_usage())
    if argv[0] == "--version":
        return _say(f"unbraid {__version__}")
    name, rest = argv[0], argv[1:]
    if name not in COMMANDS:
        raise UserError(f"unknown command {name!r}.{did_you_mean(name, COMMANDS)}")
    from jsonargparse import ArgumentParser

    command = COMMANDS[name]
    parser = ArgumentParser(prog=f"unbraid {name}", description=command.help, exit_on_error=False)
    command.parser(parser, rest)
    command.run(_parse(parser, rest))
    return None


def _parse(parser: "ArgumentParser", words: Sequence[str]) -> "Namespace":
    """Raises: UserError in place of the parser's own errors, with the nearest option for an unknown one."""
    from jsonargparse import ArgumentError

    command = parser.prog.removeprefix("unbraid ")
    known = {option for action in parser._actions for option in action.option_strings}
    words = [_underscored(word, known) for word in words]
    for word in words:
        option = word.partition("=")[0]
        if word.startswith("--") and option not in known:
            raise UserError(f"{command} has no option {option!r}.{did_you_mean(option, known - {'--help', '-h'})}")
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


def _usage() -> str:
    rows = "\n".join(f"  {name:<10} {command.help}" for name, command in COMMANDS.items())
    return (
        "Encoders that keep what you want and drop what you do not, and honest measurement of how well.\n\n"
        f"usage: unbraid <command> [options]\n\n{rows}\n\n"
        "unbraid <command> --help lists a command's options. A first try, with no data of your own:\n"
        "  unbraid train dcodr-norec --data digits\n"
        "  unbraid report runs/ --out report.html"
    )


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")


# --- train


def _add_fields(parser: "ArgumentParser", config_class: type, title: str, defaults: Any = None) -> None:
    """One option per field, with the field's own type, default and doc."""
    hints = typing.get_type_hints(config_class)
    group = parser.add_argument_group(title)
    for field in dataclasses.fields(config_class):
        default = (defaults or {}).get(field.name, field.default)
        kind: dict[str, Any] = {"type": hints[field.name]}
        if list[str] in (hints[field.name], *typing.get_args(hints[field.name])):
            kind = {"type": str, "nargs": "*"}  # --factors azimuth elevation
        group.add_argument(f"--{field.name}", **kind, default=default, help=field.metadata["doc"])


def _train_parser(parser: "ArgumentParser", words: Sequence[str]) -> None:
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
    config_file = _value(words, "--config")
    chosen = {} if config_file is None else _read_config(config_file, words[0], kind)
    preset, data = (_value(words, f"--{name}") or str(chosen.get(name) or "") for name in ("preset", "data"))
    defaults = preset_values(kind, data or "digits", preset)
    parser.add_argument("--config", action=ActionConfigFile, help="YAML file of any of these options")
    parser.add_argument("--data", type=str, default="digits", help="a data set's name, or the path of your own images")
    parser.add_argument("--out", type=str | None, default=None, help="run directory; default: runs/METHOD-DATA-SEED")
    parser.add_argument(
        "--preset", type=str | None, default=None, help=f"{', '.join(kind.presets)}; default: the data's"
    )
    _add_fields(parser, kind.config_class, f"hyper-parameters of {words[0]}", defaults)
    _add_fields(parser, Settings, "how to run", {"views": kind.views})
    _add_fields(parser, DataOptions, "what the data mean")


def _value(words: Sequence[str], option: str) -> str | None:
    """The value of an option before the whole line is parsed: it decides on the defaults of others."""
    for word, after in zip(words, [*words[1:], ""]):
        if word == option:
            return after
        if word.startswith(f"{option}="):
            return word.partition("=")[2]
    return None


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


def _train(args: "Namespace") -> None:
    from unbraid.run import train

    options = {name: value for name, value in vars(args).items() if name not in ("config", "method", "data", "out")}
    run = train(args.method, args.data, out=args.out, **options)
    _say(f"{run.path} is done: unbraid audit {run.path}")


# --- audit, evaluate, report


def _audit_parser(parser: "ArgumentParser", words: Sequence[str]) -> None:
    parser.add_argument("codes", type=str, help="run directory, folder of runs, or a file of codes (N, D)")
    parser.add_argument("labels", type=str | None, nargs="?", default=None, help="table with one row per code")
    parser.add_argument("--domain", type=str | None, default=None, help="column that the code should not carry")
    parser.add_argument("--factors", type=str, nargs="*", default=None, help="columns it should; default: all")
    parser.add_argument(
        "--circular", type=str, nargs="*", default=[], help="factors whose last value is next to the first"
    )
    parser.add_argument("--probes", type=str, nargs="*", default=None, help="of linear and six-layer; default: both")
    parser.add_argument("--seed", type=int | None, default=None, help="of the probes and the intervals; default: 0")
    parser.add_argument("--out", type=str | None, default=None, help="also write the scores: a .json or .csv file")


def _audit(args: "Namespace") -> None:
    from rich.console import Console

    from unbraid import card as cards
    from unbraid.records import find_runs

    path = Path(args.codes)
    if not path.exists():
        raise UserError(f"no file or folder {path}")
    if args.out:
        cards.check_format(Path(args.out))
    runs = find_runs([path]) if path.is_dir() else []
    asked = args.labels or args.domain or args.factors or args.circular or args.probes or args.seed is not None
    if len(runs) > 1:
        if asked or args.out:
            raise UserError(f"{path} holds {len(runs)} runs, which are compared as they are; name one to audit it anew")
        return _compare(runs)
    if runs and not asked:
        card = cards.of_run(runs[0])
    else:
        card = cards.audit(
            runs[0].codes if runs else path,
            Path(args.labels) if args.labels else None,
            domain=args.domain,
            factors=args.factors,
            circular=args.circular,
            probes=args.probes or list(cards.PROBES),
            seed=args.seed or 0,
        )
    Console(width=None if sys.stdout.isatty() else 140).print(card.render())
    for sentence in card.summary():
        _say(sentence)
    if args.out:
        card.save(Path(args.out))
    return None


def _compare(runs: "Sequence[RunDir]") -> None:
    """A table over the methods; Markdown, drawn as a table on a terminal. The controls stand in the report."""
    from rich.console import Console
    from rich.markdown import Markdown

    from unbraid.report import page, tables

    done = [run for run in runs if run.is_done()]
    records = [record for record in page.labelled_records(done) if "shuffled" not in record.variant]
    if not records:
        raise UserError("no run here has scores yet; run the commands that began them again, they go on")
    text = tables.markdown(tables.tables(tables.score_rows(records)))
    if not sys.stdout.isatty():
        return _say(text)
    return Console().print(Markdown(text))


def _evaluate_parser(parser: "ArgumentParser", words: Sequence[str]) -> None:
    parser.add_argument("run", type=str, help="run directory")
    parser.add_argument("--metrics", type=str, nargs="*", default=None, help="names of 'unbraid list metrics'")


def _evaluate(args: "Namespace") -> None:
    from unbraid import run as runs
    from unbraid.records import RunDir

    folder = RunDir(args.run)
    runs.evaluate(folder, args.metrics or runs.FIRST_SCORES)
    _say(f"{folder.scores} is written: unbraid audit {folder.path}")


def _report_parser(parser: "ArgumentParser", words: Sequence[str]) -> None:
    parser.add_argument("folders", type=str, nargs="+", help="run directories, or folders that hold some")
    parser.add_argument("--out", type=str, default="report.html", help="the page to write")


def _report(args: "Namespace") -> None:
    from unbraid.report import report

    _say(f"{report(args.folders, Path(args.out)).resolve()} is written; open it in a browser")


# --- data, list, show


def _data_parser(parser: "ArgumentParser", words: Sequence[str]) -> None:
    from unbraid.data.options import DataOptions

    parser.add_argument(
        "action", type=typing.Literal["prepare", "export"], help="prepare: decode and store; export: .npz"
    )
    parser.add_argument("data", type=str, help="a data set's name, or the path of your own images")
    parser.add_argument("--out", type=str | None, default=None, help="export: the published system's file to write")
    _add_fields(parser, DataOptions, "what the data mean")


def _data(args: "Namespace") -> None:
    from unbraid import data
    from unbraid.data import official
    from unbraid.data.options import DataOptions

    names = [field.name for field in dataclasses.fields(DataOptions)]
    dataset = data.load(args.data, DataOptions(**{name: args[name] for name in names}))
    spec = dataset.spec
    if args.action == "export":
        written = official.write(dataset, Path(args.out or f"{spec.name}.npz"))
        return _say("\n".join(f"{path} is written" for path in written))
    counts = ", ".join(f"{len(dataset.rows(name))} {name}" for name in ("train", "validation", "test"))
    columns = ", ".join([f"{name} ({size} values)" for name, size in spec.sizes.items()] + [*spec.targets])
    return _say(f"{spec.name}: {len(dataset)} images {spec.image_shape}, {counts}\ncolumns: {columns}")


def _list_parser(parser: "ArgumentParser", words: Sequence[str]) -> None:
    kinds = typing.Literal["methods", "data", "views", "metrics"]
    parser.add_argument("kind", type=kinds, help="methods, data, views or metrics")


def _tables(kind: str) -> list[str]:
    from unbraid import augment, data, methods, metrics

    tables = {
        "methods": lambda: methods.METHODS,
        "data": lambda: data.DATASETS,
        "views": lambda: augment.VIEWS,
        "metrics": lambda: metrics.METRICS,  # imports their files
    }
    return list(tables[kind]())


def _list(args: "Namespace") -> None:
    _say("\n".join(_tables(args.kind)))


def _show_parser(parser: "ArgumentParser", words: Sequence[str]) -> None:
    parser.add_argument("method", type=str, help="a name of 'unbraid list methods'")


def _show(args: "Namespace") -> None:
    import importlib

    from unbraid.methods import method

    kind = method(args.method)
    _say(importlib.import_module(kind.__module__).__doc__ or "")
    rows = [(f.name, str(f.default), f.metadata["doc"]) for f in dataclasses.fields(kind.config_class)]
    widths = [max(len(row[i]) for row in rows) for i in range(2)]
    _say("\n".join(f"  {name:<{widths[0]}}  {default:<{widths[1]}}  {doc}" for name, default, doc in rows))
    for name, preset in kind.presets.items():
        _say(f"\n  --preset {name}: " + ", ".join(f"{key}={value}" for key, value in preset.items()))


COMMANDS = {
    "train": Command("train an encoder, encode the data, score the codes", _train_parser, _train),
    "audit": Command(
        "what codes carry: leakage, content, retrieval; of a run, or of anybody's arrays", _audit_parser, _audit
    ),
    "report": Command("one self-contained HTML page over runs", _report_parser, _report),
    "evaluate": Command("encode and score a trained run again", _evaluate_parser, _evaluate),
    "data": Command("prepare a data set, or write it in the published format", _data_parser, _data),
    "list": Command("names of methods, data sets, views or metrics", _list_parser, _list),
    "show": Command("source, objective, differences and hyper-parameters of a method", _show_parser, _show),
}
