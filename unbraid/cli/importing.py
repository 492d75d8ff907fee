"""unbraid import: a published training folder becomes a run directory."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from unbraid.cli.parsing import say
from unbraid.errors import UserError

if TYPE_CHECKING:
    from jsonargparse import ArgumentParser, Namespace


def parser(parser: "ArgumentParser", words: Sequence[str]) -> None:
    from unbraid.importers import IMPORTERS

    parser.add_argument("system", type=str, help=f"whose folder it is: {', '.join(IMPORTERS)}")
    parser.add_argument("folder", type=str, help="the training folder")
    parser.add_argument("--out", type=str | None, default=None, help="run directory; default: runs/SYSTEM-FOLDER")
    parser.add_argument("--data", type=str | None, default=None, help="what 'unbraid evaluate' is to encode")
    parser.add_argument("--epoch", type=str, default="last", help="which of the stored epochs")


def run(args: "Namespace") -> None:
    from unbraid.importers import importer

    folder = Path(args.folder)
    if not folder.is_dir():
        raise UserError(f"no folder {folder}")
    out = Path(args.out or f"runs/{args.system}-{folder.resolve().name}")
    read = importer(args.system)
    done = read(folder, out, data=args.data, epoch=args.epoch)
    next_step = f"unbraid evaluate {done.path}" if args.data else f"unbraid export {done.path}"
    say(f"{done.path} is written: {next_step}")
