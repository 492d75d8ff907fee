"""Networks against the outputs of the published ones under the same formula weights."""

import math

import pytest
import torch
import torch.nn.functional as F
from formulas import fill_hashed, hashed, sine
from torchvision.models import vgg16

from unbraid.nets import AdaINDecoder, backbone
from unbraid.nets.adain import Modulation, adain
from unbraid.nets.perceptual import PerceptualDistance


def near(values, rel=1e-4):
    return pytest.approx(values, rel=rel, abs=1e-5)


def count(model):
    return sum(param.numel() for param in model.parameters())


def test_adain():  # A1
    y = adain(sine((2, 3, 4, 4), 0.37, 0.05), scale=sine((2, 3), 0.5, 1.0), bias=sine((2, 3), 0.8, -0.3))
    assert y[0, 0, 0].tolist() == near([-0.2596426308, 0.1561032385, 0.5077195168, 0.7476165891])
    assert y[1, 2, 3].tolist() == near([-0.7308803201, -0.5527427793, -0.3679610193, -0.2015443593])
    assert y.sum().item() == near(27.5213776)
    assert y.square().sum().item() == near(85.7549667)


def test_modulation_is_interleaved():  # A2
    modulation = Modulation(6, num_layers=2, width=3)
    for k, layer in enumerate(modulation.layers):
        layer.weight.data.copy_(sine((6, 6), 0.21, 0.3 + k))
        layer.bias.data.copy_(sine((6,), 0.4, -0.2 * k))
    styles = modulation(sine((2, 6), 0.6, 0.2))
    assert styles[1][0, :, 0].tolist() == near([2.9272460938, -2.3295960426, 2.5652883053])
    assert styles[1][0, :, 1].tolist() == near([0.5774532557, -1.3075270653, 4.0891284943])


@torch.no_grad()
def test_decoder():  # N1
    decoder = AdaINDecoder(128, 256, (3, 64, 64))
    drawn = [param for name, param in decoder.named_parameters() if not name.startswith("modulation.")]
    for k, param in enumerate(drawn):
        fan = math.prod(param.shape[1:]) if param.dim() > 1 else param.numel()
        param.copy_(sine(tuple(param.shape), 0.013 + 0.001 * (k % 7), 0.1 * k) / math.sqrt(fan))
    styles = list(sine((2, 4, 256, 2), 0.11, 0.2).unbind(1))
    image = decoder.draw(F.normalize(sine((2, 128), 0.3, 0.1), dim=-1), styles)
    assert image.mean().item() == near(0.6705847663)
    assert image.std().item() == near(0.1279303482)
    assert image[0, 0, 10, 10:14].tolist() == near([0.7435472012, 0.7393200397, 0.733872056, 0.7286236286])
    assert image[1, 2, 63, 60:64].tolist() == near([0.8379598856, 0.8166150451, 0.7923609614, 0.7642281651])


@pytest.mark.parametrize(
    ("head", "eval_z", "train_z"),
    [
        (
            False,
            [-0.2579814196, -0.1176118925, -0.3804381192, -0.5615018606],
            [0.0347813368, -1.8307645321, -0.9839581251, -0.4196350574],
        ),
        (
            True,
            [0.1194082722, 0.1064359918, -0.1063317508, -0.4137167335],
            [-0.2388050407, 0.709969461, -0.4165233374, -0.5216405392],
        ),
    ],
)
@torch.no_grad()
def test_encoder(head, eval_z, train_z):  # N2
    encoder = backbone("resnet50", out_dim=128, head=head)
    fill_hashed(encoder, gain=3)
    x = (hashed((4, 3, 64, 64), 7) + 1) / 2
    z = encoder.eval()(x)
    assert z[0, :4].tolist() == near(eval_z)
    if not head:
        assert z.norm(dim=1).tolist() == near([6.4829330, 6.2692466, 6.2210717, 6.2893920])
    # Batch statistics of four images amplify rounding, hence the wider tolerance.
    assert encoder.train()(x)[0, :4].tolist() == pytest.approx(train_z, rel=2e-3)


@torch.no_grad()
def test_grey_is_the_image_three_times():  # N3
    encoder = backbone("tiny", out_dim=8).eval()
    x = (hashed((2, 1, 32, 32), 3) + 1) / 2
    assert torch.equal(encoder(x), encoder(x.repeat(1, 3, 1, 1)))


@torch.no_grad()
def test_perceptual_distance_reads_after_the_relu():  # P1
    features = vgg16(weights=None).features
    for k, param in enumerate(features.parameters()):
        fan = math.prod(param.shape[1:]) if param.dim() > 1 else 1
        param.copy_(hashed(tuple(param.shape), k) * math.sqrt(6 / fan) if param.dim() > 1 else torch.zeros_like(param))
    a, b = ((sine((2, 3, 64, 64), *ab) + 1) / 2 for ab in ((0.0131, 0.2), (0.0177, 1.1)))
    assert PerceptualDistance(features, "vgg16")(a, b).item() == near(1.0501239)


def test_parameter_counts():  # C1
    assert count(backbone("resnet50", out_dim=128)) == 27_966_656
    assert count(backbone("resnet50", out_dim=128, head=True)) == 28_016_192
    for shape, expected in (((3, 64, 64), 7_569_155), ((1, 64, 64), 7_562_881), ((3, 128, 128), 78_664_003)):
        decoder = AdaINDecoder(128, 256, shape)
        assert count(decoder.modulation) == 526_336
        assert count(decoder) - count(decoder.modulation) == expected
