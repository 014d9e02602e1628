"""What a run would cost, before any audio is read."""

from __future__ import annotations

import resource
import statistics
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from sonoscale.pretrain._build import build_objective, prepare_for_speed
from sonoscale.pretrain._config import RunConfig
from sonoscale.pretrain._flops import Cost, training_cost
from sonoscale.pretrain._optimiser import make_optimiser
from sonoscale.pretrain._schedule import make_schedule

if TYPE_CHECKING:
    from sonoscale.pretrain._one_process import Runtime


@dataclass(frozen=True)
class Estimate:
    """Of a run.

    Attributes:
        cost: of one example.
        patches, kept: of one example, and how many of them the encoder sees.
        steps: to be trained in all, branches included.
        hours: of audio that the last budget hears, repetitions counted.
        flops: training operations of the last budget.
        seconds_per_step: measured on random log-mels, without reading data.
        memory: bytes: on a GPU the most allocated, else what the process grew by.
    """

    cost: Cost
    patches: int
    kept: int
    steps: int
    hours: float
    flops: float
    seconds_per_step: float
    memory: int

    @property
    def seconds(self) -> float:
        """Of all steps; rank readings come on top."""
        return self.steps * self.seconds_per_step


def estimate_run(config: RunConfig, fabric: Runtime, *, compiled: bool = False, rounds: int = 5) -> Estimate:
    """Count from the configuration, and time a few steps.

    Arguments:
        config: the run.
        fabric: device and precision.
        compiled: as the run would be.
        rounds: steps to time, after two that are not.
    """
    before = _resident()
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
    cost, budget = training_cost(config), config.budgets[-1]
    examples = budget * config.train.batch_size
    return Estimate(
        cost, config.patches, config.kept, make_schedule(config).steps,
        examples * config.frames * config.encoder.front_end.hop / config.encoder.front_end.sample_rate / 3600,
        float(examples * cost.flops), statistics.median(seconds[2:]),
        torch.cuda.max_memory_allocated() if on_gpu else max(0, _resident() - before),
    )  # fmt: skip


def _resident() -> int:
    """The most memory that this process has had, in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
