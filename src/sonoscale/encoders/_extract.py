"""Embeddings of every clip of a feature store."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from sonoscale.corpora import FeatureStore
from sonoscale.encoders._audio_encoder import AudioEncoder
from sonoscale.encoders._readout import readout as read_tokens
from sonoscale.encoders._readout import readout_dim
from sonoscale.errors import SonoscaleError


def embed_store(encoder: AudioEncoder, store: FeatureStore, *, tokens_per_batch: int = 1024) -> np.ndarray:
    """Embed all clips, each over its whole length: the embeddings that the rank is measured on.

    Arguments:
        encoder, store, tokens_per_batch: see `read_store`.

    Returns:
        float32 `[clips, dim]`, in the order of the store.

    Raises:
        SonoscaleError: a clip is shorter than one patch.
    """
    return read_store(encoder, store, ("mean",), tokens_per_batch=tokens_per_batch)["mean"][0]


@torch.inference_mode()
def read_store(
    encoder: AudioEncoder,
    store: FeatureStore,
    readouts: Sequence[str],
    *,
    layers: bool = False,
    tokens_per_batch: int = 1024,
) -> dict[str, np.ndarray]:
    """Every readout of all clips, each over its whole length, in one forward pass.

    Clips with the same number of whole patches go together, so nothing is padded and an embedding does not
    depend on what else is in its batch.

    Arguments:
        encoder: in eval mode.
        store: log-mels with the encoder's front end.
        readouts: names of `READOUTS`; `mean` gives the embeddings that the rank is measured on.
        layers: of every layer instead of the output.
        tokens_per_batch: upper bound of clips times tokens in a batch (one clip at least); small enough here that
            the activations of a small model stay in a core's cache.

    Returns:
        of each readout, float32 `[layers, clips, R]`, one layer unless all were asked for, in the order of the store.

    Raises:
        SonoscaleError: a clip is shorter than one patch, or there is no such readout.
    """
    patch = encoder.config.patch_frames
    lengths = store.lengths()
    steps = lengths // patch  # whole patches along time
    if (steps == 0).any():
        bad = int(np.argmin(lengths))
        raise SonoscaleError(f"clip {bad} has {lengths[bad]} frames, less than one patch of {patch} frames")
    bands, depth = encoder.config.mel_patches, encoder.layers if layers else 1
    found = {
        name: np.empty((depth, len(store), readout_dim(encoder.dim, bands, name)), dtype=np.float32)
        for name in readouts
    }
    for count in np.unique(steps):
        group = np.flatnonzero(steps == count)
        size = max(1, tokens_per_batch // (int(count) * bands))
        for start in range(0, len(group), size):
            members = group[start : start + size]
            batch = np.stack([store.clip(i)[: count * patch] for i in members]).astype(np.float32)
            frames = torch.from_numpy(batch).to(encoder.mean.device)
            tokens = encoder.layer_tokens_of(frames) if layers else encoder.tokens(frames)[None]  # [L, B, N, D]
            for name, rows in found.items():
                rows[:, members] = read_tokens(tokens, bands, name).float().cpu().numpy()
    return found
