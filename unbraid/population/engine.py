"""The controller of a population: what is due is trained, what is done is written down.

All its state is files. ``history.jsonl`` has a line for each member and generation that is done; what comes next
follows from these lines and the seed alone (schedule.py). What is being trained is a run directory, which goes on from
its own checkpoint. A controller or a worker that dies at any moment therefore changes nothing.
"""

import dataclasses
import json
import os
import shutil
import statistics
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from rich.console import Console

from unbraid.encoder import build, load_data
from unbraid.errors import UserError
from unbraid.lineage import Line, best_line, place_of, read_history
from unbraid.population import pbt
from unbraid.population.config import PopulationConfig
from unbraid.population.executors import Executor
from unbraid.population.fitness import fitness_of
from unbraid.population.schedule import Job, Reason, Schedule
from unbraid.records import RunDir, append_line, keep_lines, read_json, write_json


@dataclass(frozen=True, kw_only=True)
class Population:
    """A finished population."""

    folder: Path
    best: RunDir  # the member and generation of the highest fitness ever
    fitness: float
    reason: Reason  # why it ended
    history: Sequence[Line]  # one for each member and generation


def run_population(config: PopulationConfig, folder: os.PathLike[str] | str, executor: Executor) -> Population:
    """Draw, train and select until the population ends; one that was stopped goes on, one that is done is returned.

    Raises:
        UserError: If ``folder`` holds another population, a member cannot be trained, or all of them diverge.
        OSError: If the disk is full; the same call goes on.
    """
    folder = Path(folder).resolve()
    if (done := finished(config, folder)) is not None:
        return done
    schedule = checked(config)
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(folder / ".lock", timeout=0):
            write_json(folder / "population.json", config.to_dict() | {"folder": str(folder)})
            _Controller(schedule, folder, executor).run()
    except Timeout:
        raise UserError(f"another process is at work on {folder}; wait for it, or stop it") from None
    return open_population(folder)


def checked(config: PopulationConfig) -> Schedule:
    """Raises: UserError if a member could not be trained or judged; before anything is written."""
    spec = load_data(config.member).spec
    fitness_of(config).check(build(config.member, spec), spec)
    return Schedule(config, spec.num_train)


def finished(config: PopulationConfig, folder: Path) -> Population | None:
    """The population of this configuration if it has ended.

    Raises:
        UserError: If the folder holds another one, or something else.
    """
    file = folder / "population.json"
    if file.is_file():
        theirs = stored_config(folder)
        if names := config.differences(theirs):
            raise UserError(
                f"{folder} holds a population that differs in {', '.join(names)}; choose another --out, or delete it"
            )
        return open_population(folder) if (folder / "result.json").is_file() else None
    if folder.exists() and not (folder.is_dir() and all(map(of_a_beginning, folder.iterdir()))):
        raise UserError(f"{folder} is not empty and holds no population; choose another --out")
    return None


def stored_config(folder: Path) -> PopulationConfig:
    """Of a population that was begun; files of the recursion it belongs to are named where they are now."""
    return read_json(folder / "population.json", lambda values: PopulationConfig.from_dict(_moved(values, folder)))


def of_a_beginning(part: Path) -> bool:
    """Whether it can be there before the population is: written by one that was killed, or by an executor."""
    return part.name in (".lock", "slurm") or part.suffix == ".tmp"


def open_population(folder: os.PathLike[str] | str) -> Population:
    """Raises: UserError if the folder holds no population, or one that has not ended."""
    folder = Path(folder)
    if not (folder / "result.json").is_file():
        raise UserError(f"no finished population at {folder}")

    def make(result: Any) -> Population:
        return Population(
            folder=folder,
            best=RunDir(folder / result["best"]),
            fitness=0.0 + result["fitness"],  # a TypeError if it is no number
            reason=result["reason"],
            history=read_history(folder),
        )

    population: Population = read_json(folder / "result.json", make)
    return population


def _moved(values: Any, folder: Path) -> Any:
    """What ``population.json`` says, with the rows and labels that a recursion wrote beside it where they are now."""
    before = Path(values.get("folder", folder)).parent

    def now(path: str) -> str:
        moved = folder.parent / os.path.relpath(path, before)
        return str(moved) if Path(path).is_relative_to(before) and moved.is_file() else path

    options, fitness = values["member"]["options"], values["fitness_options"]
    if options["rows"] is not None:
        options["rows"] = now(options["rows"])
    if "bundles" in fitness:
        fitness["bundles"] = list(map(now, fitness["bundles"]))
    return values


class _Controller:
    def __init__(self, schedule: Schedule, folder: Path, executor: Executor) -> None:
        self.schedule, self.folder, self.executor = schedule, folder, executor
        self.history = folder / "history.jsonl"
        self.lines = read_history(folder)
        self.stored = {place_of(line) for line in self.lines}  # whose checkpoints may still be there
        self.running: dict[Path, Job] = {}
        self.done: deque[Job] = deque()  # not yet in the history

    def run(self) -> None:
        if not self.schedule.settings.asynchronous:
            self.lines = self.schedule.whole(self.lines)
        keep_lines(self.history, self.lines)  # without a last line cut short
        reason = self._asynchronous() if self.schedule.settings.asynchronous else self._synchronous()
        if (winner := best_line(self.lines)) is None:
            why = self.lines[-1]["error"]
            raise UserError(f"every member diverged ({why}); explore smaller step sizes, or give --clip_norm 1")
        result = {"best": place_of(winner), "fitness": winner["fitness"]}
        self._forget()
        write_json(self.folder / "result.json", result | {"reason": reason})

    def _synchronous(self) -> Reason:
        while (reason := self.schedule.ending(self.lines)) is None:
            jobs = self._due()
            for job in jobs:
                self._give_out(job)
            self._forget()
            done = {job.member: self._line(job) for job in self._as_completed()}
            lines = [done[job.member] for job in jobs]
            self.lines += lines
            keep_lines(self.history, self.lines)
            _tell(lines)
        return reason

    def _due(self) -> list[Job]:
        if not self.lines:
            return self.schedule.first_generation()
        last = self.lines[-1]["generation"]
        return self.schedule.next_generation([line for line in self.lines if line["generation"] == last])

    def _asynchronous(self) -> Reason:
        """A line is written before it is acted upon, and the same lines lead to the same jobs."""
        jobs: dict[int, Job | None] = {job.member: job for job in self.schedule.first_generation()}
        latest: dict[int, Line] = {}
        for line in self.lines:
            latest[line["member"]] = line
            jobs[line["member"]] = self.schedule.successor(line, latest)
        for job in filter(None, jobs.values()):
            self._give_out(job)
        for job in self._as_completed():
            line = self._line(job)
            append_line(self.history, line, durable=True)
            self.lines.append(line)
            latest[job.member] = line
            if len(self.lines) % self.schedule.settings.members == 0:
                _tell(self.lines[-self.schedule.settings.members :])
            if (successor := self.schedule.successor(line, latest)) is not None:
                self._give_out(successor)
            self._forget()
        return "generations"

    def _give_out(self, job: Job) -> None:
        """To the executor, unless it is done; one that diverged in the first generation is drawn anew."""
        run = RunDir(self.folder / job.place)
        if job.generation == 0:
            failed = self.folder / "diverged"
            job = self.schedule.first(job.member, len(list(failed.glob(f"{job.member:03d}-*"))))
            if run.is_done() and self._line(job)["fitness"] is None and job.attempt + 1 < pbt.MOST_TRIES:
                failed.mkdir(exist_ok=True)
                shutil.rmtree(run.checkpoint, ignore_errors=True)
                run.path.rename(failed / f"{job.member:03d}-{job.attempt}")
                job = self.schedule.first(job.member, job.attempt + 1)
        if run.is_done():
            self.done.append(job)
            return
        config = self.schedule.run_config(job, self.folder)
        text = json.dumps(config.to_dict())
        if not run.exists() or json.dumps(read_json(run.config)) != text:  # the folder may have moved
            write_json(run.config, json.loads(text))
        self.running[run.path] = job
        self.executor.submit(run.path)

    def _as_completed(self) -> Iterator[Job]:
        """Until nothing runs; more may be given out meanwhile."""
        while self.done or self.running:
            if self.done:
                yield self.done.popleft()
            else:
                self._give_out(self.running.pop(self.executor.next_done()))

    def _line(self, job: Job) -> Line:
        return dataclasses.asdict(job) | read_json(self.folder / job.place / "fitness.json")

    def _forget(self) -> None:
        """Delete the checkpoints that nobody can go on from; the best ever stays."""
        latest = {line["member"]: place_of(line) for line in self.lines}
        kept = {*latest.values(), *(job.parent for job in self.running.values())}
        if (winner := best_line(self.lines)) is not None:
            kept.add(place_of(winner))
        self.stored.update(latest.values())
        for spot in self.stored - kept:
            shutil.rmtree(self.folder / spot / "checkpoint", ignore_errors=True)
        self.stored &= kept


def _tell(lines: Sequence[Line]) -> None:
    """One line for people about a generation, or as many members."""
    known = [line["fitness"] for line in lines if line["fitness"] is not None]
    values = f"best {max(known):.4f}, median {statistics.median(known):.4f}" if known else "all diverged"
    lost = f", {len(lines) - len(known)} diverged" if 0 < len(known) < len(lines) else ""
    Console(stderr=True).print(f"generation {lines[-1]['generation']}: {values}{lost}", highlight=False)
