"""Parameters and floating-point operations, counted exactly from the configuration.

A multiply-add is two operations. Only matrix products are counted, as in `torch.utils.flop_counter`; norms,
activations and the optimiser are not. The 6ND rule does not hold here: the decoder runs on all patches and is
most of the work at small width.
"""

from __future__ import annotations

from dataclasses import dataclass

from sonoscale.pretrain._config import RunConfig


@dataclass(frozen=True)
class Cost:
    """Parameters, and operations of one training example (forward and backward)."""

    params_encoder: int
    params_decoder: int
    flops_encoder: int
    flops_decoder: int

    @property
    def flops(self) -> int:
        """Encoder and decoder."""
        return self.flops_encoder + self.flops_decoder


def training_cost(config: RunConfig) -> Cost:
    """The cost of a run's model on one training example."""
    enc, width, dec = config.encoder, config.encoder.width, config.decoder_width
    n, kept, hidden = config.patches, config.kept, config.patches - config.kept
    dec_mlp = round(dec * enc.mlp_ratio)
    depth = config.objective.decoder_depth
    # The gradient of a product costs two products; that of the patch embedding one, as patches need none.
    encoder = 2 * 2 * kept * enc.patch_size * width + enc.depth * _block_flops(kept, width, enc.mlp_width)
    decoder = (
        3 * 2 * kept * width * dec
        + depth * _block_flops(n, dec, dec_mlp)
        + 3 * 2 * hidden * dec * enc.patch_size
    )  # fmt: skip
    return Cost(
        params_encoder=_linear(enc.patch_size, width) + enc.depth * _block_params(width, enc.mlp_width) + 2 * width,
        params_decoder=_linear(width, dec) + dec + depth * _block_params(dec, dec_mlp) + 2 * dec
        + _linear(dec, enc.patch_size),
        flops_encoder=encoder,
        flops_decoder=decoder,
    )  # fmt: skip


def _linear(inputs: int, outputs: int) -> int:
    return inputs * outputs + outputs


def _block_params(width: int, mlp: int) -> int:
    return 4 * width + _linear(width, 3 * width) + _linear(width, width) + _linear(width, mlp) + _linear(mlp, width)


def _block_flops(tokens: int, width: int, mlp: int) -> int:
    matrices = 3 * 2 * tokens * width * (4 * width + 2 * mlp)
    # Attention: two products forward, four backward (recomputation in fused kernels is not counted).
    return matrices + 6 * 2 * tokens * tokens * width
