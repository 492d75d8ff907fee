"""The published populations, and what the commands take when nothing is said."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Preset:
    """Fields of PopulationSettings, options of the fitness, and what a member takes of its method's options."""

    population: Mapping[str, Any] = field(default_factory=dict)
    fitness_options: Mapping[str, Any] = field(default_factory=dict)
    member: Mapping[str, Any] = field(default_factory=dict)


KINDS = {
    "pbt": Preset(),
    "pu": Preset(population={"fitness": "udr", "until_converged": True, "generations": 100}, member={"num_models": 5}),
    "rpu": Preset(population={"generations": 100}, member={"num_models": 5}),
}

_PUBLISHED: Mapping[str, Any] = {"fidelity": "published", "cutoff": 0.2}
_MEMBER: Mapping[str, Any] = {"numerics": "published", "num_models": 1}

# Estermann, Marks & Yanik 2020, arXiv:2010.13527: the settings of its code. A generation is one pass over the images,
# 480,000 for Shapes3D and 737,280 for dSprites.
PRESETS = {
    "published-pbt": Preset(
        population={**_PUBLISHED, "fitness": "mig", "members": 28, "first_members": 56, "generations": 28},
        fitness_options={"num_labels": 50_000},
        member=_MEMBER,
    ),
    "published-pu": Preset(
        population={**_PUBLISHED, "fitness": "udr", "members": 56, "generations": 100, "until_converged": True},
        member={**_MEMBER, "num_models": 5},
    ),
    "published-rpu": Preset(
        population={**_PUBLISHED, "members": 56, "generations": 100}, member={**_MEMBER, "num_models": 5}
    ),
}
