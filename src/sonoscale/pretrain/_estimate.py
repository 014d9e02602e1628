"""What a run would cost, before any audio is decoded, and what the device could do at best."""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from sonoscale.memory import available_memory, peak_memory
from sonoscale.pretrain._config import RunConfig
from sonoscale.pretrain._flops import training_cost
from sonoscale.pretrain._memory import run_memory
from sonoscale.pretrain._objective import build_objective, make_objective, prepare_for_speed
from sonoscale.pretrain._optimiser import make_optimiser
from sonoscale.pretrain._results import Estimate
from sonoscale.pretrain._schedule import make_schedule

if TYPE_CHECKING:
    from sonoscale.pretrain._runtime import Runtime


def estimate_run(
    config: RunConfig, fabric: Runtime, *, clips: int, heldout: int, compiled: bool = False, rounds: int = 5
) -> Estimate:
    """Count from the configuration, and time a few steps on random log-mels, where the device has room for the model.

    Arguments:
        config: the run, its precision resolved.
        fabric: device and precision.
        clips, heldout: of audio, to train on and held out.
        compiled: as the run would be.
        rounds: steps to time, after two that are not.
    """
    cost, budget, free = training_cost(config), config.budgets[-1], free_memory(fabric.device)
    examples = budget * config.train.batch_size
    front_end = config.encoder.front_end
    seconds, memory = float("nan"), run_memory(config)
    if memory <= free * fabric.world_size:
        seconds, memory = _timed(config, fabric, compiled, rounds)
    return Estimate(
        cost=cost,
        patches=config.patches,
        kept=config.kept,
        budgets=config.budgets,
        batch_size=config.train.batch_size,
        steps=make_schedule(config).steps,
        clips=clips,
        heldout=heldout,
        hours=examples * config.frames * front_end.hop / front_end.sample_rate / 3600,
        flops=float(examples * cost.flops),
        seconds_per_step=seconds,
        memory=memory,
        free=free,
        device=str(fabric.device),
        precision=config.train.precision,
    )


def free_memory(device: torch.device) -> int:
    """Bytes that a device has to give; more than anybody needs where that is not known."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    there = available_memory()
    return 2**62 if there is None else there


def _timed(config: RunConfig, fabric: Runtime, compiled: bool, rounds: int) -> tuple[float, int]:
    """Seconds of a step, and the memory that it takes, in bytes."""
    before = peak_memory()
    objective, base = build_objective(config, mean=0.0, std=1.0)
    prepare_for_speed(objective, compiled)
    model = fabric.setup_module(objective)
    optimiser: Any = fabric.setup_optimizers(make_optimiser(objective, base, config.train))
    generator = torch.Generator().manual_seed(0)
    batch = config.train.batch_size // config.train.accumulate // fabric.world_size
    seconds = []
    for _ in range(rounds + 2):
        started = time.perf_counter()
        frames = fabric.to_device(torch.randn(batch, config.frames, config.encoder.n_mels, generator=generator))
        draw = {name: fabric.to_device(rows) for name, rows in objective.draw(batch, generator).items()}
        fabric.backward(model(frames, draw))
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        if fabric.device.type == "cuda":
            torch.cuda.synchronize()
        seconds.append((time.perf_counter() - started) * config.train.accumulate)
    on_gpu = fabric.device.type == "cuda"
    memory = torch.cuda.max_memory_allocated() if on_gpu else max(0, peak_memory() - before)
    return statistics.median(seconds[2:]), memory


# Dense bf16 operations per second, without sparsity, from the makers' data sheets; the first name that fits counts.
PEAKS = {
    "H100 PCIe": 756e12,
    "H100 NVL": 835e12,
    "H100": 989e12,
    "H200": 989e12,
    "GH200": 989e12,
    "B200": 2250e12,
    "A100": 312e12,
    "A10G": 70e12,
    "A10": 125e12,
    "L40S": 362e12,
    "L40": 181e12,
    "L4": 121e12,
    "RTX 4090": 165e12,
}


def peak_flops(device: torch.device) -> float | None:
    """Dense bf16 peak of a GPU, operations per second; None where it is not known, as on CPUs."""
    if device.type != "cuda":
        return None
    name = torch.cuda.get_device_name(device)
    return next((peak for key, peak in PEAKS.items() if key in name), None)


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
    """Run a training step on tensors without values under `FlopCounterMode`, with one correction.

    For the gradient of the kernel of a grouped convolution that counter takes the groups for one, and is too high by
    their number; the correction counts what is done.
    """
    nowhere, batch = torch.device("meta"), config.train.batch_size
    with torch.random.fork_rng():
        model = make_objective(config, mean=0.0, std=1.0).to(nowhere)
        frames = torch.empty(batch, config.frames, config.encoder.n_mels, device=nowhere)
        draw = {name: rows.to(nowhere) for name, rows in model.draw(batch, torch.Generator().manual_seed(0)).items()}
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
