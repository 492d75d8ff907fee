"""What the documentation's reader has beside the keyboard, made small: photos, tables, codes, runs."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
from desk import write_desk
from photos import photo

from unbraid import data
from unbraid.data.options import DataOptions
from unbraid.tables import Dataset

DIGITS = "digits:source=sklearn,num=200,size=32,paints=2"
WITH_A_BIAS = ("cmnist", "cifar10c", "bffhq", "digits-biased")
_load = data.load


def load_small(name: str, options: DataOptions | None = None) -> Dataset:
    """200 painted digits in the place of any data set that has a name."""
    base = name.partition(":")[0]
    if base not in data.DATASETS:
        return _load(name, options)
    options = options or DataOptions()
    if base in WITH_A_BIAS:
        roles = {"label": options.label or "digit", "bias": options.bias or "paint"}
        options = DataOptions(**options.changed() | roles)
    return _load(DIGITS, options)


def prepare(folder: Path) -> None:
    """Photos of four cameras with labels, other photos, codes of three models with labels."""
    rng = np.random.default_rng(0)
    frame = write_desk(folder)
    frame = frame.assign(animal=frame.subject.map(["cat", "dog", "owl"].__getitem__), background=frame.camera)
    frame.to_csv(folder / "photos.csv", index=False)
    shutil.copytree(folder / "photos", folder / "other")
    frame[["path", "camera", "subject"]].to_csv(folder / "other.csv", index=False)
    (folder / "new").mkdir()
    for name in ("0001", "0002"):
        photo(99).save(folder / "new" / f"{name}.jpg")
    codes, labels = codes_and_labels()
    for name in ("codes", "a", "b", "c"):
        np.save(folder / f"{name}.npy", codes + 0.1 * rng.normal(size=codes.shape))
    labels.to_csv(folder / "labels.csv", index=False)


def codes_and_labels() -> tuple[np.ndarray, pd.DataFrame]:
    """60 codes, and what they were made of: a scanner, a tissue, a grade."""
    rng = np.random.default_rng(0)
    labels = pd.DataFrame({"scanner": np.arange(60) % 3, "tissue": np.arange(60) // 3 % 4, "grade": np.arange(60) % 2})
    return np.eye(4)[labels.tissue] + 0.1 * rng.normal(size=(60, 4)), labels
