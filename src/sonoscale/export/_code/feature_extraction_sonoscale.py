"""Waveforms for a Sonoscale encoder, padded to one length."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from transformers import BatchFeature, SequenceFeatureExtractor


class SonoscaleFeatureExtractor(SequenceFeatureExtractor):
    """Pads clips with silence at their ends, and says in a mask which samples are theirs.

    The waveforms are left as they are: log-mels and their normalisation are part of the model.
    """

    model_input_names = ["input_values", "attention_mask"]  # noqa: RUF012 - as in transformers

    def __init__(
        self, feature_size: int = 1, sampling_rate: int = 16_000, padding_value: float = 0.0, **more: Any
    ) -> None:
        super().__init__(feature_size=feature_size, sampling_rate=sampling_rate, padding_value=padding_value, **more)

    def __call__(
        self,
        raw_speech: Any,
        sampling_rate: int | None = None,
        padding: bool | str = True,
        return_tensors: str | None = None,
        return_attention_mask: bool = True,
        **more: Any,
    ) -> BatchFeature:
        """Clips -> `input_values` float32 `[batch, samples]` and `attention_mask` int `[batch, samples]`.

        Arguments:
            raw_speech: a mono clip, or several: arrays or lists of floats in [-1, 1], of any lengths.
            sampling_rate: of the clips in Hz; there is no resampling, so another one than the model's is an error.
            padding, return_tensors, return_attention_mask: as in transformers.
            more: `max_length`, `truncation`, `pad_to_multiple_of`.
        """
        if sampling_rate is not None and sampling_rate != self.sampling_rate:
            raise ValueError(f"the model hears {self.sampling_rate} Hz, not {sampling_rate} Hz: resample the clips")
        several = isinstance(raw_speech, Sequence) and len(raw_speech) > 0 and np.ndim(raw_speech[0]) > 0
        clips = list(raw_speech) if several or np.ndim(raw_speech) == 2 else [raw_speech]
        waves = [np.asarray(clip, dtype=np.float32) for clip in clips]
        for wave in waves:
            if wave.ndim != 1 or not wave.size:
                raise ValueError(f"a clip must be mono, [samples], not {list(wave.shape)}")
        return self.pad(
            BatchFeature({"input_values": waves}),
            padding=padding,
            return_attention_mask=return_attention_mask,
            return_tensors=return_tensors,
            **more,
        )
