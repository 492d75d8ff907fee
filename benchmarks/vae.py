"""One step of a VAE beside the published way, what in it is not convolution, and five networks in three ways.

The published way is float32 in torch's default layout, element-wise log densities with two logarithms a pixel, an image
drawn from each reconstruction that nobody uses, and convolutions where one matrix product does. Each ratio is made of
medians of one run, taken in turns, so that a busy machine slows all sides alike.

    python benchmarks/vae.py                   # 256 images of 64x64; then five networks at 64
"""

import copy
import statistics
import time

import torch
from torch import nn
from torch.func import functional_call, stack_module_state
from torch.profiler import ProfilerActivity, profile

from unbraid.losses.total_correlation import decompose, gaussian_log_density
from unbraid.methods import method
from unbraid.nets.conv_vae import VAE
from unbraid.nets.precision import MEMORY_FORMATS, apply_precision
from unbraid.tables import DataSpec
from unbraid.types import Batch

ROUNDS, CHANNELS, SIDE, NUM_DATA = 5, 3, 64, 480_000
LAYERS = {
    "convolution": ("aten::convolution", "aten::convolution_backward", "aten::addmm", "aten::mm"),  # and dense
    "normalisation and ReLU": (
        "aten::native_batch_norm", "aten::native_batch_norm_backward", "aten::threshold_backward", "aten::clamp_min_",
    ),
}  # fmt: skip


def medians(runs: dict, rounds: int = ROUNDS) -> dict[str, float]:
    times = {name: [] for name in runs}
    for turn in range(rounds + 1):
        for name, run in runs.items():
            start = time.perf_counter()
            run()
            if turn:  # the first round warms up
                times[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in times.items()}


def convolved(vae: VAE) -> VAE:
    """The same network with every layer a convolution."""
    vae.encoder.conv5.__class__, vae.decoder.conv2.__class__ = nn.Conv2d, nn.ConvTranspose2d
    return vae


def published(batch_size: int):
    """A step as the published code takes it."""
    vae = convolved(VAE("published", (CHANNELS, SIDE, SIDE), 10)).train()
    adam, x = torch.optim.Adam(vae.parameters(), lr=1e-3, foreach=False), torch.rand(batch_size, CHANNELS, SIDE, SIDE)

    def step():
        draw = vae(x)
        p = (torch.sigmoid(draw.logits) + 1e-8) * (1 - 2e-8)
        likelihood = (x * torch.log(p + 1e-8) + (1 - x) * torch.log(1 - p + 1e-8)).view(batch_size, -1).sum(1)
        u = torch.rand(x.shape)
        noise = torch.log(u + 1e-8) - torch.log(1 - u + 1e-8)
        nn.functional.logsigmoid(draw.logits) - nn.functional.logsigmoid(-draw.logits) + noise >= 0  # noqa: B015
        zeros = torch.zeros_like(draw.z)
        gaussian_log_density(draw.z, zeros, zeros).sum(1)  # for an evidence lower bound that is printed
        parts = decompose(draw.z, draw.mean, draw.log_var, NUM_DATA)
        adam.zero_grad()
        (-likelihood + parts[0] + 4 * parts[1] + parts[2]).mean().backward()
        adam.step()

    return step


def ours(batch_size: int, precision: str, num_models: int = 1):
    kind = method("beta-tcvae")
    spec = DataSpec(name="noise", image_shape=(CHANNELS, SIDE, SIDE), num_train=NUM_DATA, sizes={})
    model = apply_precision(kind(kind.config_class(num_models=num_models), spec).train(), precision, "cpu")
    optimizers = model.optimizers()
    x = torch.rand(batch_size, CHANNELS, SIDE, SIDE).contiguous(memory_format=MEMORY_FORMATS[precision])
    batch = Batch(index=torch.arange(batch_size), x=x, views=x.new_zeros(batch_size, 0, *x.shape[1:]))

    def step(name, terms, *, log=None):
        optimizers[name].zero_grad(set_to_none=True)
        sum(terms.values()).backward()
        optimizers[name].step()

    return lambda: model.update(batch, step)


def shares(run) -> dict[str, float]:
    """Of the operators' time: the layers of the network, and all else."""
    with profile(activities=[ProfilerActivity.CPU]) as found:
        run()
    events = found.key_averages()
    whole = sum(event.self_cpu_time_total for event in events)
    parts = {
        name: sum(event.cpu_time_total for event in events if event.key in keys) / whole
        for name, keys in LAYERS.items()
    }
    return parts | {"loss and optimiser": 1 - sum(parts.values())}


def grouped(num: int, batch_size: int):
    """Forward and backward of ``num`` networks as one with grouped convolutions; their first layer sees one image."""

    def widened(layer: nn.Module, first: bool) -> nn.Module:
        if isinstance(layer, nn.BatchNorm2d):
            return nn.BatchNorm2d(num * layer.num_features)
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
            kind = nn.Conv2d if isinstance(layer, nn.Conv2d) else nn.ConvTranspose2d
            groups = 1 if first else num
            fan_in = layer.in_channels * groups
            return kind(fan_in, num * layer.out_channels, layer.kernel_size, layer.stride, layer.padding, groups=groups)
        return layer

    vae = VAE("published", (CHANNELS, SIDE, SIDE), 10)
    encoder = nn.Sequential(*(widened(layer, place == 0) for place, layer in enumerate(vae.encoder)))
    decoder = nn.Sequential(*(widened(layer, False) for layer in list(vae.decoder)[1:]))
    x = torch.rand(batch_size, CHANNELS, SIDE, SIDE)

    def run():
        mean = encoder(x).view(batch_size, num, 10, 2)[..., 0]
        decoder(mean.reshape(batch_size, -1, 1, 1)).square().mean().backward()

    return run


def vmapped(num: int, batch_size: int):
    """The same by ``torch.vmap`` over stacked weights."""
    vaes = [convolved(VAE("published", (CHANNELS, SIDE, SIDE), 10)) for _ in range(num)]
    params, buffers = stack_module_state(vaes)
    base, x = copy.deepcopy(vaes[0]).to("meta"), torch.rand(batch_size, CHANNELS, SIDE, SIDE)
    rebuilt = nn.Module()
    rebuilt.forward = lambda x: base.decoder(base.encoder(x)[0])
    rebuilt.encoder, rebuilt.decoder = base.encoder, base.decoder
    every = torch.vmap(lambda params, buffers: functional_call(rebuilt, (params, buffers), (x,)))
    return lambda: every(params, buffers).square().mean().backward()


def in_turn(num: int, batch_size: int):
    vaes = [VAE("published", (CHANNELS, SIDE, SIDE), 10) for _ in range(num)]
    x = torch.rand(batch_size, CHANNELS, SIDE, SIDE)

    def run():
        sum(vae.decoder(vae.encoder(x)[0]).square().mean() for vae in vaes).backward()

    return run


def main() -> None:
    size = 256
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, {size} images of {SIDE}x{SIDE}x{CHANNELS}")
    runs = {"published way": published(size)} | {name: ours(size, name) for name in MEMORY_FORMATS}
    times = medians(runs)
    for name, spent in times.items():
        ratio = times["published way"] / spent
        said = ", ".join(f"{part} {share:.0%}" for part, share in shares(runs[name]).items())
        print(f"  {name:<20} {size / spent:7.0f} images/s  {ratio:5.2f} times  ({said})")
    del runs
    runs = {"in turn": in_turn(5, 64), "grouped": grouped(5, 64), "vmap": vmapped(5, 64)}
    runs["one network"] = in_turn(1, 64)
    times = medians(runs)
    print("five networks, forward and backward of 64 images")
    for name, spent in times.items():
        print(f"  {name:<20} {spent:7.3f} s  {times['in turn'] / spent:5.2f} times as fast as in turn")


if __name__ == "__main__":
    main()
