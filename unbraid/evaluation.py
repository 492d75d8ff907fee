"""A trained run scored: codes, pictures and scores, from files to files."""

import dataclasses
import importlib.metadata
from collections.abc import Sequence

import numpy as np
import torch

from unbraid import checkpoint
from unbraid.config import RunConfig
from unbraid.encode import encode_dataset
from unbraid.encoder import load, load_data
from unbraid.metrics import check_asked, everyday, score
from unbraid.metrics.bias import aligned_values
from unbraid.records import Record, RunDir, Score, keep_lines, read_lines
from unbraid.samples import save_samples
from unbraid.samples.bias import save_bias
from unbraid.samples.partitions import save_partitions
from unbraid.selection import selected
from unbraid.tables import Dataset

FIRST_SCORES = ("leakage", "informativeness", "six-layer-probe", "retrieval")


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
    check_asked(metrics)
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
