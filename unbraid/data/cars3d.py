"""Cars3D: 183 car models rendered from 24 azimuths and 4 elevations (Reed et al. 2015). Domain: the car.

Read from the original folder ``cars`` of 183 .mat files: ``im``, uint8, axes (row 128, column 128, rgb, azimuth 24,
elevation 4). The factor is the pose, elevation * 24 + azimuth, which the published files call `contents`; azimuth and
elevation are columns of their own. Rows stand in the published order: elevation, azimuth, and fastest the car. Cars are
numbered by file name, where the published preparation takes the order in which the disk lists them. A tenth of the
images, in equal shares per car, is the test split; with ``seed=2`` it is the published one (15,811 / 1,757).

Source
    Reed, Zhang, Zhang & Lee, NeurIPS 2015, of models by Fidler, Dickinson & Urtasun, NeurIPS 2012; no licence is named.
    Size, order and split: Kahana & Hoshen, ECCV 2022, arXiv:2203.11284, and its published data preparation.
"""

from pathlib import Path

import numpy as np
from jaxtyping import Int64, UInt8
from PIL import Image

from unbraid.data import store
from unbraid.data.raw_files import find_raw
from unbraid.data.splits import TEST, TRAIN
from unbraid.errors import DataError, UserError
from unbraid.tables import Dataset, DataSpec

NAMES = ("cars", "data/cars")  # the archive unpacks to data/cars
PAGE = "http://www.scottreed.info (deep visual analogy-making, nips2015-analogy-data.tar.gz)"
CARS, ELEVATIONS, AZIMUTHS = 183, 4, 24
_SHAPE = (128, 128, 3, AZIMUTHS, ELEVATIONS)


def cars3d(*, size: int = 64, cars: int = CARS, seed: int = 2, raw: str | None = None) -> Dataset:
    """The first ``cars`` cars, ``size`` pixels square. ``seed`` decides on the split.

    Raises:
        DataError: If the files are missing, incomplete or damaged.
    """
    if not (2 <= cars <= CARS and size >= 8):
        raise UserError(f"cars3d: cars={cars} must be 2 to {CARS} and size={size} at least 8")
    path = find_raw("cars3d", NAMES, raw, PAGE)
    files = sorted(path.glob("*.mat"))
    if not cars <= len(files) <= CARS:
        raise DataError(f"{path} holds {len(files)} .mat files, expected {CARS}; get it again from {PAGE}")
    files = files[:cars]

    def build(folder: Path) -> None:
        images = np.empty((ELEVATIONS, AZIMUTHS, cars, size, size, 3), dtype=np.uint8)
        for car, file in enumerate(files):
            images[:, :, car] = _read_car(file, size)
        store.write(_dataset(images.reshape(-1, size, size, 3), [file.stem for file in files], seed), folder)

    return store.cached("cars3d", {"size": size, "cars": cars, "seed": seed}, [*files, Path(__file__)], build)


def published_split(car: Int64[np.ndarray, " n"], seed: int = 2) -> UInt8[np.ndarray, " n"]:
    """scikit-learn's stratified tenth, as published, of rows in the published order."""
    from sklearn.model_selection import train_test_split

    rows = train_test_split(np.arange(len(car)), stratify=car, test_size=0.1, random_state=seed)[1]
    split = np.full(len(car), TRAIN, dtype=np.uint8)
    split[rows] = TEST
    return split


def _dataset(images: UInt8[np.ndarray, "n h w 3"], names: list[str], seed: int) -> Dataset:
    elevation, azimuth, car = np.indices((ELEVATIONS, AZIMUTHS, len(names))).reshape(3, -1)
    columns = {"car": car, "pose": elevation * AZIMUTHS + azimuth, "azimuth": azimuth, "elevation": elevation}
    degrees = [str(number * 360 // AZIMUTHS) for number in range(AZIMUTHS)]
    values = {
        "car": tuple(names),
        "pose": tuple(f"elevation {number}, {angle} deg" for number in range(ELEVATIONS) for angle in degrees),
        "azimuth": tuple(degrees),
        "elevation": tuple(map(str, range(ELEVATIONS))),
    }
    split = published_split(car, seed)
    spec = DataSpec(
        name="cars3d",
        image_shape=(3, *images.shape[1:3]),
        num_train=int(np.sum(split == TRAIN)),
        sizes={name: len(names) for name, names in values.items()},
        values=values,
        factors=("car", "pose"),
        circular=frozenset({"azimuth"}),  # holds where azimuth is made a factor
        domain="car",
    )
    return Dataset(spec=spec, images=images, columns=columns, split=split)


def _read_car(file: Path, size: int) -> UInt8[np.ndarray, "elevation azimuth h w 3"]:
    from scipy.io import loadmat

    try:
        mesh = loadmat(file, variable_names=["im"]).get("im")
    except Exception as error:  # scipy raises almost anything on a damaged file
        raise DataError(f"cannot read {file} ({error}); get it again from {PAGE}") from None
    if mesh is None or mesh.shape != _SHAPE or mesh.dtype != np.uint8:
        found = "none" if mesh is None else f"{mesh.dtype} {mesh.shape}"
        raise DataError(f"{file} is no file of Cars3D: expected im of uint8 {_SHAPE}, found {found}; see {PAGE}")
    images = np.empty((ELEVATIONS, AZIMUTHS, size, size, 3), dtype=np.uint8)
    for elevation, azimuth in np.ndindex(ELEVATIONS, AZIMUTHS):
        photo = Image.fromarray(mesh[..., azimuth, elevation])
        images[elevation, azimuth] = np.asarray(photo.resize((size, size), Image.Resampling.LANCZOS))
    return images
