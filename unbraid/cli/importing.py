"""unbraid import: what a published system wrote becomes a run directory."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from unbraid.cli.parsing import say
from unbraid.errors import UserError

if TYPE_CHECKING:
    from jsonargparse import ArgumentParser, Namespace


def parser(parser: "ArgumentParser", words: Sequence[str]) -> None:
    from unbraid.importers import IMPORTERS

    parser.add_argument("system", type=str, help=f"whose it is: {', '.join(IMPORTERS)}")
    parser.add_argument("path", type=str, help="the training folder; of ip-irm and pbt-vae a checkpoint's file, too")
    parser.add_argument("--out", type=str | None, default=None, help="run directory; default: runs/SYSTEM-NAME")
    parser.add_argument("--data", type=str | None, default=None, help="what 'unbraid evaluate' is to encode")
    parser.add_argument("--epoch", type=str, default="last", help="which of the stored epochs")


def run(args: "Namespace") -> object:
    from unbraid.importers import importer

    path = Path(args.path)
    if not path.exists():
        raise UserError(f"no folder or file {path}")
    out = Path(args.out or f"runs/{args.system}-{path.stem if path.is_file() else path.resolve().name}")
    read = importer(args.system)
    if path.is_file() and args.epoch != "last":
        raise UserError(
            f"--epoch {args.epoch} is of a folder of checkpoints, and {path} is one checkpoint; leave it out"
        )
    done = read(path, out, data=args.data, epoch=args.epoch)
    next_step = f"unbraid evaluate {done.path}" if args.data else f"unbraid export {done.path}"
    say(f"{done.path} is written: {next_step}")
    return {"run": done.path}
