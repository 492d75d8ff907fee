"""The controller with members that train in no time: who follows whom, what is kept, and death at every moment."""

import dataclasses
import json
import shutil

import fake_members
import numpy as np
import pytest
from fake_members import Inline, lines, population
from filelock import FileLock

from unbraid.config import RunConfig
from unbraid.errors import UserError
from unbraid.lineage import lineage
from unbraid.population import pbt
from unbraid.population.engine import finished, open_population, run_population
from unbraid.population.schedule import Schedule
from unbraid.records import read_json, write_json


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return run_population(population(), tmp_path_factory.mktemp("pop") / "whole", Inline())


def without_places(folder):
    return [{key: value for key, value in line.items() if key != "seconds"} for line in lines(folder)]


def test_every_member_has_a_line_in_each_generation(whole):
    assert [(line["generation"], line["member"]) for line in whole.history[:5]] == [(0, m) for m in range(5)]
    assert len(whole.history) == 20
    assert whole.reason == "generations"
    assert whole.fitness == max(line["fitness"] for line in whole.history)
    assert read_json(whole.best.path / "fitness.json")["fitness"] == whole.fitness


def test_the_worst_goes_on_from_the_best(whole):
    for generation in range(3):
        last = [line for line in whole.history if line["generation"] == generation]
        following = [line for line in whole.history if line["generation"] == generation + 1]
        order = sorted(last, key=lambda line: line["fitness"])
        replaced = {line["member"]: line["donor"] for line in following if line["donor"] is not None}
        assert replaced == {order[0]["member"]: order[-1]["member"]}
        for line in following:
            donor = line["member"] if line["donor"] is None else line["donor"]
            assert line["parent"] == f"generations/{generation:03d}/{donor:03d}"
            assert (line["hparams"] == last[donor]["hparams"]) == (line["donor"] is None)


def test_a_member_is_an_ordinary_run(whole):
    config = read_json(whole.best.config, RunConfig.from_dict)
    line = next(line for line in whole.history if line["fitness"] == whole.fitness)
    assert config.settings.start_from == str(whole.folder / line["parent"])
    assert config.settings.max_steps == 320 // min(160, config.hparams.batch_size)
    assert config.settings.precision == "fp32-channels-last"
    assert config.hparams.epochs == int(np.ceil(4 * 320 / 160))


def test_all_random_numbers_differ(whole):
    configs = [read_json(path, RunConfig.from_dict) for path in whole.folder.rglob("config.json")]
    assert len({config.settings.seed for config in configs}) == 20


def test_only_needed_checkpoints_stay(whole):
    kept = {str(path.parent.relative_to(whole.folder)) for path in whole.folder.rglob("checkpoint")}
    last = {f"generations/003/{member:03d}" for member in range(5)}
    assert kept == last | {str(whole.best.path.relative_to(whole.folder))}


def test_a_finished_population_is_returned_at_once(whole):
    executor = Inline()
    again = run_population(population(), whole.folder, executor)
    assert again == whole or (again.fitness, again.history) == (whole.fitness, whole.history)
    assert executor.trained == []


@pytest.mark.parametrize("die_after", [0, 1, 4, 5, 12, 19])
def test_a_controller_that_dies_changes_nothing(whole, tmp_path, die_after):
    with pytest.raises(KeyboardInterrupt):
        run_population(population(), tmp_path / "p", Inline(die_after=die_after))
    executor = Inline(last_first=True)
    run_population(population(), tmp_path / "p", executor)
    assert without_places(tmp_path / "p") == without_places(whole.folder)
    assert len(executor.trained) == 20 - die_after


def test_a_folder_may_move_in_the_middle(whole, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        run_population(population(), tmp_path / "here", Inline(die_after=8))
    (tmp_path / "here").rename(tmp_path / "there")
    run_population(population(), tmp_path / "there", Inline())
    assert without_places(tmp_path / "there") == without_places(whole.folder)


def test_a_line_cut_short_and_a_half_written_folder_are_no_harm(whole, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        run_population(population(), tmp_path / "p", Inline(die_after=12))
    with (tmp_path / "p" / "history.jsonl").open("a") as file:
        file.write('{"generation": 2, "mem')
    shutil.rmtree(tmp_path / "p" / "generations" / "002" / "004", ignore_errors=True)
    run_population(population(), tmp_path / "p", Inline())
    assert without_places(tmp_path / "p") == without_places(whole.folder)


def test_first_members_that_diverge_are_drawn_anew(tmp_path):
    work = fake_members.diverge_often
    done = run_population(population(members=8), tmp_path / "p", Inline(work))
    first = [line for line in done.history if line["generation"] == 0]
    assert all(line["hparams"]["lr"] <= 1e-3 for line in first)
    assert {path.name for path in (done.folder / "diverged").iterdir()} == {
        f"{line['member']:03d}-{attempt}" for line in first for attempt in range(line["attempt"])
    }
    for generation in range(3):
        lost = {line["member"] for line in done.history if line["generation"] == generation and line["error"]}
        donors = {
            line["donor"] for line in done.history if line["generation"] == generation + 1 and line["member"] in lost
        }
        assert None not in donors
        assert not donors & lost
    assert any(line["error"] for line in done.history)
    with pytest.raises(KeyboardInterrupt):
        run_population(population(members=8), tmp_path / "q", Inline(work, die_after=6))
    again = run_population(population(members=8), tmp_path / "q", Inline(work, last_first=True))
    assert again.history == done.history


def test_a_population_of_which_all_diverge_says_so(tmp_path):
    executor = Inline(fake_members.always_diverge)
    with pytest.raises(UserError, match="every member diverged"):
        run_population(population(), tmp_path / "p", executor)
    assert len(executor.trained) == 5 * pbt.MOST_TRIES


def test_the_best_of_a_big_first_generation_stay(tmp_path):
    done = run_population(population(first_members=9), tmp_path / "p", Inline())
    first = [line for line in done.history if line["generation"] == 0]
    best = sorted(first, key=lambda line: -line["fitness"])[:5]
    assert {line["member"] for line in done.history[9:]} == {line["member"] for line in best}


def test_convergence_ends_a_population(tmp_path, monkeypatch):
    config = population(until_converged=True, generations=30, fidelity="published")
    assert run_population(config, tmp_path / "p", Inline(flat)).reason == "converged"
    assert len(lines(tmp_path / "p")) == 7 * 5
    assert run_population(config, tmp_path / "q", Inline(worthless)).reason == "worthless"
    assert len(lines(tmp_path / "q")) == 5
    fixed = population(until_converged=True, generations=30, fidelity="fixed")
    assert run_population(fixed, tmp_path / "r", Inline(worthless)).reason == "worthless"
    assert len(lines(tmp_path / "r")) == 7 * 5  # it is given time to learn


def flat(path):
    fake_members.train(path)
    (path / "fitness.json").write_text(json.dumps({"fitness": 0.5, "error": "", "seconds": 0.0}))


def worthless(path):
    fake_members.train(path)
    (path / "fitness.json").write_text(json.dumps({"fitness": 0.09, "error": "", "seconds": 0.0}))


def test_lineage_leads_to_the_first_generation(whole):
    line = next(one for one in whole.history if one["fitness"] == whole.fitness)
    steps = lineage(whole.history, line)
    assert [step["generation"] for step in steps] == list(range(line["generation"] + 1))
    assert steps[0]["parent"] == ""


def test_published_heirs_see_their_donors_random_numbers(tmp_path):
    done = run_population(population(fidelity="published"), tmp_path / "p", Inline())
    heirs = [line for line in done.history if line["donor"] is not None]
    assert any(line["stream"] != line["member"] for line in heirs)
    ours = run_population(population(), tmp_path / "q", Inline())
    assert all(line["stream"] == line["member"] for line in ours.history)


@pytest.mark.parametrize("die_after", [0, 3, 7, 11, 13, 19])
def test_asynchronous_members_go_on_at_once(tmp_path, die_after):
    config = population(asynchronous=True)
    with pytest.raises(KeyboardInterrupt):
        run_population(config, tmp_path / "p", Inline(die_after=die_after, last_first=True))
    before = lines(tmp_path / "p")
    done = run_population(config, tmp_path / "p", Inline(last_first=True))
    assert done.history[: len(before)] == before
    assert len(done.history) == 20
    assert done.reason == "generations"
    generations = [line["generation"] for line in done.history]
    assert generations != sorted(generations)  # nobody waited
    whole = run_population(config, tmp_path / "q", Inline(last_first=True))
    if die_after == 0:
        assert whole.history == done.history
    kept = {str(path.parent.relative_to(done.folder)) for path in done.folder.rglob("checkpoint")}
    assert len(kept) <= 6


def test_the_first_of_all_to_end_may_diverge(tmp_path):
    """Nobody has weights to give yet, so the member begins anew; who reports later is no reason to stop."""
    config = population(asynchronous=True, members=3)
    done = run_population(config, tmp_path / "p", Inline(last_member_diverges, last_first=True))
    (first, second, *_) = [line for line in done.history if line["member"] == 2]
    assert first["fitness"] is None
    assert (second["generation"], second["parent"], second["donor"]) == (1, "", None)
    assert second["hparams"] != first["hparams"]
    assert len(done.history) == 12
    with pytest.raises(KeyboardInterrupt):
        run_population(config, tmp_path / "q", Inline(last_member_diverges, last_first=True, die_after=10))
    again = run_population(config, tmp_path / "q", Inline(last_member_diverges, last_first=True))
    assert without_places(again.folder)[:2] == without_places(done.folder)[:2]


def last_member_diverges(path):
    fake_members.train(path)
    if path.parts[-2:] == ("000", "002"):
        fake_members.always_diverge(path)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"members": 1}, "members must be at least 2"),
        ({"cutoff": 0.7}, "cutoff must be above 0 and at most 0.5"),
        ({"cutoff": 0.0}, "cutoff must be above 0 and at most 0.5"),
        ({"first_members": 3}, "first_members must be 0, or at least members"),
        ({"asynchronous": True, "until_converged": True}, "asynchronous members share no generation"),
        ({"fitness": "informativenes"}, "Did you mean 'informativeness'"),
        ({"explore": ["lrr"]}, "Did you mean 'lr'"),
        ({"sizes": 3}, "has no hyper-parameter 'sizes'"),
    ],
)
def test_mistakes_are_found_before_anything_is_written(tmp_path, settings, message):
    with pytest.raises(UserError, match=message):
        run_population(population(**settings), tmp_path / "p", Inline())
    assert not (tmp_path / "p").exists()


def test_what_a_killed_controller_or_an_executor_leaves_is_no_harm(tmp_path):
    (tmp_path / "p/slurm").mkdir(parents=True)
    (tmp_path / "p/.population.json.123.tmp").touch()
    assert finished(population(), tmp_path / "p") is None


def test_a_set_of_one_train_row_is_refused():
    with pytest.raises(UserError, match="1 train rows are too few"):
        Schedule(population(), 1)


def test_two_controllers_do_not_share_a_folder(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        run_population(population(), tmp_path / "p", Inline(die_after=3))
    with FileLock(tmp_path / "p" / ".lock"), pytest.raises(UserError, match="another process is at work on"):
        run_population(population(), tmp_path / "p", Inline())


def test_other_folders_are_left_alone(whole, tmp_path):
    with pytest.raises(UserError, match=r"holds a population that differs in members; choose another"):
        run_population(population(members=6), whole.folder, Inline())
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.png").touch()
    with pytest.raises(UserError, match="is not empty and holds no population"):
        run_population(population(), tmp_path / "photos", Inline())
    with pytest.raises(UserError, match="no finished population"):
        open_population(tmp_path)


def test_a_generation_that_lost_a_line_is_judged_again(whole, tmp_path):
    shutil.copytree(whole.folder, tmp_path / "p")
    (tmp_path / "p" / "result.json").unlink()
    history = tmp_path / "p" / "history.jsonl"
    history.write_text("".join(history.read_text().splitlines(keepends=True)[:-2]))
    assert run_population(population(), tmp_path / "p", Inline()).history == whole.history


def test_options_of_one_name_do_not_hide_each_other(tmp_path):
    config = population()
    asked = dataclasses.replace(config, fitness_options={"seed": 7})
    other = dataclasses.replace(
        asked, member=dataclasses.replace(asked.member, settings=dataclasses.replace(asked.member.settings, seed=9))
    )
    (tmp_path / "p").mkdir()
    write_json(tmp_path / "p" / "population.json", asked.to_dict())
    with pytest.raises(UserError, match=r"differs in seed;"):
        finished(other, tmp_path / "p")
    with pytest.raises(UserError, match=r"differs in fitness_options\.seed;"):
        finished(config, tmp_path / "p")


def test_what_changes_no_result_may_differ(whole):
    config = population()
    settings = dataclasses.replace(config.member.settings, metrics=["mig"], checkpoint_seconds=5.0, log_every=3)
    again = dataclasses.replace(config, member=dataclasses.replace(config.member, settings=settings))
    assert run_population(again, whole.folder, Inline()).history == whole.history


def test_files_beside_a_population_move_with_it(tmp_path):
    def asked(place):
        options = {"bundles": [str(place / "leaf-0/bundle.npz")], "seed": 0}
        config = population()
        rows = dataclasses.replace(config.member.options, rows=str(place / "rows-0.npy"))
        return dataclasses.replace(
            config, member=dataclasses.replace(config.member, options=rows), fitness_options=options
        )

    (tmp_path / "here/p").mkdir(parents=True)
    (tmp_path / "here/leaf-0").mkdir()
    (tmp_path / "here/leaf-0/bundle.npz").touch()
    (tmp_path / "here/rows-0.npy").touch()
    before = asked(tmp_path / "here").to_dict() | {"folder": str(tmp_path / "here/p")}
    write_json(tmp_path / "here/p/population.json", before)
    (tmp_path / "here").rename(tmp_path / "there")
    assert finished(asked(tmp_path / "there"), tmp_path / "there/p") is None
    with pytest.raises(UserError, match=r"differs in rows, fitness_options\.bundles;"):
        finished(asked(tmp_path / "elsewhere"), tmp_path / "there/p")


def test_data_beside_a_population_stay_where_they_are(tmp_path):
    config = population()
    options = dataclasses.replace(
        config.member.options, labels=str(tmp_path / "here/more.csv"), rows=str(tmp_path / "here/rows.npy")
    )
    member = dataclasses.replace(config.member, data=str(tmp_path / "here/photos"), options=options)
    asked = dataclasses.replace(config, member=member)
    (tmp_path / "there/p").mkdir(parents=True)
    written = asked.to_dict() | {"folder": str(tmp_path / "here/p")}
    write_json(tmp_path / "there/p/population.json", written)
    assert finished(asked, tmp_path / "there/p") is None


@pytest.mark.parametrize("change", [{"best": 3}, {"fitness": "high"}, {"fitness": [0.5]}])
def test_a_result_of_the_wrong_type(whole, tmp_path, change):
    shutil.copytree(whole.folder, tmp_path / "p")
    write_json(tmp_path / "p/result.json", read_json(tmp_path / "p/result.json") | change)
    with pytest.raises(UserError, match=r"result\.json is damaged or of another version"):
        open_population(tmp_path / "p")
    write_json(tmp_path / "p/result.json", ["best"])
    with pytest.raises(UserError, match=r"result\.json is damaged or of another version"):
        open_population(tmp_path / "p")
