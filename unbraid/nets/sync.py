"""Batch normalisation over the rows of all processes, on a CPU too (torch's own needs a GPU)."""

from typing import TypeVar, cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

from unbraid.processes import num_processes, total

Model = TypeVar("Model", bound=nn.Module)


class SyncBatchNorm(nn.modules.batchnorm._BatchNorm):
    """Statistics over every process's rows, so that several processes equal one on the same global batch."""

    def _check_input_dim(self, input: Tensor) -> None:
        """Vectors and maps alike."""

    def forward(self, x: Float[Tensor, "b c *hw"]) -> Float[Tensor, "b c *hw"]:
        if not self.training:
            return super().forward(x)
        channels, wide = x.size(1), x.float()
        axes, maps = (0, *range(2, x.ndim)), (-1, *(1,) * (x.ndim - 2))  # what is summed; a channel's place in x
        rows = wide.new_tensor([x.numel() / channels])
        sums, num = total(torch.cat([wide.sum(axes), rows])).split([channels, 1])
        mean = sums / num
        var = total((wide - mean.view(maps)).square().sum(axes)) / num
        with torch.no_grad():
            self.num_batches_tracked.add_(1)  # type: ignore[union-attr]
            self.running_mean.lerp_(mean, self.momentum)  # type: ignore[union-attr, arg-type]
            self.running_var.lerp_(var * num / (num - 1), self.momentum)  # type: ignore[union-attr, arg-type]
        scale = torch.rsqrt(var + self.eps)
        if not self.affine:
            return x * scale.view(maps) - (mean * scale).view(maps)
        scale = self.weight * scale
        return x * scale.view(maps) + (self.bias - mean * scale).view(maps)


def sync_batch_norm(module: Model) -> Model:
    """Replace every batch normalisation below ``module`` when there are several processes; nothing otherwise."""
    if num_processes() == 1:
        return module
    if next(module.parameters()).device.type != "cpu":
        return cast(Model, nn.SyncBatchNorm.convert_sync_batchnorm(module))
    for parent in list(module.modules()):
        for name, child in parent.named_children():
            if isinstance(child, nn.BatchNorm1d | nn.BatchNorm2d):
                synced = SyncBatchNorm(child.num_features, child.eps, child.momentum, child.affine)
                synced.load_state_dict(child.state_dict())
                setattr(parent, name, synced)
    return module
