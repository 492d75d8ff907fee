"""unbraid audit: the scores of a run, or of anybody's codes."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from unbraid.cli.parsing import say
from unbraid.errors import UserError

if TYPE_CHECKING:
    from jsonargparse import ArgumentParser, Namespace

    from unbraid.records import Record, RunDir


def parser(parser: "ArgumentParser", words: Sequence[str]) -> None:
    add = parser.add_argument
    add("codes", type=str, help="run directory, folder of runs, or a file of codes (N, D)")
    add("labels", type=str | None, nargs="?", default=None, help="table with one row per code")
    add("--domain", type=str | None, default=None, help="column that the code should not carry")
    add("--factors", type=str, nargs="*", default=None, help="columns that it should; default: all others")
    add("--circular", type=str, nargs="*", default=[], help="factors whose last value is next to the first")
    add("--label", type=str | None, default=None, help="column that a classifier predicts")
    add("--bias", type=str | None, default=None, help="column that goes along with the label in most rows")
    add("--metrics", type=str, nargs="*", default=None, help="of 'unbraid list metrics'; default: all but slow ones")
    add("--k", type=int | None, default=None, help="neighbours that retrieval looks at; default: 1")
    add("--margins", type=str, nargs="*", default=[], help="FACTOR=N: a difference of N still counts in retrieval")
    add("--seed", type=int | None, default=None, help="of the probes, the split and the intervals; default: 0")
    add("--out", type=str | None, default=None, help="also write the card: .html, .md, .tex, .csv or .json")


def run(args: "Namespace") -> object:
    from rich.console import Console

    from unbraid import card as cards
    from unbraid.records import find_runs

    path = Path(args.codes)
    if not path.exists():
        raise UserError(f"no file or folder {path}")
    if args.metrics == []:
        raise UserError("--metrics needs a name, or several, of 'unbraid list metrics'")
    if args.out:
        cards.check_format(Path(args.out))
    runs = find_runs([path]) if path.is_dir() else []
    roles = {name: args[name] for name in ("domain", "factors", "circular", "label", "bias")}
    options = _retrieval_options(args)
    asked = args.labels or any(roles.values()) or args.metrics or options or args.seed is not None
    if len(runs) > 1:
        if asked or args.out:
            raise UserError(f"{path} holds {len(runs)} runs, which are compared as they are; name one to audit it anew")
        return _compare(runs)
    if runs and not asked:
        card = cards.of_run(runs[0])
    else:
        labels = Path(args.labels) if args.labels else None
        codes = runs[0].codes if runs else path
        card = cards.audit(codes, labels, **roles, metrics=args.metrics, options=options, seed=args.seed or 0)
    Console(width=None if sys.stdout.isatty() else 160).print(card.render())
    for sentence in card.summary():
        say(sentence)
    if args.out:
        card.save(Path(args.out))
        say(f"{args.out} is written")
    return card.to_dict()


def _retrieval_options(args: "Namespace") -> dict[str, dict[str, object]]:
    found: dict[str, object] = {} if args.k is None else {"k": args.k}
    margins = {}
    for word in args.margins:
        factor, _, number = word.rpartition("=")
        if not factor or not number.isdecimal():
            raise UserError(f"--margins takes FACTOR=N with a whole number N, not {word!r}")
        margins[factor] = int(number)
    if margins:
        found["margins"] = margins
    if found and args.metrics and "retrieval" not in args.metrics:
        given = " and ".join(f"--{name}" for name in found)
        raise UserError(f"{given}: for retrieval only, which is not among --metrics")
    return {"retrieval": found} if found else {}


def _compare(runs: "Sequence[RunDir]") -> "Sequence[Record]":
    """The scores, shown as a table over the methods, on a terminal drawn. The controls stand in the report."""
    from rich.console import Console
    from rich.markdown import Markdown

    from unbraid.report import tables
    from unbraid.report.runs import labelled_records

    done = [run for run in runs if run.is_done()]
    records = [record for record in labelled_records(done) if "shuffled" not in record.variant]
    if not records:
        raise UserError("no run here has scores yet; run the commands that began them again, they go on")
    text = tables.markdown(tables.tables(tables.score_rows(records)))
    if sys.stdout.isatty():
        Console().print(Markdown(text))
    else:
        say(text)
    return records
