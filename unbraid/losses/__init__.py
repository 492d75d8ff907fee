"""Losses are functions without weights: tensors in, one number in nats out."""

from unbraid.losses.contrastive import domain_info_nce, draw_negatives, nt_xent

__all__ = ["domain_info_nce", "draw_negatives", "nt_xent"]
