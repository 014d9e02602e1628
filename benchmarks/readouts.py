"""What a checkpoint costs to probe: one forward pass for all readouts and layers, and each protocol after it.

CPU seconds of one thread, summed over real tasks (folders with a metadata.csv below DATA/tasks, paths below DATA),
for an untrained encoder of each shape on kept log-mels, as studies probe.

    python benchmarks/readouts.py ../shared/data [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from reading import footer
from sonoscale.corpora import Task, build_features, open_task
from sonoscale.encoders import READOUTS, AudioEncoder, EncoderConfig, read_store
from sonoscale.probe import probe_embeddings

TASKS = ("esc10", "wakeword6", "fsdd_digit", "gm_family", "gm_octave")
SHAPES = {
    "width 48, 16 x 16": EncoderConfig(backbone="vit", width=48, depth=4, patch_mels=16, patch_frames=16),
    "width 96, 64 x 4": EncoderConfig(backbone="vit", width=96, depth=4, patch_mels=64, patch_frames=4),
}
PROTOCOLS, READ = ("linear", "knn", "few-shot"), ("mean", "mean+std", "frequency+std")


def spent(work: Callable[[], Any]) -> tuple[float, Any]:
    """CPU seconds, and what was made."""
    before = time.process_time()
    made = work()
    return time.process_time() - before, made


def costs(shape: EncoderConfig, tasks: list[Task], cache: Path) -> dict[str, float]:
    """CPU seconds of each part, over all tasks."""
    torch.manual_seed(0)
    encoder, total = AudioEncoder(shape, mean=-5.0, std=3.0).eval(), dict[str, float]()

    def add(name: str, work: Callable[[], Any]) -> Any:
        seconds, made = spent(work)
        total[name] = total.get(name, 0.0) + seconds
        return made

    for task in tasks:
        store = build_features(task.corpus, shape.front_end, cache, dtype="float32")
        add("embed, mean", lambda store=store: read_store(encoder, store, ["mean"]))
        rows = add("embed, 4 readouts", lambda store=store: read_store(encoder, store, READOUTS))
        add("embed, 4 readouts apart", lambda store=store: [read_store(encoder, store, [r]) for r in READOUTS])
        add(
            f"embed, 4 readouts of {shape.depth + 1} layers",
            lambda store=store: read_store(encoder, store, READOUTS, layers=True),
        )
        for protocol in PROTOCOLS:
            for readout in READ:
                add(
                    f"{protocol}, {readout}",
                    lambda task=task, rows=rows[readout][0], protocol=protocol: probe_embeddings(
                        rows, task.labels, task.folds, protocol=protocol, scheme=task.scheme, device="cpu"
                    ),
                )
    return total


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    tasks = [open_task(arguments.data / "tasks" / name, audio_root=arguments.data) for name in TASKS]
    with tempfile.TemporaryDirectory() as cache:
        found = {name: costs(shape, tasks, Path(cache)) for name, shape in SHAPES.items()}
    table = Table("CPU seconds", *found, title=f"{len(TASKS)} tasks, {sum(len(t.labels) for t in tasks):,} clips")
    for part in next(iter(found.values())):
        table.add_row(part, *(f"{values[part]:.2f}" for values in found.values()))
    console = Console(width=100)
    console.print(table)
    console.print(footer())
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
