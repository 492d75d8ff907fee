"""Studies: many runs and what they say together. One file each; a row here makes a study known."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unbraid.registry import lookup

if TYPE_CHECKING:
    from unbraid.studies.outcome import Outcome
    from unbraid.studies.plan import Study

STUDIES = {
    "dcodr-tables": "dcodr_tables:DCoDRTables",  # Kahana & Hoshen 2022, Tables 3 to 7 of the supplement
    "ablations": "ablations:Ablations",
    "augmentations": "augmentations:Augmentations",  # Tables 1 and 2
    "single-augmentation": "single_augmentation:SingleAugmentation",  # Figure 1
    "advise": "advise:Advise",
}


def find_study(name: str) -> "type[Study]":
    """The class of a study. Raises: UserError on an unknown name, with the nearest."""
    return lookup("study", STUDIES, name, __name__)  # type: ignore[no-any-return]


def study(
    name: str,
    data: str = "digits",
    *,
    out: Path | str | None = None,
    seeds: Sequence[int] | None = None,
    preset: str | None = None,
    **options: Any,
) -> "Outcome":
    """Train what the study needs, measure, and write ``NAME.md``, ``NAME.csv`` and ``NAME.json`` beside the runs.

    Runs that are done are not trained again, so a study that was stopped goes on.

    Args:
        out: Folder of the runs and the results; default ``runs/study-<data>``, where studies share runs.
        seeds: Of training; default: the study's own.
        options: The study's own options, and anything that ``unbraid train METHOD --help`` lists: it goes to each
            method that has it.

    Raises:
        UserError: On any mistake in these, or if ``out`` holds runs of another configuration.
        Stopped: After Ctrl-C, with a checkpoint written.
    """
    from unbraid.config import field_names
    from unbraid.data import slug
    from unbraid.hparams import parse
    from unbraid.studies.plan import Plan

    kind = find_study(name)
    own = {key: value for key, value in options.items() if key in field_names(kind)}
    rest = {key: value for key, value in options.items() if key not in own}
    chosen = parse(kind, own, owner=f"study {name}")
    folder = Path(out or Path("runs") / f"study-{slug(data)}")
    plan = Plan(data=data, out=folder, seeds=tuple(kind.seeds if seeds is None else seeds), preset=preset, options=rest)
    outcome: Outcome = chosen.run(plan)
    outcome.write(folder, name)
    return outcome
