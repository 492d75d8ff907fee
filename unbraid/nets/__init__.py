"""Networks: weights without a loss."""

from unbraid.nets.adain import AdaINDecoder
from unbraid.nets.backbones import backbone
from unbraid.nets.mlp import mlp
from unbraid.nets.perceptual import PerceptualDistance, perceptual_distance
from unbraid.nets.sync import sync_batch_norm

__all__ = ["AdaINDecoder", "PerceptualDistance", "backbone", "mlp", "perceptual_distance", "sync_batch_norm"]
