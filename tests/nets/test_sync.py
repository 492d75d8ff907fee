"""Batch normalisation across processes, here as one process: what torch's own layers give."""

import pytest
import torch
from torch import nn

from unbraid.nets.sync import SyncBatchNorm


@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize(("layer", "shape"), [(nn.BatchNorm1d, (6, 5)), (nn.BatchNorm2d, (6, 5, 4, 3))])
def test_one_process_normalises_as_torch_does(layer, shape, affine):
    torch.manual_seed(0)
    theirs = layer(5, affine=affine)
    if affine:
        nn.init.normal_(theirs.weight)
        nn.init.normal_(theirs.bias)
    ours = SyncBatchNorm(5, affine=affine)
    ours.load_state_dict(theirs.state_dict())
    x = torch.randn(shape, requires_grad=True)
    outs, grads = [], []
    for module in (ours, theirs):
        outs.append(module(x))
        (grad,) = torch.autograd.grad(outs[-1].pow(3).sum(), x)
        grads.append(grad)
    torch.testing.assert_close(*outs)
    torch.testing.assert_close(*grads, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(ours.state_dict(), theirs.state_dict())
    torch.testing.assert_close(ours.eval()(x), theirs.eval()(x))
