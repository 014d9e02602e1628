"""Frames of clips of any length."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from sonoscale.encoders import AudioEncoder, pool

PIECE_SECONDS = 30  # taken at once: what attention costs grows with the square of it


def at_least_one_patch(encoder: AudioEncoder, wave: Tensor) -> Tensor:
    """Clips `[batch, samples]`, followed by silence if they are shorter than one patch."""
    return F.pad(wave, (0, max(0, encoder.min_samples - wave.shape[1])))


def embedding_of(encoder: AudioEncoder, wave: Tensor, readout: str) -> Tensor:
    """Clips `[batch, samples]` of at least one patch -> float32 `[batch, dim]`: what is read of all their tokens."""
    return pool(tokens_in_pieces(encoder, wave).flatten(1, 2), encoder.config.mel_patches, readout)


def steps_in_pieces(encoder: AudioEncoder, wave: Tensor) -> Tensor:
    """Clips `[batch, samples]` -> float32 `[batch, steps, width]`: the mean over a step's patches along frequency."""
    return tokens_in_pieces(encoder, wave).mean(dim=2)


def tokens_in_pieces(encoder: AudioEncoder, wave: Tensor) -> Tensor:
    """Clips `[batch, samples]` -> float32 `[batch, steps, bands, width]`, a step per patch length; steps may be 0.

    Clips of more than `PIECE_SECONDS` are taken in pieces that follow one another without a gap; up to that, the mean
    of the tokens is the embedding of the whole clip. What is left after the last whole patch is ignored.
    """
    c, front_end = encoder.config, encoder.config.front_end
    steps = front_end.frames(wave.shape[1]) // c.patch_frames
    if not steps:
        return wave.new_zeros(wave.shape[0], 0, c.mel_patches, c.width)
    patch = c.patch_frames * front_end.hop  # samples from patch to patch
    most = max(1, PIECE_SECONDS * front_end.sample_rate // patch)  # steps of a piece
    pieces = []
    for first in range(0, steps, most):
        samples = front_end.samples(min(most, steps - first) * c.patch_frames)
        tokens = encoder.embed_tokens(wave[:, first * patch : first * patch + samples])
        pieces.append(tokens.unflatten(1, (-1, c.mel_patches)))
    return torch.cat(pieces, dim=1)
