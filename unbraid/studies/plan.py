"""What a study trains: run directories side by side, each skipped once it is done."""

import abc
import dataclasses
import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from rich.console import Console

from unbraid import data
from unbraid.config import RunConfig, Settings, field_names
from unbraid.data.options import DataOptions
from unbraid.encoder import open_config
from unbraid.errors import UserError, did_you_mean
from unbraid.methods import method as find_method
from unbraid.records import Record, RunDir, keep_lines, read_lines
from unbraid.run import check_free, train_config
from unbraid.studies.outcome import Outcome
from unbraid.tables import Dataset


@dataclass(frozen=True, kw_only=True)
class Job:
    """One run of a study."""

    config: RunConfig
    setting: str  # what differs from the method as it is; "" for nothing
    run: RunDir

    @property
    def label(self) -> str:
        return f"{self.config.method_name}: {self.setting}" if self.setting else self.config.method_name


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The data, the seeds and the options that all runs of a study share."""

    data: str
    out: Path
    seeds: tuple[int, ...] = (0,)
    preset: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)  # of data, settings and methods, by their plain names

    def check(self, methods: Iterable[str], *, domain: bool = True) -> Dataset:
        """Open the data, before anything is trained.

        Raises:
            UserError: If an option fits no method, a seed comes twice, or the data have no domain and need one.
        """
        known = field_names(DataOptions) | field_names(Settings)
        known |= {name for method in methods for name in field_names(find_method(method).config_class)}
        for name in self.options:
            if name == "seed":
                raise UserError("a study trains several seeds; give --seeds in place of the option 'seed'")
            if name not in known:
                raise UserError(f"no method of this study has an option {name!r}.{did_you_mean(name, known)}")
        if not self.seeds or len(set(self.seeds)) < len(self.seeds):
            raise UserError(f"a study needs seeds that differ, not {list(self.seeds)}")
        if self.out.exists() and not self.out.is_dir():
            raise UserError(f"{self.out} is a file; choose another --out")
        values = {name: value for name, value in self.options.items() if name in field_names(DataOptions)}
        dataset = data.load(self.data, DataOptions(**values))
        if domain and dataset.spec.domain is None:
            raise UserError(f"this study needs a domain: give --domain, one of {', '.join(dataset.spec.sizes)}")
        return dataset

    def config(self, method: str, seed: int, **changes: Any) -> RunConfig:
        """The plan's options, as far as the method has them, and these changes."""
        known = field_names(DataOptions) | field_names(Settings) | field_names(find_method(method).config_class)
        values = {name: value for name, value in self.options.items() if name in known}
        return RunConfig.make(method, self.data, preset=self.preset, **{**values, **changes, "seed": seed})

    def job(self, method: str, seed: int, setting: str = "", **changes: Any) -> Job:
        words = (method, data.slug(setting) if setting else "", data.slug(self.data), str(seed))
        folder = self.out / "-".join(filter(None, words))
        return Job(config=self.config(method, seed, **changes), setting=setting, run=RunDir(folder))


class Study(abc.ABC):
    """Subclasses are frozen dataclasses; their fields are the study's own options."""

    seeds: ClassVar[tuple[int, ...]] = (0,)  # where none are given

    @abc.abstractmethod
    def run(self, plan: Plan) -> Outcome: ...


def train_all(jobs: Sequence[Job]) -> None:
    """Train what is not done. Raises: UserError before any training if a folder holds something else."""
    for job in jobs:
        check_free(job.run, job.config)
    console = Console(stderr=True)
    for place, job in enumerate(jobs, start=1):
        if not is_done(job):
            console.print(f"run {place} of {len(jobs)}: {job.run.name}", highlight=False)
            train_config(job.config, job.run)


def is_done(job: Job) -> bool:
    return job.run.is_done() and not open_config(job.run).differences(job.config)


def records(jobs: Iterable[Job], label: Callable[[Job], str] = lambda job: job.label) -> list[Record]:
    """Every score of these runs, with the label in the place of the method's name."""
    return [dataclasses.replace(record, method=label(job)) for job in jobs for record in job.run.records()]


def digest(*arrays: np.ndarray) -> str:
    """What tells these arrays from others, to remember numbers under."""
    return hashlib.sha256(b"".join(hashlib.sha256(a.tobytes()).digest() for a in arrays)).hexdigest()[:16]


def remember(path: Path, key: str, measure: Callable[[], Any]) -> Any:
    """What ``measure`` gives, plain values for JSON, or what it gave when it was last asked under this key."""
    lines = list(read_lines(path))
    for line in lines:
        if line.get("key") == key:
            return line["value"]
    value = measure()
    keep_lines(path, [*lines, {"key": key, "value": value}])
    return value
