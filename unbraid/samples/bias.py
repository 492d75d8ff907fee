"""What a method's biased network thinks of the training images: what it finds easy, what hard, and what that goes with.

``bias.npz``, for at most 10,000 rows of the train split:

- ``row`` (of the data set), ``label``, ``weight`` (W), for each network ``confidence`` (in the true label), ``loss``
  and ``answer``, with the prefix ``biased_`` or ``debiased_``; ``bias`` and ``aligned`` where the data name a bias
- ``gallery_place``, ``gallery_hard``, ``gallery_images``: of each label the images with the least and the greatest loss
  of the biased network; the place is one among the rows above
- ``association_*``: of each column of the data, with the biased network's confidence within each label
- ``swap_*``: what is answered from the features of one image and the biased features of another
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float32, Int64
from torch import Tensor

from unbraid.atomic import atomic_file
from unbraid.encode import to_tensor
from unbraid.metrics.association import as_arrays, associations, equally_wide
from unbraid.metrics.bias import aligned_values
from unbraid.seeds import stream
from unbraid.tables import Dataset
from unbraid.types import KnowsBias, Method, SwapsBias

MAX_ROWS = 10_000
_LABELS, _SHOWN, _SWAPS = 10, 5, 6  # labels in the gallery, images on each side of it, images swapped
_BATCH = 256


def save_bias(path: Path, method: Method, dataset: Dataset, seed: int) -> None:
    """Write ``path``, if the method has a biased network."""
    if not isinstance(method, KnowsBias):
        return
    rng = stream(seed, "samples", "bias")
    train = dataset.rows("train")
    index = np.sort(rng.permutation(len(train))[:MAX_ROWS])
    arrays: dict[str, Any] = seen_by_both(method, dataset, train[index]) | {"weight": _weights(method, dataset, index)}
    arrays |= alignment(dataset, train[index]) | _gallery(dataset, arrays) | _associations(dataset, arrays, rng)
    if isinstance(method, SwapsBias):
        arrays |= _swaps(method, dataset, arrays, rng)
    with atomic_file(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, **arrays)


def seen_by_both(method: KnowsBias, dataset: Dataset, rows: Int64[np.ndarray, " n"]) -> dict[str, np.ndarray]:
    """Confidence in the true label, loss and answer of the two networks on these rows, beside row and label."""
    assert dataset.spec.label is not None
    label = dataset.columns[dataset.spec.label][rows]
    arrays = {"row": rows, "label": label}
    for name, network in (("biased", method.bias_predict), ("debiased", method.predict)):
        logits = _logits(network, method, dataset.images, rows)
        loss = torch.nn.functional.cross_entropy(logits, torch.from_numpy(label), reduction="none").numpy()
        arrays |= {f"{name}_loss": loss, f"{name}_confidence": np.exp(-loss)}
        arrays[f"{name}_answer"] = logits.argmax(dim=1).numpy()
    return arrays


def _logits(
    network: Callable[[Tensor], Tensor], method: Any, images: np.ndarray, rows: Int64[np.ndarray, " n"]
) -> Tensor:
    device = next(method.parameters()).device
    with torch.inference_mode():
        parts = [
            network(to_tensor(images[rows[start : start + _BATCH]], device)).float().cpu()
            for start in range(0, len(rows), _BATCH)
        ]
    return torch.cat(parts)


def _weights(method: KnowsBias, dataset: Dataset, index: Int64[np.ndarray, " n"]) -> Float32[np.ndarray, " n"]:
    """Of rows of the train split."""
    assert dataset.spec.label is not None
    device = next(method.parameters()).device  # type: ignore[attr-defined]
    label = dataset.columns[dataset.spec.label][dataset.rows("train")[index]]
    with torch.inference_mode():
        rows, labels = (torch.from_numpy(one).to(device) for one in (index, label))
        return method.bias_weight(rows, labels).float().cpu().numpy()


def alignment(dataset: Dataset, rows: Int64[np.ndarray, " n"]) -> dict[str, np.ndarray]:
    """The named bias of these rows, and whether it is the value that most train rows of their label have, if one is."""
    spec = dataset.spec
    if spec.bias is None or spec.label is None:
        return {}
    label, bias = dataset.columns[spec.label], dataset.columns[spec.bias]
    train = dataset.rows("train")
    own = aligned_values(label[train], bias[train], (spec.sizes[spec.label], spec.sizes[spec.bias]))
    tied = (own[label[rows]] < 0).any()
    return {"bias": bias[rows]} | ({} if tied else {"aligned": own[label[rows]] == bias[rows]})


def _gallery(dataset: Dataset, arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Labels in their order, of each the easiest images first and the hardest first; none stands on both sides."""
    label, loss = arrays["label"], arrays["biased_loss"]
    values, counts = np.unique(label, return_counts=True)
    places, hard = [], []
    for value in np.sort(values[np.argsort(-counts, kind="stable")[:_LABELS]]):
        rows = np.flatnonzero(label == value)
        rows = rows[np.argsort(loss[rows], kind="stable")]
        num = min(_SHOWN, len(rows) // 2)
        places += [*rows[:num], *rows[::-1][:num]]
        hard += [False] * num + [True] * num
    chosen = np.array(places, dtype=np.int64)
    images = dataset.images[arrays["row"][chosen]]
    return {"gallery_place": chosen, "gallery_hard": np.array(hard, dtype=bool), "gallery_images": images}


def _associations(dataset: Dataset, arrays: dict[str, np.ndarray], rng: np.random.Generator) -> dict[str, np.ndarray]:
    others = {name: one[arrays["row"]] for name, one in dataset.columns.items() if name != dataset.spec.label}
    confidence = equally_wide(arrays["biased_confidence"])
    found = associations(confidence, others, rng, strata=arrays["label"])
    return as_arrays(found)


def _swaps(
    method: SwapsBias, dataset: Dataset, arrays: dict[str, np.ndarray], rng: np.random.Generator
) -> dict[str, np.ndarray]:
    """Test images as givers of the label's features, training images of the biased ones: aligned, where that is known.

    Each giver has another label; ``swap_answer`` and ``swap_biased_answer`` have a row per giver of the first kind.
    """
    assert dataset.spec.label is not None
    label = dataset.columns[dataset.spec.label]
    plain = arrays["row"][arrays["aligned"]] if arrays.get("aligned", np.zeros(1)).any() else arrays["row"]
    test = dataset.rows("test")
    rows, columns = (_one_of_each(label, part, rng) for part in (test if len(test) else plain, plain))
    device = next(method.parameters()).device  # type: ignore[attr-defined]
    across, down = (to_tensor(dataset.images[part], device) for part in (columns, rows))
    with torch.inference_mode():
        both = [method.swap_predict(image.expand_as(across), across) for image in down[:, None]]
    answers = [torch.stack(part).argmax(dim=2).cpu().numpy() for part in zip(*both)]
    return {
        "swap_row": rows,
        "swap_column": columns,
        "swap_row_label": label[rows],
        "swap_column_label": label[columns],
        "swap_row_images": dataset.images[rows],
        "swap_column_images": dataset.images[columns],
        "swap_answer": answers[0],
        "swap_biased_answer": answers[1],
    }


def _one_of_each(
    label: Int64[np.ndarray, " n"], rows: Int64[np.ndarray, " m"], rng: np.random.Generator
) -> Int64[np.ndarray, " k"]:
    """A row of each of the first few labels."""
    values = np.unique(label[rows])[:_SWAPS]
    return np.array([rng.choice(rows[label[rows] == value]) for value in values])
