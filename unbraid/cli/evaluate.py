"""unbraid evaluate: encode and score a trained run again."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from unbraid.cli.parsing import say

if TYPE_CHECKING:
    from jsonargparse import ArgumentParser, Namespace


def parser(parser: "ArgumentParser", words: Sequence[str]) -> None:
    parser.add_argument("run", type=str, help="run directory")
    parser.add_argument(
        "--metrics",
        type=str,
        nargs="*",
        default=None,
        help="names of 'unbraid list metrics', or all; default: the probes and retrieval",
    )


def run(args: "Namespace") -> object:
    from unbraid.evaluation import evaluate
    from unbraid.records import RunDir

    folder = RunDir(args.run)
    scores = evaluate(folder, args.metrics)
    say(f"{folder.scores} is written: unbraid audit {folder.path}")
    return {"run": folder.path, "scores": scores}
