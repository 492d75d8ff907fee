"""Views per second at 64 x 64: our batched recipes beside the usual loop over Pillow images.

    python benchmarks/views.py

The loop does what the data sets of DCoDR and SimCLR do for each item: to Pillow, torchvision's transforms, back to a
tensor. It runs on one thread; two loader processes would at best double it.
"""

import random
import statistics
import time
from collections.abc import Callable

import torch
from torchvision import transforms as tv

from unbraid.augment import views

BATCH, SIDE, ROUNDS, REPEATS = 128, 64, 5, 9

PILLOW = {
    "dcodr": [
        tv.GaussianBlur(5, 1.0),
        tv.ColorJitter(contrast=(1.8, 3.0)),
        tv.RandomResizedCrop(SIDE, (0.5, 1.0)),
        tv.ColorJitter(saturation=(1.8, 3.0)),
    ],
    "simclr": [
        tv.Compose(
            [
                tv.RandomResizedCrop(SIDE),
                tv.RandomHorizontalFlip(),
                tv.RandomApply([tv.ColorJitter(0.4, 0.4, 0.4, 0.1)], 0.8),
                tv.RandomGrayscale(0.2),
                tv.RandomApply([tv.GaussianBlur(7, (0.1, 2.0))]),
            ]
        )
    ],
}


def rate(make_views: Callable[[], torch.Tensor]) -> float:
    """Images per second: the best of several medians, for others may be using the machine."""
    make_views()
    return BATCH / min(statistics.median(seconds(make_views) for _ in range(REPEATS)) for _ in range(ROUNDS))


def seconds(make_views: Callable[[], torch.Tensor]) -> float:
    start = time.perf_counter()
    make_views()
    return time.perf_counter() - start


def batched(name: str, x: torch.Tensor, threads: int) -> float:
    torch.set_num_threads(threads)
    recipe, generator = views(name), torch.Generator().manual_seed(0)
    return rate(lambda: recipe.apply(x, recipe.draw(BATCH, 1, generator)))


def looped(name: str, x: torch.Tensor) -> float:
    torch.set_num_threads(1)
    to_image, to_tensor, choices = tv.ToPILImage(), tv.ToTensor(), PILLOW[name]
    return rate(lambda: torch.stack([to_tensor(random.choice(choices)(to_image(image))) for image in x]))


def main() -> None:
    x = torch.rand(BATCH, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0))
    print(f"images per second, batches of {BATCH}, 3 x {SIDE} x {SIDE}, the draw included")
    print(f"{'recipe':10}{'pillow loop':>14}{'1 thread':>12}{'2 threads':>12}{'ratio, 1':>10}{'ratio, 2':>10}")
    for name in PILLOW:
        loop, one, two = looped(name, x), batched(name, x, 1), batched(name, x, 2)
        print(f"{name:10}{loop:14,.0f}{one:12,.0f}{two:12,.0f}{one / loop:10.1f}{two / loop:10.1f}")


if __name__ == "__main__":
    main()
