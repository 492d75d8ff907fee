"""One run, from a configuration to codes and scores. Each stage reads files and writes files."""

import dataclasses
import datetime
import logging
import time
import warnings
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from unbraid import augment, checkpoint
from unbraid.atomic import recover_folder
from unbraid.config import RunConfig
from unbraid.encoder import build, load_data, open_config
from unbraid.environment import environment
from unbraid.errors import UserError
from unbraid.evaluation import evaluate
from unbraid.loader import Loader
from unbraid.nets import PerceptualDistance, sync_batch_norm
from unbraid.nets.precision import MEMORY_FORMATS, apply_precision
from unbraid.records import RunDir, read_json, write_json
from unbraid.tables import Dataset, DataSpec
from unbraid.types import Method
from unbraid.watch import find_watch

_FEW_STEPS = 100
_log = logging.getLogger("unbraid")


def train(method: str, data: str = "digits", *, out: Path | str | None = None, **options: Any) -> RunDir:
    """Train, encode and score; a run that was stopped goes on, one that is done is returned as it is.

    Args:
        method: A name of ``unbraid list methods``.
        data: A data set's name, with parameters if wanted, or the path of one's own images.
        out: The run directory; default ``runs/<method>-<data>-<seed>``.
        options: Anything that ``unbraid train METHOD --help`` lists, by name: ``domain="camera"``, ``epochs=20``.

    Raises:
        UserError: On any mistake in these, or if ``out`` holds another run.
        Stopped: After Ctrl-C, with a checkpoint written.
    """
    config = RunConfig.make(method, data, **options)
    run = RunDir(out or Path("runs") / config.name)
    if not run.is_done() or open_config(run).differences(config):
        train_config(config, run)
    return run


def train_config(config: RunConfig, run: RunDir) -> None:
    """The stages of ``train``: weights, then codes and samples, then scores, then ``DONE``."""
    accelerator, dataset = train_weights(config, run)
    if accelerator.is_main_process:
        evaluate(run, config.settings.metrics, dataset=dataset, device=accelerator.device)
        mark_done(run)
    accelerator.wait_for_everyone()
    accelerator.end_training()  # closes trackers and the process group


def train_weights(config: RunConfig, run: RunDir) -> tuple[Any, Dataset]:
    """The first stage of ``train``; the accelerator it ran on, and the data."""
    accelerator = _accelerator(config, run)
    with accelerator.main_process_first():
        if accelerator.is_main_process:
            check_free(run, config)
        dataset = load_data(config)
    fit(config, dataset, run, accelerator)
    return accelerator, dataset


def lock(run: RunDir) -> FileLock:
    """Held by the process that trains the run; within that process it may be taken again."""
    return FileLock(run.path.resolve() / ".lock", is_singleton=True)


def mark_done(run: RunDir) -> None:
    """The last thing written into a run directory."""
    seconds = checkpoint.load_state(run.checkpoint)["seconds"]
    write_json(run.env, read_json(run.env) | {"seconds": round(seconds, 1)})
    run.done.touch()


def _accelerator(config: RunConfig, run: RunDir) -> Any:
    from accelerate import Accelerator, InitProcessGroupKwargs

    settings = config.settings
    tracker = None if settings.tracker == "none" else settings.tracker
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "`log_with=")  # said below
            accelerator = Accelerator(
                cpu=settings.device == "cpu",
                log_with=tracker,
                project_dir=run.path,
                # The others wait while the first process prepares the data and, at the end, scores the codes.
                kwargs_handlers=[InitProcessGroupKwargs(timeout=datetime.timedelta(days=7))],
            )
    except ValueError as error:
        if tracker is None:
            raise
        raise UserError(f"--tracker {tracker}: {error}") from None
    if tracker and not accelerator.log_with:
        raise UserError(f"--tracker {tracker} is not installed: pip install {tracker}")
    return accelerator


def check_free(run: RunDir, config: RunConfig) -> None:
    """Make sure that the run directory is free, or holds a run of this configuration.

    Raises:
        UserError: If it holds another run, or something else.
    """
    if run.path.exists() and not run.path.is_dir():
        raise UserError(f"{run.path} is a file; choose another --out")
    if run.exists():
        if differences := open_config(run).differences(config):
            more = f" and {len(differences) - 3} more" if len(differences) > 3 else ""
            raise UserError(
                f"{run.path} holds a run of another configuration ({'; '.join(differences[:3])}{more}); "
                "choose another --out, or delete it"
            )
        return
    if run.path.exists() and any(file.suffix != ".tmp" and file != run.spec for file in run.path.iterdir()):
        raise UserError(f"{run.path} is not empty and holds no run; choose another --out")


def _begin(run: RunDir, config: RunConfig, spec: DataSpec) -> None:
    """Write what the run is, once data and options are known to fit: a mistake in them leaves no folder behind.

    Raises:
        UserError: If the run began with other data.
    """
    if run.spec.is_file() and read_json(run.spec, DataSpec.from_dict) != spec:
        raise UserError(f"the data have changed since {run.path} was begun; choose another --out, or delete it")
    write_json(run.spec, spec.to_dict())
    if not run.exists():
        write_json(run.config, config.to_dict())


def _warn_of_few_steps(config: RunConfig, num_batches: int, num_images: int) -> None:
    """An epoch of a few hundred photos is one step, so that a preset's epochs leave a network as it was."""
    steps, settings = round(config.hparams.epochs * num_batches), config.settings
    if 0 < steps < _FEW_STEPS and not (settings.max_steps or settings.start_from):
        _log.warning(
            "only %d steps to train: an epoch of %d images is %d; raise --epochs", steps, num_images, num_batches
        )


def fit(config: RunConfig, dataset: Dataset, run: RunDir, accelerator: Any) -> None:
    """Train to the last epoch, or go on where the run stopped."""
    from unbraid.trainer import Trainer

    settings = config.settings
    method = sync_batch_norm(build(config, dataset.spec).to(accelerator.device))
    loader = Loader(
        dataset,
        method.needs,
        method.cfg,
        augment.views(settings.views),
        seed=settings.seed,
        device=accelerator.device,
        rank=accelerator.process_index,
        world=accelerator.num_processes,
    )
    watch, watch_every = find_watch(method, dataset, run, settings, loader.num_batches, accelerator.device)
    if accelerator.is_main_process:
        _begin(run, config, dataset.spec)
        _warn_of_few_steps(config, loader.num_batches, dataset.spec.num_train)
    precision = _precision(config, method, loader, run, accelerator)
    loader.memory_format = MEMORY_FORMATS[precision]
    apply_precision(method, precision, accelerator.device.type)
    if settings.tracker != "none":
        accelerator.init_trackers("unbraid", config=_flat(config), init_kwargs={})
    trainer = Trainer(
        method,
        loader,
        run,
        accelerator,
        seed=settings.seed,
        start=_start(config, run),
        max_steps=settings.max_steps,
        clip_norm=settings.clip_norm,
        log_every=settings.log_every,
        checkpoint_seconds=settings.checkpoint_seconds,
        watch=watch,
        watch_every=watch_every,
    )
    try:
        with lock(run).acquire(timeout=0) if accelerator.is_main_process else nullcontext():
            trainer.fit()
    except Timeout:
        raise UserError(f"another process is training {run.path}; wait for it, or stop it") from None


def _start(config: RunConfig, run: RunDir) -> Path | None:
    """The checkpoint to begin from. Raises: UserError if there is none, or it is another method's."""
    if not config.settings.start_from or run.checkpoint.is_dir():
        return None
    start = RunDir(config.settings.start_from)
    if (method := open_config(start).method) != config.method:
        raise UserError(f"--start_from {start.path} is a run of {method}, not of {config.method}")
    recover_folder(start.checkpoint)
    if not start.checkpoint.is_dir():
        raise UserError(f"--start_from {start.path} has no checkpoint")
    return start.checkpoint


def _precision(config: RunConfig, method: Method, loader: Loader, run: RunDir, accelerator: Any) -> str:
    """As asked, or the fastest; a run keeps what it began with, so that resuming changes no bit."""
    begun = run.env.is_file()
    accelerator.wait_for_everyone()  # before one of them writes it
    if begun:
        kept: str = read_json(run.env, lambda env: str(env["precision"]["chosen"]))
        if config.settings.precision not in ("auto", kept):
            raise UserError(f"{run.path} began in {kept} and goes on in it; choose another --out")
        return kept
    from unbraid.trainer import fastest_precision

    start = time.monotonic()
    chosen, seconds = str(config.settings.precision), dict[str, float]()
    if chosen == "auto" and accelerator.num_processes > 1:  # timing needs all processes in step
        chosen = "fp32-channels-last" if accelerator.device.type == "cpu" else "bf16"
    elif chosen == "auto" and method.optimizers():
        seconds = fastest_precision(method, next(loader.batches()), accelerator.device.type)
        chosen = min(seconds, key=lambda name: seconds[name])
    elif chosen == "auto":
        chosen = "fp32"
    if accelerator.is_main_process:
        notes = [
            f"perceptual distance: {part.kind}" for part in method.modules() if isinstance(part, PerceptualDistance)
        ]
        spent = round(time.monotonic() - start, 1)
        write_json(
            run.env,
            environment()
            | {"device": str(accelerator.device), "processes": accelerator.num_processes, "notes": notes}
            | {"precision": {"chosen": chosen, "seconds_per_step": seconds, "seconds_spent": spent}},
        )
    accelerator.wait_for_everyone()
    return chosen


def _flat(config: RunConfig) -> dict[str, Any]:
    parts = (config.options, config.settings, config.hparams)
    numbers = {key: value for part in parts for key, value in dataclasses.asdict(part).items()}
    return {"method": config.method, "data": config.data} | {
        key: value if isinstance(value, int | float | str | bool) else str(value) for key, value in numbers.items()
    }
