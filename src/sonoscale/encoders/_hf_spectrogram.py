"""Models of transformers that take spectrograms of one fixed length: AST, Whisper and CLAP."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from sonoscale.encoders._hf_model import HFEncoder

AST_WINDOW, AST_HOP = 400, 160  # samples: its extractor has them fixed


class ASTEncoder(HFEncoder):
    """Audio Spectrogram Transformer.

    The extractor fills the spectrogram up to `max_length` frames with zeros. A clip's own frames are the patches that
    lie wholly within its real frames; the class and distillation tokens and all other patches are left out of the
    mean, though the attention of the model sees them. `min_samples` is one patch; a clip is too long when it has
    more than `max_length` frames, which the extractor would cut off.
    """

    def prepare(self) -> None:
        c = self.model.config
        self._bands = (c.num_mel_bins - c.patch_size) // c.frequency_stride + 1
        self.min_samples = AST_WINDOW + (c.patch_size - 1) * AST_HOP
        self.max_samples = AST_WINDOW + self.extractor.max_length * AST_HOP - 1

    def inputs(self, wave: Tensor) -> dict[str, Any]:
        return {"input_values": self.features(wave)["input_values"]}

    def own(self, hidden: Tensor, samples: int) -> Tensor:
        c = self.model.config
        frames = (samples - AST_WINDOW) // AST_HOP + 1
        steps = (frames - c.patch_size) // c.time_stride + 1
        patches = hidden[:, 2:].unflatten(1, (self._bands, -1))  # frequency-major: [batch, bands, times, dim]
        return patches[:, :, :steps].float().mean(dim=1)

    def centres(self, steps: int, samples: int) -> Tensor:
        c = self.model.config
        frame = torch.arange(steps) * c.time_stride + (c.patch_size - 1) / 2
        return (frame * AST_HOP + AST_WINDOW / 2) * (1000 / self.sample_rate)


class WhisperEncoder(HFEncoder):
    """The encoder of Whisper.

    The extractor pads each clip with zeros to 30 s (`chunk_length`), and the encoder takes nothing else. A clip's own
    frames are those centred before its end, one per 20 ms; the rest is left out of the mean, though the attention
    of the model sees it. So any length from 1 sample up to 30 s will do. Dither, which would draw other noise for
    each place in a batch, is off.
    """

    def prepare(self) -> None:
        self.extractor.dither = 0.0
        self._hop = self.extractor.hop_length * self.model.conv1.stride[0] * self.model.conv2.stride[0]
        self.max_samples = self.extractor.n_samples

    def inputs(self, wave: Tensor) -> dict[str, Any]:
        return {"input_features": self.features(wave)["input_features"]}

    def own(self, hidden: Tensor, samples: int) -> Tensor:
        return hidden[:, : -(-samples // self._hop)]

    def centres(self, steps: int, samples: int) -> Tensor:
        return torch.arange(steps) * (self._hop * 1000 / self.sample_rate)


class ClapEncoder(HFEncoder):
    """The audio tower of CLAP, before the projection.

    The extractor repeats a clip up to `max_length_s` (10 s) and fills the rest with zeros, or as its `padding` says.
    A clip's own frames are the steps of the last stage, about 0.3 s each, that lie wholly within its first
    occurrence; `min_samples` is one such step. A clip of the full length keeps all of them, and its embedding is the
    model's `pooler_output`. Longer clips, of which the extractor would crop a random part or fuse several, are
    refused, and `is_longer` is always false: with `truncation="fusion"` the extractor sets it for one random clip of
    a batch, which would mix that clip's mel-spectrogram with itself.
    """

    why_no_layers = "the stages of CLAP's audio tower differ in width"

    def prepare(self) -> None:
        c = self.model.config
        folds = c.spec_size // c.num_mel_bins  # the spectrogram is cut in time and stacked to a square
        stride = c.patch_stride if isinstance(c.patch_stride, int) else c.patch_stride[1]
        self._width = c.spec_size * folds  # frames that the extractor's are interpolated to
        self._cell = stride * 2 ** (len(c.depths) - 1)  # of these, in a step of the last stage
        self._total = self._width // self._cell
        self.max_samples = int(self.extractor.nb_max_samples)
        self._last_frame = self.max_samples // self.extractor.hop_length  # its centre is at the end of the longest clip
        self.min_samples = -(-self._end(0) // (self._width - 1))

    def _end(self, step: int) -> int:
        """The centre of a step's last frame, in samples times `width - 1`: interpolation keeps both ends."""
        return ((step + 1) * self._cell - 1) * self._last_frame * self.extractor.hop_length

    def inputs(self, wave: Tensor) -> dict[str, Any]:
        mels = self.features(wave)["input_features"]
        return {"input_features": mels, "is_longer": torch.zeros(len(wave), 1, dtype=torch.bool, device=mels.device)}

    def own(self, hidden: Tensor, samples: int) -> Tensor:
        steps = sum(self._end(step) <= samples * (self._width - 1) for step in range(self._total))
        return (
            hidden.float().mean(dim=2).transpose(1, 2)[:, :steps]
        )  # [batch, dim, bands, times] -> [batch, times, dim]

    def centres(self, steps: int, samples: int) -> Tensor:
        frame = (torch.arange(steps) + 0.5) * self._cell - 0.5
        position = frame * (self._last_frame / (self._width - 1))
        return position * (self.extractor.hop_length * 1000 / self.sample_rate)
