"""To which augmentations is an autoencoder invariant already? These are the ones to make positives with."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float64
from rich.console import Console
from rich.progress import track

from unbraid.augment import views as find_views
from unbraid.augment.ops import Brightness
from unbraid.augment.recipes import Recipe
from unbraid.encode import to_tensor
from unbraid.encoder import load
from unbraid.errors import UserError
from unbraid.hparams import hp
from unbraid.metrics.intervals import bootstrap_mean
from unbraid.nets import PerceptualDistance, perceptual_distance
from unbraid.report.tables import cell, markdown_table, number
from unbraid.seeds import integer, stream
from unbraid.studies import published
from unbraid.studies.outcome import Outcome
from unbraid.studies.plan import Job, Plan, Study, digest, remember, train_all
from unbraid.tables import Dataset

METHOD = "autoencoder"
SAME = 1e-6  # images no further apart differ by rounding alone: a ratio to their distance says nothing
RECONSTRUCTION = "reconstruction"
SCORES = ("f_norm", "f_unnorm", "f_norm_of_means")
_OF_SUPPLEMENT = {"low-brightness": Recipe(Brightness((0.3, 0.8)))}  # the code, and our view, have 0.2 to 0.6
_BATCH = 64
_LEARNED = 0.9  # share of the second distance above which nothing was learned
_ABOUT = (
    "f_unnorm = d(AE(x), AE(t(x))) and f_norm = f_unnorm / d(x, t(x)), means over test images; both small: the "
    "autoencoder is invariant to t. The last column divides the means in place of averaging ratios; the paper does not "
    "say which it did. Distance d: {distance}."
)
_NOT_VGG = (
    "The published distance needs the weights of VGG-16: only the order of these numbers can be compared with it."
)


@dataclass(frozen=True, kw_only=True)
class Augmentations(Study):
    """f_norm and f_unnorm of an autoencoder for thirteen transformations.

    Source: Kahana & Hoshen 2022, arXiv:2203.11284, supplement, Tables 1 and 2.
    """

    images: int = hp(1000, least=2, doc="test images at most, drawn at random")
    perceptual: str = hp("auto", doc='VGG-16 weights of the distance: "auto", "imagenet", a file, or "random"')

    def run(self, plan: Plan) -> Outcome:
        dataset = plan.check([METHOD], domain=False)
        if not len(dataset.rows("test")):
            raise UserError(f"{dataset.spec.name} has no test images to measure with")
        distance = perceptual_distance(self.perceptual)
        jobs = [plan.job(METHOD, seed) for seed in plan.seeds]
        train_all(jobs)
        measured = [self._measure(job, dataset, distance) for job in jobs]
        rows = [row for name in published.INVARIANCE for row in _rows(plan, name, [one[name] for one in measured])]
        learned = [one[RECONSTRUCTION] for one in measured]
        return Outcome(text=_text(plan, rows, learned, distance.kind), rows=rows)

    def _measure(self, job: Job, dataset: Dataset, distance: PerceptualDistance) -> dict[str, dict[str, Any]]:
        """The scores of each transformation; what was measured before is not measured again."""
        seed = job.config.settings.seed
        test = dataset.rows("test")
        rows = np.sort(stream(seed, "augmentations").permutation(test)[: self.images])
        model = load(job.run.path).method
        images, console = dataset.images[rows], Console(stderr=True)

        def measure(name: str) -> dict[str, Any]:
            if name == RECONSTRUCTION:
                return reconstruction(model, distance, images)
            return summary(invariance(model, distance, images, name, seed), seed)

        def recall(name: str) -> Any:
            key = f"{name}; images {digest(images)}; {self.perceptual}: {distance.kind}"
            return remember(job.run.path / "augmentations.jsonl", key, lambda: measure(name))

        names = (RECONSTRUCTION, *published.INVARIANCE)
        return {name: recall(name) for name in track(names, "measuring", console=console, transient=True)}


@dataclass(frozen=True)
class Distances:
    """Of each image."""

    before: Float64[np.ndarray, " n"]  # d(x, t(x))
    after: Float64[np.ndarray, " n"]  # d(AE(x), AE(t(x)))


def transformation(name: str) -> Recipe:
    """With the parameters of the supplement."""
    return _OF_SUPPLEMENT.get(name) or find_views(name)


def invariance(model: Any, distance: PerceptualDistance, images: np.ndarray, name: str, seed: int) -> Distances:
    """How far a transformation moves images (N, H, W, C), and how far it moves their reconstructions.

    Args:
        model: Has ``reconstruct``, from images to images.
    """
    recipe = transformation(name)
    generator = torch.Generator().manual_seed(integer(seed, "augmentations", name))
    draws = recipe.draw(len(images), 1, generator)
    parts = []
    with torch.inference_mode():
        for start in range(0, len(images), _BATCH):
            x = to_tensor(images[start : start + _BATCH], torch.device("cpu"))
            moved = recipe.apply(x, draws[start : start + _BATCH])[:, 0]
            after = distance.per_image(model.reconstruct(moved), model.reconstruct(x))
            parts.append(torch.stack([distance.per_image(moved, x), after]))
    before, after = torch.cat(parts, dim=1).double().numpy()
    return Distances(before, after)


def reconstruction(model: Any, distance: PerceptualDistance, images: np.ndarray) -> dict[str, Any]:
    """Mean distance of an image from its reconstruction, and from that of the image before it."""
    own, other = [], []
    with torch.inference_mode():
        for start in range(0, len(images), _BATCH):
            x = to_tensor(images[start : start + _BATCH], torch.device("cpu"))
            drawn = model.reconstruct(x)
            own.append(distance.per_image(drawn, x))
            other.append(distance.per_image(drawn.roll(1, dims=0), x))
    return {"own": float(torch.cat(own).mean()), "other": float(torch.cat(other).mean())}


def summary(found: Distances, seed: int) -> dict[str, Any]:
    """Means over images with their 95 % intervals. Images that a transformation leaves as they are have no ratio."""
    changed = found.before > SAME
    unnormed = _mean(found.after, seed)
    if not changed.any():
        return {"f_norm": None, "f_unnorm": unnormed, "f_norm_of_means": None, "changed": 0, "num": len(changed)}
    before, after = found.before[changed], found.after[changed]
    return {
        "f_norm": _mean(after / before, seed),
        "f_unnorm": unnormed,
        "f_norm_of_means": [float(after.mean() / before.mean()), None, None],
        "changed": int(changed.sum()),
        "num": len(changed),
    }


def _mean(values: Float64[np.ndarray, " n"], seed: int) -> list[float | None]:
    return [float(values.mean()), *bootstrap_mean(values, stream(seed, "augmentations", "interval"))]


def _rows(plan: Plan, name: str, seeds: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """One row per score of a transformation: our mean over seeds, and the published numbers of this set and of all."""
    rows = []
    for place, score in enumerate(SCORES):
        found = [one[score] for one in seeds if one[score] is not None]
        values = np.array([one[0] for one in found])
        several = len(found) > 1
        low, high = (([one[end] for one in found if one[end] is not None]) for end in (1, 2))
        row = {
            "data": plan.data,
            "transformation": name,
            "score": score,
            "mean": float(values.mean()) if found else float("nan"),
            "error": float(values.std(ddof=1) / len(values) ** 0.5) if several else float("nan"),
            "low": min(low, default=float("nan")),
            "high": max(high, default=float("nan")),
            "num_seeds": len(found),
            "changed": seeds[0]["changed"],
            "num": seeds[0]["num"],
        }
        if place < 2:
            own_set = published.published_set(plan.data)
            if own_set in published.SETS:
                row["published"] = published.INVARIANCE[name][published.SETS.index(own_set)][place]
            row["published mean"] = published.INVARIANCE[name][-1][place]
        rows.append(row)
    return rows


def _text(plan: Plan, rows: Sequence[Mapping[str, Any]], learned: Sequence[Mapping[str, float]], kind: str) -> str:
    columns = [name for name in ("published", "published mean") if name in rows[0]]
    headers = ["transformation"]
    for score in SCORES[:2]:
        headers += [f"{score} (lower)", *(f"{score}, {column}" for column in columns)]
    lines = []
    for name in published.INVARIANCE:
        mine = {row["score"]: row for row in rows if row["transformation"] == name}
        line = [name]
        for score in SCORES[:2]:
            line += [
                str(cell(mine[score])),
                *(f"{mine[score][column]:.{3 if score == 'f_norm' else 4}f}" for column in columns),
            ]
        ratio = mine["f_norm_of_means"]["mean"]
        lines.append([*line, "" if np.isnan(ratio) else number(ratio)])
    same = [row["transformation"] for row in rows if row["score"] == "f_norm" and not row["changed"]]
    notes = [_learned(learned), _ABOUT.format(distance=kind)] + ([] if kind == "vgg16" else [_NOT_VGG])
    notes += [f"{published.CORRECTION}."]
    notes += [f"Not defined, as these change no image: {', '.join(same)}."] if same else []
    if published.published_set(plan.data) == "edges2shoes" and "modality=photo" not in plan.data:
        notes += ["Published numbers are of photos alone: --data edges2shoes:modality=photo."]
    table = markdown_table([*headers, "ratio of means"], lines)
    return "\n".join([f"# {plan.data}: what an autoencoder is invariant to\n", table, *_order(rows), "", *notes]) + "\n"


def _learned(seeds: Sequence[Mapping[str, float]]) -> str:
    """An autoencoder that ignores its input is invariant to everything."""
    own, other = (float(np.mean([one[key] for one in seeds])) for key in ("own", "other"))
    text = f"d(x, AE(x)) is {number(own)} on average, and {number(other)} where another image was reconstructed"
    return (
        f"{text}: this autoencoder tells images hardly apart, so its invariance means nothing."
        if (own > _LEARNED * other)
        else f"{text}."
    )


def _order(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """What can be compared whatever the scale of the distance: the order."""
    from scipy.stats import spearmanr

    found = [row for row in rows if row["score"] == "f_norm" and row["num_seeds"]]
    if len(found) < 3:
        return []
    ours, theirs = ([row[key] for row in found] for key in ("mean", "published mean"))
    least = [", ".join(found[i]["transformation"] for i in np.argsort(values)[:3]) for values in (ours, theirs)]
    return [
        f"Least f_norm here: {least[0]}; published: {least[1]}. "
        f"Rank correlation with the published mean over {len(found)} transformations: {spearmanr(ours, theirs)[0]:.2f}."
    ]
