"""One view's projection is predicted from the other's, and nothing is repelled: SimSiam."""

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor


def simsiam(
    predicted1: Float[Tensor, "b d"],
    predicted2: Float[Tensor, "b d"],
    z1: Float[Tensor, "b d"],
    z2: Float[Tensor, "b d"],
) -> Float[Tensor, " b"]:
    """Minus the cosine similarity of what is predicted from each view and the other view's projection, of each row.

    The projections get no gradient. -1 where all agree, 1 at the worst.

    Source: Chen & He 2021, arXiv:2011.10566, equations 1 to 4.
    """
    there, back = F.cosine_similarity(predicted1, z2.detach()), F.cosine_similarity(predicted2, z1.detach())
    return -(there + back) / 2
