"""Clips per second of every stage of the path, on one core: where the time of a study goes.

Run with `make bench`. Medians over several rounds; the machine and the versions are printed with them.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import soundfile
import torch
from rich.console import Console
from rich.table import Table

from sonoscale.audio import LogMel, LogMelConfig, read_audio
from sonoscale.config import load_config
from sonoscale.corpora import FeatureStore, ProceduralTaskConfig, build_features
from sonoscale.corpora.procedural import ProceduralCorpus
from sonoscale.encoders import AudioEncoder, embed_store
from sonoscale.pretrain import Batches, RunConfig, build_for_training, training_cost
from sonoscale.probe import probe_embeddings
from sonoscale.processes import single_threaded
from sonoscale.provenance import provenance
from sonoscale.rank import SpectralSketch, measure_rank
from sonoscale.study import StudyConfig, expand

ROUNDS = 5
STUDY = Path(__file__).parent.parent / "studies" / "quickstart.yaml"


def rate(clips: int, work: Callable[[], object], rounds: int = ROUNDS) -> float:
    """Median clips per second after one round of warm-up."""
    work()
    seconds = []
    for _ in range(rounds):
        started = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - started)
    return clips / statistics.median(seconds)


def data_stages() -> dict[str, float]:
    """Synthesis, decoding and log-mels."""
    found = {}
    for domain in ("speech", "music", "environment"):
        corpus = ProceduralCorpus("train", 60, 0, 2.0, (domain,))
        found[f"synthesise {domain}, 2 s"] = rate(60, lambda c=corpus: [c.wave(i) for i in range(60)], rounds=3)
    wave = np.concatenate([ProceduralCorpus("train", 3, 1, 2.0).wave(i) for i in range(3)])[:32_000]
    with tempfile.TemporaryDirectory() as folder:
        for suffix, kind, samplerate in (("wav", None, 16_000), ("flac", None, 44_100), ("opus", "OGG", 48_000)):
            file = Path(folder) / f"clip.{suffix}"
            soundfile.write(file, wave, samplerate, format=kind, subtype="OPUS" if kind else None)
            label = f"decode {suffix} {samplerate / 1000:g} kHz" + (" + resample" if samplerate != 16_000 else "")
            found[f"{label}, {len(wave) / samplerate:.1f} s"] = rate(
                50, lambda f=file: [read_audio(f) for _ in range(50)]
            )
    front_end, batch = LogMel(LogMelConfig()), torch.from_numpy(wave)[None]
    found["log-mel, 2 s"] = rate(50, lambda: [front_end(batch) for _ in range(50)])
    return found


def training_stages(config: RunConfig, store: FeatureStore) -> dict[str, float]:
    """A training step and its parts, in clips per second."""
    size = config.train.batch_size
    model, optimiser = build_for_training(config, mean=-8.0, std=3.0)
    masks = torch.Generator().manual_seed(0)
    batches = Batches(store, clips=len(store), frames=config.frames, batch_size=size, seed=0)
    times: dict[str, list[float]] = {"data and masks": [], "forward": [], "backward": [], "optimiser": [], "step": []}
    for step in range(5 + 30):
        marks = [time.perf_counter()]
        frames = batches.next()
        draw = model.draw(size, masks)
        marks.append(time.perf_counter())
        loss = model(frames, draw)
        marks.append(time.perf_counter())
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        marks.append(time.perf_counter())
        torch.nn.utils.clip_grad_norm_(model.parameters(), config.train.grad_clip)
        optimiser.step()
        marks.append(time.perf_counter())
        if step >= 5:
            for name, seconds in zip(times, [*np.diff(marks), marks[-1] - marks[0]], strict=True):
                times[name].append(seconds)
    return {f"train: {name}": size / statistics.median(seconds) for name, seconds in times.items()}


def evaluation_stages(config: RunConfig, store: FeatureStore, task_store: FeatureStore) -> dict[str, float]:
    """Embedding, rank and probe."""
    encoder = AudioEncoder(config.encoder, mean=-8.0, std=3.0).eval()
    embeddings = embed_store(encoder, store)

    def rank() -> None:
        sketch = SpectralSketch(encoder.dim)
        sketch.update(embeddings)
        measure_rank(sketch)

    task = ProceduralTaskConfig(name="event").load(None)
    features = embed_store(encoder, task_store)
    return {
        "embed, 2 s unmasked": rate(len(store), lambda: embed_store(encoder, store)),
        "rank with interval": rate(len(store), rank),
        "linear probe": rate(
            len(features), lambda: probe_embeddings(features, task.labels, task.folds, scheme=task.scheme)
        ),
    }


def main() -> None:
    """Measure and print."""
    single_threaded()
    run = next(r for r in expand(load_config(StudyConfig, STUDY)) if r.label == "base").config
    rates = data_stages()
    with tempfile.TemporaryDirectory() as cache:
        corpus = ProceduralCorpus("train", 256, 0, 2.0)
        store = build_features(corpus, run.encoder.front_end, Path(cache), dtype="float16")
        task = ProceduralTaskConfig(name="event").load(None)
        task_store = build_features(task.corpus, run.encoder.front_end, Path(cache))
        rates |= training_stages(run, store)
        rates |= evaluation_stages(run, store, task_store)
    table = Table(title="Clips per second on one core, medians", title_justify="left")
    table.add_column("stage")
    table.add_column("clips / s", justify="right")
    for stage, value in rates.items():
        table.add_row(stage, f"{value:,.0f}")
    console = Console()
    console.print(table)
    cost = training_cost(run)
    step = rates["train: step"]
    console.print(
        f"base run of {STUDY.name}: {cost.params_encoder:,} encoder parameters, {cost.flops / 1e6:.1f} MFLOP per clip, "
        f"{step * cost.flops / 1e9:.1f} GFLOP/s in training"
    )
    facts = provenance("torch", "numpy", "scipy")
    console.print(", ".join(f"{k} {facts[k]}" for k in ("sonoscale", "python", "torch", "numpy", "cpu", "cores")))


if __name__ == "__main__":
    main()
