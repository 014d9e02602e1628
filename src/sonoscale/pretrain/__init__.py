"""Corpus + objective + backbone + budgets -> checkpoints, with the rank beside the loss."""

from sonoscale.pretrain._batches import Batches
from sonoscale.pretrain._config import ObjectiveConfig, RunConfig, TrainConfig
from sonoscale.pretrain._flops import Cost, training_cost
from sonoscale.pretrain._loop import pretrain
from sonoscale.pretrain._mae import MaskedAutoencoder, normalise_patches, random_masks
from sonoscale.pretrain._optimiser import make_optimiser, set_lr
from sonoscale.pretrain._run_folder import checkpoint_file, read_record

__all__ = [
    "Batches",
    "Cost",
    "MaskedAutoencoder",
    "ObjectiveConfig",
    "RunConfig",
    "TrainConfig",
    "checkpoint_file",
    "make_optimiser",
    "normalise_patches",
    "pretrain",
    "random_masks",
    "read_record",
    "set_lr",
    "training_cost",
]
