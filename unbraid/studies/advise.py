"""Which augmentations suit one's own data: what each does to every factor, and a recipe of those that keep content.

A code that is invariant to t knows of an image only what t(image) still tells. So a probe is trained to read each
factor from images as they are and after t, under the same labels, and tested on images after t. What it reads less than
a probe of unchanged images reads of these is what invariance to t would cost: a factor that t removes (a colour, for
grayscale), or turns into another value of itself (a pose, for a flip). How well the probe of unchanged images reads
after t stands beside it; that falls where t merely leads astray, which a change of brightness suffices for. A negative
cost: the factor is easier to read after t.

The judge is an untrained encoder, or one of yours. An encoder trained to be invariant to t cannot judge t.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from jaxtyping import Bool, Float32, Int64, UInt8
from rich.console import Console
from rich.progress import track

from unbraid.augment import views as find_views
from unbraid.config import field_names
from unbraid.data.options import DataOptions
from unbraid.encode import encode_pixels, to_tensor
from unbraid.encoder import Encoder, load
from unbraid.errors import UserError
from unbraid.hparams import hp
from unbraid.methods import method as find_method
from unbraid.metrics.intervals import bootstrap_mean
from unbraid.metrics.random_features import RandomFeatures
from unbraid.report.tables import interval, markdown_table, number
from unbraid.seeds import integer, stream
from unbraid.studies.outcome import Outcome
from unbraid.studies.plan import Plan, Study, digest, remember, train_all
from unbraid.studies.published import INVARIANCE
from unbraid.tables import Dataset
from unbraid.types import Method

AUGMENTATIONS = tuple(INVARIANCE)  # DCoDR's thirteen
JUDGE = "untrained"
_BATCH = 256
_SAME = 0.5 / 255  # mean change of a pixel below which an image counts as unchanged


@dataclass(frozen=True, kw_only=True)
class Advise(Study):
    """What each augmentation costs every factor, and a recipe for ``unbraid train --config``."""

    method: str = hp("dcodr-norec", doc="what the recipe is for")
    judge: str = hp("", doc="run directory whose encoder judges; default: an untrained encoder")
    tolerance: float = hp(0.02, doc="accuracy that a content factor may lose")
    images: int = hp(4000, least=20, doc="train images at most, and half as many test images, drawn at random")

    def run(self, plan: Plan) -> Outcome:
        dataset = plan.check([self.method, JUDGE], domain=False)
        if not dataset.spec.content:
            raise UserError("advice needs content factors: give --factors, or labels with a column besides the domain")
        encoder, judge = self._judge(plan, dataset)
        bench = Bench.draw(encoder.method, dataset, self.images, plan.seeds[0])
        shown = track(AUGMENTATIONS, "judging", console=Console(stderr=True), transient=True)
        rows = [row for name in shown for row in self._rows(plan, bench, name)]
        kept = recipe(rows, dataset.spec.content, self.tolerance)
        files = {".yaml": self._config(plan, kept)} if kept else {}
        if not kept:
            (plan.out / "advise.yaml").unlink(missing_ok=True)  # of an earlier study
        return Outcome(text=self._text(plan, rows, kept, judge, dataset.spec.content), rows=rows, files=files)

    def _judge(self, plan: Plan, dataset: Dataset) -> tuple[Encoder, str]:
        if not self.judge:
            job = plan.job(JUDGE, plan.seeds[0])
            train_all([job])
            hparams = job.config.hparams
            return load(job.run.path), f"an untrained encoder ({hparams.backbone}, weights {hparams.weights})"
        encoder = load(self.judge)
        if encoder.spec.image_shape != dataset.spec.image_shape:
            raise UserError(
                f"the encoder of {self.judge} takes images {encoder.spec.image_shape} (C, H, W), "
                f"{plan.data} has {dataset.spec.image_shape}"
            )
        return encoder, f"{self.judge} ({encoder.config.method}, trained with views {encoder.config.settings.views})"

    def _rows(self, plan: Plan, bench: "Bench", name: str) -> list[dict[str, Any]]:
        """What was measured before with the same images, labels and codes is not measured again."""
        arrays = digest(bench.images, bench.z, *bench.columns.values())
        key = f"{name}; {arrays}; {', '.join(bench.columns)}; seed {plan.seeds[0]}"
        found: list[dict[str, Any]] = remember(plan.out / "advise.jsonl", key, lambda: bench.rows(name, plan.seeds[0]))
        return found

    def _config(self, plan: Plan, kept: Sequence[str]) -> str:
        """YAML that ``unbraid train METHOD --config`` reads."""
        known = field_names(find_method(self.method).config_class) | field_names(DataOptions) | {"device", "precision"}
        values = {name: value for name, value in plan.options.items() if name in known and value is not None}
        preset = {"preset": plan.preset} if plan.preset else {}
        return yaml.safe_dump(
            {"method": self.method, "data": plan.data, **preset, **values, "views": ",".join(kept)}, sort_keys=False
        )

    def _text(
        self, plan: Plan, rows: Sequence[Mapping[str, Any]], kept: Sequence[str], judge: str, content: Sequence[str]
    ) -> str:
        columns = list(dict.fromkeys(row["column"] for row in rows))
        lines = []
        for name in AUGMENTATIONS:
            mine = {row["column"]: row for row in rows if row["augmentation"] == name}
            any_row = next(iter(mine.values()))
            line = [name, number(any_row["pixels_moved"]), number(any_row["codes_moved"])]
            for column in columns:
                one = mine[column]
                line.append(f"{number(one['cost'])} {interval(one['low'], one['high'])}; {number(one['after'])}")
            lines.append([*line, "yes" if name in kept else ""])
        clean = {row["column"]: row for row in rows}
        first = ["unchanged images", "", "", *(f"{number(clean[name]['clean'])}" for name in columns), ""]
        chance = ["chance", "", "", *(f"{number(clean[name]['chance'])}" for name in columns), ""]
        names = [name if name in content else f"{name} (domain)" for name in columns]
        table = markdown_table(
            ["augmentation", "pixels moved", "codes moved", *names, "recipe"], [first, chance, *lines]
        )
        return "\n".join(
            [f"# {plan.data}: augmentations for {self.method}\n", f"Judge: {judge}; {rows[0]['num']} test images.\n",
             table, _READING.format(tolerance=self.tolerance), *verdict(rows, kept, content, self.method, plan.out),
             _doubts(rows, kept, readable(rows, content), self.tolerance)]
        ) + "\n"  # fmt: skip


_READING = (
    "For each factor: accuracy lost by invariance to the augmentation, with its 95 % interval over test images; then "
    "the accuracy of the probe of unchanged images on augmented ones. Pixels moved: mean absolute change, of 1. Codes "
    "moved: mean distance between an image's code and that of its augmented copy, of that between two images. In the "
    "recipe: what changes images and costs no content factor that the judge can read more than {tolerance}.\n"
)


def _doubts(rows: Sequence[Mapping[str, Any]], kept: Sequence[str], judged: Sequence[str], tolerance: float) -> str:
    """Which of the recipe may cost more than is tolerated, for all that so many test images can say."""
    beyond = [row["augmentation"] for row in rows if row["column"] in judged and row["high"] > tolerance]
    unsure = [name for name in kept if name in beyond]
    return f"Not certain, as their intervals reach beyond the tolerance: {', '.join(unsure)}." if unsure else ""


def verdict(
    rows: Sequence[Mapping[str, Any]], kept: Sequence[str], content: Sequence[str], method: str, out: Path
) -> list[str]:
    """What to do next: the command that trains with the recipe or, where there is none, what would bring one."""
    blind = [name for name in content if name not in readable(rows, content)]
    lines = [f"The judge reads {', '.join(blind)} no better than chance: no advice about it."] if blind else []
    if kept:
        yaml_file = out / "advise.yaml"
        return [*lines, f"Recipe: {', '.join(kept)}. unbraid train {method} --config {yaml_file}"]
    if len(blind) == len(content):
        return [*lines, "No recipe: give --judge a run that reads the content, or pretrained weights."]
    costs = worst_costs(rows, content)
    least = min(costs, key=lambda name: costs[name], default="")
    refused = "No recipe: every augmentation that changes images costs a factor more than is tolerated"
    hint = f"; {least} the least, and --tolerance {math.ceil(1000 * costs[least]) / 1000:g} takes it" if least else ""
    return [*lines, f"{refused}{hint}."]


def readable(rows: Sequence[Mapping[str, Any]], content: Sequence[str]) -> list[str]:
    """Content factors of which the judge knows anything: its accuracy is above chance beyond its interval."""
    clean = {row["column"]: row for row in rows}
    return [name for name in content if name in clean and clean[name]["clean_low"] > clean[name]["chance"]]


def recipe(rows: Sequence[Mapping[str, Any]], content: Sequence[str], tolerance: float) -> list[str]:
    """The augmentations that change images and cost no readable content factor more than the tolerance."""
    return [name for name, cost in worst_costs(rows, content).items() if cost <= tolerance]


def worst_costs(rows: Sequence[Mapping[str, Any]], content: Sequence[str]) -> dict[str, float]:
    """What each augmentation that changes images costs the readable content factor that it costs most."""
    judged, costs = readable(rows, content), dict[str, float]()
    for row in rows:
        if row["column"] in judged and row["pixels_moved"] > _SAME:
            costs[row["augmentation"]] = max(costs.get(row["augmentation"], row["cost"]), row["cost"])
    return costs


@dataclass(frozen=True)
class Bench:
    """Images with their codes and labels; the first ``num_train`` are train rows, the others test rows."""

    model: Method
    images: UInt8[np.ndarray, "n h w c"]
    z: Float32[np.ndarray, "n d"]
    num_train: int
    columns: Mapping[str, Int64[np.ndarray, " n"]]  # content factors, then the domain
    sizes: Mapping[str, int]

    @classmethod
    def draw(cls, model: Method, dataset: Dataset, images: int, seed: int) -> "Bench":
        """Rows in which every column is known. Raises: UserError if a split has fewer than two of them."""
        spec = dataset.spec
        names = [*spec.content, *([spec.domain] if spec.domain else [])]
        known = np.all([dataset.columns[name] >= 0 for name in names], axis=0)
        parts = []
        for split, most in (("train", images), ("test", images // 2)):
            rows = dataset.rows(split)
            rows = rows[known[rows]]
            if len(rows) < 2:
                raise UserError(f"{spec.name} has {len(rows)} rows with all labels in its {split} split; it takes two")
            parts.append(np.sort(stream(seed, "advise", split).permutation(rows)[:most]))
        rows = np.concatenate(parts)
        columns = {name: dataset.columns[name][rows] for name in names}
        z = encode_pixels(model, dataset.images[rows])
        return cls(model, dataset.images[rows], z, len(parts[0]), columns, spec.sizes)

    def rows(self, augmentation: str, seed: int) -> list[dict[str, Any]]:
        """What the augmentation does to each column."""
        z, pixels_moved = self._augmented(augmentation, seed)
        cut, rng = self.num_train, stream(seed, "advise", "pairs")
        apart = np.linalg.norm(self.z - self.z[rng.permutation(len(self.z))], axis=1).mean()
        moved = np.linalg.norm(z - self.z, axis=1).mean() / apart if apart else 0.0
        before, after = np.split(self._read(self.z[:cut], np.concatenate([self.z[cut:], z[cut:]]), seed), 2, axis=1)
        both = self._read(np.concatenate([self.z[:cut], z[:cut]]), z[cut:], seed)
        rows = []
        for name, clean, led_astray, kept in zip(self.columns, before, after, both, strict=True):
            intervals = stream(seed, "advise", "interval", name)
            low, high = bootstrap_mean(clean.astype(float) - kept, intervals)
            train, test = np.split(self.columns[name], [cut])
            rows.append(
                {
                    "augmentation": augmentation,
                    "column": name,
                    "clean": float(clean.mean()),
                    "clean_low": bootstrap_mean(clean.astype(float), intervals)[0],
                    "chance": float(np.mean(test == np.bincount(train).argmax())),
                    "kept": float(kept.mean()),
                    "cost": float(clean.mean() - kept.mean()),
                    "low": low,
                    "high": high,
                    "after": float(led_astray.mean()),
                    "pixels_moved": pixels_moved,
                    "codes_moved": float(moved),
                    "num": len(test),
                }
            )
        return rows

    def _read(
        self, train: Float32[np.ndarray, "t d"], test: Float32[np.ndarray, "s d"], seed: int
    ) -> Bool[np.ndarray, "g s"]:
        """Whether a probe of ``train`` reads each column of each test code; both may repeat the rows of ours."""
        probe = RandomFeatures(train, test, stream(seed, "advise", "probe"))
        hits = []
        for name, column in self.columns.items():
            labels, truth = np.split(column, [self.num_train])
            labels, truth = (np.resize(part, len(z)) for part, z in ((labels, train), (truth, test)))
            hits.append(probe.classify(labels, self.sizes[name]) == truth)
        return np.stack(hits)

    def _augmented(self, name: str, seed: int) -> tuple[Float32[np.ndarray, "n d"], float]:
        """The codes of one augmented copy of each image, and the mean absolute change of a pixel."""
        augment, generator = find_views(name), torch.Generator().manual_seed(integer(seed, "advise", name))
        draws = augment.draw(len(self.images), 1, generator)
        codes, change = [], 0.0
        with torch.inference_mode():
            for start in range(0, len(self.images), _BATCH):
                x = to_tensor(self.images[start : start + _BATCH], torch.device("cpu"))
                moved = augment.apply(x, draws[start : start + _BATCH])[:, 0]
                change += float((moved - x).abs().mean(dim=(1, 2, 3)).sum())
                codes.append(self.model.encode(moved).float())
        return torch.cat(codes).numpy(), change / len(self.images)
