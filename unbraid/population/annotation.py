"""A network's factors as labels of images: found and shown first, written as columns once a person has accepted them.

The first call writes ``factors.yaml``, a picture of each factor and ``surrogate.csv``; the same call again, after the
file was edited, writes ``labels.csv``, which ``--labels`` or ``--columns`` reads, and ``confidence.csv``.
"""

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import Float, Float32

from unbraid import data
from unbraid.atomic import atomic_file
from unbraid.data import store
from unbraid.data.bias_folder import is_bias_folder
from unbraid.data.folder import image_names
from unbraid.data.options import DataOptions
from unbraid.encoder import load
from unbraid.errors import DataError, UserError
from unbraid.population.factor_file import Factor, read_factors, write_factors
from unbraid.population.intervals import Fidelity, split
from unbraid.population.posteriors import learned, posterior
from unbraid.population.traversals import save_picture
from unbraid.records import RunDir, best_run
from unbraid.tables import Dataset
from unbraid.types import Method

_STEPS = 7  # places of a traversal, where a dimension has no values


@dataclass(frozen=True)
class Posterior:
    """Of every image, what the network says."""

    means: Float32[np.ndarray, "n d"]
    deviations: Float32[np.ndarray, "n d"]


@dataclass(frozen=True)
class Names:
    """What a table calls its rows: the paths of their images, or numbers."""

    column: Literal["path", "row"]
    values: Sequence[str] | Sequence[int]


@dataclass(frozen=True)
class Column:
    """One column of the labels: names, or real numbers, and how sure each is."""

    name: str
    values: np.ndarray
    confidence: Float[np.ndarray, " n"]


def find_run(place: os.PathLike[str] | str) -> RunDir:
    """The run of a run directory, the best of a population, the model of a recursion.

    Raises:
        UserError: If it is none of these, or not done.
    """
    folder = Path(place)
    run = RunDir(folder) if RunDir(folder).exists() else best_run(folder)
    if run is None:
        raise UserError(f"{folder} holds no run, and no population or recursion that is done; run its command again")
    return run


def annotate(
    place: os.PathLike[str] | str,
    name: str,
    out: os.PathLike[str] | str,
    options: DataOptions | None = None,
    fidelity: Fidelity = "fixed",
) -> list[Path]:
    """Find the factors of a data set, or write those that were accepted; returns the files that were written.

    Args:
        place: A run, a population or a recursion, of a method whose codes have a variance.
        name: The data set, or one's own images.
        fidelity: Rules by which dimensions count as learned and are cut into values.

    Raises:
        UserError: If the network has learned no factor, or ``factors.yaml`` is wrong or accepts none.
        DataError: If the images are of another size than the network's.
    """
    encoder, options, folder = load(find_run(place).path), options or DataOptions(), Path(out)
    dataset = data.load(name, options)
    if dataset.spec.image_shape != encoder.spec.image_shape:
        ours, theirs = encoder.spec.image_shape, dataset.spec.image_shape
        raise DataError(f"{place} takes images {ours} (C, H, W), and those of {name} are {theirs}")
    means, log_variances = posterior(encoder.method, dataset.images)
    found, network = Posterior(means, np.exp(log_variances / 2)), _mark(encoder.method)
    if not (np.isfinite(found.means).all() and np.isfinite(found.deviations).all()):
        raise UserError(f"the network at {place} gives codes that are not finite: its training diverged")
    names = _names(name, options, dataset)
    if (folder / "factors.yaml").is_file():
        return _write_accepted(folder, found, names, network)
    dimensions = np.flatnonzero(learned(means, log_variances, fidelity))
    if not len(dimensions):
        raise UserError(f"the network at {place} has learned no factor of {name}: no dimension is above 1 nat")
    factors = [propose(int(dimension), means[:, dimension], fidelity) for dimension in dimensions]
    pictures = [_picture(folder, factor, encoder.method, dataset, found) for factor in factors]
    return [*_write_proposed(folder, factors, found, names, network), *pictures]


def _mark(method: Method) -> str:
    """Tells one network's weights from those of any other."""
    digest = hashlib.sha256()
    for value in method.state_dict().values():
        digest.update(value.cpu().numpy().tobytes())
    return digest.hexdigest()[:16]


def _write_accepted(folder: Path, found: Posterior, names: Names, network: str) -> list[Path]:
    file = folder / "factors.yaml"
    columns = accepted(read_factors(file, found.means.shape[1], network), found)
    if not columns:
        raise UserError(f"{file} accepts no factor: look at the pictures, write 'accept: yes', and run this again")
    return [
        _table(folder / "labels.csv", names, {column.name: column.values for column in columns}),
        _table(folder / "confidence.csv", names, {column.name: column.confidence for column in columns}),
    ]


def _write_proposed(
    folder: Path, factors: Sequence[Factor], found: Posterior, names: Names, network: str
) -> list[Path]:
    columns = [column_of(factor, found) for factor in factors]
    table: dict[str, Any] = {}
    for factor, column in zip(factors, columns):
        table[f"{factor.name}-code"] = found.means[:, factor.dimension]
        table |= {factor.name: column.values} if factor.values else {}
        table[f"{factor.name}-confidence"] = column.confidence
    surrogate = _table(folder / "surrogate.csv", names, table)
    told = [_told(column, factor) for column, factor in zip(columns, factors)]
    file = folder / "factors.yaml"  # last: where it is, the next call takes it for edited
    write_factors(file, factors, told, network)
    return [file, surrogate]


def propose(dimension: int, label: Float[np.ndarray, " n"], fidelity: Fidelity = "fixed") -> Factor:
    """A factor of the values between the large gaps of a dimension; without such gaps it is real-valued."""
    cut = split(label.astype(np.float64), alone=False, fidelity=fidelity)
    edges = np.unique(np.concatenate([cut.starts, cut.stops]))
    order = label[cut.order]
    bounds = tuple(float(order[edge - 1] + order[edge]) / 2 for edge in edges if 0 < edge < len(order))
    values = tuple(map(str, range(len(bounds) + 1))) if bounds else ()
    return Factor(dimension=dimension, name=f"factor-{dimension}", values=values, bounds=bounds)


def accepted(factors: Sequence[Factor], found: Posterior) -> list[Column]:
    """A column for each name that was accepted; factors of one name are joined."""
    columns: dict[str, Column] = {}
    for factor in factors:
        if factor.accept:
            new = column_of(factor, found)
            columns[factor.name] = _joined(columns[factor.name], new) if factor.name in columns else new
    return list(columns.values())


def _joined(a: Column, b: Column) -> Column:
    values = np.array([f"{one} {other}" for one, other in zip(a.values, b.values)])
    return Column(a.name, values, a.confidence * b.confidence)


def column_of(factor: Factor, found: Posterior) -> Column:
    """The values of a factor. Confidence is the probability of that value under the posterior of the image; of a real
    number, the share of the dimension's variance over all images that is not the image's own uncertainty."""
    mean, deviation = (part[:, factor.dimension].astype(np.float64) for part in (found.means, found.deviations))
    if not factor.values:
        total = mean.var() + np.mean(deviation**2)
        return Column(factor.name, mean, np.clip(1 - deviation**2 / total, 0, 1))
    from scipy.stats import norm

    cuts = np.array([-np.inf, *factor.bounds, np.inf])
    probability = np.diff(
        norm.cdf((cuts - mean[:, None]) / np.maximum(deviation, 1e-9)[:, None]), axis=1
    )  # (N, values)
    names, which = np.unique(factor.values, return_inverse=True)
    place = which[np.searchsorted(np.array(factor.bounds), mean, side="right")]
    merged = probability @ (which[:, None] == np.arange(len(names)))
    return Column(factor.name, names[place], merged[np.arange(len(mean)), place])


def _told(column: Column, factor: Factor) -> dict[str, Any]:
    rows = [int(np.sum(column.values == value)) for value in factor.values]
    confidence = round(float(column.confidence.mean()), 3)
    return {"rows": rows or len(column.values), "confidence": confidence, "picture": f"{factor.name}.png"}


def _picture(folder: Path, factor: Factor, method: Any, dataset: Dataset, found: Posterior) -> Path:
    label = found.means[:, factor.dimension]
    if factor.values:
        inside = np.searchsorted(np.array(factor.bounds), label, side="right")
        places = np.array([label[inside == value].mean() for value in range(len(factor.values))])
    else:
        places = np.quantile(label, np.linspace(0.02, 0.98, _STEPS))
    path = folder / f"{factor.name}.png"
    save_picture(path, method, dataset.images, found.means, factor.dimension, places)
    return path


def has_paths(name: str) -> bool:
    """Whether data are a folder of images, which ``--labels`` names by their paths; others have numbered rows."""
    path = Path(name).expanduser()
    is_known = name.partition(":")[0] in data.DATASETS
    return not is_known and path.is_dir() and not (is_bias_folder(path) or store.is_store(path))


def _names(name: str, options: DataOptions, dataset: Dataset) -> Names:
    whole = image_names(Path(name).expanduser(), options) if has_paths(name) else None
    if options.rows is None:
        return Names("row", range(len(dataset))) if whole is None else Names("path", whole)
    rows = np.load(Path(options.rows).expanduser(), allow_pickle=False).tolist()
    return Names("row", rows) if whole is None else Names("path", [whole[row] for row in rows])


def _table(path: Path, names: Names, columns: Mapping[str, Any]) -> Path:
    import pandas

    frame = pandas.DataFrame(columns)
    frame.insert(0, names.column, names.values)
    with atomic_file(path) as temporary:
        frame.to_csv(temporary, index=False)
    return path
