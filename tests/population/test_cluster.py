"""Ray on a real cluster of two nodes, of which one is killed; submitit with its local executor."""

import gc

import fake_members
import pytest
from fake_members import Inline, population

from unbraid.population.engine import run_population
from unbraid.population.executors import open_executor


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_ray_survives_the_death_of_a_node(tmp_path):
    cluster_utils = pytest.importorskip("ray.cluster_utils")
    whole = run_population(population(generations=2), tmp_path / "whole", Inline())
    cluster = cluster_utils.Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    doomed = cluster.add_node(num_cpus=1)
    cluster.wait_for_nodes()

    class Killing:
        """Kills the node while the first generation is trained on it."""

        def __init__(self, executor):
            self.executor, self.submit, self.close = executor, executor.submit, executor.close
            self.left = 1

        def next_done(self):
            path = self.executor.next_done()
            if self.left:
                self.left -= 1
                cluster.remove_node(doomed, allow_graceful=False)
            return path

    try:
        options = {"address": cluster.address, "runtime_env": {"env_vars": {"PYTHONPATH": "tests"}}}
        with open_executor("ray", fake_members.slowly, tmp_path, options=options) as executor:
            done = run_population(population(generations=2), tmp_path / "p", Killing(executor))
    finally:
        cluster.shutdown()
    assert done.history == whole.history


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_ray_raises_what_a_member_raised(tmp_path):
    pytest.importorskip("ray")
    options = {"num_cpus": 1, "runtime_env": {"env_vars": {"PYTHONPATH": "tests"}}}
    with (
        pytest.raises(OSError, match="No space left on device"),
        open_executor("ray", fake_members.fill_the_disk, tmp_path, options=options) as executor,
    ):
        run_population(population(generations=2), tmp_path / "p", executor)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_slurm_by_submitit(tmp_path, monkeypatch):
    pytest.importorskip("submitit")
    monkeypatch.setenv("PYTHONPATH", "tests")
    whole = run_population(population(members=2, generations=2), tmp_path / "whole", Inline())
    with open_executor("slurm", fake_members.die_once, tmp_path / "jobs", options={"cluster": "local"}) as executor:
        done = run_population(population(members=2, generations=2), tmp_path / "p", executor)
    assert done.history == whole.history
    assert (tmp_path / "p" / "died").exists()
    with (
        pytest.raises(OSError, match="No space left on device"),
        open_executor("slurm", fake_members.fill_the_disk, tmp_path / "jobs", options={"cluster": "local"}) as executor,
    ):
        run_population(population(members=2, generations=2), tmp_path / "q", executor)
    del executor
    gc.collect()  # the handles of local jobs, which complain
