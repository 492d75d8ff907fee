"""Batch normalisation over the rows of all processes, on a CPU too (torch's own needs a GPU)."""

from typing import TypeVar, cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

from unbraid.processes import num_processes, total

Model = TypeVar("Model", bound=nn.Module)


class SyncBatchNorm(nn.BatchNorm2d):
    """Statistics over every process's rows, so that several processes equal one on the same global batch."""

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        if not self.training:
            return super().forward(x)
        channels, wide = x.size(1), x.float()
        rows = wide.new_tensor([x.numel() / channels])
        sums, num = total(torch.cat([wide.sum((0, 2, 3)), rows])).split([channels, 1])
        mean = sums / num
        var = total((wide - mean[:, None, None]).square().sum((0, 2, 3))) / num
        with torch.no_grad():
            self.num_batches_tracked.add_(1)  # type: ignore[union-attr]
            self.running_mean.lerp_(mean, self.momentum)  # type: ignore[union-attr, arg-type]
            self.running_var.lerp_(var * num / (num - 1), self.momentum)  # type: ignore[union-attr, arg-type]
        scale = self.weight * torch.rsqrt(var + self.eps)
        return x * scale[:, None, None] + (self.bias - mean * scale)[:, None, None]


def sync_batch_norm(module: Model) -> Model:
    """Replace every BatchNorm2d below ``module`` when there are several processes; nothing otherwise."""
    if num_processes() == 1:
        return module
    if next(module.parameters()).device.type != "cpu":
        return cast(Model, nn.SyncBatchNorm.convert_sync_batchnorm(module))
    for parent in list(module.modules()):
        for name, child in parent.named_children():
            if type(child) is nn.BatchNorm2d:
                synced = SyncBatchNorm(child.num_features, child.eps, child.momentum)
                synced.load_state_dict(child.state_dict())
                setattr(parent, name, synced)
    return module
