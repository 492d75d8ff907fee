"""The images and initial weights of the published debiasing traces, made by formula."""

import torch


def published_images(ids):
    """Pixel (y, x, c) of image i is (31 i + 7 y + 13 x + 17 c) mod 256; in [0, 1], (N, 3, 28, 28)."""
    i = torch.tensor(list(ids))[:, None, None, None]
    c, y, x = (torch.arange(n) for n in (3, 28, 28))
    return ((31 * i + 7 * y[:, None] + 13 * x + 17 * c[:, None, None]) % 256).float() / 255


@torch.no_grad()
def published_fill(modules, shift):
    """The parameters of a network, as one sequence, from sines."""
    params = [param for module in modules for param in module.parameters()]
    for n, param in enumerate(params):
        j = torch.arange(param.numel(), dtype=torch.float64)
        if param.dim() == 2:
            values = torch.sin(0.7 * j + n + shift) * (6 / param.shape[1]) ** 0.5 * (200 if n == 0 else 1)
        else:
            values = 0.1 * torch.sin(j + n + shift)
        param.copy_(values.view_as(param))


class PlainStep:
    """One Adam step on the sum of the terms."""

    def __init__(self, model):
        (self.optimizer,) = model.optimizers().values()
        self.logs = []

    def __call__(self, optimizer, terms, *, log=None):
        self.optimizer.zero_grad()
        sum(terms.values()).backward()
        self.optimizer.step()
        self.logs.append({name: value.item() for name, value in (terms | (log or {})).items()})
