"""DCoDR's step beside the published way of doing the same, part by part. Medians of one run, taken in turns.

    python benchmarks/dcodr.py                # ResNet-50 at 64x64, 4x32 images

The published way: float32 in NCHW, each view made from a Pillow image, the negatives of each anchor drawn by NumPy,
VGG weights that collect gradients. ``benchmarks/step.py`` has the whole step beside the bare network.
"""

import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from step import photos, seconds, step_of
from torchvision import transforms as tv
from torchvision.transforms.functional import to_pil_image, to_tensor

from unbraid.losses import domain_info_nce
from unbraid.methods import method
from unbraid.nets.perceptual import PerceptualDistance
from unbraid.nets.precision import apply_precision

ROUNDS = 5
PILLOW = [
    tv.GaussianBlur(5, 1.0),
    tv.ColorJitter(contrast=(1.8, 3.0)),
    tv.RandomResizedCrop(64, (0.5, 1.0)),
    tv.ColorJitter(saturation=(1.8, 3.0)),
]


def medians(runs: dict[str, Callable[[], object]], rounds: int = ROUNDS) -> dict[str, float]:
    """Seconds of each, in turns; the first round warms up."""
    times: dict[str, list[float]] = {name: [] for name in runs}
    for turn in range(rounds + 1):
        for name, run in runs.items():
            spent = seconds(run)
            if turn:
                times[name].append(spent)
    return {name: statistics.median(values) for name, values in times.items()}


def loop_loss(z, z_pos, domain, temperature=0.2):
    """Anchor by anchor, the negatives drawn by NumPy, as the published system's text describes it."""
    losses = []
    labels = domain.numpy()
    for i in range(len(z)):
        candidates = np.flatnonzero((labels == labels[i]) & (np.arange(len(z)) != i))
        negatives = torch.from_numpy(np.random.choice(candidates, 31, replace=False))
        positive = (z[i] @ z_pos[i].T) / temperature
        negative = (z[negatives] @ z[i]) / temperature
        losses.append(torch.logsumexp(torch.cat([negative, positive]), 0) - torch.logsumexp(positive, 0))
    return torch.stack(losses).mean()


def published_step(model, dataset):
    """The same network and batch, done the published way."""
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-4, betas=(0.5, 0.999))
    domain = torch.arange(4).repeat_interleave(32)

    def run() -> None:
        rows = np.concatenate([np.arange(d, 2048, 16)[:32] for d in range(4)])
        x = torch.from_numpy(dataset.images[rows]).permute(0, 3, 1, 2).float() / 255
        views = [to_tensor(PILLOW[np.random.randint(4)](to_pil_image((image * 255).byte()))) for image in x]
        z = F.normalize(model.encoder(x), dim=-1)
        z_pos = F.normalize(model.encoder(torch.stack(views)), dim=-1)[:, None]
        optimizer.zero_grad(set_to_none=True)
        loop_loss(z, z_pos, domain).backward()
        optimizer.step()

    return run


def whole_step() -> None:
    dataset, kind = photos(), method("dcodr-norec")
    cfg = kind.config_class(backbone="resnet50")
    bf16 = apply_precision(kind(cfg, dataset.spec).train(), "bf16", "cpu")
    plain = apply_precision(kind(cfg, dataset.spec).train(), "fp32-channels-last", "cpu")
    published = kind(cfg, dataset.spec).train()
    found = medians(
        {
            "published way": published_step(published, dataset),
            "ours, float32": step_of(plain, dataset, "fp32-channels-last"),
            "ours, bfloat16": step_of(bf16, dataset, "bf16"),
        }
    )
    print("whole step of dcodr-norec, seconds (ours at least 1.5 times faster)")
    for name, spent in found.items():
        print(f"  {name:<16} {spent:7.3f}  {found['published way'] / spent:5.2f} times")


def perceptual() -> None:
    from torchvision.models.vgg import cfgs, make_layers

    torch.manual_seed(0)
    frozen = PerceptualDistance(make_layers(cfgs["D"]), kind="vgg16's layers, random weights")
    collecting = make_layers(cfgs["D"])
    taps = (3, 8, 13, 22, 30)
    x, target = torch.rand(32, 3, 64, 64, requires_grad=True), torch.rand(32, 3, 64, 64)

    def naive() -> None:
        x.grad, a, b = None, x, target
        distance = (a - b).abs().mean()
        for place, layer in enumerate(collecting):
            a, b = layer(a), layer(b)
            if place in taps:
                distance = distance + (a - b).abs().mean()
        distance.backward()

    def ours() -> None:
        x.grad = None
        frozen(x, target).backward()

    found = medians({"collecting": naive, "frozen": ours})
    print(f"perceptual distance, 32 images: collecting {found['collecting']:.3f} s, frozen {found['frozen']:.3f} s, "
          f"{found['collecting'] / found['frozen']:.2f} times (at least 2)")  # fmt: skip


def loss() -> None:
    torch.manual_seed(0)
    z = F.normalize(torch.randn(128, 128), dim=-1).requires_grad_()
    z_pos = F.normalize(torch.randn(128, 1, 128), dim=-1).requires_grad_()
    domain = torch.arange(4).repeat_interleave(32)
    found = medians(
        {
            "loop": lambda: loop_loss(z, z_pos, domain).backward(),
            "ours": lambda: domain_info_nce(z, z_pos, domain, 0.2).backward(),
        },
        rounds=15,
    )
    print(f"loss, forward and backward: loop {1e3 * found['loop']:.2f} ms, ours {1e3 * found['ours']:.2f} ms, "
          f"{found['loop'] / found['ours']:.1f} times (at least 8)")  # fmt: skip


_MEMORY = """
import sys
import torch
from step import photos, step_of
from unbraid.methods import method
from unbraid.nets.precision import apply_precision
def peak():  # not getrusage: its peak is never below that of the process which started this one
    status = dict(line.split(":", 1) for line in open("/proc/self/status"))
    return int(status["VmHWM"].split()[0]) / 2**20
dataset, kind = photos(), method("dcodr-norec")
model = apply_precision(kind(kind.config_class(backbone="resnet50"), dataset.spec).train(), sys.argv[1], "cpu")
before = peak()
run = step_of(model, dataset, sys.argv[1])
for _ in range(2):
    run()
print(peak() - before)
"""

_LARGE = """
import sys
import numpy as np, torch
from unbraid import augment
from unbraid.loader import Loader
from unbraid.methods import method
from unbraid.tables import Dataset, DataSpec
num = 480_000
images = np.memmap(sys.argv[1], dtype=np.uint8, mode="w+", shape=(num, 64, 64, 3))  # a sparse file
spec = DataSpec(name="large", image_shape=(3, 64, 64), num_train=num, sizes={"domain": 4}, domain="domain")
data = Dataset(spec=spec, images=images, columns={"domain": np.arange(num) % 4}, split=np.zeros(num, dtype=np.uint8))
kind = method("dcodr-norec")
model = kind(kind.config_class(backbone="tiny"), spec)
loader = Loader(data, model.needs, model.cfg, augment.views("dcodr"), seed=0, device=torch.device("cpu"))
optimizers = model.optimizers()
def step(name, terms, *, log=None):
    optimizers[name].zero_grad(); sum(terms.values()).backward(); optimizers[name].step()
for _, batch in zip(range(100), loader.batches()):
    model.update(batch, step)
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
print(int(status["RssAnon"].split()[0]) / 2**20, int(status["RssFile"].split()[0]) / 2**20)
"""


def memory() -> None:
    def run(code: str, *words: str) -> str:
        folder = Path(__file__).parent
        done = subprocess.run(
            [sys.executable, "-c", code, *words], cwd=folder, capture_output=True, text=True, check=True
        )
        return done.stdout

    for precision in ("fp32", "fp32-channels-last", "bf16"):
        print(f"memory of a step, {precision:<20} {float(run(_MEMORY, precision)):.2f} GiB")
    with tempfile.TemporaryDirectory() as folder:
        private, mapped = map(float, run(_LARGE, f"{folder}/images").split())
    print(f"480,000 images of 64x64 (5.5 GiB), 100 steps from the memory map: {private:.2f} GiB of its own "
          f"(at most 2), and {mapped:.2f} GiB of file pages that the system can take back")  # fmt: skip


def main() -> None:
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, 4 x 32 images of 64 x 64")
    for part in (loss, perceptual, whole_step, memory):
        part()


if __name__ == "__main__":
    main()
