"""Models of transformers that take clips of any length: Wav2Vec2 and its kin, EnCodec, and the rest."""

from __future__ import annotations

import inspect
import math
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

from sonoscale.encoders._adapter import even_centres
from sonoscale.encoders._hf_model import HFEncoder
from sonoscale.errors import SonoscaleError


class GenericEncoder(HFEncoder):
    """Wav2Vec2, HuBERT, WavLM, Data2VecAudio, and any model that takes `input_values` or `input_features`.

    Its own frames are all that it gives: the clips of a batch have one length, so nothing is padded, and no
    attention mask is needed. Where the extractor pads all the same, to a multiple of a few frames, its mask goes to
    the model, and frames whose centre lies in the padding are left out. The shortest clip is what the convolutions
    need for one frame, if the model says so; clips are not padded to that. Models of a fixed length only
    and are not known here fail with their own message.
    """

    def prepare(self) -> None:
        self._takes_mask = "attention_mask" in inspect.signature(self.model.forward).parameters
        lengths = getattr(self.model, "_get_feat_extract_output_lengths", None)
        if lengths is not None and self.model.main_input_name == "input_values":
            low, high = 0, self.sample_rate
            while high < 1 << 24 and int(lengths(torch.tensor(high))) < 1:
                low, high = high, 2 * high
            while high - low > 1:  # low gives no frame, high gives one
                middle = (low + high) // 2
                low, high = (low, middle) if int(lengths(torch.tensor(middle))) >= 1 else (middle, high)
            self.min_samples = high
        self._kept = 1.0

    def inputs(self, wave: Tensor) -> dict[str, Any]:
        made = self.features(wave, padding="longest")
        mask = made.pop("attention_mask", None)
        self._kept = 1.0 if mask is None else float(mask[0].float().mean())
        if self._kept < 1.0 and mask is not None and self._takes_mask:
            made["attention_mask"] = mask
        return made

    def own(self, hidden: Tensor, samples: int) -> Tensor:
        if hidden.ndim != 3:
            raise SonoscaleError(f"{type(self.model).__name__} gives {list(hidden.shape)}, not [batch, steps, dim]")
        return hidden[:, : max(1, math.ceil(hidden.shape[1] * self._kept - 0.5))]

    def centres(self, steps: int, samples: int) -> Tensor:
        kernels, strides = (getattr(self.model.config, key, None) for key in ("conv_kernel", "conv_stride"))
        if isinstance(kernels, list | tuple) and isinstance(strides, list | tuple):  # exactly, from the convolutions
            field, hop, frames = 1, 1, samples
            for kernel, stride in zip(kernels, strides, strict=True):
                field, hop, frames = field + (kernel - 1) * hop, hop * stride, (frames - kernel) // stride + 1
            if frames == steps:
                return ((field - 1) / 2 + hop * torch.arange(steps)) * (1000 / self.sample_rate)
        return even_centres(steps, samples, self.sample_rate)


class EncodecEncoder(HFEncoder):
    """EnCodec: the latents of its encoder, before the quantiser.

    Its own frames are all latents of the clip, which is not padded by us; the encoder itself fills up its last
    frame. A stereo model gets the clip in both channels. A model that works in chunks (48 kHz) normalises and
    encodes each chunk for itself, as `EncodecModel.encode` does; of two chunks that overlap, a frame is taken from
    the one that begins later.
    """

    why_no_layers = "the convolutions of EnCodec differ in width and rate"

    def prepare(self) -> None:
        config = self.model.config
        self._hop = config.hop_length if hasattr(config, "hop_length") else math.prod(config.upsampling_ratios)
        self.min_samples = self._hop

    def forward(self, wave: Tensor, *, layers: bool = False) -> Any:
        config, samples = self.model.config, wave.shape[1]
        chunk, stride = config.chunk_length or samples, config.chunk_stride or samples
        made = []
        for start in range(0, max(1, samples - (chunk - stride)), stride):
            piece = wave[:, None, start : start + chunk].expand(-1, config.audio_channels, -1)
            if config.normalize:
                piece = piece / (piece.mean(dim=1, keepdim=True).square().mean(dim=-1, keepdim=True).sqrt() + 1e-8)
            latents = self.model.encoder(piece)  # [batch, dim, frames]
            last = start + chunk >= samples
            made.append(latents if last else latents[..., : math.ceil(stride / self._hop - 0.5)])
        return SimpleNamespace(last_hidden_state=torch.cat(made, dim=-1).transpose(1, 2))

    def own(self, hidden: Tensor, samples: int) -> Tensor:
        return hidden

    def centres(self, steps: int, samples: int) -> Tensor:
        config = self.model.config
        chunk, stride = config.chunk_length or samples, config.chunk_stride or samples
        starts = range(0, max(1, samples - (chunk - stride)), stride)
        per_chunk = math.ceil(stride / self._hop - 0.5) if len(starts) > 1 else steps
        frame = torch.arange(steps)
        which = (frame // per_chunk).clamp(max=len(starts) - 1)
        centre = which * stride + (frame - which * per_chunk + 0.5) * self._hop
        return centre * (1000 / self.sample_rate)
