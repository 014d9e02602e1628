"""What is watched on clips that are never trained on: effective rank and masked loss."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from sonoscale.corpora import FeatureStore
from sonoscale.encoders import embed_store
from sonoscale.pretrain._batches import Batches
from sonoscale.pretrain._config import RunConfig
from sonoscale.pretrain._mae import MaskedAutoencoder, random_masks
from sonoscale.rank import RankRecord, SpectralSketch, measure_rank


@dataclass(frozen=True)
class RankReading:
    """Rank at one moment: both variants, and the spectra they come from."""

    uncentred: RankRecord
    centred: RankRecord
    spectrum: np.ndarray
    spectrum_centred: np.ndarray


def read_rank(model: MaskedAutoencoder, heldout: FeatureStore, *, encoder_id: str) -> RankReading:
    """Rank of the embeddings of all held-out clips, unmasked, in eval mode."""
    was_training = model.training
    model.eval()
    sketch = SpectralSketch(model.encoder.dim)
    sketch.update(embed_store(model.encoder, heldout))
    model.train(was_training)
    seconds = heldout.seconds() / len(heldout)
    uncentred, centred = (
        measure_rank(sketch, name, encoder=encoder_id, corpus=heldout.corpus, mean_seconds=seconds)
        for name in ("rankme", "rankme_centred")
    )
    return RankReading(uncentred, centred, sketch.spectrum(), sketch.spectrum(centred=True))


@torch.inference_mode()
def heldout_loss(model: MaskedAutoencoder, heldout: FeatureStore, config: RunConfig, *, batches: int = 8) -> float:
    """Masked loss on examples cut from held-out clips, with masks and crops that never change.

    Runs with the same patches and mask ratio see the same masks; across mask ratios the number is not comparable.
    """
    was_training = model.training
    model.eval()
    stream = Batches(heldout, clips=len(heldout), frames=config.frames, batch_size=128, seed=0)
    generator = torch.Generator().manual_seed(0)
    losses = []
    for _ in range(min(batches, max(1, len(heldout) // 128))):
        frames = stream.next()
        visible, hidden = random_masks(len(frames), config.patches, config.kept, generator)
        losses.append(model(frames, visible, hidden).item())
    model.train(was_training)
    return float(np.mean(losses))
