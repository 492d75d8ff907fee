"""Run directories with plausible numbers, written without training anything."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.datasets import load_digits

from unbraid.records import Record, RunDir, append_line, write_json
from unbraid.tables import Codes, DataSpec

COLORS = ("red", "green", "blue", "amber", "violet")
LEVELS = {  # method -> leakage, content
    "dcodr": (0.24, 0.93),
    "dcodr-norec": (0.27, 0.91),
    "simclr": (0.88, 0.90),
    "untrained": (0.97, 0.62),
}
FACTORS = {"digit": 10, "angle": 12}


def spec(data: str) -> DataSpec:
    return DataSpec(
        name=data,
        image_shape=(3, 8, 8),
        num_train=10,
        sizes={"color": 5, **FACTORS},
        values={"color": COLORS},
        factors=("color", *FACTORS),
        circular=frozenset({"angle"}),
        domain="color",
    )


def write_run(
    root: Path,
    method: str = "dcodr",
    *,
    data: str = "digits",
    seed: int = 0,
    name: str | None = None,
    done: bool = True,
    rows: int = 40,
    config: Mapping[str, Any] | None = None,
) -> RunDir:
    """A whole run directory; tests then delete or overwrite what they are about."""
    run = RunDir(root / (name or f"{method}-{data}-{seed}"))
    run.path.mkdir(parents=True)
    rng = np.random.default_rng([seed, *method.encode(), *data.encode()])
    settings = {"epochs": 10, "temperature": 0.2, "rec_weight": 0.3}
    base = {"method": method, "data": data, "views": "dcodr", "seed": seed, "device": "auto", "precision": "auto"}
    write_json(run.config, {**base, "hparams": settings, "options": {"domain": None}, **(config or {})})
    write_json(run.spec, spec(data).to_dict())
    write_json(run.env, environment(method, data))
    for step in range(0, 1000, 50):
        terms = {"main/contrast": 1.2 + 2.2 * np.exp(-step / 250) + 0.03 * rng.normal()}
        if method == "dcodr":
            terms["main/rec"] = 0.2 + 0.5 * np.exp(-step / 400) + 0.01 * rng.normal()
        append_line(run.log, {"step": step, "epoch": step / 100, "seconds": step / 20, **terms})
    write_scores(run, method, data, seed, rng)
    fake_codes(data, LEVELS.get(method, (0.5, 0.5)), rows, rng).save(run.codes)
    np.savez(run.samples, **fake_samples(method, rng))
    if done:
        run.done.touch()
    return run


def environment(method: str, data: str) -> dict[str, Any]:
    return {
        "version": "0.1.0",
        "python": "3.11.2",
        "torch": "2.6.0",
        "platform": "Linux",
        "commit": None,
        "command": f"unbraid train {method} --data {data}",
        "device": "cpu",
        "precision": {"chosen": "bf16-channels-last", "seconds_per_step": {"fp32": 0.31, "bf16-channels-last": 0.19}},
        "notes": ["perceptual distance: pixel + seeded random features (no VGG weights)"],
        "seconds": 61.2,
    }


def score_line(run: RunDir, method: str, data: str, seed: int, **score: Any) -> dict[str, Any]:
    """One line of scores.jsonl with an interval around the value."""
    value = score.get("value")
    ends = {} if value is None else {"low": value - 0.015, "high": value + 0.015}
    owner = {"run": run.name, "method": method, "data": data, "seed": seed, "epoch": 10, "version": "0.1.0"}
    return vars(Record(**{"num": 1000, **ends, **owner, **score}))


def write_scores(run: RunDir, method: str, data: str, seed: int, rng: np.random.Generator) -> None:
    leakage, content = LEVELS.get(method, (0.5, 0.5))

    def add(**score: Any) -> None:
        append_line(run.scores, score_line(run, method, data, seed, **score))

    def near(value: float) -> float:
        return float(np.clip(value + 0.012 * rng.normal(), 0, 1))

    for variant, level in {"linear": leakage - 0.02, "six-layer": leakage, "linear, shuffled labels": 0.2}.items():
        add(metric="leakage", column="color", variant=variant, value=near(level), chance=0.2, higher_is_better=False)
    for factor, size in FACTORS.items():
        for variant in ("linear", "six-layer"):
            level = near(content - 0.1 * (factor == "angle"))
            add(metric="informativeness", column=factor, variant=variant, value=level, chance=1 / size,
                higher_is_better=True)  # fmt: skip
    for about, value, note in (
        ({"column": "digit"}, near(content - 0.05), ""),
        ({"column": "angle"}, None, "no row to choose from has the query's value"),
        ({"column": "", "over": tuple(FACTORS)}, near(content - 0.2), ""),
    ):
        add(metric="retrieval", **about, variant="top-1, other domains", value=value, chance=0.1, note=note,
            higher_is_better=True)  # fmt: skip


def fake_codes(data: str, levels: tuple[float, float], rows: int, rng: np.random.Generator) -> Codes:
    columns = {name: rng.integers(size, size=rows) for name, size in spec(data).sizes.items()}
    place = {name: rng.normal(size=(size, 16)) for name, size in spec(data).sizes.items()}
    z = rng.normal(size=(rows, 16)) * 0.4
    z += levels[0] * place["color"][columns["color"]] + levels[1] * place["digit"][columns["digit"]]
    split = np.where(np.arange(rows) < rows // 10, 0, 2).astype(np.uint8)
    return Codes(spec=spec(data), z=z.astype(np.float32), columns=columns, split=split)


def fake_samples(method: str, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Six strips of seven neighbours and, for a method that decodes, a grid of five by six swaps."""
    digits = load_digits()
    paint = np.array([[220, 60, 50], [60, 170, 80], [60, 100, 220], [230, 160, 40], [150, 80, 190]])

    def draw(digit: int, color: int) -> np.ndarray:
        image = rng.choice(digits.images[digits.target == digit]) / 16  # (8, 8) in [0, 1]
        return np.kron(image[:, :, None] * paint[color], np.ones((4, 4, 1))).astype(np.uint8)

    match = rng.random((6, 7)) < LEVELS.get(method, (0.5, 0.5))[1] - 0.1
    domain = rng.integers(5, size=(6, 8))
    digit = np.concatenate([np.arange(6)[:, None], np.where(match, np.arange(6)[:, None], 8)], axis=1)
    strips = np.stack([[draw(digit[q, k], domain[q, k]) for k in range(8)] for q in range(6)])
    arrays = {"strip_images": strips, "strip_match": match, "strip_domain": domain}
    if method == "dcodr":
        grid = np.stack([[draw(column, row) for column in range(7)] for row in range(5)])
        grid[0, 0] = 0
        arrays["swap_images"] = grid
    return arrays


def write_study(root: Path, methods: Iterable[str] = LEVELS, rows: int = 40) -> None:
    """All methods and two seeds on one data set, two methods and one seed on another, one run unfinished."""
    for method in methods:
        for seed in range(2):
            write_run(root, method, seed=seed, rows=rows)
    for method in ("dcodr", "simclr"):
        write_run(root, method, data="sprites", rows=rows)
    write_run(root, "dcodr", data="sprites", seed=1, done=False)


def read_scores(run: RunDir) -> list[dict[str, Any]]:
    return [json.loads(line) for line in run.scores.read_text().splitlines()]
