"""Metrics of a pre-training to wandb, without a server."""

import os
from pathlib import Path

from _common import sonoscale, tones

os.environ |= {"WANDB_MODE": "offline", "MLFLOW_TRACKING_URI": "sqlite:///mlflow.db"}
tones("clips", 64)
Path("run.yaml").write_text(
    """
data: {kind: folder, root: ., audio: clips, heldout_clips: 32}
encoder: {width: 8, depth: 1}
train: {clip_seconds: 0.4, batch_size: 8, budgets: [4], warmup_steps: 1, rank_points: 2}
"""
)
sonoscale("pretrain run.yaml --out runs --cache cache --logger wandb --workers 1")
assert list(Path().glob("wandb*")), "nothing was logged"
print("pretrain --logger wandb")
