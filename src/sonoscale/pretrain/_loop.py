"""The training loop."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from sonoscale.corpora import FeatureStore
from sonoscale.errors import SonoscaleError
from sonoscale.pretrain._batches import Batches
from sonoscale.pretrain._config import RunConfig
from sonoscale.pretrain._flops import training_cost
from sonoscale.pretrain._mae import MaskedAutoencoder, random_masks
from sonoscale.pretrain._monitor import heldout_loss, read_rank
from sonoscale.pretrain._optimiser import make_optimiser, set_lr
from sonoscale.pretrain._run_folder import RunWriter

Progress = Callable[[int, int, float], None]


def pretrain(
    config: RunConfig,
    train: FeatureStore,
    heldout: FeatureStore,
    folder: Path,
    *,
    identity: dict[str, Any],
    progress: Progress | None = None,
) -> None:
    """Train one model to each of its budgets and write its run folder.

    The trunk warms up and then keeps its learning rate; where a budget's decay begins, a branch leaves the trunk,
    decays to 0, is measured and saved, and the trunk goes on from where the branch left it. A branch sees exactly
    what a run of that budget alone would have seen.

    Arguments:
        config: the run.
        train: log-mels to train on; the first `config.data.clips` clips are used (all, if None).
        heldout: log-mels for rank and held-out loss.
        folder: the run folder, made in one atomic step at the end.
        identity: what the run folder's hash was made of, kept in its record.
        progress: called with (steps done, steps in all, mean loss of late).

    Raises:
        SonoscaleError: the loss became NaN or infinite.
    """
    clips = config.data.clips or len(train)
    mean, std = train.statistics(clips)
    cost = training_cost(config)
    torch.manual_seed(config.seed)
    model = MaskedAutoencoder(config, mean=mean, std=std)
    optimiser = make_optimiser(model, config.train, config.encoder.width)
    masks = torch.Generator().manual_seed(config.seed + 1)
    batches = Batches(train, clips=clips, frames=config.frames, batch_size=config.train.batch_size, seed=config.seed)
    writer = RunWriter(config, folder, identity, cost, clips, train.seconds(clips))
    example_seconds = config.frames * train.hop_seconds

    budgets = config.train.budgets
    trunk_end = config.train.decay_start(budgets[-1])
    branch_at = {config.train.decay_start(b): b for b in budgets}
    rank_at = {0} | {round(s) for s in np.geomspace(10, max(11, trunk_end), config.train.rank_points - 1)}
    total = trunk_end + sum(b - config.train.decay_start(b) for b in budgets)
    done = 0
    smooth = float("nan")
    started = time.perf_counter()

    def train_step(step: int, budget: int | None) -> None:
        nonlocal done, smooth
        lr = set_lr(optimiser, config.train, step, budget)
        frames = batches.next()  # [B, frames, mels]
        visible, hidden = random_masks(len(frames), config.patches, config.kept, masks)
        loss = model(frames, visible, hidden)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), config.train.grad_clip)
        optimiser.step()
        value = loss.item()
        if not math.isfinite(value):
            raise SonoscaleError(f"the loss became {value} at step {step + 1} (learning rate {lr:.2g}): lower train.lr")
        done += 1
        smooth = value if math.isnan(smooth) else 0.95 * smooth + 0.05 * value
        writer.log(phase=_phase(budget), **seen(step + 1), loss=smooth, lr=lr)
        if progress:
            progress(done, total, smooth)

    def seen(step: int) -> dict[str, float]:
        examples = step * config.train.batch_size
        return {
            "step": step,
            "clips_seen": batches.clips_seen,
            "hours_seen": examples * example_seconds / 3600,
            "flops_encoder": float(examples * cost.flops_encoder),
            "flops_total": float(examples * cost.flops),
            "seconds": time.perf_counter() - started,
        }

    def measure(step: int, budget: int | None) -> None:
        reading = read_rank(model, heldout, encoder_id=f"{folder.name}@{step}")
        writer.log_rank(_phase(budget), step, reading, seen(step))
        if budget is not None:
            writer.finish_budget(step, model, reading, heldout_loss(model, heldout, config), seen(step))

    try:
        for step in range(trunk_end + 1):
            if step in rank_at:
                measure(step, None)
            if step in branch_at:
                budget = branch_at[step]
                state = copy.deepcopy(
                    (model.state_dict(), optimiser.state_dict(), masks.get_state(), batches.state(), smooth)
                )
                for branch_step in range(step, budget):
                    train_step(branch_step, budget)
                measure(budget, budget)
                model.load_state_dict(state[0])
                optimiser.load_state_dict(state[1])
                masks.set_state(state[2])
                batches.restore(state[3])
                smooth = state[4]
            if step < trunk_end:
                train_step(step, None)
        writer.close()
    finally:
        writer.discard()


def _phase(budget: int | None) -> str:
    return "trunk" if budget is None else f"branch-{budget}"
