"""Model FLOPs utilisation of pre-training on a GPU: `python benchmarks/gpu_pretrain.py`.

Clips of 10 s, bf16, blocks compiled, log-mels made up on the device: the training step alone. MFU is the training
FLOPs of `training_cost` over the time and the dense bf16 peak of the device.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time

import torch
from lightning_fabric import Fabric
from rich.console import Console
from rich.table import Table

from sonoscale.config import validate
from sonoscale.pretrain import RunConfig, build_for_training, peak_flops, prepare_for_speed, set_lr, training_cost
from sonoscale.provenance import provenance


def measure(width: int, batch: int, *, compiled: bool, steps: int) -> tuple[float, float, float]:
    """Milliseconds a step, operations a second, and GiB at most."""
    config = validate(
        RunConfig,
        {
            "data": {"kind": "procedural", "clips": max(3072, batch), "seconds": 10.0},
            "encoder": {"width": width, "depth": 12, "n_mels": 128},
            "objective": {"decoder_depth": 4, "decoder_width_ratio": 0.5},
            "train": {"clip_seconds": 10.0, "batch_size": batch},
        },
    )
    fabric = Fabric(accelerator="cuda", devices=1, precision="bf16-mixed")
    fabric.launch()
    objective, optimiser = build_for_training(config, mean=0.0, std=1.0)
    prepare_for_speed(objective, compiled)
    model, wrapped = fabric.setup(objective, optimiser)
    frames = torch.randn(batch, config.frames, config.encoder.n_mels, device=fabric.device)
    generator = torch.Generator().manual_seed(0)
    draws = [
        {name: rows.to(fabric.device) for name, rows in objective.draw(batch, generator).items()} for _ in range(4)
    ]
    torch.cuda.reset_peak_memory_stats()
    seconds = []
    for step in range(steps + 10):
        torch.cuda.synchronize()
        started = time.perf_counter()
        set_lr(optimiser, config.train, step, None)
        wrapped.zero_grad(set_to_none=True)
        fabric.backward(model(frames, draws[step % 4]))
        torch.nn.utils.clip_grad_norm_(objective.parameters(), 1.0)
        wrapped.step()
        torch.cuda.synchronize()
        seconds.append(time.perf_counter() - started)
    middle = statistics.median(seconds[10:])
    return 1000 * middle, training_cost(config).flops * batch / middle, torch.cuda.max_memory_allocated() / 2**30


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--steps", type=int, default=30)
    arguments = parser.parse_args()
    if not torch.cuda.is_available():
        sys.exit("PyTorch finds no GPU here")
    peak = peak_flops(torch.device("cuda"))
    table = Table(title=f"{torch.cuda.get_device_name()}, 10 s clips, depth 12, batch {arguments.batch}")
    for column in ("width", "compiled", "ms a step", "clips / s", "TFLOP/s", "MFU", "GiB", "target"):
        table.add_column(column, justify="right")
    for width, target in ((192, "12%"), (384, "25%"), (768, "40%")):
        for compiled in (False, True):
            ms, rate, memory = measure(width, arguments.batch, compiled=compiled, steps=arguments.steps)
            mfu = f"{rate / peak:.1%}" if peak else "peak unknown"
            table.add_row(
                str(width), "yes" if compiled else "no", f"{ms:.1f}", f"{1000 * arguments.batch / ms:,.0f}",
                f"{rate / 1e12:.1f}", mfu, f"{memory:.1f}", target,
            )  # fmt: skip
    console = Console(width=120)
    console.print(table)
    console.print(provenance("torch", "numpy", "scipy"))


if __name__ == "__main__":
    main()
