"""Precision and memory layout of a network's convolutions: applied to a model, or chosen by timing it."""

import copy
import functools
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

MEMORY_FORMATS = {
    "fp32": torch.contiguous_format,
    "fp32-channels-last": torch.channels_last,
    "bf16": torch.channels_last,  # bf16 in the default layout is slower than fp32 on a CPU
}


def apply_precision(model: nn.Module, precision: str, device_type: str) -> nn.Module:
    """Lay the weights out and, for bf16, run each direct child of the model under autocast.

    The children's outputs are float32 again, so that losses are computed in full precision.
    """
    model.to(memory_format=MEMORY_FORMATS[precision])
    if precision == "bf16":
        for child in model.children():
            child.forward = _autocast(child.forward, device_type)
    return model


def _autocast(forward: Callable[..., Any], device_type: str) -> Callable[..., Any]:
    from accelerate.utils import convert_to_fp32

    @functools.wraps(forward)
    def run(*args: Any, **kwargs: Any) -> Any:
        with torch.autocast(device_type, torch.bfloat16):
            out = forward(*args, **kwargs)
        return convert_to_fp32(out)

    return run


def time_precisions(
    model: nn.Module, run: Callable[[nn.Module, torch.memory_format], None], device_type: str, *, seconds: float = 2.0
) -> dict[str, float]:
    """Seconds that ``run`` takes on a copy of the model in each precision: the best of interleaved rounds.

    Args:
        run: One forward and backward pass; it may change the copy.
        seconds: Time to spend on each precision that is still in the race; at least two rounds beyond the first.
    """
    copies = {name: apply_precision(copy.deepcopy(model), name, device_type) for name in MEMORY_FORMATS}

    def once(name: str) -> float:
        start = time.perf_counter()
        run(copies[name], MEMORY_FORMATS[name])
        if device_type != "cpu":
            torch.accelerator.synchronize()
        return time.perf_counter() - start

    for name in copies:
        once(name)  # the first pass pays for kernels and buffers
    best = {name: once(name) for name in copies}
    rounds = int(max(2, min(20, seconds / max(best.values()))))
    for _ in range(rounds):
        for name in copies:
            if best[name] < 1.5 * min(best.values()):
                best[name] = min(best[name], once(name))
    return best
