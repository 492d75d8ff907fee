"""unbraid population: hyper-parameters found while training, by many members that compete."""

import itertools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from unbraid.cli.parsing import add_fields, name_values, say, value
from unbraid.cli.recursion import add_labels, add_rpu, run_labels, run_rpu
from unbraid.errors import UserError, did_you_mean

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from jsonargparse import ArgumentParser, Namespace

    from unbraid.population.config import PopulationConfig
    from unbraid.population.executors import Executor
    from unbraid.types import Method

ACTIONS = {
    "pbt": "population-based training: members are drawn, trained, compared and replaced, generation by generation",
    "pu": "the same without labels: a member is five networks, its fitness how far they agree",
    "rpu": "the whole recursion without labels: learn, fix what was learned, learn on, then train for what was found",
    "labels": "the factors of a run as columns: shown first, written once they are accepted in factors.yaml",
    "replay": "train one model along the schedule that won a population",
}
_DECIDED = ("epochs", "max_steps")  # by generations and images


def parser(parser: "ArgumentParser", words: Sequence[str]) -> None:
    known = "; ".join(f"{name}: {text}" for name, text in ACTIONS.items())
    parser.add_argument("action", type=str, help=f"{known}. population ACTION METHOD --help lists its options")
    if not words or words[0] in ("-h", "--help"):
        return
    if words[0] not in ACTIONS:
        raise UserError(f"population: unknown action {words[0]!r}.{did_you_mean(words[0], ACTIONS)}")
    if words[0] == "replay":
        parser.add_argument("folder", type=str, help="of a population that has ended")
        parser.add_argument("--seed", type=int, default=0, help="of the new training")
        parser.add_argument("--out", type=str | None, default=None, help="folder; default: FOLDER/replay-SEED")
        return
    if words[0] == "labels":
        add_labels(parser)
        return
    from unbraid.methods import METHODS, method

    parser.add_argument("method", type=str, help=", ".join(METHODS))
    if len(words) < 2 or words[1] in ("-h", "--help"):
        return
    if words[1].startswith("-"):
        raise UserError(f"name a method first, unbraid population {words[0]} METHOD ...: one of {', '.join(METHODS)}")
    add_options(parser, words, words[0], method(words[1]))


def add_options(parser: "ArgumentParser", words: Sequence[str], action: str, kind: "type[Method]") -> None:
    """Everything a population may be told; the presets decide what holds where nothing is said."""
    from unbraid.config import Settings, field_names, preset_values
    from unbraid.data.options import DataOptions
    from unbraid.population.config import PopulationSettings
    from unbraid.population.pbt import explored_names, searchable
    from unbraid.population.presets import KINDS, PRESETS

    given = {word.partition("=")[0].removeprefix("--").replace("-", "_") for word in words if word.startswith("--")}
    if decided := given & set(_DECIDED):
        raise UserError(f"leave out --{decided.pop()}: a population trains as long as --generations and --images say")
    preset, data = value(words, "--preset"), value(words, "--data") or "digits"
    if preset in PRESETS and preset != f"published-{action}":
        raise UserError(f"--preset {preset} is of unbraid population {preset.removeprefix('published-')}")
    if both := given & set(explored_names(_values(words, "--explore"))):
        raise UserError(f"--{both.pop()} is given, and cannot be explored too: leave one of both out")
    published = PRESETS.get(preset or "", KINDS[action])
    population = dict(published.population)
    if "asynchronous" in given and value(words, "--asynchronous") != "false":  # such members share no generation
        population |= {"first_members": 0, "until_converged": False}
    is_its_own = value(words, "--fitness") in (None, population.get("fitness"))
    num_labels = published.fitness_options.get("num_labels") if is_its_own else None
    member = preset_values(kind, data, None if preset in PRESETS else preset) | dict(published.member)
    add = parser.add_argument
    add("--data", type=str, default="digits", help="a data set's name, or the path of your own images")
    add("--out", type=str | None, default=None, help="folder; default: runs/ACTION-METHOD-DATA-SEED")
    presets = ", ".join((f"published-{action}", *kind.presets))
    add("--preset", type=str | None, default=None, help=f"{presets}; default: the data's")
    own = field_names(kind.config_class)  # a method's option hides the population's of that name, which stays as it is
    if "num_labels" not in own:
        add("--num_labels", type=int | None, default=num_labels, help=_NUM_LABELS)
    add("--fitness_options", type=str, nargs="*", default=[], help="NAME=VALUE of the fitness")
    add("--executor", type=str, default="processes", help="processes (this machine), ray or slurm")
    add("--workers", type=int, default=0, help="members trained at once; 0: by devices and cores")
    add("--executor_options", type=str, nargs="*", default=[], help="NAME=VALUE for ray.init, or submitit's executor")
    explored = [name for name in searchable(kind.config_class) if name not in given]
    add_fields(parser, PopulationSettings, "the population", {"explore": explored, **population}, without=own)
    add_fields(parser, kind.config_class, f"hyper-parameters of {words[1]}; those given are not explored", member)
    add_fields(parser, Settings, "how to run a member", {"views": kind.views} | member)
    add_fields(parser, DataOptions, "what the data mean")
    if action == "rpu":
        add_rpu(parser, given)


def _values(words: Sequence[str], option: str) -> list[str]:
    """Those that follow an option of several, also written as ``--option=one``."""
    found: list[str] = []
    for place, word in enumerate(words):
        if word == option:
            found += itertools.takewhile(lambda after: not after.startswith("--"), words[place + 1 :])
        elif word.startswith(f"{option}="):
            found.append(word.removeprefix(f"{option}="))
    return found


_NUM_LABELS = "labelled images that the fitness sees; default: the fitness' own number"


def run(args: "Namespace") -> object:
    if args.action == "replay":
        from unbraid.population.replay import replay

        last = replay(args.folder, Path(args.out or Path(args.folder) / f"replay-{args.seed}"), args.seed)
        say(f"{last.path} is done: unbraid audit {last.path}")
        return {"run": last.path}
    if args.action == "labels":
        return run_labels(args)
    if not hasattr(args, "method"):
        raise UserError(f"name a method, unbraid population {args.action} METHOD ...")
    from unbraid.evaluation import evaluate
    from unbraid.population.engine import run_population
    from unbraid.population.exports import choose_agreed

    config = population_config(args)
    out = Path(args.out or Path("runs") / f"{args.action}-{config.member.name}")
    if args.action == "rpu":
        with executor(args, out) as chosen:
            return run_rpu(args, config, chosen, out, shown)
    with executor(args, out) as chosen, shown(config, out):
        done = run_population(config, out, chosen)
    if not done.best.scores.is_file():
        choose_agreed(done.best)
        evaluate(done.best, config.member.settings.metrics)
    say(f"best {config.settings.fitness}: {done.fitness:.4f}; {_WHY[done.reason]}")
    say(f"{done.best.path} is done: unbraid audit {done.best.path}")
    return {"run": done.best.path, "fitness": done.fitness, "reason": done.reason, "population": done.folder}


_WHY = {
    "generations": "all generations are done",
    "converged": "the best was flat for six generations",
    "worthless": "the best of the last generation was below 0.1, so there is nothing to select",
}


def population_config(args: "Namespace") -> "PopulationConfig":
    """What the options say. Raises: UserError on a mistake in them."""
    from unbraid.config import RunConfig, Settings, field_names
    from unbraid.data.options import DataOptions
    from unbraid.methods import method
    from unbraid.population.config import PopulationConfig, PopulationSettings

    options = vars(args)
    own = field_names(method(args.method).config_class)
    names = field_names(DataOptions) | field_names(Settings) | own
    member = RunConfig.make(args.method, args.data, **{name: options[name] for name in names - {*_DECIDED}})
    fitness = name_values("--fitness_options", args.fitness_options)
    if "num_labels" not in own and args.num_labels is not None:
        fitness = {"num_labels": args.num_labels} | fitness
    settings = {name: options[name] for name in field_names(PopulationSettings) - own}
    return PopulationConfig.make(member, fitness_options=fitness, **settings)


def executor(args: "Namespace", folder: Path) -> "AbstractContextManager[Executor]":
    from unbraid.population.executors import open_executor
    from unbraid.population.member import train_member

    options = name_values("--executor_options", args.executor_options)
    return open_executor(args.executor, train_member, folder, workers=args.workers, options=options)


@contextmanager
def shown(config: "PopulationConfig", folder: Path) -> Iterator[None]:
    """A table of what is done and what runs, where there is somebody to see it."""
    from rich.console import Console
    from rich.live import Live

    from unbraid.population.pbt import explored_names
    from unbraid.population.table import LiveTable

    console = Console(stderr=True)
    if not console.is_terminal:
        yield
        return
    settings = config.settings
    later = settings.members * (settings.generations - 1)
    names = explored_names(settings.explore or [])
    table = LiveTable(folder, (settings.first_members or settings.members) + later, names)
    with Live(get_renderable=table, console=console, refresh_per_second=1):
        yield
