"""The run directory: what files it holds, and the append-only lines of its logs. Standard library only."""

import dataclasses
import html
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unbraid.atomic import atomic_file, sync
from unbraid.errors import UserError


@dataclass(frozen=True, kw_only=True)
class Score:
    """One number of an audit, with what is needed to judge it.

    ``value`` is None where the score is not defined for the data; ``note`` then says why.
    """

    metric: str  # "leakage", "informativeness", "retrieval", ...
    column: str = ""  # the label column it is about; "" for a score of several columns, or of none
    over: Sequence[str] = ()  # the label columns of a score of several
    variant: str = ""  # which estimator or protocol: "linear", "six-layer", ...
    value: float | None
    low: float | None = None  # ends of the 95 % interval
    high: float | None = None
    chance: float | None = None  # what a code that knows nothing would get
    higher_is_better: bool
    split: str = "test"  # where it was computed
    num: int = 0  # rows it was computed on
    source: str = ""
    note: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "over", tuple(self.over))  # a list when read from a file


@dataclass(frozen=True, kw_only=True)
class Record(Score):
    """One line of ``scores.jsonl``: a score and the run it belongs to."""

    run: str
    method: str
    data: str
    seed: int
    epoch: int
    version: str

    @classmethod
    def of(cls, score: Score, **run: Any) -> "Record":
        return cls(**dataclasses.asdict(score), **run)


class RunDir:
    """Paths and bookkeeping of one run; knows nothing of what the numbers mean."""

    def __init__(self, path: os.PathLike[str] | str) -> None:
        self.path = Path(path)
        self.config = self.path / "config.json"
        self.env = self.path / "env.json"
        self.spec = self.path / "spec.json"
        self.log = self.path / "train.jsonl"
        self.accuracy = self.path / "accuracy.jsonl"
        self.checkpoint = self.path / "checkpoint"
        self.codes = self.path / "codes.npz"
        self.scores = self.path / "scores.jsonl"
        self.samples = self.path / "samples.npz"
        self.bias = self.path / "bias.npz"
        self.partitions = self.path / "partitions.npz"
        self.done = self.path / "DONE"

    def __fspath__(self) -> str:
        return str(self.path)

    def __repr__(self) -> str:
        return f"RunDir({str(self.path)!r}, {'done' if self.is_done() else 'not done'})"

    def _repr_html_(self) -> str:
        """In a notebook: whether it is done, and its scores."""
        try:
            scores = [record for record in self.records() if record.value is not None]
        except UserError:
            scores = []  # whoever reads them is told
        head = "".join(f"<th>{name}</th>" for name in ("score", "column", "how", "value", "95 % interval", "chance"))
        rows = "".join(f"<tr>{_cells(score)}</tr>" for score in scores)
        table = f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>" if scores else ""
        return f"<p><b>{html.escape(str(self.path))}</b>: {'done' if self.is_done() else 'not done'}</p>{table}"

    @property
    def name(self) -> str:
        return self.path.name

    def exists(self) -> bool:
        return self.config.is_file()

    def is_done(self) -> bool:
        return self.done.is_file()

    def records(self) -> list[Record]:
        try:
            return [Record(**line) for line in read_lines(self.scores)]
        except TypeError as error:
            raise UserError(f"{self.scores} is damaged or of another version of unbraid ({error})") from None


def _cells(score: Score) -> str:
    """A row of a notebook's table."""
    ends = "" if score.low is None or score.high is None else f"[{score.low:.3f}, {score.high:.3f}]"
    chance = "" if score.chance is None else f"{score.chance:.3f}"
    texts = (score.metric, score.column, score.variant, f"{score.value:.3f}", ends, chance)
    return "".join(f"<td>{html.escape(text)}</td>" for text in texts)


@dataclass(frozen=True)
class Found:
    """What lies at or below some folders, sorted by path. What is inside of a population or a recursion is its own."""

    single: list[RunDir]
    populations: list[Path]
    recursions: list[Path]

    @property
    def runs(self) -> list[RunDir]:
        """Single runs, the best of each population that has ended, the model of each recursion that has."""
        best = filter(None, map(best_run, [*self.populations, *self.recursions]))
        return [RunDir(path) for path in sorted({run.path for run in (*self.single, *best)})]


def find(folders: Iterable[Path | str]) -> Found:
    """Runs, populations and recursions at or below the given folders.

    Raises:
        UserError: If a folder is missing or none of them holds anything.
    """
    paths = [Path(folder) for folder in folders]
    single, populations, recursions = set[Path](), set[Path](), set[Path]()
    for path in paths:
        if not path.is_dir():
            raise UserError(f"no folder at {path}")
        for name, below, files in os.walk(path):
            if "population.json" in files or "recursion.json" in files:
                (populations if "population.json" in files else recursions).add(Path(name))
                below.clear()
            elif "config.json" in files:
                single.add(Path(name))
    if not single | populations | recursions:
        raise UserError(f"no run directory (a folder with config.json) in {', '.join(map(str, paths))}")
    return Found([RunDir(path) for path in sorted(single)], sorted(populations), sorted(recursions))


def find_runs(folders: Iterable[Path | str]) -> list[RunDir]:
    """Every run directory at or below the given folders, sorted by path; of a population the best run only.

    Raises:
        UserError: If a folder is missing or none of them holds a run.
    """
    found = find(folders)
    if not (runs := found.runs):
        folder = [*found.populations, *found.recursions][0]
        raise UserError(f"the population in {folder} has not ended; the command that began it goes on")
    return runs


def best_run(folder: Path) -> RunDir | None:
    """The best run of a population that has ended, or the model of a recursion that has."""
    if (folder / "recursion.json").is_file():
        run = RunDir(folder / "model")
    elif (result := folder / "result.json").is_file() and (folder / "population.json").is_file():
        run = RunDir(folder / read_json(result, lambda values: str(values["best"])))
    else:
        return None
    return run if run.exists() and run.is_done() else None


def populations_of(recursion: Path) -> list[Path]:
    """Its populations, in the order in which they are trained."""
    return [
        file.parent
        for pattern in ("x", "leaf-*/*", "final")
        for file in sorted(recursion.glob(f"{pattern}/population.json"))
    ]


def write_json(path: Path, value: Any) -> None:
    with atomic_file(path) as temporary:
        temporary.write_text(json.dumps(value, indent=2) + "\n")


def read_json(path: Path, make: Callable[[Any], Any] = lambda value: value) -> Any:
    """What ``make`` builds from a JSON file.

    Raises:
        UserError: If the file is missing, damaged, or lacks what ``make`` looks for.
    """
    try:
        return make(json.loads(path.read_text()))
    except FileNotFoundError:
        raise UserError(f"no file {path}") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is damaged: {error}") from None
    except (KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{path} is damaged or of another version of unbraid ({error})") from None


def append_line(path: Path, values: Mapping[str, Any], *, durable: bool = False) -> None:
    """One JSON object on one line, written with a single call so that a killed process leaves whole lines.

    Args:
        durable: Whether it has to outlast a power cut once this returns.
    """
    with path.open("a") as file:
        file.write(json.dumps(values) + "\n")
    if durable:
        sync(path)


def read_lines(path: Path) -> Iterator[dict[str, Any]]:
    """The objects of a log; a last line cut short by a killed process is left out."""
    if not path.is_file():
        return
    lines = path.read_text().splitlines()
    for number, line in enumerate(lines, start=1):
        try:
            yield json.loads(line)
        except json.JSONDecodeError:
            if number < len(lines):
                raise UserError(f"{path}, line {number}, is damaged") from None


def keep_lines(path: Path, lines: Iterable[Mapping[str, Any]]) -> None:
    """Replace a log by these lines, all or nothing."""
    with atomic_file(path) as temporary:
        temporary.write_text("".join(json.dumps(line) + os.linesep for line in lines))
