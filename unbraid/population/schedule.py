"""Who is trained next, and how: from the lines of what is done, and the seed, alone. No file is read or written."""

import dataclasses
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from unbraid.config import RunConfig
from unbraid.errors import UserError
from unbraid.lineage import Line, place, place_of
from unbraid.population import pbt
from unbraid.population.config import PopulationConfig
from unbraid.seeds import integer

Reason = Literal["generations", "converged", "worthless"]
_LEAST_IMAGES = 10_000


@dataclass(frozen=True, kw_only=True)
class Job:
    """A member in a generation, as it has to be trained."""

    generation: int
    member: int
    hparams: pbt.Hparams
    stream: int  # whose random numbers it sees: its own, or in a published population its donor's
    parent: str = ""  # the place of the run that it goes on from
    donor: int | None = None  # the member whose run that is, if not its own
    attempt: int = 0  # how often it diverged before anybody's weights could be taken

    @property
    def place(self) -> str:
        return place(self.generation, self.member)


class Schedule:
    """The rules of ``pbt`` applied to one population."""

    def __init__(self, config: PopulationConfig, num_train: int) -> None:
        """Raises: UserError if there is nothing to explore, or nothing to train on."""
        if num_train < 2:
            raise UserError(f"{num_train} train rows are too few for a population; it takes 2 at least")
        self.config, self.settings, self.num_train = config, config.settings, num_train
        self.seed = config.member.settings.seed
        self.published = config.settings.fidelity == "published"
        kind = config.member.kind.config_class
        self.space = pbt.search_space(kind, config.settings.explore, published=self.published)
        self.images = config.settings.images or max(_LEAST_IMAGES, num_train)
        self.multiple = getattr(config.member.hparams, "domains_per_batch", 1)

    def first(self, member: int, attempt: int = 0, generation: int = 0) -> Job:
        rng = pbt.random_state(self.seed, "draw", member, attempt)
        hparams = pbt.draw(self.space, rng, multiple=self.multiple)
        return Job(generation=generation, member=member, hparams=hparams, stream=member, attempt=attempt)

    def first_generation(self) -> list[Job]:
        return [self.first(member) for member in range(self.settings.first_members or self.settings.members)]

    def next_generation(self, last: Sequence[Line]) -> list[Job]:
        """After the lines of a whole generation. Raises: UserError if all members diverged."""
        generation = last[0]["generation"] + 1
        kept = pbt.ranked(map(_individual, last))[: self.settings.members]
        heirs = self._evolve(kept, generation)
        lines = {line["member"]: line for line in last}
        members = sorted(one.member for one in kept)
        return [_next(lines[member], heirs.get(member), lines, self.published) for member in members]

    def successor(self, line: Line, latest: Mapping[int, Line]) -> Job | None:
        """What follows one line when nobody waits: it is compared with the latest line of each member.

        Where all diverged of those that have a line yet, it begins anew.

        Raises: UserError if all members diverged.
        """
        generation = line["generation"] + 1
        if generation == self.settings.generations:
            return None
        if len(latest) < self.settings.members and all(one["fitness"] is None for one in latest.values()):
            return self.first(line["member"], line["attempt"] + 1, generation)
        heirs = self._evolve(list(map(_individual, latest.values())), generation, line["member"])
        return _next(line, heirs.get(line["member"]), latest, self.published)

    def whole(self, lines: Sequence[Line]) -> list[Line]:
        """The lines of whole generations: one that lost a line at the end of the file is judged again."""
        sizes = [self.settings.first_members or self.settings.members, self.settings.members]
        found = Counter(line["generation"] for line in lines)
        return [line for line in lines if found[line["generation"]] == sizes[min(line["generation"], 1)]]

    def ending(self, lines: Sequence[Line]) -> Reason | None:
        """Whether a population ends after these whole generations, and why."""
        best: dict[int, float] = {}
        for line in lines:
            fitness = -math.inf if line["fitness"] is None else line["fitness"]
            best[line["generation"]] = max(best.get(line["generation"], -math.inf), fitness)
        scores = list(best.values())
        if scores and self.settings.until_converged:
            began = not self.published and len(scores) <= pbt.FLAT_STEPS  # ours is given some generations to learn
            if pbt.is_worthless(scores[-1]) and not began:
                return "worthless"
            if pbt.has_converged(scores):
                return "converged"
        return "generations" if len(scores) == self.settings.generations else None

    def run_config(self, job: Job, folder: Path) -> RunConfig:
        """What a worker reads. ``epochs`` is the length of schedules: all that a member trains in all generations."""
        base = self.config.member
        epochs = math.ceil(self.settings.generations * self.images / self.num_train)
        hparams = dataclasses.replace(base.hparams, **{"epochs": epochs, **job.hparams})
        name = ("member", job.generation, job.stream, job.attempt)
        precision = base.settings.precision
        settings = dataclasses.replace(
            base.settings,
            seed=integer(self.seed, *name) % 2**31,
            start_from=str(folder / job.parent) if job.parent else base.settings.start_from,
            max_steps=pbt.num_updates(self.num_train, hparams.batch_size, self.images, published=self.published),
            precision="fp32-channels-last" if precision == "auto" else precision,  # times differ, and bits with them
        )
        return dataclasses.replace(base, hparams=hparams, settings=settings)

    def _evolve(self, individuals: Sequence[pbt.Individual], *name: int) -> dict[int, pbt.Heir]:
        rng = pbt.random_state(self.seed, "evolve", *name)
        return pbt.evolve(
            individuals, self.space, rng, cutoff=self.settings.cutoff, published=self.published, multiple=self.multiple
        )


def _individual(line: Line) -> pbt.Individual:
    return pbt.Individual(member=line["member"], hparams=line["hparams"], fitness=line["fitness"])


def _next(line: Line, heir: pbt.Heir | None, lines: Mapping[int, Line], published: bool) -> Job:
    """The next generation of a member, after its own line or its donor's."""
    donor = line if heir is None else lines[heir.donor]
    return Job(
        generation=line["generation"] + 1,
        member=line["member"],
        hparams=line["hparams"] if heir is None else heir.hparams,
        stream=donor["stream"] if published else line["member"],
        parent=place_of(donor),
        donor=None if heir is None else heir.donor,
    )
