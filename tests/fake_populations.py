"""Folders of populations and recursions as the engine leaves them, written without training anything."""

from pathlib import Path

import numpy as np
from fake_runs import write_run

from unbraid.records import RunDir, append_line, write_json

METHOD = "beta-tcvae"


def write_population(
    folder: Path,
    *,
    members: int = 4,
    generations: int = 3,
    fitness: str = "udr",
    seed: int = 0,
    ended: bool = True,
    reason: str = "generations",
    data: str = "sprites",
) -> Path:
    """The best of each generation replaces the worst, of which one has diverged; the best run is a whole one."""
    settings = {"fitness": fitness, "members": members, "first_members": 0, "generations": generations}
    settings |= {"until_converged": False, "cutoff": 0.2, "asynchronous": False, "fidelity": "fixed"}
    member = {"method": METHOD, "data": data, "hparams": {"epochs": 9}, "options": {}, "settings": {"seed": seed}}
    write_json(folder / "population.json", {"member": member, "settings": settings, "fitness_options": {}})
    rng = np.random.default_rng(seed)
    lines: list[dict] = []
    for generation in range(generations if ended else generations - 1):
        before = lines[-members:]
        for number in range(members):
            line = _line(generation, number, rng) if not before else _after(before, generation, number, rng)
            lines.append(line)
            append_line(folder / "history.jsonl", line)
            _place(folder, line).path.mkdir(parents=True)
    best = max((line for line in lines if line["fitness"] is not None), key=lambda line: line["fitness"])
    for line in lines:
        run = _place(folder, line)
        if line is best and ended:
            run.path.rmdir()
            write_run(run.path.parent, METHOD, data=data, seed=987654, name=run.name)
        else:
            write_json(run.config, member)
            write_json(run.path / "env.json", {"command": "unbraid population pu beta-tcvae", "version": "0.1.0"})
            run.done.touch()
    if ended:
        place = str(_place(folder, best).path.relative_to(folder))
        write_json(folder / "result.json", {"best": place, "fitness": best["fitness"], "reason": reason})
    return folder


def _place(folder: Path, line: dict) -> RunDir:
    return RunDir(folder / f"generations/{line['generation']:03d}/{line['member']:03d}")


def _line(generation: int, number: int, rng: np.random.Generator) -> dict:
    hparams = {"beta": int(rng.integers(1, 30)), "lr": float(10 ** rng.uniform(-4, -2)), "estimator": "mss"}
    line = {"generation": generation, "member": number, "hparams": hparams, "stream": number, "parent": ""}
    line |= {"donor": None, "attempt": int(number == 1), "error": "", "seconds": 2.5}
    return line | {"fitness": float(0.1 + 0.2 * rng.random())}


def _after(before: list[dict], generation: int, number: int, rng: np.random.Generator) -> dict:
    order = sorted(before, key=lambda line: -1.0 if line["fitness"] is None else line["fitness"])
    lost, own = [one["member"] for one in order[: max(1, len(order) // 5)]], before[number]
    parent = order[-1 - int(rng.integers(max(1, len(order) // 5)))] if number in lost else own
    line = own | {"generation": generation, "attempt": 0, "hparams": parent["hparams"], "error": ""}
    line |= {"parent": f"generations/{parent['generation']:03d}/{parent['member']:03d}"}
    line |= {"donor": parent["member"] if number in lost else None}
    if number in lost:
        factor = float(rng.choice([2, 1.2, 0.8, 0.5]))
        line["hparams"] = dict(parent["hparams"], lr=parent["hparams"]["lr"] * factor, estimator="mws")
    line["fitness"] = (parent["fitness"] or 0.1) + float(rng.normal(0.02, 0.02))
    if number == lost[0] and generation % 2:
        line |= {"fitness": None, "error": "loss became nan"}
    return line


def write_networks(run: RunDir, num: int = 3) -> None:
    """The agreement of the networks of a member."""
    rng = np.random.default_rng(0)
    pairs = rng.uniform(0.1, 0.7, (num, num)) * (1 - np.eye(num))
    np.savez(run.path / "udr.npz", scores=np.full(num, 0.4), active=np.arange(3, 3 + num), pairwise=pairs)


def write_recursion(folder: Path, *, ended: bool = True, members: int = 4, generations: int = 3) -> Path:
    """A leaf run that reduces twice and one that fails; if it has not ended, the second reduction is being learned."""
    size = {"members": members, "generations": generations}
    write_population(folder / "x", **size)
    write_population(folder / "leaf-0/0", **size, seed=1)
    _labels(folder / "leaf-0/labels-0.npz", 600, [0, 2, 3])
    _labels(folder / "leaf-0/labels-1.npz", 90, [1])
    for place, rows in enumerate((90, 55)):
        np.save(folder / f"leaf-0/rows-{place}.npy", np.arange(rows))
    member = {"method": METHOD, "data": "sprites", "hparams": {"epochs": 9}, "options": {}, "settings": {"seed": 4}}
    config = {"member": member, "settings": {"fitness": "mig", "members": members}, "recursion": {"leaf_runs": 2}}
    write_json(folder / "recursion.json", config)
    if not ended:
        write_population(folder / "leaf-0/1", **size, seed=2, ended=False)
        return folder
    write_population(folder / "leaf-0/1", **size, seed=2, reason="worthless")
    models = {"models": ["x-model", "leaf-0/0-model"], "dimensions": [[0, 2, 3], [1]]}
    write_json(
        folder / "leaf-0/leaf.json", {"reason": "hardly any networks agree on what is left", "sizes": [90, 55]} | models
    )
    _labels(folder / "leaf-1/labels-0.npz", 600, [0, 2, 3])
    models = {"models": ["x-model"], "dimensions": [[0, 2, 3]]}
    write_json(folder / "leaf-1/leaf.json", {"reason": "label 3 of 3 has no gap that stands out", "sizes": []} | models)
    write_population(folder / "final", **size, fitness="leaf-mig", seed=3)
    write_run(folder, METHOD, data="sprites", seed=31, name="model")
    for copied in ("x-model", "leaf-0/0-model"):
        write_json(folder / copied / "config.json", member)
    return folder


def _labels(path: Path, rows: int, dimensions: list[int]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, values=np.zeros((rows, len(dimensions))), dimensions=np.array(dimensions))
