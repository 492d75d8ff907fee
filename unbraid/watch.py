"""Accuracy while training: what a method that predicts gets on held-out rows, group by group."""

from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Int64
from torch import Tensor

from unbraid.records import RunDir, append_line, keep_lines, read_lines
from unbraid.tables import Dataset
from unbraid.types import Method, Predicts

SPLITS = ("validation", "test")
_BATCH = 1024


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
        keep_lines(self.run.accuracy, [line for line in read_lines(self.run.accuracy) if line["step"] <= step])

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
