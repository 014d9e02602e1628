"""A Sonoscale encoder as a model of transformers."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.modeling_outputs import BaseModelOutputWithPooling

from sonoscale.audio import LogMel
from sonoscale.encoders import AudioEncoder, EncoderConfig, pool

from .configuration_sonoscale import SonoscaleConfig


class SonoscaleModel(PreTrainedModel):
    """Waveforms -> hidden states, one per patch length, and a readout of all patches.

    Clips of unlike lengths are run apart from one another, each without its padding, so a clip's result does not
    depend on what stands beside it. Log-mels and outputs are float32 whatever type the weights have.
    """

    config_class = SonoscaleConfig
    base_model_prefix = "sonoscale"
    main_input_name = "input_values"

    def __init__(self, config: SonoscaleConfig) -> None:
        super().__init__(config)
        self.encoder = AudioEncoder(EncoderConfig(**config.shape))
        self.post_init()

    def _init_weights(self, module: nn.Module) -> None:
        """Make again what is in no checkpoint: transformers builds models without their contents."""
        if isinstance(module, LogMel):
            with torch.device("cpu"):
                fresh = LogMel(module.config)
            module.filters.copy_(fresh.filters)
            module._window = module._placed = fresh._window

    def forward(
        self,
        input_values: Tensor,
        attention_mask: Tensor | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
        **_: Any,
    ) -> BaseModelOutputWithPooling | tuple[Any, ...]:
        """Embed clips.

        Arguments:
            input_values: float32 `[batch, samples]`, mono, in [-1, 1], at `config.sampling_rate`.
            attention_mask: `[batch, samples]`, 1 for samples of a clip and 0 for the padding after it; None if all
                clips have one length.
            output_hidden_states: also give those after the patch embedding and after each block.
            return_dict: False for a tuple.

        Returns:
            `last_hidden_state` float32 `[batch, steps, hidden_size]`, 0 after a clip's own steps (see
            `step_lengths`), and `pooler_output` float32 `[batch, dim]`: the readout `config.readout` of
            a clip's own patches.

        Raises:
            ValueError: a clip is shorter than one patch, or padded at its beginning.
        """
        batch, samples = input_values.shape
        lengths = torch.full((batch,), samples)
        if attention_mask is not None:
            lengths = attention_mask.long().sum(dim=1).cpu()
            if (attention_mask.diff(dim=1) > 0).any():
                raise ValueError("clips must be padded at their ends")
        steps, bands = int(self.step_lengths(lengths).max()), self.encoder.config.mel_patches
        count = self.config.num_hidden_layers + 1 if output_hidden_states else 1
        hidden: Tensor | None = None  # [layers, batch, steps, width]
        pooled: Tensor | None = None
        for length in lengths.unique().tolist():
            rows = (lengths == length).nonzero()[:, 0].to(input_values.device)
            tokens = self._tokens(input_values[rows, :length], all_of_them=bool(output_hidden_states))
            layers = tokens.unflatten(2, (-1, bands)).mean(dim=3)  # the patches of a step averaged
            rows_read = pool(tokens[-1], bands, self.config.readout)
            if hidden is None or pooled is None:
                hidden = layers.new_zeros(count, batch, steps, layers.shape[-1])
                pooled = layers.new_zeros(batch, rows_read.shape[-1])
            hidden[:, rows, : layers.shape[2]] = layers
            pooled[rows] = rows_read
        if hidden is None or pooled is None:
            raise ValueError("there is no clip in the batch")
        out = BaseModelOutputWithPooling(
            last_hidden_state=hidden[-1],  # pyright: ignore[reportArgumentType]
            pooler_output=pooled,  # pyright: ignore[reportArgumentType]
            hidden_states=tuple(hidden) if output_hidden_states else None,  # pyright: ignore[reportArgumentType]
        )
        return out.to_tuple() if return_dict is False else out

    def step_lengths(self, lengths: Tensor) -> Tensor:
        """Hidden states that clips of `lengths` samples have of their own, int64."""
        c = self.encoder.config.front_end
        frames = (1 + (lengths - c.n_fft).div(c.hop, rounding_mode="floor")).clamp(min=0)
        return frames.div(self.encoder.config.patch_frames, rounding_mode="floor").long()

    def _get_feat_extract_output_lengths(self, input_lengths: Tensor) -> Tensor:
        """The name of `step_lengths` in speech models of transformers."""
        return self.step_lengths(input_lengths)

    def _tokens(self, wave: Tensor, *, all_of_them: bool) -> Tensor:
        """Clips of one length -> float32 `[layers, batch, steps * bands, width]`."""
        with torch.autocast(wave.device.type, enabled=False):
            front_end = self.encoder.front_end.float()
            patches = self.encoder.patches(front_end(wave.float()).transpose(1, 2))
        backbone = self.encoder.backbone
        patches = patches.to(backbone.norm.weight.dtype)
        tokens = backbone.forward_layers(patches) if all_of_them else backbone(patches)[None]
        return tokens.float()
