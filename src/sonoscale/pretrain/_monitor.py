"""What is watched on clips that are never trained on: effective rank and loss, and signs that a training goes wrong."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from sonoscale.corpora import FeatureStore
from sonoscale.encoders import embed_store
from sonoscale.errors import SonoscaleError
from sonoscale.pretrain._batches import Batches
from sonoscale.pretrain._config import RunConfig
from sonoscale.pretrain._objective import Objective
from sonoscale.rank import RankMonitor, RankRecord

_BATCH = 128  # examples of a batch of the held-out loss


class DivergedError(SonoscaleError):
    """A training went wrong by itself, and would again."""


@dataclass(frozen=True)
class RankReading:
    """Rank at one moment: both variants, and the spectra they come from."""

    uncentred: RankRecord
    centred: RankRecord
    spectrum: np.ndarray
    spectrum_centred: np.ndarray


def rank_monitor(heldout: FeatureStore) -> RankMonitor:
    """Reads the rank of the embeddings of all held-out clips, whole and unmasked."""
    return RankMonitor(
        [heldout],
        embed=lambda model, store: embed_store(model.encoder, store),
        estimators=("rankme", "rankme_centred"),
        corpus=heldout.corpus,
    )


def read_rank(
    monitor: RankMonitor, model: Objective, heldout: FeatureStore, *, step: int, encoder_id: str
) -> RankReading:
    """The rank of a model as it is, with what the records should say of it."""
    reading = monitor.read(model, step)
    about: dict[str, Any] = {"encoder": encoder_id, "mean_seconds": heldout.seconds() / len(heldout)}
    uncentred, centred = (dataclasses.replace(record, **about) for record in reading.records.values())
    return RankReading(uncentred, centred, reading.sketch.spectrum(), reading.sketch.spectrum(centred=True))


@torch.inference_mode()
def heldout_loss(model: Objective, heldout: FeatureStore, config: RunConfig, *, batches: int = 8) -> float:
    """Loss on examples cut from held-out clips, with crops and draws (masks, views) that never change.

    Runs with the same patches and mask, or the same length of a view, see the same draws. Across objectives, mask
    ratios, or sizes of a teacher the number is not comparable. Batches have 128 examples whatever the training's
    have, so that contrastive losses are comparable across batch sizes; in eval mode they stay within the process.

    Arguments:
        model: its state is not changed.
        heldout: log-mels.
        config: of the model.
        batches: at most so many batches; fewer, down to one, where there are not so many clips.
    """
    was_training, device = model.training, model.encoder.mean.device
    model.eval()
    stream = Batches(heldout, clips=len(heldout), frames=config.frames, batch_size=_BATCH, seed=0)
    generator = torch.Generator().manual_seed(0)
    losses = []
    for _ in range(min(batches, max(1, len(heldout) // _BATCH))):
        frames = stream.next().to(device)
        draw = {name: rows.to(device) for name, rows in model.draw(_BATCH, generator).items()}
        losses.append(model(frames, draw).item())
    model.train(was_training)
    return float(np.mean(losses))


SPIKE = 1.5
"""A smoothed loss so many times its lowest is said to have jumped."""

COLLAPSED = 1.5
"""A centred RankMe under this says that all clips lie on a line."""


def check_loss(loss: float, lowest: float, *, step: int, lr: float) -> str | None:
    """What is to be said of the smoothed loss, if anything.

    Raises:
        DivergedError: it is NaN or infinite.
    """
    if not math.isfinite(loss):
        raise DivergedError(f"the loss became {loss} at step {step} (learning rate {lr:.2g}): lower train.lr")
    if lowest > 0 and loss > SPIKE * lowest:
        return f"the loss rose from {lowest:.3g} to {loss:.3g} by step {step}: train.lr may be too high"
    return None


def check_rank(reading: RankReading, *, step: int) -> str | None:
    """What is to be said of the rank, if anything."""
    rank = reading.centred.value
    if step and rank < COLLAPSED:
        return f"the embeddings have collapsed by step {step}: centred RankMe is {rank:.3g}"
    return None
