"""unbraid encode: the codes of any data set under a trained run, ready to audit."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from unbraid.cli.parsing import add_fields, say
from unbraid.errors import DataError, UserError

if TYPE_CHECKING:
    from jsonargparse import ArgumentParser, Namespace


def parser(parser: "ArgumentParser", words: Sequence[str]) -> None:
    from unbraid.data.options import DataOptions

    parser.add_argument("folder", type=str, help="run directory")
    parser.add_argument(
        "--data", type=str | None, default=None, help="required: a data set's name, or the path of your own images"
    )
    parser.add_argument("--out", type=str, default="codes.npz", help="file to write; unbraid audit reads it")
    add_fields(parser, DataOptions, "what the data mean")


def run(args: "Namespace") -> object:
    from unbraid import data
    from unbraid.data.options import DataOptions
    from unbraid.encode import encode_dataset
    from unbraid.encoder import load

    if args.data is None:
        raise UserError("say what to encode with --data: a data set's name, or the path of your own images")
    if (out := Path(args.out)).suffix != ".npz":
        raise UserError(f"--out is a file ending in .npz, not {out}")
    encoder = load(args.folder)
    given = {field.name: args[field.name] for field in dataclasses.fields(DataOptions)}
    dataset = data.load(args.data, DataOptions(**given))
    ours, theirs = encoder.spec.image_shape, dataset.spec.image_shape
    if ours != theirs:
        own = f"--size {ours[1]} --color {'grey' if ours[0] == 1 else 'rgb'}"
        raise DataError(
            f"{args.folder} encodes images {ours} (C, H, W), and those of {args.data} are {theirs}; "
            f"for images of your own give {own}"
        )
    encode_dataset(encoder.method, dataset).save(out)
    say(f"{out} is written: {len(dataset)} codes" + (f"\nunbraid audit {out}" if dataset.columns else ""))
    return {"written": [out], "codes": len(dataset)}
