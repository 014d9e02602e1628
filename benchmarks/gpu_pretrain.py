"""Training steps on a GPU: `python benchmarks/gpu_pretrain.py`, a few minutes.

Clips of 10 s, log-mels made up on the device: the training step alone, in float32, in bf16, and in bf16 with the blocks
compiled. The share is the training FLOPs of `training_cost` over the time and the dense bf16 peak of the device, for
all precisions; beside it, over what a bf16 product of [8192, 8192] matrices reaches here.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from sonoscale.config import validate
from sonoscale.pretrain import RunConfig, build_for_training, peak_flops, prepare_for_speed, set_lr, training_cost
from sonoscale.pretrain._runtime import start_runtime
from sonoscale.provenance import provenance

WAYS = (("fp32", False), ("bf16", False), ("bf16", True))
"""Precision, and whether blocks are compiled."""


def timed(work: Callable[[int], object], steps: int, warm: int = 10) -> float:
    """Seconds of one call, the median."""
    seconds = []
    for step in range(steps + warm):
        torch.cuda.synchronize()
        started = time.perf_counter()
        work(step)
        torch.cuda.synchronize()
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds[warm:])


def measure(kind: str, width: int, batch: int, precision: str, *, compiled: bool, steps: int) -> tuple[float, ...]:
    """Milliseconds a step, operations a second, and GiB at most."""
    config = validate(
        RunConfig,
        {
            "data": {"kind": "procedural", "clips": max(3072, batch), "seconds": 10.0},
            "encoder": {"backbone": "vit", "width": width, "depth": 12, "n_mels": 128},
            "objective": {"kind": kind, "decoder_depth": 4, "decoder_width_ratio": 0.5},
            "train": {"clip_seconds": 10.0, "batch_size": batch},
        },
    )
    fabric = start_runtime("cuda", 1, "auto", precision)
    objective, optimiser = build_for_training(config, mean=0.0, std=1.0)
    prepare_for_speed(objective, compiled)
    model = fabric.setup_module(objective)
    wrapped: Any = fabric.setup_optimizers(optimiser)  # one, since one is given
    frames = torch.randn(batch, config.frames, config.encoder.n_mels, device=fabric.device)
    generator = torch.Generator().manual_seed(0)
    draws = [
        {name: rows.to(fabric.device) for name, rows in objective.draw(batch, generator).items()} for _ in range(4)
    ]

    def step(number: int) -> None:
        set_lr(optimiser, config.train, number, None)
        wrapped.zero_grad(set_to_none=True)
        fabric.backward(model(frames, draws[number % 4]))
        torch.nn.utils.clip_grad_norm_(objective.parameters(), 1.0)
        wrapped.step()
        objective.after_step(number)

    torch.cuda.reset_peak_memory_stats()
    seconds = timed(step, steps)
    flops = training_cost(config).flops * batch / seconds
    return 1000 * seconds, flops, torch.cuda.max_memory_allocated() / 2**30


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--objectives", nargs="+", default=["mae", "latent", "contrastive"])
    parser.add_argument("--widths", type=int, nargs="+", default=[192, 384, 768])
    arguments = parser.parse_args()
    if not torch.cuda.is_available():
        sys.exit("PyTorch finds no GPU here")
    peak = peak_flops(torch.device("cuda"))
    square = torch.randn(8192, 8192, device="cuda", dtype=torch.bfloat16)
    product = 2 * 8192**3 / timed(lambda step: square @ square, 10, warm=3)
    table = Table(
        title=f"{torch.cuda.get_device_name()}, 10 s clips, depth 12, batch {arguments.batch}; a bf16 product reaches "
        f"{product / 1e12:.0f} TFLOP/s"
    )
    for column in ("objective", "width", "precision", "compiled", "ms a step", "clips / s", "TFLOP/s", "of peak",
                   "of the product", "GiB"):  # fmt: skip
        table.add_column(column, justify="right")
    for kind in arguments.objectives:
        for width in arguments.widths:
            for precision, compiled in WAYS:
                try:
                    ms, rate, memory = measure(
                        kind, width, arguments.batch, precision, compiled=compiled, steps=arguments.steps
                    )
                except torch.cuda.OutOfMemoryError:
                    cells = ["out of memory", *["-"] * 5]
                else:
                    share = f"{rate / peak:.1%}" if peak else "unknown"
                    cells = [
                        f"{ms:.1f}", f"{1000 * arguments.batch / ms:,.0f}", f"{rate / 1e12:.1f}", share,
                        f"{rate / product:.1%}", f"{memory:.1f}",
                    ]  # fmt: skip
                table.add_row(kind, str(width), precision, "yes" if compiled else "no", *cells)
                torch.cuda.empty_cache()
    console = Console(width=140)
    console.print(table)
    console.print(provenance("torch", "numpy", "scipy"))


if __name__ == "__main__":
    main()
