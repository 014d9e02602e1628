"""Corpus + objective + backbone + budgets -> checkpoints, with the rank beside the loss."""

from typing import TYPE_CHECKING

from sonoscale._lazy import lazy

if TYPE_CHECKING:
    from sonoscale.pretrain._batches import Batches
    from sonoscale.pretrain._build import build_for_training, build_objective, prepare_for_speed
    from sonoscale.pretrain._config import RunConfig, TrainConfig
    from sonoscale.pretrain._contrastive import Contrastive, nt_xent
    from sonoscale.pretrain._counted import Counted, count_operations
    from sonoscale.pretrain._estimate import Estimate, estimate_run
    from sonoscale.pretrain._flops import Cost, training_cost
    from sonoscale.pretrain._hardware import peak_flops
    from sonoscale.pretrain._identity import all_clips, enough, run_identity
    from sonoscale.pretrain._latent import LatentPrediction
    from sonoscale.pretrain._loop import pretrain
    from sonoscale.pretrain._mae import MaskedAutoencoder, normalise_patches
    from sonoscale.pretrain._masking import MASKS, check_mask, draw_masks, kept_patches
    from sonoscale.pretrain._objective import Objective, make_objective
    from sonoscale.pretrain._objective_config import ObjectiveConfig
    from sonoscale.pretrain._one_process import OneProcess, Runtime
    from sonoscale.pretrain._optimiser import make_optimiser, set_lr
    from sonoscale.pretrain._prefetch import Prefetch
    from sonoscale.pretrain._prepare import PreparedRun, check_lengths, prepare_run
    from sonoscale.pretrain._run_folder import checkpoint_file, read_record, unfinished_run
    from sonoscale.pretrain._sharding import PATIENCE, cutting_strategy
    from sonoscale.pretrain._training_audio import training_audio
    from sonoscale.pretrain._views import cut_views, draw_views
    from sonoscale.pretrain._waves import Waves, WaveStore, as_log_mels

__all__ = [
    "MASKS",
    "PATIENCE",
    "Batches",
    "Contrastive",
    "Cost",
    "Counted",
    "Estimate",
    "LatentPrediction",
    "MaskedAutoencoder",
    "Objective",
    "ObjectiveConfig",
    "OneProcess",
    "Prefetch",
    "PreparedRun",
    "RunConfig",
    "Runtime",
    "TrainConfig",
    "WaveStore",
    "Waves",
    "all_clips",
    "as_log_mels",
    "build_for_training",
    "build_objective",
    "check_lengths",
    "check_mask",
    "checkpoint_file",
    "count_operations",
    "cut_views",
    "cutting_strategy",
    "draw_masks",
    "draw_views",
    "enough",
    "estimate_run",
    "kept_patches",
    "make_objective",
    "make_optimiser",
    "normalise_patches",
    "nt_xent",
    "peak_flops",
    "prepare_for_speed",
    "prepare_run",
    "pretrain",
    "read_record",
    "run_identity",
    "set_lr",
    "training_audio",
    "training_cost",
    "unfinished_run",
]

__getattr__ = lazy(__name__)
