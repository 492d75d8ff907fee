"""One run, from a configuration to codes and scores. Each stage reads files and writes files."""

import dataclasses
import datetime
import importlib.metadata
import os
import platform
import subprocess
import sys
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float32

from unbraid import augment, checkpoint, data
from unbraid.atomic import recover_folder
from unbraid.config import RunConfig
from unbraid.encode import as_pixels, encode_dataset, encode_pixels
from unbraid.errors import UserError
from unbraid.loader import Loader
from unbraid.metrics import check_names, everyday, score
from unbraid.metrics.bias import aligned_values
from unbraid.nets import PerceptualDistance, sync_batch_norm
from unbraid.nets.precision import MEMORY_FORMATS, apply_precision
from unbraid.records import Record, RunDir, Score, keep_lines, read_json, read_lines, write_json
from unbraid.samples import save_samples
from unbraid.samples.bias import save_bias
from unbraid.samples.partitions import save_partitions
from unbraid.seeds import integer
from unbraid.selection import selected
from unbraid.tables import Dataset, DataSpec
from unbraid.types import Method
from unbraid.watch import find_watch

FIRST_SCORES = ("leakage", "informativeness", "six-layer-probe", "retrieval")


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


def load_data(config: RunConfig) -> Dataset:
    return data.load(config.data, config.options)


def build(config: RunConfig, spec: DataSpec) -> Method:
    """The method with its initial weights, which the seed decides.

    Raises:
        UserError: If the data lack what the method needs.
    """
    for role in config.kind.needs.labels:
        if not (spec.factors if role == "factors" else getattr(spec, role)):
            columns = ", ".join(spec.sizes)
            raise UserError(
                f"{config.method} needs a {role}: give --{role}, one of {columns}"
                if columns
                else f"{config.method} needs a {role}, and {spec.name} has no categorical column; give it labels"
            )
    torch.manual_seed(integer(config.settings.seed, "init"))
    try:
        return config.kind(config.hparams, spec)
    except UserError:
        raise
    except ValueError as error:
        raise UserError(f"{config.method} cannot be built for {spec.name}: {error}") from None


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
    trainer.fit()


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


def evaluate(
    run: RunDir,
    metrics: Sequence[str] | None = None,
    *,
    dataset: Dataset | None = None,
    device: torch.device | str = "cpu",
) -> list[Score]:
    """Encode the data with a trained run and score the codes: ``codes.npz``, ``samples.npz``, ``scores.jsonl``.

    Scores that are computed anew replace the old ones; others stay.

    Args:
        metrics: Names of ``unbraid list metrics``; "all" among them: every one that is not slow. Default: the probes
            and retrieval.
    """
    check_names([name for name in metrics or () if name != "all"])
    encoder = load(run.path, device)
    dataset = dataset or load_data(encoder.config)
    codes = encode_dataset(encoder.method, dataset)
    codes.save(run.codes)
    save_samples(run.samples, encoder.method, dataset, codes, encoder.config.settings.seed)
    save_bias(run.bias, encoder.method, dataset, encoder.config.settings.seed)
    save_partitions(run.partitions, encoder.method, dataset, encoder.config.settings.seed)
    asked = metrics or FIRST_SCORES
    names = [known for name in asked for known in (everyday(codes.spec) if name == "all" else [name])]
    scores = score(codes, dict.fromkeys(names), seed=encoder.config.settings.seed)
    scores += _selected(run, dataset)
    write_scores(run, encoder.config, scores)
    return scores


def _selected(run: RunDir, dataset: Dataset) -> list[Score]:
    """Accuracies at the moments of training that the rules of selection choose; none for what predicts nothing."""
    spec, lines = dataset.spec, list(read_lines(run.accuracy))
    if spec.label is None or not lines:
        return []
    aligned = None
    if spec.bias:
        label, bias = (dataset.columns[name][dataset.rows("train")] for name in (spec.label, spec.bias))
        values = aligned_values(label, bias, (spec.sizes[spec.label], spec.sizes[spec.bias]))
        aligned = values[:, None] == np.arange(spec.sizes[spec.bias])
    return selected(lines, spec.label, aligned, bias=spec.bias or "")


def write_scores(run: RunDir, config: RunConfig, scores: Sequence[Score]) -> None:
    """Add scores to ``scores.jsonl``; they replace those of the same metric, column and variant."""
    state = checkpoint.load_state(run.checkpoint)
    epoch = round(state.get("epochs", config.hparams.epochs * state["step"] / max(state["num_steps"], 1)))
    place = {"run": run.name, "method": config.method_name, "data": config.data, "seed": config.settings.seed}
    version = importlib.metadata.version("unbraid")
    records = [Record.of(one, **place, epoch=epoch, version=version) for one in scores]
    new = {(record.metric, record.column, record.variant) for record in records}
    old = [record for record in run.records() if (record.metric, record.column, record.variant) not in new]
    keep_lines(run.scores, [dataclasses.asdict(record) for record in old + records])


@dataclasses.dataclass(frozen=True)
class Encoder:
    """A trained run, ready to encode."""

    method: Method
    config: RunConfig
    spec: DataSpec

    def encode(self, images: Any) -> Float32[np.ndarray, "n d"]:
        """Codes of images, in evaluation mode.

        Args:
            images: uint8 (N, H, W, C) or (N, H, W), floats in [0, 1] (N, C, H, W), or paths of image files.

        Raises:
            DataError: If they are none of these, or of another size than the encoder's.
        """
        return encode_pixels(self.method, as_pixels(images, self.spec))


def load(path: os.PathLike[str] | str, device: torch.device | str = "cpu") -> Encoder:
    """The encoder of a run directory. Raises: UserError if there is none, or it is damaged."""
    run = RunDir(path)
    config = open_config(run)
    recover_folder(run.checkpoint)
    if not run.checkpoint.is_dir():
        raise UserError(f"{run.path} has no checkpoint yet; train it first")
    spec = read_json(run.spec, DataSpec.from_dict)
    method = build(dataclasses.replace(config, hparams=_offline(config.hparams)), spec)
    method.load_state_dict(checkpoint.load_weights(run.checkpoint))
    return Encoder(method.to(device).to(memory_format=torch.channels_last).eval(), config, spec)


def _offline(hparams: Any) -> Any:
    """The same network without fetching initial weights, which the checkpoint replaces at once."""
    plain = {"weights": "none", "perceptual": "random"}
    return dataclasses.replace(hparams, **{name: plain[name] for name in plain if hasattr(hparams, name)})


def open_config(run: RunDir) -> RunConfig:
    """Raises: UserError if the folder holds no run, or one of another version."""
    if not run.exists():
        raise UserError(f"no run at {run.path} (a folder with config.json)")
    return read_json(run.config, RunConfig.from_dict)


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


def _flat(config: RunConfig) -> dict[str, Any]:
    parts = (config.options, config.settings, config.hparams)
    numbers = {key: value for part in parts for key, value in dataclasses.asdict(part).items()}
    return {"method": config.method, "data": config.data} | {
        key: value if isinstance(value, int | float | str | bool) else str(value) for key, value in numbers.items()
    }
