"""What is measured while training: accuracy by group where a method predicts the label, else kNN on its codes."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Int64
from torch import Tensor

from unbraid.config import Settings
from unbraid.encode import encode_pixels, to_tensor
from unbraid.errors import UserError
from unbraid.metrics import score
from unbraid.records import RunDir, append_line, keep_lines, read_lines
from unbraid.tables import Codes, Dataset
from unbraid.types import Method, Predicts

SPLITS = ("validation", "test")
_BATCH = 1024


def find_watch(
    method: Method, dataset: Dataset, run: RunDir, settings: Settings, num_batches: int, device: torch.device
) -> "tuple[AccuracyWatch | KnnWatch | None, int]":
    """What measures while the method trains, and after how many steps; 0: each epoch, of ``num_batches``.

    Raises:
        UserError: If kNN is asked for where there is no label, or where accuracy is measured already.
    """
    predicts, asked = isinstance(method, Predicts), settings.knn_every
    if asked and dataset.spec.label is None:
        raise UserError(f"--knn_every {asked}: {dataset.spec.name} names no label; give --label, or leave it out")
    if asked and predicts:
        raise UserError("this method predicts the label, and its accuracy is measured already: leave out --knn_every")
    if dataset.spec.label is None or not (predicts or asked):
        return None, 0
    if predicts:
        return AccuracyWatch(method, dataset, run, lambda images: to_tensor(images, device)), settings.watch_every
    return KnnWatch(method, dataset, run, settings.knn_temperature), asked * num_batches


class AccuracyWatch:
    """Counts right answers on validation and test rows, one line of ``accuracy.jsonl`` per split and measurement.

    A line holds, for each cell of label value and bias value, the rows and the right answers: every accuracy of a
    classifier is a ratio of sums of these. Without a bias there is one column of cells.
    """

    def __init__(
        self, method: Method, dataset: Dataset, run: RunDir, to_tensor: Callable[[np.ndarray], Tensor]
    ) -> None:
        assert isinstance(method, Predicts)
        self.method, self.dataset, self.run, self.to_tensor = method, dataset, run, to_tensor
        spec = dataset.spec
        assert spec.label is not None
        self.shape = (spec.sizes[spec.label], spec.sizes[spec.bias] if spec.bias else 1)
        label = dataset.columns[spec.label]
        cell = label * self.shape[1] + (dataset.columns[spec.bias] if spec.bias else 0)
        self.rows = {split: dataset.rows(split) for split in SPLITS if len(dataset.rows(split))}
        self.label = {split: label[rows] for split, rows in self.rows.items()}
        self.cell = {split: cell[rows] for split, rows in self.rows.items()}

    def resume(self, step: int) -> None:
        """Forget what was measured after the step at which a run goes on."""
        _keep_until(self.run.accuracy, step)

    def measure(self, step: int) -> None:
        """One line per split; nothing random is drawn, and batch statistics stay as they are."""
        assert isinstance(self.method, Predicts)
        training = self.method.training
        self.method.eval()
        for split, rows in self.rows.items():
            right = self._predict(rows) == self.label[split]
            self._write(step, split, self.cell[split], right)
        self.method.train(training)

    def _predict(self, rows: Int64[np.ndarray, " n"]) -> Int64[np.ndarray, " n"]:
        assert isinstance(self.method, Predicts)
        with torch.inference_mode():
            parts = [
                self.method.predict(self.to_tensor(self.dataset.images[rows[start : start + _BATCH]])).argmax(dim=1)
                for start in range(0, len(rows), _BATCH)
            ]
        return torch.cat(parts).cpu().numpy()

    def _write(self, step: int, split: str, cell: np.ndarray, right: np.ndarray) -> None:
        size = self.shape[0] * self.shape[1]
        counts = {"rows": np.bincount(cell, minlength=size), "right": np.bincount(cell[right], minlength=size)}
        tables = {name: count.reshape(self.shape).tolist() for name, count in counts.items()}
        append_line(self.run.accuracy, {"step": step, "split": split} | tables)


class KnnWatch:
    """The score ``knn`` of the label: one line of ``knn.jsonl`` per measurement for top-1 and, if there, for top-5.

    Codes of test rows are classified by those of train rows, as far as the label is known.
    """

    def __init__(self, method: Method, dataset: Dataset, run: RunDir, temperature: float) -> None:
        assert dataset.spec.label is not None
        self.method, self.dataset, self.temperature = method, dataset, temperature
        self.path = run.path / "knn.jsonl"
        asked = np.concatenate([dataset.rows("train"), dataset.rows("test")])
        self.rows = asked[dataset.columns[dataset.spec.label][asked] >= 0]

    def resume(self, step: int) -> None:
        """Forget what was measured after the step at which a run goes on."""
        _keep_until(self.path, step)

    def measure(self, step: int) -> None:
        """Nothing random is drawn, and batch statistics stay as they are."""
        for one in score(self._codes(), ["knn"], options={"knn": {"temperature": self.temperature}}):
            kept = ("variant", "value", "low", "high", "chance", "num", "note")
            append_line(self.path, {"step": step} | {name: getattr(one, name) for name in kept})

    def _codes(self) -> Codes:
        training, data = self.method.training, self.dataset
        self.method.eval()
        starts = range(0, len(self.rows), _BATCH)
        z = [encode_pixels(self.method, data.images[self.rows[start : start + _BATCH]]) for start in starts]
        self.method.train(training)
        columns = {name: column[self.rows] for name, column in data.columns.items()}
        return Codes(spec=data.spec, z=np.concatenate(z), columns=columns, split=data.split[self.rows])


def _keep_until(path: Path, step: int) -> None:
    keep_lines(path, [line for line in read_lines(path) if line["step"] <= step])
