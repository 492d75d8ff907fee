"""What each dimension of a code draws: one test image, decoded again and again with one number changed."""

from typing import Any

import numpy as np
import torch

from unbraid.encode import to_pixels, to_tensor
from unbraid.tables import Codes, Dataset
from unbraid.types import Decodes, Method, Posterior

_ROWS = 10
VALUES = np.linspace(-2.0, 2.0, 9, dtype=np.float32)  # standard deviations of the prior


def traversals(method: Method, dataset: Dataset, codes: Codes, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """``traversal_*``, where the method has a posterior and draws.

    - ``images`` (R, 1 + K, H, W, C): in each row the image as decoded, then dimension ``dim`` set to ``values``
    - ``dim``, ``kl`` (R): the dimensions with the largest mean KL first, in nats; ``values`` (K)
    """
    if not isinstance(method, Posterior) or not isinstance(method, Decodes) or codes.kl is None:
        return {}
    row = int(rng.choice(dataset.rows("test")))
    dims = np.argsort(-codes.kl, kind="stable")[:_ROWS]
    device = next(method.parameters()).device  # type: ignore[attr-defined]
    with torch.inference_mode():
        mean, _ = method.posterior(to_tensor(dataset.images[[row]], device))
        z = mean.expand(len(dims), 1 + len(VALUES), -1).clone()  # (R, 1 + K, D)
        for place, dim in enumerate(dims):
            z[place, 1:, dim] = torch.from_numpy(VALUES).to(device)
        drawn = method.decode(z.flatten(0, 1), _domain_of(dataset, row, z[..., 0].numel(), device))
    pixels = to_pixels(drawn)
    images = pixels.reshape(len(dims), 1 + len(VALUES), *pixels.shape[1:])
    return {
        "traversal_images": images,
        "traversal_dim": dims,
        "traversal_kl": codes.kl[dims],
        "traversal_values": VALUES,
    }


def _domain_of(dataset: Dataset, row: int, num: int, device: Any) -> torch.Tensor:
    """The image's own domain, for methods that draw in one."""
    name = dataset.spec.domain
    return torch.full((num,), 0 if name is None else int(dataset.columns[name][row]), device=device)
