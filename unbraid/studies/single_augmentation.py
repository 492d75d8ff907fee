"""One run per augmentation: which of them takes the domain out of the code, and which takes content with it."""

import io
from collections.abc import Sequence
from dataclasses import dataclass

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from unbraid.hparams import hp
from unbraid.report.plots import METHOD_COLORS, STYLE
from unbraid.report.tables import Tradeoff
from unbraid.studies import comparison
from unbraid.studies.outcome import Outcome
from unbraid.studies.plan import Job, Plan, Study, records, train_all
from unbraid.studies.published import INVARIANCE

VIEWS = (*INVARIANCE, "dcodr-simsiam")
_GREY = ("high-saturation", "grayscale", "hue-rotation")
_ABOUT = (
    "Each run makes its positives by one augmentation alone. The paper prints this as a figure without numbers, so "
    "there are none to set beside these. Brightness is lowered as in the published code."
)


@dataclass(frozen=True, kw_only=True)
class SingleAugmentation(Study):
    """Leakage and content of a run per augmentation, as a table and as bars.

    Source: Kahana & Hoshen 2022, arXiv:2203.11284, supplement, Figure 1.
    """

    method: str = hp("dcodr-norec", doc="what is trained")

    def run(self, plan: Plan) -> Outcome:
        channels = plan.check([self.method]).spec.image_shape[0]
        jobs = [plan.job(self.method, seed, f"views {view}", views=view) for view in VIEWS for seed in plan.seeds]
        train_all(jobs)
        scores = records(jobs, label=_view)
        grey = f"\nThe images are grey: {', '.join(_GREY)} change nothing.\n" if channels == 1 else ""
        text = "\n".join(
            [f"# {plan.data}: one augmentation at a time\n", f"{_ABOUT}\n{grey}",
             comparison.summary(scores, "augmentation"), comparison.every_score(scores)]
        )  # fmt: skip
        drawn = bars(comparison.tradeoff(scores), VIEWS)
        return Outcome(text=text, rows=comparison.rows(scores), files={".svg": drawn})


def _view(job: Job) -> str:
    return str(job.config.settings.views)


def bars(found: Tradeoff, names: Sequence[str]) -> str:
    """Leakage and content of each setting with their 95 % intervals, as SVG; chance as dashed lines."""
    with matplotlib.rc_context({**STYLE, "svg.hashsalt": "bars"}):
        figure = Figure(figsize=(9, 4.4))
        axes = figure.add_subplot()
        places = np.arange(len(names))
        for key, shift, color in (("leakage", -0.2, METHOD_COLORS[1]), ("content", 0.2, METHOD_COLORS[0])):
            points = [found.methods[name] for name in names]
            heights = np.array([point[key] for point in points])
            ends = np.array([[point[f"{key}_low"], point[f"{key}_high"]] for point in points])
            if np.isnan(heights).all():
                continue
            bounds = np.where(np.isfinite(ends), ends, heights[:, None])  # a bar without an interval has no whisker
            whiskers = np.abs(bounds - heights[:, None]).T
            better = "lower" if key == "leakage" else "higher"
            axes.bar(places + shift, heights, 0.38, yerr=whiskers, color=color, ecolor="#555555",
                     label=f"{key} ({better} is better)")  # fmt: skip
            chance = float(np.mean([point[f"{key}_chance"] for point in points]))
            axes.axhline(chance, color=color, linewidth=1.2, linestyle=(0, (4, 3)), label=f"{key} by chance")
        axes.set_xticks(places, names, rotation=40, ha="right")
        axes.set(ylabel="what the probe reads", title=f"{found.data}: one augmentation at a time")
        axes.set_axisbelow(True)
        axes.grid(axis="x", visible=False)
        figure.legend(loc="outside lower center", ncols=2)
        text = io.StringIO()
        figure.savefig(text, format="svg", metadata={"Date": None})
    return text.getvalue()
