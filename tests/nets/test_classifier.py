"""Feature extractors: what a pixel becomes, grey images, published features, and unknown names."""

import math

import pytest
import torch
from torch import nn

from unbraid.errors import UserError
from unbraid.nets.classifier import feature_extractor


def test_the_mlp_divides_its_pixels_and_ends_in_a_relu():
    torch.manual_seed(0)
    network, width = feature_extractor("mlp", (3, 4, 5))
    x = torch.rand(6, 3, 4, 5)
    h = x.flatten(1) / 255
    for layer in (one for one in network.modules() if isinstance(one, nn.Linear)):
        h = (h @ layer.weight.T + layer.bias).clamp_min(0)
    torch.testing.assert_close(network(x), h)
    torch.testing.assert_close(network(x.contiguous(memory_format=torch.channels_last)), h)
    assert h.shape == (6, width)
    with pytest.raises(UserError, match="the views are of 2 x 2 pixels, the images of 4 x 5; choose another"):
        network(torch.rand(2, 3, 2, 2))
    unit, _ = feature_extractor("mlp", (3, 4, 5), unit_pixels=True)
    unit.load_state_dict(network.state_dict())
    torch.testing.assert_close(unit(x / 255), h)


def test_convolutional_networks_see_normalised_pixels():
    torch.manual_seed(0)
    network, width = feature_extractor("tiny", (3, 8, 8))
    x = torch.rand(2, 3, 8, 8)
    mean, std = (0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)
    normal = torch.stack([(x[:, c] - mean[c]) / std[c] for c in range(3)], dim=1)
    torch.testing.assert_close(network(x), network.encoder(normal))
    assert network(x).shape == (2, width)
    grey = x[:, :1]
    torch.testing.assert_close(network(grey), network(grey.expand(-1, 3, -1, -1)))
    assert not any("mean" in name for name in network.state_dict() if "encoder" not in name)


@torch.no_grad()
def test_published_features_of_resnet18():  # G9
    k = torch.arange(4 * 3 * 32 * 32, dtype=torch.float64)
    x = torch.sin(0.05 * k).view(4, 3, 32, 32).float()
    sums = [[622.0936, 515.0858, 377.7336, 362.0251], [235.3635, 602.1261, 370.2113, 300.1951]]
    for shift, want in enumerate(sums):
        network, width = feature_extractor("resnet18", (3, 32, 32))
        for n, (name, param) in enumerate(network.named_parameters()):
            if param.dim() > 1:
                j = torch.arange(param.numel(), dtype=torch.float64)
                scale = math.sqrt(2 / param[0].numel())
                param.copy_((torch.sin(0.7 * j + n + shift) * scale).view_as(param))
            else:
                assert param.unique().item() == (1 if name.endswith("weight") else 0)  # batch normalisation
        z = network.encoder.train()(x)
        assert z.shape == (4, width)
        torch.testing.assert_close(z.sum(1), torch.tensor(want), rtol=1e-3, atol=0)
        if shift == 0:
            torch.testing.assert_close(z[0, :4], torch.tensor([1.955967, 0, 0, 2.902826]), rtol=1e-3, atol=1e-5)


def test_an_unknown_name_is_refused():
    with pytest.raises(UserError, match="unknown backbone 'resnet81'"):
        feature_extractor("resnet81", (3, 8, 8))
