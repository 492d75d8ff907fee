"""Total correlation of the aggregate posterior: from one batch's Gaussians, or from a discriminator."""

import math
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

Estimator = Literal["mws", "mss"]


class Decomposition(NamedTuple):
    """The KL of each image's posterior to the prior in three parts, in nats; they add up to ln q(z|x) - ln p(z)."""

    mutual_information: Float[Tensor, " b"]  # ln q(z|x) - ln q(z)
    total_correlation: Float[Tensor, " b"]  # ln q(z) - ln prod_k q(z_k)
    dimension_wise: Float[Tensor, " b"]  # ln prod_k q(z_k) - ln p(z)


def decompose(
    z: Float[Tensor, "b d"],
    mean: Float[Tensor, "b d"],
    log_var: Float[Tensor, "b d"],
    num_data: int,
    *,
    estimator: Estimator = "mws",
    published: bool = False,
) -> Decomposition:
    """Estimates of the three parts at samples ``z`` of the posteriors of a batch.

    Minibatch-weighted sampling ("mws") divides sums over the batch by b num_data and is biased. disentanglement_lib
    leaves that constant out, so its total correlation is lower by (d - 1) ln(b num_data), at the same gradients.
    Minibatch-stratified sampling ("mss") estimates q(z) without bias.

    Args:
        num_data: Images in the training set.
        published: Of "mss", the weights of the published code; see ``stratified_log_weights``.

    Source: Chen et al. 2018, arXiv:1802.04942, equations 2 and 5, and appendix C.
    """
    pairs = gaussian_log_density(z[:, None], mean, log_var)  # (B, B, D): z of row i under the posterior of row j
    log_q = pairs.diagonal().sum(0)
    log_p = gaussian_log_density(z, torch.zeros_like(z), torch.zeros_like(z)).sum(1)
    if estimator == "mws":
        constant = math.log(len(z) * num_data)
        log_qz = pairs.sum(2).logsumexp(1) - constant
        log_product = (pairs.logsumexp(1) - constant).sum(1)
    else:
        weights = stratified_log_weights(len(z), num_data, published=published).to(z)
        log_qz = (pairs.sum(2) + weights).logsumexp(1)
        log_product = (pairs + weights[..., None]).logsumexp(1).sum(1)
    return Decomposition(log_q - log_qz, log_qz - log_product, log_product - log_p)


def gaussian_log_density(
    z: Float[Tensor, "*#b d"], mean: Float[Tensor, "*#b d"], log_var: Float[Tensor, "*#b d"]
) -> Float[Tensor, "*b d"]:
    """ln N(z; mean, exp(log_var)) of each dimension."""
    scaled = (z - mean) * (-0.5 * log_var).exp()
    return -0.5 * scaled.square() - 0.5 * (log_var + math.log(2 * math.pi))


def stratified_log_weights(batch: int, num_data: int, *, published: bool = False) -> Float[Tensor, "b b"]:
    """Logarithm of the weight of posterior j in the estimate of q(z_i); each row of weights sums to 1.

    Row i's own posterior stands for one image of ``num_data``, the batch's other m for all the rest.

    Args:
        published: Wrong weights, which the published code takes over from that of Chen et al.: the first column holds
            what belongs on the diagonal, and the second what belongs beside it, so no row sums to 1.

    Source: Chen et al. 2018, arXiv:1802.04942, appendix C.2.
    """
    m = batch - 1
    rest = (num_data - m) / (num_data * m)
    weights = torch.full((batch, batch), 1 / m, dtype=torch.float64)
    rows = torch.arange(batch)
    if published:
        weights[:, 0], weights[:, 1] = 1 / num_data, rest
        weights[m - 1, 0] = rest
    else:
        weights[rows, (rows + 1) % batch] = rest
        weights[rows, rows] = 1 / num_data
    return weights.log()


def permute_dims(z: Float[Tensor, "b d"]) -> Float[Tensor, "b d"]:
    """Each dimension's rows in an order of its own: samples of prod_k q(z_k). Source: Kim & Mnih 2018, algorithm 1."""
    return z.gather(0, torch.rand_like(z).argsort(0))


def density_ratio(logits: Float[Tensor, "b 2"]) -> Float[Tensor, ""]:
    """Total correlation: the mean of ln D(z) - ln(1 - D(z)), D being the probability that z has not been permuted.

    Source: Kim & Mnih 2018, arXiv:1802.05983, equation 3.
    """
    return (logits[:, 0] - logits[:, 1]).mean()


def permutation_loss(logits: Float[Tensor, "b 2"], permuted: Float[Tensor, "b 2"]) -> Float[Tensor, ""]:
    """Cross-entropy of the discriminator: class 0 is as encoded, class 1 permuted. Source: Kim & Mnih 2018, alg. 2."""
    return -0.5 * (F.log_softmax(logits, 1)[:, 0].mean() + F.log_softmax(permuted, 1)[:, 1].mean())
