"""unbraid report: one page over runs."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from unbraid.cli.parsing import say

if TYPE_CHECKING:
    from jsonargparse import ArgumentParser, Namespace


def parser(parser: "ArgumentParser", words: Sequence[str]) -> None:
    parser.add_argument("folders", type=str, nargs="+", help="runs, populations, or folders that hold some")
    parser.add_argument("--out", type=str, default="report.html", help="the page to write; Markdown if it ends in .md")
    parser.add_argument("--against", type=str, help="an earlier page or a folder of runs: say what changed since")


def run(args: "Namespace") -> object:
    from unbraid.report import report

    out = report(args.folders, Path(args.out), against=args.against).resolve()
    say(f"{out} is written" + ("" if out.suffix == ".md" else "; open it in a browser"))
    return {"written": [out]}
