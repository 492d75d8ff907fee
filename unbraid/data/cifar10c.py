"""Corrupted CIFAR-10: each class has a corruption that nearly all its images suffer. Bias and domain: the corruption.

Read from ``cifar-10-batches-bin``, ``cifar-10-batches-py``, ``cifar10_jpeg_all_60k.parquet`` (columns split, label,
image: the bytes of a file; that one is lossy) or a folder ``cifar10`` with ``train/<class>`` and ``test/<class>``.

The label is the object. A share 1 - bias of the images conflicts: another corruption, each of the other nine equally
likely; at bias 0.995, 0.99, 0.98 and 0.95 the share is that of the published sets (228 of 45,060, 442 of 44,969, 887 of
45,032, 2,242 of 45,062; here of 45,000). A tenth of the training images, 5,000 at random, is the validation split, as
biased as the train split; the test images suffer every corruption equally often. Which images conflict is not
published: here the seed decides. The corruptions stand in ``corruptions``; the published sets have severity 5.

Source
    Lee, Kim et al., NeurIPS 2021, arXiv:2107.01372; Nam et al., NeurIPS 2020, arXiv:2007.02561.
    CIFAR-10: Krizhevsky 2009.
"""

from pathlib import Path

import numpy as np

from unbraid.data import store
from unbraid.data.biased import assign_bias, biased_spec, hold_out, published_share
from unbraid.data.cifar10_files import CLASSES, NAMES, PAGE, cifar10_files, read_cifar10
from unbraid.data.corruptions import CORRUPTIONS, FROST, Bytes, Frosts, corrupt, drawn_frosts, read_frosts
from unbraid.data.raw_files import find_raw
from unbraid.errors import UserError
from unbraid.seeds import stream
from unbraid.tables import Dataset

PUBLISHED = {0.995: 228 / 45_060, 0.99: 442 / 44_969, 0.98: 887 / 45_032, 0.95: 2_242 / 45_062}
_VALIDATION = 1 / 10
_CHUNK = 512


def cifar10c(
    *, bias: float = 0.95, severity: int = 5, frost: str | None = None, seed: int = 0, raw: str | None = None
) -> Dataset:
    """All of CIFAR-10, corrupted.

    Args:
        frost: Folder with the protocol's five photographs of frost; without it drawn ice stands in for them.

    Raises:
        UserError: If a parameter is out of range.
        DataError: If a file is missing or damaged.
    """
    if not (0 <= bias <= 1 and severity in (4, 5)):
        raise UserError(f"cifar10c: bias={bias} must be 0 to 1 and severity={severity} 4 or 5")
    train, test = cifar10_files(find_raw("cifar10c", NAMES, raw, PAGE))
    photographs = [] if frost is None else [Path(frost).expanduser() / name for name in FROST]
    frosts = read_frosts(photographs[0].parent) if photographs else drawn_frosts()

    def build(folder: Path) -> None:
        images, label, num_train = read_cifar10(train, test)
        split = hold_out(num_train, len(images) - num_train, fraction=_VALIDATION, seed=seed, name="cifar10c")
        share = published_share(bias, PUBLISHED, 1.0)
        corruption = assign_bias(label, split, share=share, num_values=10, seed=seed, name="cifar10c")
        values = {"object": CLASSES, "corruption": tuple(CORRUPTIONS)}
        spec = biased_spec("cifar10c", (3, 32, 32), split, values)
        for number, name in enumerate(CORRUPTIONS):
            rows = np.flatnonzero(corruption == number)
            images[rows] = _corrupt_all(images[rows], name, severity, frosts, seed)
        columns = {"object": label, "corruption": corruption}
        store.write(Dataset(spec=spec, images=images, columns=columns, split=split), folder)

    sources = [
        *dict.fromkeys([*train, *test]),
        *photographs,
        *store.code("cifar10c.py", "cifar10_files.py", "corruptions.py", "biased.py"),
    ]
    return store.cached("cifar10c", {"bias": bias, "severity": severity, "seed": seed}, sources, build)


def _corrupt_all(images: Bytes, name: str, severity: int, frosts: Frosts, seed: int) -> Bytes:
    rng = stream(seed, "cifar10c", name)
    starts = range(0, len(images), _CHUNK)
    pieces = [corrupt(images[start : start + _CHUNK], name, severity, rng, frosts=frosts) for start in starts]
    return np.concatenate(pieces) if pieces else images
