"""RecursionConfig: everything needed to repeat a recursion. It becomes recursion.json and comes back from it."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from unbraid.config import RunConfig
from unbraid.errors import UserError
from unbraid.hparams import hp, parse
from unbraid.population.config import PopulationConfig, PopulationSettings, differing, differing_members
from unbraid.seeds import MOST_SEED, integer

_SEEDS = 2**31


@dataclass(frozen=True, kw_only=True)
class RecursionSettings:
    """How the populations of a recursion hang together."""

    agreement: Literal["udr", "udr-coverage"] = hp("udr", doc="what judges networks without labels")
    leaf_runs: int = hp(3, least=1, doc="leaf runs; each fixes the factors of the first network at other values")
    depth: int = hp(0, doc="reductions of a leaf run at most; 0: until the data cannot be reduced")
    side_cutoff: float = hp(0.0, doc="share of an interval to drop at either end, where one factor was learned")
    final_generations: int = hp(17, least=1, doc="generations of the last population")
    final_members: int = hp(
        0, doc="members of the last population, of twice as many at first; 0: half of --members, as published"
    )
    score_seed: int = hp(0, most=MOST_SEED, doc="draws the images that a fitness looks at")
    num_surrogate: int = hp(50_000, least=2, doc="images of each block of surrogate labels that a fitness looks at")


@dataclass(frozen=True, kw_only=True)
class RecursionConfig:
    """One recursion: what a member is, how members compete, and how populations follow each other."""

    member: RunConfig
    settings: PopulationSettings = field(default_factory=PopulationSettings)  # fitness and ends are the recursion's
    recursion: RecursionSettings = field(default_factory=RecursionSettings)

    def __post_init__(self) -> None:
        num_models = getattr(self.member.hparams, "num_models", None)
        if num_models is None:
            raise UserError(f"{self.member.method} cannot train several networks as one member; take beta-tcvae")
        if num_models < 2:
            raise UserError(
                f"a recursion compares the networks of a member: give num_models of 2 or more, not {num_models}"
            )
        if self.settings.asynchronous:
            raise UserError("the generations of a recursion are compared as a whole; leave out asynchronous")
        if self.recursion.final_members == 1:
            raise UserError("final_members must be at least 2, or 0 for half of the members; not 1")
        if not 0 <= self.recursion.side_cutoff < 0.5:
            raise UserError(f"side_cutoff must be at least 0 and below 0.5, not {self.recursion.side_cutoff}")

    def to_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "RecursionConfig":
        """The inverse of ``to_dict``. Raises: UserError if something is not of this version."""
        return cls(
            member=RunConfig.from_dict(values["member"]),
            settings=parse(PopulationSettings, values["settings"], owner="a population"),
            recursion=parse(RecursionSettings, values["recursion"], owner="a recursion"),
        )

    def differences(self, other: "RecursionConfig") -> list[str]:
        """The names of what would make the two recursions' numbers differ."""
        return [
            *differing_members(self.member, other.member),
            *differing(dataclasses.asdict(self.settings), dataclasses.asdict(other.settings)),
            *differing(dataclasses.asdict(self.recursion), dataclasses.asdict(other.recursion)),
        ]

    def unsupervised(self, rows: str | None, *name: str | int) -> PopulationConfig:
        """A population judged by UDR, until it has converged.

        Args:
            rows: The file of the rows it sees; None for those of the member.
            name: Which one: "x", or "leaf", its number and that of the reduction. Decides the seed.
        """
        return PopulationConfig(
            member=self._member(self.member.hparams.num_models, rows, *name),
            settings=dataclasses.replace(
                self.settings, fitness=self.recursion.agreement, until_converged=True, first_members=0
            ),
            fitness_options={"seed": self.recursion.score_seed, "fidelity": self.settings.fidelity},
        )

    def final(self, bundles: list[str]) -> PopulationConfig:
        """The population judged by surrogate labels: some members at first, then half of them."""
        first = 2 * self.recursion.final_members or self.settings.members
        return PopulationConfig(
            member=self._member(1, self.member.options.rows, "final"),
            settings=dataclasses.replace(
                self.settings,
                fitness="leaf-mig",
                until_converged=False,
                generations=self.recursion.final_generations,
                members=max(2, first // 2),
                first_members=first,
            ),
            fitness_options={
                "bundles": bundles,
                "seed": self.recursion.score_seed,
                "num_labels": self.recursion.num_surrogate,
            },
        )

    def _member(self, num_models: int, rows: str | None, *name: str | int) -> RunConfig:
        seed = integer(self.member.settings.seed, "recursion", *name) % _SEEDS
        return dataclasses.replace(
            self.member,
            hparams=dataclasses.replace(self.member.hparams, num_models=num_models),
            options=dataclasses.replace(self.member.options, rows=rows),
            settings=dataclasses.replace(self.member.settings, seed=seed),
        )
