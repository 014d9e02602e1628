"""Configuration of a Sonoscale encoder for transformers."""

from __future__ import annotations

from typing import Any

from transformers import PretrainedConfig


class SonoscaleConfig(PretrainedConfig):
    """Shape of an encoder.

    Arguments:
        shape: the keys of `EncoderConfig` in `modeling_sonoscale.py`.
        sampling_rate: Hz.
        hidden_size: width of the hidden states.
        num_hidden_layers: blocks.
        conv_kernel, conv_stride: how far a hidden state sees and how far the next one stands, as if it were made by
            two convolutions over the waveform: analysis window and patch.
        readout: what `pooler_output` is of all patches: mean, mean+std, frequency or frequency+std.
        more: of `PretrainedConfig`.
    """

    model_type = "sonoscale"

    def __init__(
        self,
        shape: dict[str, Any] | None = None,
        sampling_rate: int = 16_000,
        hidden_size: int = 64,
        num_hidden_layers: int = 4,
        conv_kernel: list[int] | None = None,
        conv_stride: list[int] | None = None,
        readout: str = "mean",
        **more: Any,
    ) -> None:
        self.shape = shape or {}
        self.sampling_rate = sampling_rate
        self.hidden_size = hidden_size
        self.num_hidden_layers = num_hidden_layers
        self.readout = readout
        self.conv_kernel = conv_kernel or [512, 16]
        self.conv_stride = conv_stride or [160, 16]
        super().__init__(**more)
