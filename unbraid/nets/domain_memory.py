"""What a domain looks like, for methods that infer it from images and must draw one by its number."""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn


class DomainMemory(nn.Module):
    """The mean vector of each domain in the last batch that held it; zeros before the first."""

    def __init__(self, num_domains: int, dim: int) -> None:
        super().__init__()
        self.vectors = nn.Buffer(torch.zeros(num_domains, dim))

    def forward(self, domain: Int[Tensor, " b"]) -> Float[Tensor, "b e"]:
        return self.vectors[domain]

    @torch.no_grad()
    def store(self, vectors: Float[Tensor, "b e"], domain: Int[Tensor, " b"]) -> None:
        """Remember these. No number of domains is asked of the device, so the host does not wait."""
        sums = torch.zeros_like(self.vectors).index_add_(0, domain, vectors)
        counts = torch.zeros_like(self.vectors[:, 0]).index_add_(0, domain, torch.ones_like(vectors[:, 0]))
        counts = counts[:, None]
        self.vectors.copy_(torch.where(counts > 0, sums / counts.clamp(min=1), self.vectors))
