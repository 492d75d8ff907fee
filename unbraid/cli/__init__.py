"""The command line: ``unbraid <command>``. Only the chosen command's module, and what it needs, is imported.

A command is a file of this folder with ``parser``, which adds its arguments, and ``run``, which says for people what it
returns for ``--json``; and a row of ``COMMANDS``.
"""

import importlib
import logging
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from unbraid import __version__
from unbraid.errors import Stopped, UserError, did_you_mean


@dataclass(frozen=True)
class Command:
    """A word of the command line."""

    help: str
    module: str  # a file of this folder
    scripted: bool = True  # takes --quiet and --json


COMMANDS = {
    "train": Command("train an encoder, encode the data, score the codes", "train"),
    "watch": Command("a live view of what is training, with the time left", "watching"),
    "audit": Command("what codes carry: every score of a run, or of anybody's arrays", "audit"),
    "udr": Command("rank models without labels by how far their codes agree", "udr"),
    "study": Command("many runs and what they say together: published tables, ablations, advice", "study"),
    "population": Command("hyper-parameters found while training: PBT, PU-VAE, and replays", "population"),
    "report": Command("one self-contained HTML page over runs", "report"),
    "encode": Command("the codes of any data set under a trained run, ready to audit", "encoding"),
    "evaluate": Command("encode and score a trained run again", "evaluate"),
    "linear": Command("linear evaluation of a run: what a linear layer learns of its images, encoder frozen", "linear"),
    "explore": Command(
        "a local web page of a run: drop an image, see what its code tells", "exploring", scripted=False
    ),
    "export": Command("what a run found: its encoder (ONNX, torch.export, safetensors) or groups (CSV)", "exporting"),
    "import": Command("a published training folder becomes a run directory", "importing"),
    "data": Command("prepare a data set, write it in a published format, or make a biased one of it", "data"),
    "doctor": Command("what is installed, how fast this machine is, where data and weights are looked for", "doctor"),
    "completion": Command("a script by which bash, zsh or fish completes all this", "completion", scripted=False),
    "list": Command("names of methods, data sets, views or metrics", "listing"),
    "show": Command("what stands behind the name of a method or a metric", "show"),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Exit codes: 0 done, 2 a mistake of the user's (one line on stderr), 130 stopped by Ctrl-C and ready to go on."""
    argv = list(sys.argv[1:] if argv is None else argv)
    try:
        with _termination_as_ctrl_c():
            _dispatch(argv)
    except UserError as error:
        return _fail(str(error), 2)
    except BrokenPipeError:  # the reader has seen enough: unbraid ... | head
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
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


@contextmanager
def _termination_as_ctrl_c() -> Iterator[None]:
    """A request to end (SIGTERM), as a scheduler sends it, ends what runs as Ctrl-C does."""
    if threading.current_thread() is not threading.main_thread():  # only there may signals be handled
        yield
        return
    previous = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)


def _fail(message: str, code: int) -> int:
    sys.stderr.write(f"unbraid: {' '.join(message.split())}\n")
    return code


def _dispatch(argv: list[str]) -> None:
    logging.basicConfig(format="%(message)s", level=logging.WARNING)
    if not argv or argv[0] in ("-h", "--help"):
        sys.stdout.write(_usage())
        return
    if argv[0] == "--version":
        sys.stdout.write(f"unbraid {__version__}\n")
        return
    name, rest = argv[0], argv[1:]
    if name not in COMMANDS:
        raise UserError(f"unknown command {name!r}.{did_you_mean(name, COMMANDS)}")
    from jsonargparse import ArgumentParser

    from unbraid.cli import scripting
    from unbraid.cli.formatting import HelpFormatter, usage
    from unbraid.cli.parsing import parse

    command = importlib.import_module(f"{__name__}.{COMMANDS[name].module}")
    parser = ArgumentParser(
        prog=f"unbraid {name}",
        description=COMMANDS[name].help,
        formatter_class=HelpFormatter,
        exit_on_error=False,
    )
    command.parser(parser, rest)
    if COMMANDS[name].scripted:
        scripting.add_options(parser)
    parser.usage = usage(parser)
    args = parse(parser, rest)
    quiet, as_json = args.pop("quiet", False), args.pop("json", False)
    with scripting.silence(output=quiet or as_json, progress=quiet):
        result = command.run(args)
    if as_json:
        sys.stdout.write(scripting.document(result))


def _usage() -> str:
    rows = "\n".join(f"  {name:<10} {command.help}" for name, command in COMMANDS.items())
    return (
        "Encoders that keep what you want and drop what you do not, and honest measurement of how well.\n\n"
        f"usage: unbraid <command> [options]\n\n{rows}\n\n"
        "unbraid <command> --help lists a command's options. A first try, with no data of your own:\n"
        "  unbraid train dcodr-norec --data digits\n"
        "  unbraid report runs/ --out report.html\n"
    )
