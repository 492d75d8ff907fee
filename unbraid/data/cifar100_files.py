"""CIFAR-100's files: ``train`` and ``test``, in the binary version or as Python's pickles, which are never executed."""

from pathlib import Path

import numpy as np

from unbraid.data.cifar10_files import PAGE, Images, Labels, as_images, read_pickle, read_rows
from unbraid.errors import DataError

NAMES = ("cifar-100-binary", "cifar-100-python")

# In the order of the file's coarse labels, each with its five classes.
SUPERCLASSES = {
    "aquatic mammals": ("beaver", "dolphin", "otter", "seal", "whale"),
    "fish": ("aquarium fish", "flatfish", "ray", "shark", "trout"),
    "flowers": ("orchid", "poppy", "rose", "sunflower", "tulip"),
    "food containers": ("bottle", "bowl", "can", "cup", "plate"),
    "fruit and vegetables": ("apple", "mushroom", "orange", "pear", "sweet pepper"),
    "household electrical devices": ("clock", "keyboard", "lamp", "telephone", "television"),
    "household furniture": ("bed", "chair", "couch", "table", "wardrobe"),
    "insects": ("bee", "beetle", "butterfly", "caterpillar", "cockroach"),
    "large carnivores": ("bear", "leopard", "lion", "tiger", "wolf"),
    "large man-made outdoor things": ("bridge", "castle", "house", "road", "skyscraper"),
    "large natural outdoor scenes": ("cloud", "forest", "mountain", "plain", "sea"),
    "large omnivores and herbivores": ("camel", "cattle", "chimpanzee", "elephant", "kangaroo"),
    "medium-sized mammals": ("fox", "porcupine", "possum", "raccoon", "skunk"),
    "non-insect invertebrates": ("crab", "lobster", "snail", "spider", "worm"),
    "people": ("baby", "boy", "girl", "man", "woman"),
    "reptiles": ("crocodile", "dinosaur", "lizard", "snake", "turtle"),
    "small mammals": ("hamster", "mouse", "rabbit", "shrew", "squirrel"),
    "trees": ("maple tree", "oak tree", "palm tree", "pine tree", "willow tree"),
    "vehicles 1": ("bicycle", "bus", "motorcycle", "pickup truck", "train"),
    "vehicles 2": ("lawn mower", "rocket", "streetcar", "tank", "tractor"),
}
CLASSES = tuple(sorted(name for names in SUPERCLASSES.values() for name in names))
_SUPERCLASS_OF = np.array([[name in names for names in SUPERCLASSES.values()].index(True) for name in CLASSES])


def cifar100_files(found: Path) -> list[Path]:
    """The file for training and that for testing. Raises: DataError if one is missing."""
    suffix = ".bin" if (found / "train.bin").is_file() or (found / "test.bin").is_file() else ""
    files = [found / f"{part}{suffix}" for part in ("train", "test")]
    if missing := [file.name for file in files if not file.is_file()]:
        raise DataError(f"{found} lacks {', '.join(missing)}; get it from {PAGE}")
    return files


def read_cifar100(files: list[Path]) -> tuple[Images, Labels, Labels, int]:
    """Images, classes and superclasses, those for training first, and how many are for training.

    Raises:
        DataError: If a file is damaged or another one.
    """
    parts = [_read(file) for file in files]
    images, classes, superclasses = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    return images, classes, superclasses, len(parts[0][0])


def _read(path: Path) -> tuple[Images, Labels, Labels]:
    if path.suffix == ".bin":
        labels, data = read_rows(path, 2)
        coarse, fine = labels.T
    else:
        batch = read_pickle(path, ("data", "fine_labels", "coarse_labels"))
        data, fine, coarse = batch["data"], np.array(batch["fine_labels"]), np.array(batch["coarse_labels"])
    images, classes = as_images(path, data, fine, len(CLASSES))
    if not np.array_equal(_SUPERCLASS_OF[classes], coarse):
        raise DataError(f"{path}: a class is not in the superclass that it belongs to; get it again from {PAGE}")
    return images, classes, coarse.astype(np.int64)
