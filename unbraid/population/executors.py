"""Where members are trained: processes of this machine, a Ray cluster, or jobs of Slurm. Each runs ``work(path)``.

What is trained stands in the run directory at ``path``, which all machines must see; nothing else travels. A job whose
process or machine dies is given out again, and goes on from its last checkpoint.
"""

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from unbraid.errors import Stopped, UserError, did_you_mean

Work = Callable[[Path], None]
MOST_DEATHS = 3  # of workers, without a job done in between


@runtime_checkable
class Executor(Protocol):
    """Jobs in, paths out as they end."""

    def submit(self, path: Path) -> None: ...

    def next_done(self) -> Path:
        """Wait for one of the jobs that were submitted. Raises: what it raised."""

    def close(self) -> None: ...


class Processes:
    """Spawned processes, among which cores and devices are dealt. They end, with a checkpoint, if this one dies."""

    def __init__(self, work: Work, workers: int = 0) -> None:
        """Workers: 0: one for each device, or one for each two cores."""
        if workers < 0:
            raise UserError(f"workers must be at least 0, not {workers}")
        self.work, self.devices = work, _devices()
        self.workers = workers or len(self.devices) or max(1, _cores() // 2)
        self.jobs: dict[Future[None], Path] = {}
        self.deaths = 0  # of pools, since a job was done
        self.lifelines: list[Any] = []  # a worker stops when the other end of its own is closed
        self.pool = self._open()

    def _open(self) -> ProcessPoolExecutor:
        context = multiprocessing.get_context("spawn")
        reader, writer = context.Pipe(duplex=False)
        self.lifelines.append(writer)
        devices = context.SimpleQueue()
        for device in _deal(self.devices, self.workers):
            devices.put(device)
        threads = max(1, _cores() // self.workers)
        return ProcessPoolExecutor(self.workers, context, _begin_worker, (reader, devices, threads))

    def submit(self, path: Path) -> None:
        try:
            future = self.pool.submit(_run, self.work, path)
        except BrokenProcessPool:
            self.deaths += 1
            if self.deaths > MOST_DEATHS:
                raise UserError(
                    f"workers died {self.deaths} times in a row, the last time before {path} was done; "
                    "if the memory does not suffice, give fewer --workers"
                ) from None
            self.pool = self._open()
            future = self.pool.submit(_run, self.work, path)
        self.jobs[future] = path

    def next_done(self) -> Path:
        while True:
            future = next(iter(wait(self.jobs, return_when=FIRST_COMPLETED).done))
            path = self.jobs.pop(future)
            try:
                future.result()
            except BrokenProcessPool:  # all that were not done; the first makes a new pool
                self.submit(path)
                continue
            self.deaths = 0
            return path

    def close(self) -> None:
        if self.jobs:
            self.lifelines[-1].close()  # they write their checkpoints and stop
        self.pool.shutdown(cancel_futures=True)
        for lifeline in self.lifelines:
            lifeline.close()


def _begin_worker(lifeline: Any, devices: Any, threads: int) -> None:
    """In a new worker, before its first job, and before it imports torch, which reads these variables then."""
    if (device := devices.get()) is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = device
    for library in ("OMP", "MKL", "OPENBLAS"):
        os.environ[f"{library}_NUM_THREADS"] = str(threads)
    if (torch := sys.modules.get("torch")) is not None:  # the user's script imports it, which comes first
        torch.set_num_threads(threads)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all processes; the controller ends its workers

    def stop_with_the_controller() -> None:
        lifeline.poll(None)  # returns when the other end is closed, by hand or by death
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=stop_with_the_controller, daemon=True).start()


def _run(work: Work, path: Path) -> None:
    try:
        work(path)
    except Stopped:  # it has written its checkpoint
        os._exit(128 + signal.SIGTERM)


def _run_elsewhere(folder: Path, work: Work, path: Path) -> Exception | None:
    """What the job raised, which the libraries would hand on as text. Paths of data may be relative to the folder."""
    os.chdir(folder)
    try:
        _run(work, path)
    except Exception as error:
        return error
    return None


def _cores() -> int:
    import torch

    return int(torch.get_num_threads())


def _deal(devices: list[str], workers: int) -> list[str | None]:
    """A device for each worker; None: there is none."""
    return [devices[worker % len(devices)] if devices else None for worker in range(workers)]


def _devices() -> list[str]:
    """What CUDA_VISIBLE_DEVICES names, or the number of each device."""
    import torch

    count = torch.cuda.device_count()
    named = [name for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name]
    return named[:count] or [str(number) for number in range(count)]


class Ray:
    """Tasks of a Ray cluster; those of a node that dies are run on another."""

    def __init__(self, work: Work, workers: int = 0, **options: Any) -> None:
        """Options: of ``ray.init``, such as the address of a running cluster. Workers: tasks at once; 0: one a core."""
        import ray

        self.ray = ray
        if not ray.is_initialized():
            ray.init(**{"log_to_driver": False, "include_dashboard": False, **options})
        resources = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        cpus, gpus = ([node.get(kind, 0) for node in resources] for kind in ("CPU", "GPU"))
        workers = workers or int(sum(gpus) or sum(cpus))
        cores = max(1, int(min(*cpus, sum(cpus) / workers)))
        self.task = ray.remote(max_retries=MOST_DEATHS, num_cpus=cores, num_gpus=min(1.0, sum(gpus) / workers))(
            _run_elsewhere
        )
        self.work = work
        self.jobs: dict[Any, Path] = {}

    def submit(self, path: Path) -> None:
        self.jobs[self.task.remote(Path.cwd(), self.work, path)] = path

    def next_done(self) -> Path:
        (job,), _ = self.ray.wait(list(self.jobs), num_returns=1)
        path = self.jobs.pop(job)
        try:
            error = self.ray.get(job)
        except self.ray.exceptions.RayError as problem:
            raise UserError(f"{path} could not be trained on the Ray cluster: {problem}") from None
        if error is not None:
            raise error
        return path

    def close(self) -> None:
        for job in self.jobs:
            self.ray.cancel(job, force=True)
        self.ray.shutdown()


class Slurm:
    """One job of Slurm for each member and generation, by submitit. They go on when this process ends."""

    def __init__(self, work: Work, folder: Path, **options: Any) -> None:
        """Options: of submitit's executor, such as slurm_partition, timeout_min, cpus_per_task, gpus_per_node."""
        import submitit

        self.submitit = submitit
        cluster = options.pop("cluster", "slurm")
        self.executor = submitit.AutoExecutor(folder=folder / "slurm", cluster=cluster)
        self.executor.update_parameters(**{"name": "unbraid", "timeout_min": 24 * 60, **options})
        self.work, self.poll = work, 0.2 if self.executor.cluster in ("local", "debug") else 10.0
        self.jobs: dict[Any, Path] = {}
        self.deaths: dict[Path, int] = {}

    def submit(self, path: Path) -> None:
        self.jobs[self.executor.submit(_run_elsewhere, Path.cwd(), self.work, path)] = path

    def next_done(self) -> Path:
        while True:
            job = next(self.submitit.helpers.as_completed(list(self.jobs), poll_frequency=self.poll))
            path = self.jobs.pop(job)
            try:
                error = job.result()
            except self.submitit.core.utils.UncompletedJobError:
                self.deaths[path] = self.deaths.get(path, 0) + 1
                if self.deaths[path] > MOST_DEATHS:
                    raise UserError(f"the Slurm job of {path} died again and again; see {job.paths.stderr}") from None
                self.submit(path)
                continue
            if error is not None:
                raise error
            return path

    def close(self) -> None:
        """They run on."""


EXECUTORS = ("processes", "ray", "slurm")


@contextmanager
def open_executor(
    name: str, work: Work, folder: Path, *, workers: int = 0, options: Mapping[str, Any] | None = None
) -> Iterator[Executor]:
    """An executor by name, closed at the end.

    Raises:
        UserError: If the name is unknown, its library is missing, or an option is not its own.
    """
    if name not in EXECUTORS:
        raise UserError(f"unknown executor {name!r}.{did_you_mean(name, EXECUTORS)}")
    options = dict(options or {})
    if name == "processes" and options:
        raise UserError(f"processes take no options: leave out {', '.join(options)}")
    executor: Executor
    try:
        if name == "processes":
            executor = Processes(work, workers)
        elif name == "ray":
            executor = Ray(work, workers, **options)
        else:
            executor = Slurm(work, folder, **options)
    except ModuleNotFoundError as error:
        raise UserError(f"the executor {name} needs {error.name}: pip install unbraid[cluster]") from None
    except (TypeError, NameError, RuntimeError, ConnectionError) as error:
        raise UserError(f"the executor {name} cannot start: {str(error).splitlines()[0]}") from None
    try:
        yield executor
    finally:
        executor.close()
