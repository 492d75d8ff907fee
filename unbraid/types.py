"""What a method sees and must offer. Letters: B batch, V views, C H W image, D code width, K classes, G factors."""

import abc
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Protocol, runtime_checkable

from jaxtyping import Float, Int, UInt8
from torch import Tensor, nn
from torch.optim import Optimizer

from unbraid.tables import DataSpec

Scalar = Float[Tensor, ""]


@dataclass(frozen=True)
class Needs:
    """What ``update`` will read. The loader supplies exactly this."""

    views: int = 0  # augmented copies per image
    labels: frozenset[str] = frozenset()  # of {"domain", "label", "factors", "bias"}
    sampler: Literal["shuffle", "domain_balanced"] = "shuffle"  # balanced: g domains x m images per batch


@dataclass(frozen=True)
class Batch:
    """What one process sees of one batch."""

    index: Int[Tensor, " b"]  # row in the train split, 0 .. num_train-1
    x: Float[Tensor, "b c h w"]  # in [0, 1], not augmented
    views: Float[Tensor, "b v c view_h view_w"]  # v = needs.views, may be 0
    domain: Int[Tensor, " b"] | None = None  # None unless declared; the same below
    label: Int[Tensor, " b"] | None = None
    factors: Int[Tensor, "b g"] | None = None
    bias: Int[Tensor, " b"] | None = None
    weight: float = 1.0  # this process's share of the global batch times the number of processes


@runtime_checkable
class Step(Protocol):
    def __call__(self, optimizer: str, terms: Mapping[str, Scalar], *, log: Mapping[str, Scalar] | None = None) -> None:
        """One update of one optimiser. The loss is the sum of the terms; they come weighted, and are logged."""


@runtime_checkable
class Passes(Protocol):
    """The train split, as often as it is asked for between two epochs; the same in every process."""

    def __iter__(self) -> Iterator[Batch]:
        """In order and as it stands, without views."""

    def with_views(self, turn: int = 0, *, batch_size: int | None = None, shuffle: bool = False) -> Iterator[Batch]:
        """With ``needs.views`` views, drawn anew for each epoch and turn; shuffled, a short last batch is left out."""


@dataclass(frozen=True)
class Partitions:
    """P partitions of the N rows of the train split into K environments."""

    environments: UInt8[Tensor, "p n"]  # 0 .. num_environments-1
    num_environments: int  # of each, also where one of them has no image
    epochs: Int[Tensor, " p"]  # before which each was found
    values: Float[Tensor, " p"]  # of the objective that each reached

    def __len__(self) -> int:
        return len(self.environments)


class Method(nn.Module, abc.ABC):
    """The only base class. Subclasses are final except for variants in the same file."""

    config_class: ClassVar[type]
    needs: Needs = Needs()  # of the class; of the instance where options change it
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {}  # data set or purpose -> what differs; may name views
    views: ClassVar[str] = "identity"  # the recipe of augment/ that the paper uses

    @abc.abstractmethod
    def __init__(self, cfg: Any, spec: DataSpec) -> None:
        """``cfg`` has ``epochs`` and ``batch_size``, and ``domains_per_batch`` where the sampler is balanced."""
        super().__init__()
        self.cfg = cfg

    @abc.abstractmethod
    def optimizers(self) -> dict[str, Optimizer]: ...

    @abc.abstractmethod
    def update(self, batch: Batch, step: Step) -> None: ...

    @abc.abstractmethod
    def encode(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d"]: ...

    def begin_epoch(self, epoch: int, loader: Passes, step: Step) -> None:
        """Work to do before an epoch's first batch."""

    def lr_scale(self, epoch: float) -> float:
        """Factor on every step size at a point of training, in epochs. Pure, so that a run can resume anywhere."""
        return 1.0


@runtime_checkable
class Decodes(Protocol):
    """A method that can draw an image from a code and a domain."""

    def decode(self, z: Float[Tensor, "b d"], domain: Int[Tensor, " b"]) -> Float[Tensor, "b c h w"]: ...


@runtime_checkable
class Predicts(Protocol):
    """A method that predicts the label."""

    def predict(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b k"]:
        """Logits of the label's values."""


@runtime_checkable
class KnowsBias(Predicts, Protocol):
    """A method with a second network, left to learn what is easy, which says how hard each training image was for it.

    Where most images of a label share something else, the easy thing to learn is that.
    """

    def bias_predict(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b k"]:
        """The second network's logits of the label's values."""

    def bias_weight(self, index: Int[Tensor, " b"], label: Int[Tensor, " b"]) -> Float[Tensor, " b"]:
        """W of rows of the train split, 0 to 1: near 1 where the second network fails; NaN where never trained on."""


@runtime_checkable
class SwapsBias(Protocol):
    """A method that predicts from the label's features of one image and the bias's of another."""

    def swap_predict(
        self, x: Float[Tensor, "b c h w"], bias_x: Float[Tensor, "b c h w"]
    ) -> tuple[Float[Tensor, "b k"], Float[Tensor, "b k"]]:
        """Logits of its two last layers: of the label, and the biased one's."""


@runtime_checkable
class FindsPartitions(Protocol):
    """A method that seeks partitions of the training images into environments."""

    @property
    def found_partitions(self) -> Partitions:
        """Those that it holds, oldest first; there may be none."""


@runtime_checkable
class Features(Protocol):
    """A method whose code is its network's output scaled to unit length."""

    def features(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d"]:
        """The output as it is."""


@runtime_checkable
class Posterior(Protocol):
    """A method whose code has a variance: a Gaussian per image, of which ``encode`` is the mean."""

    def posterior(self, x: Float[Tensor, "b c h w"]) -> tuple[Float[Tensor, "b d"], Float[Tensor, "b d"]]:
        """Mean, and natural logarithm of the variance."""


@runtime_checkable
class Ensemble(Protocol):
    """Several networks of one setting, trained side by side on the same batches."""

    num_models: int

    def posteriors(self, x: Float[Tensor, "b c h w"]) -> tuple[Float[Tensor, "m b d"], Float[Tensor, "m b d"]]:
        """What ``posterior`` gives, of every network."""

    def choose(self, model: int) -> None:
        """Which network ``encode``, ``posterior`` and ``decode`` use from now on; a checkpoint keeps it."""
