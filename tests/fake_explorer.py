"""An untrained network as `unbraid explore` has it, in memory; and its page, served in a process of its own."""

import sys

import torch
from fake_training import tiny_dataset

from unbraid.config import RunConfig
from unbraid.encode import encode_dataset
from unbraid.encoder import Encoder
from unbraid.explore.explorer import OpenRun
from unbraid.explore.heads import fit_heads
from unbraid.hparams import parse
from unbraid.methods import method
from unbraid.records import RunDir

DATA = tiny_dataset()


def explorer(name: str, *, swaps: bool = False) -> OpenRun:
    kind = method(name)
    torch.manual_seed(0)
    model = kind(parse(kind.config_class, kind.presets["tiny"], owner=name), DATA.spec).eval()
    codes = encode_dataset(model, DATA)
    return OpenRun(
        run=RunDir("runs/mine"),
        encoder=Encoder(model, RunConfig.make(name, "digits"), DATA.spec),
        dataset=DATA,
        codes=codes,
        heads=fit_heads(codes, ["camera", "shape", "pose"]),
        swaps=swaps,
        usual_similarity=0.9,
    )


def serve(port: int) -> None:
    """A page with every part, until stdin ends; its address to stdout, then each address it has connected to."""
    from unbraid.explore import app

    asked = []
    sys.addaudithook(lambda event, about: asked.append(about[1]) if event == "socket.connect" else None)
    with app.serve(explorer("beta-vae", swaps=True), port=port) as address:
        sys.stdout.write(f"{address}\n")
        sys.stdout.flush()
        sys.stdin.read()
    sys.stdout.write("".join(f"{one}\n" for one in asked))
