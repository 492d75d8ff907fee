"""unbraid linear: linear evaluation of a trained run on its images."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from unbraid.cli.parsing import add_fields, say

if TYPE_CHECKING:
    from jsonargparse import ArgumentParser, Namespace


def parser(parser: "ArgumentParser", words: Sequence[str]) -> None:
    from unbraid.studies.linear_evaluation import Protocol

    parser.add_argument("run", type=str, help="run directory")
    add_fields(parser, Protocol, "how the layer learns; evaluate --metrics linear-evaluation learns from stored codes")


def run(args: "Namespace") -> object:
    from accelerate import Accelerator

    from unbraid.encoder import open_config
    from unbraid.hparams import parse
    from unbraid.records import RunDir
    from unbraid.studies.linear_evaluation import Protocol, linear_evaluation

    chosen = parse(Protocol, {name: value for name, value in vars(args).items() if name != "run"}, owner="linear")
    run = RunDir(args.run)
    device = Accelerator(cpu=open_config(run).settings.device == "cpu").device  # as in training
    scores = linear_evaluation(run, chosen, device)
    for score in scores:
        say(f"{score.column}, {score.variant}: {score.value:.4f} [{score.low:.4f}, {score.high:.4f}]")
    return scores
