"""Your own method: one file with a configuration, a class, and nothing else to register.

    python examples/own_method.py
    unbraid train examples/own_method.py:RotationPrediction --data digits --epochs 2

This one is Gidaris et al. 2018 (arXiv:1803.07728): turn each image by a quarter, a half or three quarters, or not at
all, and let the network say by how much. To say so it must know what is upright.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn
from torch.optim import Adam, Optimizer

import unbraid
from unbraid.hparams import hp
from unbraid.nets import backbone
from unbraid.tables import DataSpec
from unbraid.types import Batch, Method, Step


@dataclass(frozen=True, kw_only=True)
class Config:
    epochs: int = hp(10, doc="passes over the train split")
    batch_size: int = hp(128, least=1, doc="images in a batch")
    backbone: str = hp("small", doc="encoder")
    z_dim: int = hp(64, least=1, doc="width of the code")
    lr: float = hp(1e-3, doc="Adam step")


class RotationPrediction(Method):
    """A code that knows which way up an image is."""

    config_class = Config
    cfg: Config

    def __init__(self, cfg: Config, spec: DataSpec) -> None:
        super().__init__(cfg, spec)
        self.encoder = backbone(cfg.backbone, out_dim=cfg.z_dim)
        self.head = nn.Linear(cfg.z_dim, 4)

    def encode(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d"]:
        return F.normalize(self.encoder(x), dim=-1)

    def optimizers(self) -> dict[str, Optimizer]:
        return {"main": Adam(self.parameters(), lr=self.cfg.lr)}

    def update(self, batch: Batch, step: Step) -> None:
        turns = torch.arange(4).repeat_interleave(len(batch.x))  # (4B,)
        turned = torch.cat([torch.rot90(batch.x, k, dims=(2, 3)) for k in range(4)])  # (4B, C, H, W)
        logits = self.head(self.encoder(turned))
        step("main", {"cross_entropy": F.cross_entropy(logits, turns.to(logits.device))})


def main(num: int = 2000, epochs: int = 4) -> None:
    run = unbraid.train(
        f"{__file__}:RotationPrediction", data=f"digits:num={num}", epochs=epochs, metrics=["informativeness"]
    )
    for score in run.records():
        if score.metric == "informativeness" and score.variant == "linear":
            print(f"{score.column}: {score.value:.2f}, chance {score.chance:.2f}")


if __name__ == "__main__":
    main()
