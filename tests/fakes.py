"""Codes of 960 rows whose scores are known beforehand: four domains, two content factors, one real-valued target."""

import dataclasses

import numpy as np

from unbraid.tables import Codes, DataSpec

SIZES = {"domain": 4, "shape": 3, "pose": 5}


def perfect_codes() -> Codes:
    """A dimension per content factor and target, none for the domain; a constant keeps them apart at unit length."""
    rng = np.random.default_rng(0)
    grid = np.stack(np.meshgrid(*(np.arange(size) for size in SIZES.values()), indexing="ij"), axis=-1).reshape(-1, 3)
    rows = np.repeat(grid, 16, axis=0)  # (N, 3)
    age = rng.uniform(-1, 1, len(rows))
    z = np.stack([rows[:, 1] - 1, rows[:, 2] - 2, 0.3 * age, np.full(len(rows), 2.0)], axis=1)
    split = np.tile([0, 0, 0, 2], 4 * len(grid)).astype(np.uint8)
    spec = DataSpec(
        name="fake",
        image_shape=(0, 0, 0),
        num_train=int(np.sum(split == 0)),
        sizes=SIZES,
        factors=("domain", "shape", "pose"),
        targets=("age",),
        circular=frozenset({"pose"}),
        domain="domain",
        label="shape",
    )
    columns = {name: rows[:, place] for place, name in enumerate(SIZES)} | {"age": age.astype(np.float32)}
    return Codes(spec=spec, z=with_noise(z, 0.01), columns=columns, split=split)


def noise_codes() -> Codes:
    """Codes that know nothing."""
    codes = perfect_codes()
    return dataclasses.replace(codes, z=with_noise(np.zeros_like(codes.z), 1.0))


def duplicated_codes() -> Codes:
    """Everything twice: complete, but no factor has a dimension of its own."""
    codes = perfect_codes()
    return dataclasses.replace(codes, z=with_noise(np.tile(codes.z, 2), 0.01))


def leaky_codes() -> Codes:
    """The domain and nothing else."""
    codes = perfect_codes()
    return dataclasses.replace(codes, z=with_noise(3 * np.eye(4)[codes.columns["domain"]], 0.1))


def with_noise(z: np.ndarray, scale: float) -> np.ndarray:
    return (z + scale * np.random.default_rng(1).normal(size=z.shape)).astype(np.float32)
