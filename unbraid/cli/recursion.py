"""The actions of ``unbraid population`` that go beyond one population: rpu, and labels for people."""

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

from unbraid.cli.parsing import add_fields, say
from unbraid.errors import UserError

if TYPE_CHECKING:
    from jsonargparse import ArgumentParser, Namespace

    from unbraid.population.config import PopulationConfig
    from unbraid.population.executors import Executor
    from unbraid.population.rpu import Shown

_DECIDED = ("fitness", "fitness_options", "num_labels", "until_converged", "first_members", "asynchronous")


def add_rpu(parser: "ArgumentParser", given: set[str]) -> None:
    """What a recursion is told beside the options of its populations."""
    from unbraid.population.recursion import RecursionSettings

    if decided := sorted(given & set(_DECIDED)):
        raise UserError(f"leave out --{decided[0].replace('_', '-')}: in a recursion each population has its own")
    add_fields(parser, RecursionSettings, "the recursion")


def run_rpu(args: "Namespace", config: "PopulationConfig", executor: "Executor", out: Path, shown: "Shown") -> object:
    from unbraid.config import field_names
    from unbraid.hparams import parse
    from unbraid.population import rpu
    from unbraid.population.recursion import RecursionConfig, RecursionSettings

    options = {name: args[name] for name in field_names(RecursionSettings)}
    recursion = parse(RecursionSettings, options, owner="a recursion")
    asked = RecursionConfig(member=config.member, settings=config.settings, recursion=recursion)
    done = rpu.run_rpu(asked, out, executor, shown)
    for number, leaf in enumerate(done.leaves):
        found = sum(len(step.labels.dimensions) for step in leaf.steps)
        say(f"leaf run {number}: {found} factors, images after each reduction {list(leaf.sizes)}; {leaf.reason}")
    say(f"best leaf-mig: {done.fitness:.4f}\n{done.model.path} is done: unbraid audit {done.model.path}")
    return {"run": done.model.path, "fitness": done.fitness, "recursion": done.folder}


def add_labels(parser: "ArgumentParser") -> None:
    from unbraid.data.options import DataOptions

    add = parser.add_argument
    add("folder", type=str, help="of a run, a population or a recursion")
    add("--data", type=str | None, default=None, help="a data set's name, or the path of your own images")
    add("--out", type=str, default="labels", help="folder for factors.yaml, pictures and tables")
    add_fields(parser, DataOptions, "what the data mean")


def run_labels(args: "Namespace") -> object:
    from unbraid.data.options import DataOptions
    from unbraid.population.annotation import annotate, has_paths

    if args.data is None:
        raise UserError("say what to label with --data: a data set's name, or the path of your own images")
    options = DataOptions(**{field.name: args[field.name] for field in dataclasses.fields(DataOptions)})
    written = annotate(args.folder, args.data, args.out, options)
    if written[0].name == "factors.yaml":
        say(f"{written[0]} is written: look at the pictures beside it, accept and name factors, run the same again")
    else:
        option = "--labels" if has_paths(args.data) else "--columns"
        say(f"{written[0]} is written: unbraid train METHOD --data {args.data} {option} {written[0]}")
    return {"written": written}
