"""The recursion on networks that know what they will find: what is labelled, reduced, merged, and done only once."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from fake_networks import FakeVAE, encoder_of, factor_dataset

from unbraid.config import RunConfig
from unbraid.errors import UserError
from unbraid.population import rpu
from unbraid.population.annotation import annotate
from unbraid.population.config import PopulationConfig, PopulationSettings
from unbraid.population.engine import Population
from unbraid.population.recursion import RecursionConfig, RecursionSettings
from unbraid.population.surrogate import Bundle
from unbraid.records import RunDir
from unbraid.tables import Dataset

DATA = factor_dataset(copies=30)


def knows(*columns: int, order: tuple[int, ...] = (0, 1, 2), sign: float = 1.0) -> FakeVAE:
    """A network of the factors in ``columns``; others are dimensions without use."""
    weights = np.zeros((6, 3))
    for column in columns:
        weights[[column, 3 + column], order[column]] = sign / 50, 0.05 / 255
    used = np.isin(np.arange(3), [order[column] for column in columns])
    return FakeVAE(weights[None], np.where(used, 0.01, 1.0))


class Serial:
    """An executor in this process."""

    def __init__(self) -> None:
        self.paths: list[Path] = []

    def submit(self, path: Path) -> None:
        self.paths.append(path)

    def next_done(self) -> Path:
        from unbraid.population.member import train_member

        path = self.paths.pop(0)
        train_member(path)
        return path

    def close(self) -> None: ...


class World:
    """Stands for the engine: each population finds what ``finds`` says of its folder, or dies.

    Those in ``worthless`` never found anything, those in ``faded`` lost at the end what they had found.
    """

    def __init__(
        self,
        patch: pytest.MonkeyPatch,
        finds: dict[str, FakeVAE],
        worthless: tuple[str, ...] = (),
        faded: tuple[str, ...] = (),
        data: Dataset = DATA,
    ) -> None:
        self.finds, self.worthless, self.faded = finds, worthless, faded
        self.asked: dict[str, PopulationConfig] = {}
        self.dies_at = ""
        patch.setattr(rpu, "load_data", lambda config: data)
        patch.setattr(rpu, "_check", lambda config: None)
        patch.setattr(rpu, "run_population", self.run_population)
        patch.setattr(rpu, "export_agreed", lambda run, folder, agreement, dataset: self.export(run, folder))
        patch.setattr(rpu, "export_network", self.export)
        patch.setattr(rpu, "load", self.load)
        patch.setattr(rpu, "evaluate", lambda *args, **options: [])

    def run_population(self, config: PopulationConfig, folder: Path, executor: Serial) -> Population:
        name = str(folder.relative_to(folder.parents[1] if folder.parent.name.startswith("leaf") else folder.parent))
        if name == self.dies_at:
            raise KeyboardInterrupt
        self.asked[name] = config
        reason = "worthless" if name in self.worthless + self.faded else "converged"
        fitness = 0.05 if name in self.worthless else 0.8
        return Population(folder=folder, best=RunDir(folder / "best"), fitness=fitness, reason=reason, history=[])

    def export(self, run: RunDir, folder: Path) -> RunDir:
        folder.mkdir(parents=True, exist_ok=True)
        return RunDir(folder)

    def load(self, path: Path):
        place = Path(path)
        name = place.name if place.parent.name[:4] != "leaf" else f"{place.parent.name}/{place.name}"
        return encoder_of(self.finds[name.removesuffix("-model")], DATA)


def config(fidelity: str = "published", **options) -> RecursionConfig:
    member = RunConfig.make("beta-tcvae", "sprites", preset="tiny", num_models=5)
    settings = PopulationSettings(members=4, generations=8, fidelity=fidelity)
    return RecursionConfig(member=member, settings=settings, recursion=RecursionSettings(**{"leaf_runs": 2, **options}))


def finds(**more: FakeVAE) -> dict[str, FakeVAE]:
    """The first network knows f0 and f1, those of the leaf runs f2."""
    return {"x": knows(0, 1), "leaf-0/0": knows(2), "leaf-1/0": knows(2, order=(0, 1, 0), sign=-1.0), **more}


@pytest.mark.parametrize("fidelity", ["published", "fixed"])
def test_leaf_runs_fix_what_is_known_and_label_what_is_left(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, fidelity: str
) -> None:
    world = World(monkeypatch, finds())
    done = rpu.run_rpu(config(fidelity=fidelity), tmp_path / "r", Serial())
    assert [leaf.reason for leaf in done.leaves] == ["30 images are left, and networks are compared on 40 at least"] * 2
    for leaf in done.leaves:
        assert [len(step.labels.dimensions) for step in leaf.steps] == [2, 1]
        left = leaf.steps[1].rows
        most = [np.bincount(DATA.columns[name][left]).max() / len(left) for name in ("f0", "f1")]
        assert min(most) > 0.9 if fidelity == "published" else most == [1.0, 1.0]
        assert len(np.unique(DATA.columns["f2"][left])) == 5
    first, second = (set(leaf.steps[1].rows.tolist()) for leaf in done.leaves)
    assert not first & second
    assert list(world.asked) == ["x", "leaf-0/0", "leaf-1/0", "final"]
    assert np.load(tmp_path / "r/leaf-0/rows-0.npy").tolist() == done.leaves[0].steps[1].rows.tolist()


def test_what_each_population_is_asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    world = World(monkeypatch, finds())
    rpu.run_rpu(config(score_seed=3), tmp_path, Serial())
    first, leaf, final = (world.asked[name] for name in ("x", "leaf-1/0", "final"))
    assert first.settings.fitness == leaf.settings.fitness == "udr"
    assert first.settings.until_converged
    assert first.settings.fidelity == final.settings.fidelity == "published"
    assert first.member.hparams.num_models == 5
    assert first.fitness_options == {"seed": 3, "fidelity": "published"}
    assert (first.member.options.rows, leaf.member.options.rows) == (None, str(tmp_path / "leaf-1/rows-0.npy"))
    assert len({one.member.settings.seed for one in world.asked.values()}) == 4
    assert (final.settings.fitness, final.settings.generations, final.settings.until_converged) == (
        "leaf-mig",
        17,
        False,
    )
    assert (final.settings.first_members, final.settings.members, final.member.hparams.num_models) == (4, 2, 1)
    assert final.fitness_options["bundles"] == [str(tmp_path / f"leaf-{choice}/bundle.npz") for choice in range(2)]
    more = config(final_members=5).final([]).settings
    assert (more.first_members, more.members) == (10, 5)


def test_fixed_leaf_runs_are_merged(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    world = World(monkeypatch, finds())
    done = rpu.run_rpu(config(fidelity="fixed"), tmp_path, Serial())
    (path,) = world.asked["final"].fitness_options["bundles"]
    blocks = Bundle.load(Path(path)).blocks
    assert len(blocks) == 3
    assert sorted(len(block.rows) for block in blocks) == sorted(
        [len(DATA), len(DATA), sum(len(leaf.steps[1].rows) for leaf in done.leaves)]
    )
    shared = min(blocks, key=lambda block: len(block.rows))
    assert np.corrcoef(shared.labels[:, 0], DATA.columns["f2"][shared.rows])[0, 1] > 0.99


def test_killed_anywhere_it_comes_to_the_same(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def files(folder: Path) -> dict[str, bytes]:
        skip = ("recursion.json",)
        return {
            str(file.relative_to(folder)): file.read_bytes()
            for file in sorted(folder.rglob("*"))
            if file.is_file() and file.name not in skip and file.suffix != ".npz"
        }

    world = World(monkeypatch, finds())
    whole = rpu.run_rpu(config(fidelity="fixed"), tmp_path / "whole", Serial())
    for world.dies_at in ("x", "leaf-0/0", "leaf-1/0", "final"):
        with pytest.raises(KeyboardInterrupt):
            rpu.run_rpu(config(fidelity="fixed"), tmp_path / "cut", Serial())
    world.dies_at = ""
    cut = rpu.run_rpu(config(fidelity="fixed"), tmp_path / "cut", Serial())
    assert files(tmp_path / "whole") == files(tmp_path / "cut")
    for name in ("merged.npz", "leaf-0/bundle.npz"):
        ours, theirs = (Bundle.load(tmp_path / part / name) for part in ("whole", "cut"))
        for a, b in zip(ours.blocks, theirs.blocks, strict=True):
            assert (a.rows == b.rows).all()
            assert (a.labels == b.labels).all()
    assert whole.leaves[0].reason == cut.leaves[0].reason
    again = rpu.run_rpu(config(fidelity="fixed"), tmp_path / "cut", Serial())
    assert again.model.path == cut.model.path
    assert [len(step.rows) for step in again.leaves[1].steps] == [len(step.rows) for step in cut.leaves[1].steps]


@pytest.mark.parametrize(("fidelity", "kept"), [("published", 1), ("fixed", 2)])
def test_labels_that_reduce_nothing_are_dropped_as_published(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, fidelity: str, kept: int
) -> None:
    """The second network knows all that is left, so that no ten rows share all its values."""
    World(monkeypatch, finds(**{"leaf-0/0": knows(0, 1, 2)}))
    done = rpu.run_rpu(config(fidelity=fidelity, leaf_runs=1), tmp_path, Serial())
    assert done.leaves[0].sizes
    assert len(done.leaves[0].steps) == kept


def test_depth_ends_a_leaf_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    World(monkeypatch, finds())
    done = rpu.run_rpu(config(depth=1), tmp_path, Serial())
    assert [leaf.reason for leaf in done.leaves] == ["1 reduction(s), as asked"] * 2
    assert [len(leaf.steps) for leaf in done.leaves] == [2, 2]


def test_a_leaf_run_without_a_choice_is_left_out(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Twelve combinations of f0 and f1 at most: the sixteenth leaf run has none."""
    world = World(monkeypatch, {f"leaf-{choice}/0": knows(2) for choice in range(20)} | finds())
    done = rpu.run_rpu(config(leaf_runs=20), tmp_path, Serial())
    assert "combination(s) only" in done.leaves[-1].reason
    assert len(world.asked["final"].fitness_options["bundles"]) == sum(bool(leaf.sizes) for leaf in done.leaves) < 20


def test_the_first_network_serves_alone_if_nothing_can_be_reduced(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    world = World(monkeypatch, finds(x=knows(0, 1, 2)), data=factor_dataset(copies=8))
    done = rpu.run_rpu(config(), tmp_path, Serial())
    assert not any(leaf.sizes for leaf in done.leaves)
    assert world.asked["final"].fitness_options["bundles"] == [str(tmp_path / "leaf-0/bundle.npz")]


def test_recursions_that_cannot_be(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    World(monkeypatch, finds(), worthless=("x",))
    with pytest.raises(UserError, match="the networks of no member agree"):
        rpu.run_rpu(config(), tmp_path / "a", Serial())
    World(monkeypatch, finds(x=knows()))
    for _ in range(2):  # and once more, from what is on disk
        with pytest.raises(UserError, match="has learned no factor"):
            rpu.run_rpu(config(), tmp_path / "b", Serial())
    with pytest.raises(UserError, match="holds a recursion that differs in depth;"):
        rpu.run_rpu(config(depth=1), tmp_path / "b", Serial())
    (tmp_path / "d").mkdir()
    (tmp_path / "d/.recursion.json.123.tmp").touch()  # of one that was killed
    assert not rpu._begun(config(), tmp_path / "d")
    (tmp_path / "c").mkdir()
    (tmp_path / "c/notes.txt").touch()
    with pytest.raises(UserError, match="holds no recursion"):
        rpu.run_rpu(config(), tmp_path / "c", Serial())
    with pytest.raises(UserError, match="take beta-tcvae"):
        RecursionConfig(member=RunConfig.make("untrained", "digits"))
    with pytest.raises(UserError, match="2 or more, not 1"):
        RecursionConfig(member=RunConfig.make("beta-tcvae", "digits"))
    with pytest.raises(UserError, match="leave out asynchronous"):
        dataclasses.replace(config(), settings=PopulationSettings(asynchronous=True))
    with pytest.raises(UserError, match="final_members must be at least 2"):
        config(final_members=1)
    with pytest.raises(UserError, match="side_cutoff"):
        config(side_cutoff=0.5)


def test_a_worthless_leaf_run_keeps_the_labels_before(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    World(monkeypatch, finds(), worthless=("leaf-0/0", "leaf-1/0"))
    done = rpu.run_rpu(config(fidelity="fixed"), tmp_path, Serial())
    assert [[len(step.labels.dimensions) for step in leaf.steps] for leaf in done.leaves] == [[2], [2]]
    assert len(Bundle.load(tmp_path / "merged.npz").blocks) == 2


@pytest.mark.parametrize(("fidelity", "kept"), [("published", [2]), ("fixed", [2, 1])])
def test_what_a_population_had_found_before_it_faded(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, fidelity: str, kept: list[int]
) -> None:
    """The best ever is exported; of a leaf run, published, it labels nothing."""
    World(monkeypatch, finds(), faded=("x", "leaf-0/0"))
    (leaf,) = rpu.run_rpu(config(fidelity=fidelity, leaf_runs=1), tmp_path, Serial()).leaves
    assert [len(step.labels.dimensions) for step in leaf.steps] == kept


@pytest.mark.parametrize(
    ("explore", "hparams", "message"),
    [("betta", {}, "'betta' is no hyper-parameter"), ("lr", {"z_dim": 1}, "this one has a single one; widen it")],
)
def test_a_recursion_that_cannot_be_trained_leaves_nothing_behind(
    tmp_path: Path, explore: str, hparams: dict, message: str
) -> None:
    data = "digits:source=sklearn,num=200"
    member = RunConfig.make("beta-tcvae", data, preset="tiny", architecture="dlib", **hparams)
    asked = RecursionConfig(member=member, settings=PopulationSettings(explore=[explore]))
    with pytest.raises(UserError, match=message):
        rpu.run_rpu(asked, tmp_path / "r", Serial())
    assert not (tmp_path / "r").exists()


def test_a_leaf_run_ends_where_no_row_is_left_to_train_on(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    World(monkeypatch, finds(), data=dataclasses.replace(DATA, split=np.full(len(DATA), 2, np.uint8)))
    (leaf,) = rpu.run_rpu(config(leaf_runs=1), tmp_path, Serial()).leaves
    assert "fewer than 2 are of the train split" in leaf.reason


def test_a_recursion_goes_on_with_other_scores(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What does not change the result may change between two calls."""
    World(monkeypatch, finds())
    first = config()
    rpu.run_rpu(first, tmp_path, Serial())
    settings = dataclasses.replace(first.member.settings, metrics=["mig"], checkpoint_seconds=5.0)
    again = dataclasses.replace(first, member=dataclasses.replace(first.member, settings=settings))
    assert rpu.run_rpu(again, tmp_path, Serial()).fitness == 0.8


def test_rows_are_those_of_the_whole_data_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The member sees a part of it: what a leaf run sees is counted in the whole."""
    given = 7000 + np.random.default_rng(0).permutation(len(DATA))
    np.save(tmp_path / "part.npy", given)
    World(monkeypatch, finds())
    base = config()
    options = dataclasses.replace(base.member.options, rows=str(tmp_path / "part.npy"))
    part = dataclasses.replace(base, member=dataclasses.replace(base.member, options=options))
    done = rpu.run_rpu(part, tmp_path / "r", Serial())
    assert np.load(tmp_path / "r/leaf-0/rows-0.npy").tolist() == given[done.leaves[0].steps[1].rows].tolist()


def test_configuration_comes_back() -> None:
    asked = config(fidelity="fixed", depth=2)
    assert RecursionConfig.from_dict(json.loads(json.dumps(asked.to_dict()))) == asked


@pytest.mark.slow
def test_a_whole_recursion_of_small_sprites(tmp_path: Path) -> None:
    """The real engine, networks and files; a first network of so few images has no gaps to be reduced by."""
    data = "sprites:size=16,scales=2,orientations=2,positions=3"
    numbers = {"beta": 1.0, "batch_size": 32, "num_models": 2}
    member = RunConfig.make(
        "beta-tcvae", data, preset="tiny", device="cpu", precision="fp32", metrics=["mig"], **numbers
    )
    settings = PopulationSettings(members=2, generations=1, images=3000, explore=["lr"])
    options = RecursionSettings(leaf_runs=1, final_generations=1, depth=1)
    asked = RecursionConfig(member=member, settings=settings, recursion=options)
    done = rpu.run_rpu(asked, tmp_path / "r", Serial())
    assert done.model.is_done()
    assert sum(len(step.labels.dimensions) for step in done.leaves[0].steps) > 0
    assert done.model.records()[-1].metric == "mig"
    assert rpu.run_rpu(asked, tmp_path / "r", Serial()).fitness == done.fitness
    (tmp_path / "r").rename(tmp_path / "moved")
    assert rpu.run_rpu(asked, tmp_path / "moved", Serial()).fitness == done.fitness
    assert annotate(tmp_path / "moved" / "x-model", data, tmp_path / "labels")[0].name == "factors.yaml"
