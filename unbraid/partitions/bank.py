"""The partitions that were found, as part of a checkpoint."""

from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor, nn

from unbraid.types import Partitions


class PartitionBank(nn.Module):
    """Up to ``capacity`` partitions of N images into at most 256 environments; when it is full the oldest goes."""

    def __init__(self, capacity: int, num_images: int, num_environments: int) -> None:
        super().__init__()
        self.num_environments = num_environments  # of each, also where one of them has no image
        self.environments = nn.Buffer(torch.zeros(capacity, num_images, dtype=torch.uint8))
        self.epochs = nn.Buffer(torch.full((capacity,), -1))  # before which each was found
        self.values = nn.Buffer(torch.zeros(capacity))  # of the objective
        self.held = 0

    def get_extra_state(self) -> Tensor:
        return torch.tensor(self.held)

    def set_extra_state(self, state: Tensor) -> None:
        self.held = min(int(state), len(self.epochs))

    def _load_from_state_dict(self, state_dict: dict[str, Tensor], prefix: str, *rest: Any) -> None:
        """Of a bank of another capacity, too: of a training with more searches, or fewer. The newest are kept."""
        for name, buffer in self.named_buffers():
            saved = state_dict[prefix + name][: int(state_dict[f"{prefix}_extra_state"])][-len(buffer) :]
            if saved.shape[1:] == buffer.shape[1:]:  # else it is of other images: the error says so
                state_dict[prefix + name] = torch.cat([saved, buffer[len(saved) :].to(saved)])
        super()._load_from_state_dict(state_dict, prefix, *rest)

    def __len__(self) -> int:
        return self.held

    @property
    def filled(self) -> Partitions:
        """Oldest first."""
        environments, epochs, values = (part[: self.held] for part in (self.environments, self.epochs, self.values))
        return Partitions(environments, self.num_environments, epochs, values)

    def add(self, environments: Int[Tensor, " n"], epoch: int, value: float) -> None:
        if self.held == len(self.epochs):
            for buffer in (self.environments, self.epochs, self.values):
                buffer.copy_(buffer.roll(-1, 0))
            self.held -= 1
        self.environments[self.held] = environments.to(torch.uint8)
        self.epochs[self.held], self.values[self.held] = epoch, value
        self.held += 1
