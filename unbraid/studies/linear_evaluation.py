"""Linear evaluation of a run on its images: a linear layer learns the label from the frozen encoder.

Source
    Wang et al. 2021, arXiv:2110.15255, and its published code: Adam, step size 1e-3, weight decay 1e-6, 100 epochs of
    batches of 512, from features that are not normalised.
Differences
    1. The published evaluation trains on augmented images and leaves the encoder in train mode, so that features depend
       on their batch and the running statistics of batch norm drift to the data: --augment true --batch_norm train.
       Here the images are as they are, and the encoder is in evaluation mode, unless asked.
    2. The short last batch of an epoch is left out, where images are augmented or batch norm is in train mode.
"""

import itertools
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float32, Int64
from rich.console import Console
from rich.progress import track
from torch import Tensor, nn

from unbraid import augment
from unbraid.encode import to_tensor
from unbraid.encoder import load, load_data
from unbraid.errors import UserError
from unbraid.evaluation import write_scores
from unbraid.hparams import hp
from unbraid.loader import Loader
from unbraid.metrics.network_probe import linear_evaluation as fit
from unbraid.metrics.probes import top_accuracies
from unbraid.records import RunDir, Score
from unbraid.seeds import integer
from unbraid.tables import Dataset
from unbraid.types import Features, Method, Needs

_BATCH = 512  # images that are encoded at a time


@dataclass(kw_only=True)
class Protocol:
    """How the layer learns."""

    epochs: int = hp(100, least=1, doc="passes over the labelled train images")
    batch_size: int = hp(512, least=1, doc="images in a batch")
    augment: bool = hp(False, doc="learn from one view of each image, made as in training; published: true")
    batch_norm: Literal["eval", "train"] = hp("eval", doc="statistics of batch norm while learning; published: train")

    @property
    def settings(self) -> str:
        """What differs from the plain protocol, for the name of the score."""
        views = ", augmented" if self.augment else ""
        return f", on images, {self.epochs} epochs, batch norm {self.batch_norm}{views}"


def linear_evaluation(run: RunDir, protocol: Protocol, device: torch.device | str = "cpu") -> list[Score]:
    """Top-1 and top-5 accuracy on the test split, added to the run's ``scores.jsonl``.

    Raises:
        UserError: If the folder holds no trained run, or its data name no label.
    """
    encoder = load(run.path, device)
    dataset = load_data(encoder.config)
    column = dataset.spec.label
    if column is None:
        raise UserError(f"linear evaluation needs a label, and {dataset.spec.name} names none")
    dataset = dataset.take(np.flatnonzero(dataset.columns[column] >= 0))
    labels, truth = (dataset.columns[column][dataset.rows(split)] for split in ("train", "test"))
    if not len(labels) or not len(truth):
        raise UserError(f"linear evaluation needs train and test images of {dataset.spec.name} with a label")
    size, seed = dataset.spec.sizes[column], integer(encoder.config.settings.seed, "linear-evaluation")
    if protocol.augment or protocol.batch_norm == "train":
        recipe = encoder.config.settings.views
        logits = _learn(encoder.method, dataset, protocol, recipe, size, seed)
    else:
        z, test = (_features(encoder.method, dataset, dataset.rows(split)) for split in ("train", "test"))
        options = {"epochs": protocol.epochs, "batch_size": protocol.batch_size, "least_steps": 0}
        logits = fit(z.cpu().numpy(), labels, test.cpu().numpy(), size, seed=seed, **options)
    scores = top_accuracies(logits, labels, truth, column, protocol.settings)
    write_scores(run, encoder.config, scores)
    return scores


def _learn(
    method: Method, dataset: Dataset, protocol: Protocol, recipe: str, size: int, seed: int
) -> Float32[np.ndarray, "m k"]:
    """Logits of the test rows; every step runs the encoder."""
    device = next(method.parameters()).device
    needs = Needs(views=int(protocol.augment), labels=frozenset({"label"}))
    loader = Loader(dataset, needs, protocol, augment.views(recipe), seed=seed, device=device)
    torch.manual_seed(seed)
    layer = nn.Linear(_features(method, dataset, dataset.rows("test")[:1]).shape[1], size).to(device)
    optimizer = torch.optim.Adam(layer.parameters(), lr=1e-3, weight_decay=1e-6)
    steps = protocol.epochs * loader.num_batches
    batches = itertools.islice(loader.batches(), steps)
    method.train(protocol.batch_norm == "train")
    for batch in track(batches, "linear evaluation", steps, console=Console(stderr=True), transient=True):
        assert batch.label is not None
        with torch.no_grad():
            z = _of(method, batch.views[:, 0] if protocol.augment else batch.x)
        optimizer.zero_grad()
        F.cross_entropy(layer(z), batch.label).backward()
        optimizer.step()
    with torch.inference_mode():
        z = _features(method.eval(), dataset, dataset.rows("test"))
        return layer(z).cpu().numpy()  # type: ignore[no-any-return]


def _features(method: Method, dataset: Dataset, rows: Int64[np.ndarray, " n"]) -> Float32[Tensor, "n d"]:
    """Of images as they are, in evaluation mode."""
    device = next(method.parameters()).device
    with torch.inference_mode():
        parts = [rows[start : start + _BATCH] for start in range(0, len(rows), _BATCH)]
        return torch.cat([_of(method, to_tensor(dataset.images[part], device)) for part in parts])


def _of(method: Method, x: Tensor) -> Float32[Tensor, "b d"]:
    """Not normalised, if the method offers that."""
    return (method.features(x) if isinstance(method, Features) else method.encode(x)).float()
