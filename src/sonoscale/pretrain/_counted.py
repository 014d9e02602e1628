"""The operations that torch itself counts, to hold against the formulas of `training_cost`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from sonoscale.pretrain._config import RunConfig
from sonoscale.pretrain._objective import make_objective


@dataclass(frozen=True)
class Counted:
    """Operations of one training example.

    Attributes:
        training: forward and backward of all parts.
        inference: the encoder on one whole, unmasked training example, forward.
    """

    training: float
    inference: float


def count_operations(config: RunConfig) -> Counted:
    """Run a training step on random log-mels under `FlopCounterMode`, with one correction.

    For the gradient of the kernel of a grouped convolution that counter takes the groups for one, and is too high by
    their number; the correction counts what is done.
    """
    with torch.random.fork_rng():
        model, batch = make_objective(config, mean=0.0, std=1.0), config.train.batch_size
        frames = torch.randn(batch, config.frames, config.encoder.n_mels)
        draw = model.draw(batch, torch.Generator().manual_seed(0))
        # Fused kernels of attention are not counted on every device.
        with _counter() as training, sdpa_kernel(SDPBackend.MATH):
            model(frames, draw).backward()
        with _counter() as inference, sdpa_kernel(SDPBackend.MATH), torch.inference_mode():
            model.encoder.embed_logmel(frames)
    return Counted(training.get_total_flops() / batch, inference.get_total_flops() / batch)


def _counter() -> FlopCounterMode:
    return FlopCounterMode(display=False, custom_mapping={torch.ops.aten.convolution_backward: _grouped_backward})


def _grouped_backward(
    gradient: torch.Size, x: torch.Size, weight: torch.Size, bias: Any, stride: Any, padding: Any, dilation: Any,
    transposed: bool, out_pad: Any, groups: int, wanted: list[bool], **_: Any,
) -> int:  # fmt: skip
    """Of the gradients of input and kernel: each as much as the forward pass."""
    assert not transposed
    return 2 * gradient.numel() * weight[1:].numel() * sum(wanted[:2])
