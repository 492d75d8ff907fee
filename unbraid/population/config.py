"""PopulationConfig: everything needed to repeat a population. It becomes population.json and comes back from it."""

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from unbraid.config import RunConfig
from unbraid.errors import UserError
from unbraid.hparams import hp, parse

Fidelity = Literal["published", "fixed"]


@dataclass(frozen=True, kw_only=True)
class PopulationSettings:
    """How members are drawn, trained, compared and replaced."""

    fitness: str = hp("mig", doc="what selects: a score, a difference of scores, or udr, which needs no labels")
    members: int = hp(8, least=2, doc="members of a generation")
    first_members: int = hp(0, doc="members of the first generation, of which the best stay; 0: as many as later")
    generations: int = hp(10, least=1, doc="generations at most")
    until_converged: bool = hp(
        False, doc="end once the best fitness is flat for six generations, or is below 0.1 (fixed: after six)"
    )
    images: int = hp(0, doc="images a member trains on in a generation; 0: one pass, and at least 10,000")
    cutoff: float = hp(0.2, doc="share of the members that is replaced in each generation, at most 0.5")
    explore: list[str] | None = hp(None, doc="hyper-parameters to draw and perturb, each NAME or NAME=LOW..HIGH")
    fidelity: Fidelity = hp(
        "published",
        doc="as in the paper's code; fixed: what is drawn stays in its range. The members' losses have --numerics",
    )
    asynchronous: bool = hp(False, doc="a member goes on at once, against the latest known scores")


@dataclass(frozen=True, kw_only=True)
class PopulationConfig:
    """One population: what each member is, and how they compete."""

    member: RunConfig  # its hyper-parameters hold for all that is not explored, its seed decides everything random
    settings: PopulationSettings = field(default_factory=PopulationSettings)
    fitness_options: Mapping[str, Any] = field(default_factory=dict)  # keyword arguments of the fitness

    def __post_init__(self) -> None:
        _check(self.settings)

    @classmethod
    def make(
        cls, member: RunConfig, *, fitness_options: Mapping[str, Any] | None = None, **values: Any
    ) -> "PopulationConfig":
        """``values`` are fields of PopulationSettings. Raises: UserError on an unknown name or a wrong value."""
        settings = parse(PopulationSettings, values, owner="a population")
        return cls(member=member, settings=settings, fitness_options=dict(fitness_options or {}))

    def to_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "PopulationConfig":
        """The inverse of ``to_dict``. Raises: UserError if something is not of this version."""
        member = RunConfig.from_dict(values["member"])
        return cls.make(member, fitness_options=values["fitness_options"], **values["settings"])

    def differences(self, other: "PopulationConfig") -> list[str]:
        """The names of what would make the two populations' numbers differ."""
        return [
            *differing_members(self.member, other.member),
            *differing(dataclasses.asdict(self.settings), dataclasses.asdict(other.settings)),
            *differing(self.fitness_options, other.fitness_options, "fitness_options."),
        ]


def differing_members(ours: RunConfig, theirs: RunConfig) -> list[str]:
    return [said.partition(":")[0] for said in ours.differences(theirs)]


def differing(ours: Mapping[str, Any], theirs: Mapping[str, Any], prefix: str = "") -> list[str]:
    """The names under which two mappings differ, once they are JSON."""
    ours, theirs = (json.loads(json.dumps(dict(one))) for one in (ours, theirs))
    return [prefix + name for name in {**ours, **theirs} if ours.get(name) != theirs.get(name)]


def _check(settings: PopulationSettings) -> None:
    if not 0 < settings.cutoff <= 0.5:
        raise UserError(f"a population: cutoff must be above 0 and at most 0.5, not {settings.cutoff}")
    if settings.first_members and settings.first_members < settings.members:
        raise UserError("a population: first_members must be 0, or at least members")
    if settings.asynchronous and (settings.first_members or settings.until_converged):
        raise UserError("asynchronous members share no generation: leave out first_members and until_converged")
