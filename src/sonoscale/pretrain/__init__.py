"""Corpus + objective + backbone + budgets -> checkpoints, with the rank beside the loss."""

from typing import TYPE_CHECKING

from sonoscale._callable import make_callable
from sonoscale._lazy import lazy

if TYPE_CHECKING:
    from sonoscale.pretrain._batches import Batches
    from sonoscale.pretrain._config import RunConfig, TrainConfig
    from sonoscale.pretrain._contrastive import Contrastive, nt_xent
    from sonoscale.pretrain._estimate import count_operations, peak_flops
    from sonoscale.pretrain._flops import Cost, training_cost
    from sonoscale.pretrain._init import init
    from sonoscale.pretrain._initial import check_initial
    from sonoscale.pretrain._latent import LatentPrediction
    from sonoscale.pretrain._loop import train_run
    from sonoscale.pretrain._mae import MaskedAutoencoder, normalise_patches
    from sonoscale.pretrain._monitor import DivergedError
    from sonoscale.pretrain._objective import (
        Objective,
        build_for_training,
        build_objective,
        make_objective,
        prepare_for_speed,
    )
    from sonoscale.pretrain._objective_config import MASKS, ObjectiveConfig
    from sonoscale.pretrain._optimiser import make_optimiser, set_lr
    from sonoscale.pretrain._prefetch import Prefetch
    from sonoscale.pretrain._prepare import (
        Inputs,
        Sources,
        all_clips,
        check_clips,
        check_lengths,
        prepare_run,
        training_audio,
    )
    from sonoscale.pretrain._pretrain import pretrain
    from sonoscale.pretrain._record import check_run, finished_runs, read_record
    from sonoscale.pretrain._results import Estimate, Run
    from sonoscale.pretrain._run_folder import checkpoint_file, find_trunk, unfinished_run
    from sonoscale.pretrain._runs import Runs, runs
    from sonoscale.pretrain._runtime import cutting_strategy
    from sonoscale.pretrain._views import cut_views, draw_views
    from sonoscale.pretrain._waves import Waves, WaveStore, as_log_mels

__all__ = [
    "Contrastive",
    "Cost",
    "Estimate",
    "LatentPrediction",
    "MaskedAutoencoder",
    "Objective",
    "ObjectiveConfig",
    "Run",
    "RunConfig",
    "Runs",
    "TrainConfig",
    "build_objective",
    "init",
    "nt_xent",
    "pretrain",
    "read_record",
    "runs",
    "training_cost",
]

__getattr__ = lazy(__name__)
make_callable(__name__)
