"""The HEAR API (https://hearbenchmark.com/hear-api.html)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from sonoscale.encoders import AudioEncoder, EncoderConfig, pool_dim
from sonoscale.export._code.steps import at_least_one_patch, embedding_of, steps_in_pieces

CONFIG: dict[str, Any] = {}  # shape of the encoder
WEIGHTS = ""  # name of the file beside this one
READOUT = "mean"  # what a scene embedding is
LONGEST_HOP_MS = 50.0  # between two timestamps, as HEAR advises


class HearModel(nn.Module):
    """The encoder, with the attributes that HEAR asks for."""

    sample_rate: int  # Hz
    scene_embedding_size: int
    timestamp_embedding_size: int

    def __init__(self) -> None:
        super().__init__()
        self.encoder = AudioEncoder(EncoderConfig(**CONFIG))
        self.sample_rate = self.encoder.sample_rate
        self.timestamp_embedding_size = self.encoder.dim
        self.scene_embedding_size = pool_dim(self.encoder.dim, self.encoder.config.mel_patches, READOUT)


def load_model(model_file_path: str = "") -> HearModel:
    """The model in eval mode, on the CPU.

    Arguments:
        model_file_path: other weights of the same shape, a state dict written by `torch.save`; by default those that
            this package carries.
    """
    path = Path(model_file_path) if model_file_path else Path(__file__).with_name(WEIGHTS)
    model = HearModel()
    model.encoder.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    return model.eval()


@torch.no_grad()
def get_scene_embeddings(audio: Tensor, model: HearModel) -> Tensor:
    """One embedding per clip: what `READOUT` says of all patches.

    A clip shorter than one patch is followed by silence; one of more than 30 s is taken in pieces of 30 s.

    Arguments:
        audio: `[sounds, samples]`, mono, in [-1, 1], at `model.sample_rate`, on the model's device.
        model: from `load_model`.

    Returns:
        float32 `[sounds, model.scene_embedding_size]`.
    """
    return embedding_of(model.encoder, _clips(audio, model), READOUT)


@torch.no_grad()
def get_timestamp_embeddings(audio: Tensor, model: HearModel) -> tuple[Tensor, Tensor]:
    """An embedding every 50 ms or less: the encoder hears copies of the clip, each of them a part of a patch later.

    Arguments:
        audio, model: as for `get_scene_embeddings`.

    Returns:
        float32 `[sounds, timestamps, model.timestamp_embedding_size]`, and float32 `[sounds, timestamps]`: the
        centre in ms of the patch that each embedding stems from. The first and the last lie half a patch within the
        clip.
    """
    encoder, wave = model.encoder, _clips(audio, model)
    patch, front_end = encoder.config.patch_frames, encoder.config.front_end
    frame_ms = 1000 * front_end.hop / front_end.sample_rate
    parts = [n for n in range(1, patch + 1) if patch % n == 0 and n * frame_ms <= LONGEST_HOP_MS]
    hop = max(parts, default=1)  # frames between two timestamps
    shifts = patch // hop
    count = (front_end.frames(wave.shape[1]) - patch) // hop + 1
    embeddings = wave.new_empty(wave.shape[0], count, encoder.dim)
    for shift in range(min(shifts, count)):
        embeddings[:, shift::shifts] = steps_in_pieces(encoder, wave[:, shift * hop * front_end.hop :])
    first_ms = 500 * front_end.samples(patch) / front_end.sample_rate
    timestamps = first_ms + hop * frame_ms * torch.arange(count, dtype=torch.float64)
    return embeddings, timestamps.to(wave).repeat(wave.shape[0], 1)


def _clips(audio: Tensor, model: HearModel) -> Tensor:
    if audio.ndim != 2:
        raise ValueError(f"audio must be [sounds, samples], not {list(audio.shape)}")
    return at_least_one_patch(model.encoder, audio.float())
