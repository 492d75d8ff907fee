"""What stands on this machine: packages, device, precision and speed, and where data and weights are looked for."""

import importlib.metadata
import os
import platform
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from packaging.requirements import Requirement
from torch import Tensor, nn

from unbraid.data.store import cache_folder
from unbraid.nets import backbone
from unbraid.nets.precision import time_precisions

_BATCH = (128, 3, 32, 32)


@dataclass(frozen=True)
class Finding:
    """One line of the examination."""

    topic: str
    name: str
    value: str
    remedy: str = ""  # what to do; empty where nothing need be done


def examine() -> Iterator[Finding]:
    """Every finding, in the order in which they are best read; the timing takes some seconds."""
    yield from _packages()
    yield from _machine()
    yield from _places()
    yield from _speed()


def _packages() -> Iterator[Finding]:
    yield Finding("packages", "python", platform.python_version())
    yield Finding("packages", "unbraid", importlib.metadata.version("unbraid"))
    for line in importlib.metadata.requires("unbraid") or ():
        need = Requirement(line)
        extra = next((name for name in _extras() if need.marker and need.marker.evaluate({"extra": name})), "")
        if extra in ("dev", "docs"):
            continue
        install = f"pip install 'unbraid[{extra}]'" if extra else f"pip install '{need.name}{need.specifier}'"
        try:
            version = importlib.metadata.version(need.name)
        except importlib.metadata.PackageNotFoundError:
            yield Finding("packages", need.name, f"not installed, for extra {extra}" if extra else "missing", install)
            continue
        fits = need.specifier.contains(version, prereleases=True)
        yield Finding("packages", need.name, version, "" if fits else install)


def _extras() -> list[str]:
    return importlib.metadata.metadata("unbraid").get_all("Provides-Extra") or []


def _machine() -> Iterator[Finding]:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    threads = torch.get_num_threads()
    remedy = "two busy threads on one core are slow; set OMP_NUM_THREADS" if threads > cores else ""
    yield Finding("machine", "system", platform.platform())
    yield Finding("machine", "cores", f"{cores}, of which torch uses {threads}", remedy)
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        yield Finding("machine", "memory", _size(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")))
    yield Finding("machine", "device", str(_device()))


def _device() -> torch.device:
    found = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    return found or torch.device("cpu")


def _places() -> Iterator[Finding]:
    if not (data := os.environ.get("UNBRAID_DATA")):
        yield Finding("places", "UNBRAID_DATA", "not set", "needed for data sets that are downloaded by hand")
    elif not (folder := Path(data)).is_dir():
        yield Finding("places", "UNBRAID_DATA", f"{data} is no folder", "set it to the folder that holds data sets")
    else:
        yield Finding("places", "UNBRAID_DATA", f"{data}, {sum(1 for _ in folder.iterdir())} entries")
    yield _free("prepared data", cache_folder(), "UNBRAID_CACHE")
    yield _free("weights", Path(torch.hub.get_dir()) / "checkpoints", "TORCH_HOME")


def _free(name: str, folder: Path, variable: str) -> Finding:
    """Room for ``folder``, measured at the first of its parents that is there."""
    there = next(place for place in [folder, *folder.resolve().parents] if place.is_dir())
    if not os.access(there, os.W_OK):
        return Finding("places", name, f"{folder}, cannot be written", f"set {variable} to another folder")
    return Finding("places", name, f"{folder}, {_size(shutil.disk_usage(there).free)} free")


def _speed() -> Iterator[Finding]:
    """Forward and backward through the backbone ``small`` at 32x32."""
    device = _device()
    x = torch.rand(_BATCH, device=device)

    def run(model: nn.Module, memory_format: torch.memory_format) -> None:
        out: Float[Tensor, "b d"] = model(x.contiguous(memory_format=memory_format))
        out.sum().backward()

    network = nn.Sequential(backbone("small", out_dim=128)).to(device)
    seconds = time_precisions(network, run, device.type, seconds=1.0)
    best = min(seconds, key=lambda name: seconds[name])
    for name, spent in seconds.items():
        chosen = ", taken by auto" if name == best else ""
        yield Finding("speed at 32x32", name, f"{_BATCH[0] / spent:,.0f} images/s{chosen}")


def _size(num_bytes: int) -> str:
    return f"{num_bytes / 2**30:.1f} GiB"
