"""unbraid udr: models ranked by how far their codes agree, without labels."""

import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from unbraid.cli.parsing import say
from unbraid.errors import UserError

if TYPE_CHECKING:
    from jsonargparse import ArgumentParser, Namespace
    from rich.table import Table

    from unbraid.metrics.udr import UDR


def parser(parser: "ArgumentParser", words: Sequence[str]) -> None:
    add = parser.add_argument
    add("codes", type=str, nargs="+", help="files of codes of the same rows, run directories, or folders of runs")
    add("--relation", type=Literal["lasso", "spearman"], default="lasso", help="how one code predicts another")
    add(
        "--weights",
        type=Literal["equal", "counts"],
        default="equal",
        help="of dimensions in a mean: equal as in the published code, counts of active ones as in the paper",
    )
    add(
        "--active_by",
        type=Literal["kl", "variance", "none"] | None,
        default=None,
        help="kl, variance or none: how active dimensions are told; default: kl where the codes have it",
    )
    add("--threshold", type=float, default=0.01, help="KL in nats, or share of the largest variance, of an active one")
    add("--num_points", type=int, default=1000, help="rows that are compared")
    add("--seed", type=int, default=0, help="which rows these are")
    add("--out", type=str | None, default=None, help="also write the ranking as .csv or .json")


def run(args: "Namespace") -> object:
    from rich.console import Console

    from unbraid import seeds
    from unbraid.card import check_place
    from unbraid.metrics.udr import CEILING, udr
    from unbraid.readers import read_array

    if args.out and Path(args.out).suffix.lower() not in (".csv", ".json"):
        raise UserError(f"a ranking is saved as .csv or .json, not as {args.out!r}")
    if args.out:
        check_place(Path(args.out))
    if args.seed < 0:
        raise UserError(f"seed must be at least 0, not {args.seed}")
    paths = _paths(args.codes)
    options = {name: args[name] for name in ("relation", "weights", "active_by", "threshold", "num_points")}
    codes = [read_array(path) for path in paths]
    try:
        result = udr(codes, rng=seeds.stream(args.seed, "udr"), intervals=True, **options)
    except UserError as error:
        raise UserError(_with_files(str(error), paths)) from None
    names = _names(paths)
    rows = _rows(result, names)
    Console(width=None if sys.stdout.isatty() else 120).print(_table(rows))
    say(
        f"Mean {result.mean:.3f} over {len(names)} models, {result.num} rows; {result.relation}, dimensions by "
        f"{result.active_by}. A model that another repeats scores {CEILING[result.relation]}. Agreement is no "
        "coverage: read the number of active dimensions beside it."
    )
    if args.out:
        _save(rows, Path(args.out))
    facts = {name: getattr(result, name) for name in ("mean", "num", "relation", "active_by")}
    return facts | {"models": rows}


def _paths(words: Sequence[str]) -> list[Path]:
    from unbraid.records import find_runs

    return [
        file
        for word in words
        for file in ([r.codes for r in find_runs([word])] if Path(word).is_dir() else [Path(word)])
    ]


def _names(paths: Sequence[Path]) -> list[str]:
    """The name of the run or file; of two alike, the path, less what follows it."""
    files = [path.parent if path.name == "codes.npz" else path.with_suffix("") for path in paths]
    alike = [file.name for file in files]
    whole = [str(file) if alike.count(file.name) > 1 else file.name for file in files]
    return [str(path) if whole.count(name) > 1 else name for name, path in zip(whole, paths, strict=True)]


def _with_files(complaint: str, paths: Sequence[Path]) -> str:
    """The complaint, with the file in place of its number."""
    return re.sub(r"\bcodes (\d+) of \d+", lambda found: f"the codes of {paths[int(found[1]) - 1]}", complaint)


def _rows(result: "UDR", names: Sequence[str]) -> list[dict[str, object]]:
    """Best first."""
    rows: list[dict[str, object]] = []
    for place, i in enumerate(result.ranking, start=1):
        nearest = int(result.pairwise[:, i].argmax())
        rows.append(
            {
                "rank": place,
                "model": names[i],
                "udr": float(result.scores[i]),
                "low": None if result.low is None else float(result.low[i]),
                "high": None if result.high is None else float(result.high[i]),
                "active": int(result.active[i].sum()),
                "dimensions": len(result.active[i]),
                "nearest": names[nearest],
                "agreement": float(result.pairwise[nearest, i]),
            }
        )
    return rows


def _table(rows: Sequence[dict[str, object]]) -> "Table":
    from rich.table import Table

    table = Table()
    for heading in ("rank", "model", "UDR", "95 % interval", "active dimensions", "agrees most with"):
        table.add_column(heading, justify="left" if heading in ("model", "agrees most with") else "right")
    for row in rows:
        interval = "" if row["low"] is None else f"{row['low']:.3f} to {row['high']:.3f}"
        table.add_row(
            str(row["rank"]),
            str(row["model"]),
            f"{row['udr']:.3f}",
            interval,
            f"{row['active']} of {row['dimensions']}",
            f"{row['nearest']} ({row['agreement']:.2f})",
        )
    return table


def _save(rows: Sequence[dict[str, object]], path: Path) -> None:
    from unbraid.atomic import atomic_file
    from unbraid.records import write_json

    if path.suffix.lower() == ".json":
        return write_json(path, rows)
    import pandas

    with atomic_file(path) as temporary:
        pandas.DataFrame(rows).to_csv(temporary, index=False)
    return None
