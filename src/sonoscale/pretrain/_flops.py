"""Parameters and floating-point operations, counted exactly from the configuration.

A multiply-add is two operations. Only matrix products and convolutions are counted, as in
`torch.utils.flop_counter`; norms, activations and the optimiser are not. The 6ND rule does not hold here: a decoder
runs on all patches and is most of the work at small width, a teacher runs forward only, and of two views both count.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sonoscale.encoders import block_flops, block_params, encoder_flops, encoder_params, linear_params

if TYPE_CHECKING:
    from sonoscale.pretrain._config import RunConfig


@dataclass(frozen=True)
class Cost:
    """Parameters, and operations of one training example (forward and, where something is trained, backward).

    Attributes:
        params_encoder, flops_encoder: what is kept after pre-training.
        params_decoder, flops_decoder: predictor of hidden patches (`mae`, `latent`).
        params_teacher, flops_teacher: copy of the encoder, which runs forward only (`latent`).
        params_head, flops_head: projector and comparison with all views of the batch (`contrastive`).
        flops_inference: the encoder on one whole, unmasked training example, forward.
    """

    params_encoder: int
    params_decoder: int
    params_teacher: int
    params_head: int
    flops_encoder: int
    flops_decoder: int
    flops_teacher: int
    flops_head: int
    flops_inference: int

    @property
    def flops(self) -> int:
        """All parts of the training together."""
        return self.flops_encoder + self.flops_decoder + self.flops_teacher + self.flops_head


def training_cost(config: RunConfig) -> Cost:
    """The cost of a run's model on one training example.

    Arguments:
        config: the run.

    Returns:
        Parameters, and operations of each pass.

    Example:
        >>> from sonoscale.pretrain import RunConfig
        >>> cost = training_cost(RunConfig())
        >>> cost.params_encoder, cost.flops
        (98864, 39616512)

    """
    enc, time, patches, frozen = config.encoder, config.time_patches, config.patches, config.train.frozen_layers
    params = encoder_params(enc)
    inference = encoder_flops(enc, time, patches)[0]
    if config.objective.kind == "contrastive":
        views = config.view_time_patches
        params_head, flops_head = _head(config)
        flops = 2 * sum(encoder_flops(enc, views, views * enc.mel_patches, frozen=frozen))
        return Cost(params, 0, 0, params_head, flops, 0, 0, flops_head, inference)
    flops = sum(encoder_flops(enc, time, config.kept, frozen=frozen))
    if config.objective.kind == "mae":
        params_decoder, flops_decoder = _decoder(config, enc.patch_size)
        return Cost(params, params_decoder, 0, 0, flops, flops_decoder, 0, 0, inference)
    params_decoder, flops_decoder = _decoder(config, enc.width)
    seen = patches if config.objective.teacher_sees == "all" else patches - config.kept
    teacher = encoder_flops(enc, time, seen)[0]
    return Cost(params, params_decoder, params, 0, flops, flops_decoder, teacher, 0, inference)


def _decoder(config: RunConfig, outputs: int) -> tuple[int, int]:
    """Parameters and operations of a `Decoder`."""
    width, dec, mlp = config.encoder.width, config.decoder_width, config.decoder_mlp_width
    depth, hidden = config.objective.decoder_depth, config.patches - config.kept
    params = (
        linear_params(width, dec) + dec + depth * block_params(dec, mlp) + 2 * dec + linear_params(dec, outputs)
    )  # fmt: skip
    embed, predict = 2 * config.kept * width * dec, 2 * hidden * dec * outputs
    ends = (2 if config.is_frozen else 3) * embed + 3 * predict  # frozen tokens need no gradient
    return params, ends + depth * sum(block_flops(config.patches, dec, mlp))


def _head(config: RunConfig) -> tuple[int, int]:
    """Parameters and operations of a `Projector`, with the cosines of each view to all views of the batch."""
    width, outputs = config.encoder.width * config.encoder.mel_patches, config.objective.projection_width
    others = 2 * config.train.batch_size
    params = linear_params(width, width) + linear_params(width, outputs)
    first, rest = 2 * width * width, 2 * width * outputs + 2 * others * outputs
    return params, 2 * ((2 if config.is_frozen else 3) * first + 3 * rest)
