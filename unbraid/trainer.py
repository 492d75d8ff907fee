"""The one training loop: any method, any number of optimisers, stopped and resumed at any step."""

import dataclasses
import math
import signal
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch
from accelerate import Accelerator
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor, nn

from unbraid import checkpoint
from unbraid.atomic import recover_folder
from unbraid.errors import Stopped, UserError
from unbraid.loader import Loader
from unbraid.nets.precision import time_precisions
from unbraid.processes import any_process, average_gradients, num_processes
from unbraid.records import RunDir, append_line, keep_lines, read_lines
from unbraid.seeds import integer
from unbraid.types import Batch, Method


class DivergedError(UserError):
    """A term of the loss is no longer finite."""


_SAME = 1e-6  # of an epoch: what rounding may add to a sum of parts


@runtime_checkable
class Watch(Protocol):
    """What looks at the method from time to time."""

    def measure(self, step: int) -> None: ...

    def resume(self, step: int) -> None: ...


class Trainer:
    """Trains a method to its last epoch, from its checkpoint if there is one.

    Every random draw of a step comes from the seed and the step's number, so nothing but weights, moments and sums
    need be saved for a resumed run to equal one never stopped, to the last bit on a CPU.
    """

    def __init__(
        self,
        method: Method,
        loader: Loader,
        run: RunDir,
        accelerator: Accelerator,
        *,
        seed: int,
        start: Path | None = None,
        max_steps: int = 0,
        clip_norm: float = 0.0,
        log_every: int = 20,
        checkpoint_seconds: float = 60.0,
        watch: "Watch | None" = None,
        watch_every: int = 0,
    ) -> None:
        """See ``Settings``; ``start`` is the checkpoint to go on from if this run has none of its own."""
        self.method, self.loader, self.run, self.accelerator = method, loader, run, accelerator
        self.seed, self.clip_norm = seed, clip_norm
        self.log_every, self.checkpoint_seconds = log_every, checkpoint_seconds
        self.optimizers = method.optimizers()
        self.params = {name: _parameters(optimizer) for name, optimizer in self.optimizers.items()}
        self.lrs = {name: [group["lr"] for group in o.param_groups] for name, o in self.optimizers.items()}
        self.start, self.max_steps = start, max_steps
        self.epochs_before = 0.0  # trained by the runs that this one goes on from
        self.watch, self.watch_every = watch, watch_every or loader.num_batches
        self.done = 0  # steps
        self.sums: dict[str, Tensor] = {}  # of each logged term since the last line of the log
        self.summed = 0  # steps in these sums
        self.weight = 1.0
        self.started = self.saved = time.monotonic()

    @property
    def num_steps(self) -> int:
        left = math.ceil((self.method.cfg.epochs - self.epochs_before) * self.loader.num_batches - 1e-6)
        return self.max_steps or max(0, left)

    @property
    def epochs(self) -> float:
        """Passes over the train split so far, those before this run's start included."""
        return self.epochs_before + self.done / self.loader.num_batches

    def fit(self) -> None:
        """Raises: Stopped after Ctrl-C, with a checkpoint written; DivergedError if a term is no longer finite."""
        self._resume()
        self.method.train()
        with closing(self.loader.batches(self.done)) as batches, self._progress() as advance, _signals() as stop:
            while self.done < self.num_steps:
                self._begin_epoch()
                batch = next(batches)
                self._seed("step", self.done)
                self.weight = batch.weight
                self.method.update(batch, self.step)
                self.done += 1
                self.summed += 1
                advance()
                if at_line := self.done % self.log_every == 0:
                    self._write_log()
                self._measure()
                if num_processes() > 1 and not at_line:
                    continue  # several processes stop and save together, where their sums are empty
                stopped = any_process(bool(stop), self.accelerator.device)
                if stopped or time.monotonic() - self.saved > self.checkpoint_seconds:
                    self._save()
                if stopped:
                    raise Stopped(f"stopped at step {self.done} of {self.num_steps}; the same command goes on")
        self._write_log()
        self._save()

    def step(self, optimizer: str, terms: Mapping[str, Tensor], *, log: Mapping[str, Tensor] | None = None) -> None:
        """See ``types.Step``."""
        chosen, params = self.optimizers[optimizer], self.params[optimizer]
        chosen.zero_grad(set_to_none=True)
        loss = torch.stack(list(terms.values())).sum() * self.weight
        self.accelerator.backward(loss, inputs=params)
        average_gradients(params)
        if self.clip_norm:
            nn.utils.clip_grad_norm_(params, self.clip_norm)
        scale = self.method.lr_scale(min(self.epochs, float(self.method.cfg.epochs)))
        for group, lr in zip(chosen.param_groups, self.lrs[optimizer], strict=True):
            group["lr"] = lr * scale
        chosen.step()
        for name, value in {**terms, **(log or {})}.items():
            key = f"{optimizer}/{name}"
            self.sums[key] = self.sums.get(key, 0.0) + value.detach() * self.weight

    def _seed(self, *name: str | int) -> None:
        """``torch.manual_seed``; on a CPU its own generator only, the other devices' cost half a millisecond."""
        on_cpu = self.accelerator.device.type == "cpu"
        (torch.default_generator.manual_seed if on_cpu else torch.manual_seed)(integer(self.seed, *name))

    def _begin_epoch(self) -> None:
        """Each epoch begins once, also where a run goes on from another that ended within one."""
        epoch = math.floor(self.epochs + _SAME)
        step_before = self.epochs - 1 / self.loader.num_batches
        begun = math.ceil(self.epochs_before - _SAME) if self.done == 0 else math.floor(step_before + _SAME) + 1
        if epoch >= begun:
            self._seed("epoch", epoch)
            self.weight = 1.0
            self.method.begin_epoch(epoch, self.loader.in_order(self.method.cfg.batch_size, epoch), self.step)

    def _measure(self) -> None:
        if self.watch is None or not self.accelerator.is_main_process:
            return
        if self.done % self.watch_every == 0 or self.done == self.num_steps:
            self.watch.measure(self.done)

    def _write_log(self) -> None:
        """The means since the last line; the one place where the host waits for the device."""
        if not self.sums:
            return
        names, values = list(self.sums), torch.stack(list(self.sums.values()))
        values = self.accelerator.reduce(values, "mean") / self.summed
        self.sums, self.summed = {}, 0
        means = dict(zip(names, values.tolist(), strict=True))
        self._check_finite(means)
        if self.accelerator.is_main_process:
            place = {"step": self.done, "epoch": round(self.epochs, 4)}
            append_line(self.run.log, place | {"seconds": round(time.monotonic() - self.started, 2)} | means)
        self.accelerator.log(means, step=self.done)

    def _check_finite(self, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            if not math.isfinite(value):
                raise DivergedError(
                    f"{name} became {value} before step {self.done}. "
                    "Begin again with another --out and a smaller step size, --clip_norm 1 or --precision fp32"
                )

    def _save(self) -> None:
        if self.accelerator.is_main_process:
            seconds = time.monotonic() - self.started
            sums = {name: float(value) for name, value in self.sums.items()}
            self._check_finite(sums)  # a spoilt state never replaces a good one
            checkpoint.save(
                self.run.checkpoint,
                weights=self.method.state_dict(),
                optimizers={name: optimizer.state_dict() for name, optimizer in self.optimizers.items()},
                state={
                    "step": self.done,
                    "num_steps": self.num_steps,
                    "epochs": self.epochs,
                    "epochs_before": self.epochs_before,
                    "seconds": seconds,
                    "sums": sums,
                    "summed": self.summed,
                },
            )
        self.saved = time.monotonic()

    def _resume(self) -> None:
        if self.accelerator.is_main_process:
            recover_folder(self.run.checkpoint)
        self.accelerator.wait_for_everyone()
        if not self.run.checkpoint.is_dir():
            self._start()
            if self.accelerator.is_main_process:
                keep_lines(self.run.log, [])
                if self.watch is not None:
                    self.watch.resume(0)
            return
        state = self._load(self.run.checkpoint)
        self.done, self.summed = state["step"], state["summed"]
        self.epochs_before = state.get("epochs_before", 0.0)
        self.started -= state["seconds"]
        device = self.accelerator.device
        self.sums = {name: torch.tensor(value, device=device) for name, value in state["sums"].items()}
        if self.accelerator.is_main_process:
            keep_lines(self.run.log, [line for line in read_lines(self.run.log) if line["step"] <= self.done])
            if self.watch is not None:
                self.watch.resume(self.done)

    def _start(self) -> None:
        """Weights, moments and epochs of the run that goes on here, if any."""
        if self.start is None:
            return
        self.epochs_before = self._load(self.start).get("epochs", 0.0)
        if not self.num_steps:
            raise UserError(f"{self.start.parent} has trained {self.epochs_before:g} epochs; give --epochs above that")

    def _load(self, folder: Path) -> dict[str, Any]:
        """Weights and moments of a checkpoint; its state is returned. Every hyper-parameter stays as configured."""
        state = checkpoint.load_state(folder)
        try:
            self.method.load_state_dict(checkpoint.load_weights(folder))
            for name, saved in checkpoint.load_optimizers(folder).items():
                groups = self.optimizers[name].state_dict()["param_groups"]
                self.optimizers[name].load_state_dict({"state": saved["state"], "param_groups": groups})
        except (RuntimeError, KeyError) as error:
            reason = " ".join(line.strip() for line in str(error).splitlines()[:2])  # what, and the first weight
            raise UserError(f"the weights of {folder.parent} do not fit this method and data ({reason})") from None
        return state

    @contextmanager
    def _progress(self) -> Iterator[Any]:
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        shown = self.accelerator.is_local_main_process and self.num_steps
        with Progress(*columns, console=Console(stderr=True), disable=not shown) as progress:
            task = progress.add_task(self.run.name, total=self.num_steps, completed=self.done)
            yield lambda: progress.advance(task)


def fastest_precision(method: Method, batch: Batch, device_type: str) -> dict[str, float]:
    """Seconds of one update without its optimiser in each precision, on this very network and batch."""

    def update(model: nn.Module, memory_format: torch.memory_format) -> None:
        assert isinstance(model, Method)
        params = {name: _parameters(optimizer) for name, optimizer in model.optimizers().items()}

        def backward(optimizer: str, terms: Mapping[str, Tensor], *, log: Mapping[str, Tensor] | None = None) -> None:
            torch.stack(list(terms.values())).sum().backward(inputs=params[optimizer])

        x = batch.x.contiguous(memory_format=memory_format)
        views = batch.views.flatten(0, 1).contiguous(memory_format=memory_format).unflatten(0, batch.views.shape[:2])
        model.update(dataclasses.replace(batch, x=x, views=views), backward)

    with Console(stderr=True).status("timing precisions on this network; --precision fp32 goes without"):
        return time_precisions(method.train(), update, device_type)


def _parameters(optimizer: torch.optim.Optimizer) -> list[nn.Parameter]:
    return [param for group in optimizer.param_groups for param in group["params"]]


@contextmanager
def _signals() -> Iterator[list[int]]:
    """A list that is no longer empty after the first Ctrl-C or termination; the same again interrupts at once."""
    received: list[int] = []
    previous: dict[int, Any] = {}

    def receive(number: int, frame: object) -> None:
        received.append(number)
        signal.signal(number, previous[number])

    try:
        for number in (int(signal.SIGINT), int(signal.SIGTERM)):
            previous[number] = signal.signal(number, receive)
    except ValueError:  # not the main thread: the caller handles signals
        pass
    try:
        yield received
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
