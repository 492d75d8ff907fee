"""CIFAR-10 and CIFAR-100: 60,000 photographs of 32 x 32 pixels, 50,000 for training and 10,000 for testing.

The label is the object. CIFAR-100 has a second column, the superclass; five classes belong to each. No domain is named.

CIFAR-10 is read from ``cifar-10-batches-bin``, ``cifar-10-batches-py``, ``cifar10_jpeg_all_60k.parquet`` (lossy) or a
folder ``cifar10`` of images; CIFAR-100 from ``cifar-100-binary`` or ``cifar-100-python``. The Python versions are
pickles, and torchvision would execute them; here they are read without.

Source
    Krizhevsky, Learning Multiple Layers of Features from Tiny Images, 2009.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from unbraid.data import cifar100_files, store
from unbraid.data.cifar10_files import CLASSES, NAMES, PAGE, Images, Labels, cifar10_files, read_cifar10
from unbraid.data.raw_files import find_raw
from unbraid.data.splits import TEST, TRAIN
from unbraid.tables import Dataset, DataSpec


def cifar10(*, raw: str | None = None) -> Dataset:
    """The original split.

    Raises:
        DataError: If a file is missing or damaged.
    """
    train, test = cifar10_files(find_raw("cifar10", NAMES, raw, PAGE))

    def build(folder: Path) -> None:
        images, label, num_train = read_cifar10(train, test)
        store.write(_dataset("cifar10", images, {"object": label}, {"object": CLASSES}, num_train), folder)

    return store.cached(
        "cifar10", {}, [*dict.fromkeys([*train, *test]), *store.code("cifar.py", "cifar10_files.py")], build
    )


def cifar100(*, raw: str | None = None) -> Dataset:
    """The original split.

    Raises:
        DataError: If a file is missing or damaged.
    """
    files = cifar100_files.cifar100_files(find_raw("cifar100", cifar100_files.NAMES, raw, PAGE))

    def build(folder: Path) -> None:
        images, label, superclass, num_train = cifar100_files.read_cifar100(files)
        columns = {"object": label, "superclass": superclass}
        values = {"object": cifar100_files.CLASSES, "superclass": tuple(cifar100_files.SUPERCLASSES)}
        store.write(_dataset("cifar100", images, columns, values, num_train), folder)

    return store.cached(
        "cifar100", {}, [*files, *store.code("cifar.py", "cifar10_files.py", "cifar100_files.py")], build
    )


def _dataset(
    name: str, images: Images, columns: Mapping[str, Labels], values: Mapping[str, tuple[str, ...]], num_train: int
) -> Dataset:
    spec = DataSpec(
        name=name,
        image_shape=(3, 32, 32),
        num_train=num_train,
        sizes={column: len(names) for column, names in values.items()},
        values=values,
        factors=tuple(values),
        label="object",
    )
    split = np.repeat(np.array([TRAIN, TEST], dtype=np.uint8), [num_train, len(images) - num_train])
    return Dataset(spec=spec, images=images, columns=columns, split=split)
