"""What watching the rank costs a training run: `python benchmarks/monitor.py`.

A contrast of width 192 as in the quickstart study otherwise, on one core; a reading every 50 steps.
"""

from __future__ import annotations

import statistics
import time
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table

from sonoscale.config import load_config
from sonoscale.pretrain import build_for_training
from sonoscale.processes import single_threaded
from sonoscale.rank import RankMonitor, SpectralSketch, rankme
from sonoscale.study import StudyConfig, expand

STUDY = Path(__file__).parent.parent / "studies" / "quickstart.yaml"
WIDTH, EVERY, ROUNDS = 192, 50, 5


def main() -> None:
    single_threaded()
    study = load_config(StudyConfig, STUDY, [f"encoder.width={WIDTH}"])
    config = next(run for run in expand(study) if run.label == "base").config
    model, optimiser = build_for_training(config, mean=-8.0, std=3.0)
    generator = torch.Generator().manual_seed(0)
    batch = config.train.batch_size
    frames = 3 * torch.randn(batch, config.frames, config.encoder.n_mels) - 8

    def step() -> float:
        started = time.perf_counter()
        loss = model(frames, model.draw(batch, generator))
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        return time.perf_counter() - started

    table = Table(title=f"a reading every {EVERY} steps of {batch} clips, width {WIDTH}", title_justify="left")
    for column in (
        "probe clips",
        "interval",
        "reading",
        "its sketch and spectra alone",
        "50 steps",
        "share of the time",
    ):
        table.add_column(column, justify="right")
    step()
    for clips in (128, 512, 8 * WIDTH):
        probe = 3 * torch.randn(clips, config.frames, config.encoder.n_mels) - 8
        for interval in (False, True):
            monitor = RankMonitor(probe, batch_size=32, embed=lambda m, b: m.encoder.embed_logmel(b), interval=interval)
            times: list[tuple[float, float, float]] = []
            monitor(model, 0)
            embeddings = torch.cat([model.encoder.embed_logmel(part) for part in probe.split(32)])
            for number in range(1, ROUNDS + 1):
                training = statistics.median(step() for _ in range(5)) * EVERY
                started = time.perf_counter()
                monitor(model, number)
                reading = time.perf_counter() - started
                started = time.perf_counter()
                sketch = SpectralSketch(WIDTH)
                sketch.update(embeddings)
                rankme(sketch, interval=interval)
                times.append((reading, time.perf_counter() - started, training))
            reading, sketching, training = (statistics.median(each) for each in zip(*times, strict=True))
            share = statistics.median(r / (r + t) for r, _, t in times)
            table.add_row(
                str(clips), "yes" if interval else "no", f"{1e3 * reading:.0f} ms", f"{1e3 * sketching:.1f} ms",
                f"{1e3 * training:.0f} ms", f"{share:.1%}",
            )  # fmt: skip
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
