"""unbraid data: prepare a data set, write it in a published format, or make a biased one of it."""

import dataclasses
import typing
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from unbraid.cli.parsing import add_fields, say
from unbraid.errors import UserError

if TYPE_CHECKING:
    from jsonargparse import ArgumentParser, Namespace

    from unbraid.tables import Dataset


def parser(parser: "ArgumentParser", words: Sequence[str]) -> None:
    from unbraid.data.options import DataOptions

    parser.add_argument(
        "action",
        type=typing.Literal["prepare", "export", "bias"],
        help="prepare: decode and store; export: in a published format; bias: make the bias frequent in the train rows",
    )
    parser.add_argument("data", type=str, help="a data set's name, or the path of your own images")
    parser.add_argument(
        "--out",
        type=str | None,
        default=None,
        help="what to write: a file; for published a folder; for bias a folder, or a file ending in .npz",
    )
    parser.add_argument(
        "--layout",
        type=typing.Literal["npz", "published"],
        default="npz",
        help="export: DCoDR's .npz files, or the folders align, conflict, valid, test of biased images",
    )
    group = parser.add_argument_group("bias")
    group.add_argument(
        "--ratio", type=float, default=0.99, help="share of the train rows with the label's own bias value"
    )
    group.add_argument(
        "--pairing",
        type=typing.Literal["frequent", "modular"],
        default="frequent",
        help="a label value's own bias value: so that the most rows have it, or that of its number",
    )
    group.add_argument(
        "--held_out",
        type=typing.Literal["balanced", "as-is"],
        default="balanced",
        help="validation and test rows: equally many of each pair of values, or all",
    )
    group.add_argument("--seed", type=int, default=0, help="which rows are kept")
    add_fields(parser, DataOptions, "what the data mean")


def run(args: "Namespace") -> object:
    from unbraid import data
    from unbraid.data.options import DataOptions

    names = [field.name for field in dataclasses.fields(DataOptions)]
    dataset = data.load(args.data, DataOptions(**{name: args[name] for name in names}))
    return {"prepare": _prepare, "export": _export, "bias": _bias}[args.action](dataset, args)


def _prepare(dataset: "Dataset", args: "Namespace") -> object:
    spec = dataset.spec
    columns = ", ".join([f"{name} ({size} values)" for name, size in spec.sizes.items()] + [*spec.targets])
    say(f"{spec.name}: {len(dataset)} images {spec.image_shape}, {_counts(dataset)}\ncolumns: {columns}")
    return {"spec": spec.to_dict(), **_rows(dataset)}


def _export(dataset: "Dataset", args: "Namespace") -> object:
    if args.layout == "published":
        from unbraid.data import bias_folder

        folder = bias_folder.write(dataset, Path(args.out or "dataset"))
        say(f"{folder} is written: {_counts(dataset)}")
        return {"written": [folder], **_rows(dataset)}
    return _write_npz(dataset, Path(args.out or f"{dataset.spec.name}.npz"))


def _bias(dataset: "Dataset", args: "Namespace") -> object:
    from unbraid.data import store
    from unbraid.data.rebias import rebias

    biased = rebias(dataset, args.ratio, pairing=args.pairing, held_out=args.held_out, seed=args.seed)
    out = Path(args.out or biased.spec.name)
    if out.suffix == ".npz":
        return _write_npz(biased, out)
    if out.exists() and not store.is_store(out):
        raise UserError(f"{out} is there already and is no prepared data; choose another --out")
    store.write(biased, out)
    say(f"{out} is written: {_counts(biased)}\nunbraid train METHOD --data {out}")
    if not len(biased.rows("validation")):
        say("without validation rows nothing but the test can choose a moment of training: a run reports its last")
    return {"written": [out], **_rows(biased)}


def _write_npz(dataset: "Dataset", out: Path) -> object:
    from unbraid.data import official

    written = official.write(dataset, out)
    say("\n".join(f"{path} is written" for path in written))
    return {"written": written, **_rows(dataset)}


def _counts(dataset: "Dataset") -> str:
    return ", ".join(f"{num} {name}" for name, num in _rows(dataset).items())


def _rows(dataset: "Dataset") -> dict[str, int]:
    from unbraid.tables import SPLITS

    return {name: len(dataset.rows(name)) for name in SPLITS}
