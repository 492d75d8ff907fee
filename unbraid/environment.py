"""What a reader of a run needs to know of the machine and the versions it was made with."""

import importlib.metadata
import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch


def environment() -> dict[str, Any]:
    """What a reader needs to know of the machine and the versions."""
    names = ("torch", "torchvision", "accelerate", "numpy", "scikit-learn")
    return {
        "version": importlib.metadata.version("unbraid"),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "command": " ".join(["unbraid", *sys.argv[1:]]) if sys.argv[0].endswith("unbraid") else "",
        "commit": _commit(),
    } | {name: importlib.metadata.version(name) for name in names}


def _commit() -> str | None:
    """The commit of the package, when it runs from a checkout."""
    folder = Path(__file__).parents[1]
    command = ["git", "rev-parse", "--show-toplevel", "HEAD"]
    try:
        found = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True).stdout.split("\n")
    except (OSError, subprocess.CalledProcessError):
        return None
    return found[1] if Path(found[0]) == folder else None  # else it is the repository of a user, around a venv
