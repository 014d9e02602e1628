"""Embeddings of every clip of a feature store."""

from __future__ import annotations

import numpy as np
import torch

from sonoscale.corpora import FeatureStore
from sonoscale.encoders._audio_encoder import AudioEncoder
from sonoscale.encoders._readout import readout as read_tokens
from sonoscale.encoders._readout import readout_dim
from sonoscale.errors import SonoscaleError


@torch.inference_mode()
def embed_store(
    encoder: AudioEncoder, store: FeatureStore, *, readout: str = "mean", tokens_per_batch: int = 1024
) -> np.ndarray:
    """Embed all clips, each over its whole length.

    Clips with the same number of whole patches go together, so nothing is padded and an embedding does not
    depend on what else is in its batch.

    Arguments:
        encoder: in eval mode.
        store: log-mels with the encoder's front end.
        readout: name of one of `READOUTS`; `mean` gives the embeddings that the rank is measured on.
        tokens_per_batch: upper bound of clips times tokens in a batch (one clip at least); small enough here that
            the activations of a small model stay in a core's cache.

    Returns:
        float32 `[clips, dim]`, for other readouts as wide as they are, in the order of the store.

    Raises:
        SonoscaleError: a clip is shorter than one patch, or there is no such readout.
    """
    patch = encoder.config.patch_frames
    lengths = store.lengths()
    steps = lengths // patch  # whole patches along time
    if (steps == 0).any():
        bad = int(np.argmin(lengths))
        raise SonoscaleError(f"clip {bad} has {lengths[bad]} frames, less than one patch of {patch} frames")
    bands = encoder.config.mel_patches
    out = np.empty((len(store), readout_dim(encoder.dim, bands, readout)), dtype=np.float32)
    for count in np.unique(steps):
        group = np.flatnonzero(steps == count)
        size = max(1, tokens_per_batch // (int(count) * bands))
        for start in range(0, len(group), size):
            members = group[start : start + size]
            batch = np.stack([store.clip(i)[: count * patch] for i in members]).astype(np.float32)
            frames = torch.from_numpy(batch).to(encoder.mean.device)
            rows = read_tokens(encoder.tokens(frames), bands, readout)
            out[members] = rows.float().cpu().numpy()
    return out
