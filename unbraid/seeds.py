"""One seed, many independent streams, each with a name: adding one never changes another."""

import hashlib

import numpy as np

MOST_SEED = 2**32 - 1  # that NumPy's older generator takes


def _entropy(seed: int, name: tuple[str | int, ...]) -> np.random.SeedSequence:
    digest = hashlib.sha256("/".join(map(str, name)).encode()).digest()
    return np.random.SeedSequence([seed, *np.frombuffer(digest[:16], dtype=np.uint32).tolist()])


def stream(seed: int, *name: str | int) -> np.random.Generator:
    """The NumPy generator of that name, for example ``stream(0, "sampler")`` or ``stream(0, "probe", "azimuth")``."""
    return np.random.default_rng(_entropy(seed, name))


def integer(seed: int, *name: str | int) -> int:
    """A number below 2**63 for libraries that take a seed: ``torch.manual_seed(integer(0, "views", step))``."""
    return int(_entropy(seed, name).generate_state(1, dtype=np.uint64)[0] >> np.uint64(1))
