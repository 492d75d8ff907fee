"""unbraid export: the encoder of a run, or the groups of images that it made out, for use elsewhere."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from unbraid.cli.parsing import say
from unbraid.errors import UserError

if TYPE_CHECKING:
    from jsonargparse import ArgumentParser, Namespace

_FILES = {
    "onnx": "encoder.onnx",
    "torch": "encoder.pt2",
    "safetensors": "encoder.safetensors",
    "groups": "groups.csv",
}


def parser(parser: "ArgumentParser", words: Sequence[str]) -> None:
    parser.add_argument("folder", type=str, help="run directory")
    parser.add_argument(
        "--format",
        type=str,
        default="onnx",
        help="onnx, torch (torch.export) or safetensors: the encoder; groups: a table of groups for --columns",
    )
    parser.add_argument("--out", type=str | None, default=None, help="file to write; default: in the run directory")


def run(args: "Namespace") -> object:
    from unbraid.export import FORMATS, export

    if args.format not in FORMATS:
        raise UserError(f"--format is one of {', '.join(FORMATS)}, not {args.format!r}")
    out = Path(args.out) if args.out else Path(args.folder) / _FILES[args.format]
    written = export(args.folder, out, args.format)
    say(f"{written} is written")
    return {"written": [written]}
