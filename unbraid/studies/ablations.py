"""The ablations of DCoDR as one study: what each part of the method is worth on these data."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from unbraid.studies import comparison
from unbraid.studies.outcome import Outcome
from unbraid.studies.plan import Plan, Study, records, train_all

METHODS = ("dcodr-norec", "dcodr")  # the two differ by the reconstruction
_PUBLISHED_BATCH = 64  # of the runs with negatives of all domains
_ABOUT = (
    "dcodr beside dcodr-norec is the ablation of the reconstruction. Negatives of all domains come in plain shuffled "
    'batches of at most 64, as published, where this ablation is called "no negatives".'
)


@dataclass(frozen=True, kw_only=True)
class Ablations(Study):
    """Both methods, each as it is and with one part changed.

    Source: Kahana & Hoshen 2022, arXiv:2203.11284, and the scripts of its published code.
    """

    def run(self, plan: Plan) -> Outcome:
        plan.check(METHODS)
        jobs = [
            plan.job(method, seed, setting, **changes)
            for method in METHODS
            for setting, changes in _settings(plan, method)
            for seed in plan.seeds
        ]
        train_all(jobs)
        scores = records(jobs)
        text = "\n".join(
            [f"# {plan.data}: ablations\n", f"{_ABOUT}\n", comparison.summary(scores, "method"),
             comparison.every_score(scores)]
        )  # fmt: skip
        return Outcome(text=text, rows=comparison.rows(scores))


def _settings(plan: Plan, method: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """What is changed, by its name; a setting that these runs have anyway is left out."""
    config = plan.config(method, plan.seeds[0])
    yield "", {}
    batch_size = min(_PUBLISHED_BATCH, config.hparams.batch_size)
    yield "negatives of all domains", {"negatives": "all_domains", "batch_size": batch_size}
    yield "no positives", {"positives": 0}
    if config.hparams.weights != "none":
        yield "no pretraining", {"weights": "none"}
    yield "views dcodr-simsiam", {"views": "dcodr-simsiam"}
