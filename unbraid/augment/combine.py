"""Ops made of ops: all in turn, one of several, perhaps, in any order."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from unbraid.augment.ops import Images, Op
from unbraid.errors import UserError


@dataclass(frozen=True)
class Chain(Op):
    """One op after the other. Without ops: the identity."""

    ops: tuple[Op, ...] = ()

    @property
    def num_draws(self) -> int:
        return sum(op.num_draws for op in self.ops)

    @property
    def side(self) -> int | None:
        return next((op.side for op in reversed(self.ops) if op.side), None)

    def __call__(self, x: Images, draws: Float[Tensor, "b k"]) -> Float[Tensor, "b c out_h out_w"]:
        for op, own in zip(self.ops, _columns(self.ops, draws)):
            x = op(x, own)
        return x


@dataclass(frozen=True)
class OneOf(Op):
    """One op for each image. The views that ``draw`` makes of an image have distinct ops."""

    ops: tuple[Op, ...]

    @property
    def num_draws(self) -> int:
        return 1 + sum(op.num_draws for op in self.ops)

    def draw(self, num: int, num_views: int, generator: torch.Generator) -> Float[Tensor, "n v k"]:
        """Raises: UserError if there are more views than ops."""
        if num_views > len(self.ops):
            raise UserError(
                f"{num_views} views of an image by distinct transformations were asked for, but only {len(self.ops)} "
                "are named; ask for fewer views or name more transformations"
            )
        draws = super().draw(num, num_views, generator)
        which = torch.rand(num, len(self.ops), generator=generator).argsort(dim=1)[:, :num_views]
        draws[..., 0] = (which + 0.5) / len(self.ops)
        return draws

    def __call__(self, x: Images, draws: Float[Tensor, "b k"]) -> Images:
        which = (draws[:, 0].double() * len(self.ops)).long()
        return _apply_own(self.ops, which, x, draws[:, 1:])


@dataclass(frozen=True)
class AnyOrder(Op):
    """All ops, each image in its own order."""

    ops: tuple[Op, ...]

    @property
    def num_draws(self) -> int:
        return sum(1 + op.num_draws for op in self.ops)

    def __call__(self, x: Images, draws: Float[Tensor, "b k"]) -> Images:
        order = draws[:, : len(self.ops)].argsort(dim=1, stable=True)
        for which in order.unbind(dim=1):
            x = _apply_own(self.ops, which, x, draws[:, len(self.ops) :])
        return x


@dataclass(frozen=True)
class Maybe(Op):
    """The op with this probability, else nothing."""

    probability: float
    op: Op

    @property
    def num_draws(self) -> int:
        return 1 + self.op.num_draws

    def __call__(self, x: Images, draws: Float[Tensor, "b k"]) -> Images:
        which = (draws[:, 0] >= self.probability).long()
        return _apply_own((self.op, Chain()), which, x, draws[:, 1:])


def _columns(ops: Sequence[Op], draws: Float[Tensor, "b k"]) -> tuple[Float[Tensor, "b _"], ...]:
    return draws.split([op.num_draws for op in ops], dim=1)


def _apply_own(ops: Sequence[Op], which: Int[Tensor, " b"], x: Images, draws: Float[Tensor, "b k"]) -> Images:
    """Each op sees only the images that drew it. The rows are found on the CPU, so the device is not waited for."""
    order = which.argsort(stable=True)
    groups = order.split(which.bincount(minlength=len(ops)).tolist())
    done = [
        op(x.index_select(0, rows.to(x.device)), own.index_select(0, rows))
        for op, own, rows in zip(ops, _columns(ops, draws), groups)
        if len(rows)
    ]
    return torch.cat(done).index_select(0, order.argsort().to(x.device)) if done else x
