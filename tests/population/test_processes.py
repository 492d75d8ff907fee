"""Workers as processes: what they raise, and what happens when they, or the controller, are killed."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import fake_members
import pytest
import torch
from fake_members import Inline, lines, population

from unbraid import checkpoint
from unbraid.errors import UserError
from unbraid.population.engine import open_population, run_population
from unbraid.population.executors import MOST_DEATHS, _deal, open_executor

POPULATION = (
    *("population", "pbt", "vanilla", "--data", "digits:source=sklearn,num=300", "--preset", "tiny"),
    *("--label", "digit", "--fitness", "mig", "--members", "3", "--generations", "3"),
    *("--images", "800", "--batch_size", "16", "--workers", "2", "--metrics", "mig"),
)


def run(work, folder, workers=2):
    with open_executor("processes", work, folder, workers=workers) as executor:
        return run_population(population(members=3, generations=2), folder, executor)


def test_a_worker_that_dies_is_replaced_and_changes_nothing(tmp_path):
    whole = run_population(population(members=3, generations=2), tmp_path / "whole", Inline())
    done = run(fake_members.die_once, tmp_path / "p")
    assert done.history == whole.history
    assert (tmp_path / "p" / "died").exists()


def test_workers_that_always_die_end_the_population(tmp_path):
    with pytest.raises(UserError, match=f"died {MOST_DEATHS + 1} times in a row.*fewer --workers"):
        run(fake_members.kill_itself, tmp_path / "p", workers=1)


def test_a_full_disk_ends_the_population(tmp_path):
    with pytest.raises(OSError, match="No space left on device"):
        run(fake_members.fill_the_disk, tmp_path / "p", workers=1)
    assert lines(tmp_path / "p") == []


@pytest.mark.parametrize(
    ("workers", "devices", "dealt"),
    [(3, [], [None, None, None]), (2, ["0", "1"], ["0", "1"]), (5, ["4", "7"], ["4", "7", "4", "7", "4"])],
)
def test_devices_are_dealt(workers, devices, dealt):
    assert _deal(devices, workers) == dealt


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [("process", {}, "Did you mean 'processes'"), ("processes", {"address": "auto"}, "processes take no options")],
)
def test_executors_that_there_are_not(tmp_path, name, options, message):
    with pytest.raises(UserError, match=message), open_executor(name, print, tmp_path, options=options):
        pass


@pytest.fixture
def start(tmp_path):
    """The command in a process of its own, which does not outlive the test."""
    started = []

    def start(folder: Path) -> subprocess.Popen:
        command = [sys.executable, "-m", "unbraid", *POPULATION, "--out", str(folder)]
        with (tmp_path / "log").open("a") as log:
            process = subprocess.Popen(command, env=os.environ | {"OMP_NUM_THREADS": "1"}, stdout=log, stderr=log)
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()


def wait_until(condition) -> None:
    for _ in range(6000):
        if condition():
            return
        time.sleep(0.05)
    raise AssertionError("nothing happened for five minutes")


def workers_of(process: subprocess.Popen) -> list[int]:
    command = ["ps", "-ww", "-o", "pid=", "-o", "args=", "--ppid", str(process.pid)]
    found = subprocess.run(command, capture_output=True, text=True, check=True)
    return [int(line.split()[0]) for line in found.stdout.splitlines() if "spawn_main" in line]


def weights(folder: Path) -> dict[str, dict[str, torch.Tensor]]:
    spots = sorted(folder.glob("generations/*/*/checkpoint"))
    return {str(spot.relative_to(folder)): checkpoint.load_weights(spot) for spot in spots}


@pytest.mark.slow
def test_killed_at_any_moment_it_ends_as_one_never_disturbed(tmp_path, start):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    assert start(whole).wait(timeout=300) == 0

    process = start(killed)
    wait_until(lambda: list(killed.glob("generations/000/*/train.jsonl")))
    os.kill(workers_of(process)[-1], signal.SIGKILL)  # the run goes on with a new one
    wait_until(lambda: list(killed.glob("generations/001/*/train.jsonl")))
    assert process.poll() is None
    orphans = workers_of(process)
    process.kill()  # the controller; its workers stop by themselves
    process.wait()
    wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in orphans))

    process = start(killed)
    wait_until(lambda: list(killed.glob("generations/002/*/train.jsonl")))
    for pid in [*workers_of(process), process.pid]:  # everything
        os.kill(pid, signal.SIGKILL)
    process.wait()

    assert start(killed).wait(timeout=300) == 0
    ours, theirs = open_population(killed), open_population(whole)
    assert [line | {"seconds": 0} for line in ours.history] == [line | {"seconds": 0} for line in theirs.history]
    ours, theirs = weights(killed), weights(whole)
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[run][name], theirs[run][name]) for run in ours for name in ours[run])
