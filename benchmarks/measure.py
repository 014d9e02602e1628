"""What measuring an encoder costs beyond its parts, and how much memory it takes: part of `make bench`.

End to end against decoding alone and the forward passes alone, in turn and in one process; peak memory in processes
of their own. Needs 2 GB of disk for a while.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch
from rich.console import Console
from rich.table import Table

from reading import footer, make_clips, tone_in_noise
from sonoscale.corpora import open_corpus
from sonoscale.encoders import load_encoder
from sonoscale.measure import Measured, Pass, measure_encoder
from sonoscale.measure._stream import clips
from sonoscale.processes import available_cores, share_cores

FEW = 1000
"""Clips on the disk; more are names of these."""
# Channels and strides of the convolutions, width and layers of the transformer. Beside the small model's forward pass
# decoding WAV takes about as long and decoding FLAC longer; the large one's takes longer than either.
MODELS = {"small": (16, (20, 4, 4), 48, 1), "large": (32, (5, 2, 2, 2, 2, 2, 2), 128, 2)}
TRIVIAL = """
import torch


class Bands:
    sample_rate, dim, min_samples = 16_000, 64, 256

    def embed(self, wave):
        return torch.stack([part.abs().mean(dim=1) for part in wave.tensor_split(64, dim=1)], dim=1)


def factory():
    return Bands()
"""


class Recorder:
    """An encoder that keeps what it is given."""

    def __init__(self, encoder: Any) -> None:
        self.encoder, self.waves = encoder, []

    def __getattr__(self, name: str) -> Any:
        return getattr(self.encoder, name)

    def embed(self, wave: torch.Tensor) -> torch.Tensor:
        self.waves.append(wave)
        return self.encoder.embed(wave)


@dataclass(frozen=True)
class Taken:
    """Seconds of one thing done: on the clock, and of all cores."""

    wall: float
    cpu: float

    def times(self, factor: float) -> Taken:
        """Of so much of it."""
        return Taken(factor * self.wall, factor * self.cpu)


def taken(work: Callable[[], object]) -> Taken:
    wall, cpu = time.perf_counter(), _processor_time()
    work()
    return Taken(time.perf_counter() - wall, _processor_time() - cpu)


def _processor_time() -> float:
    """Of this process and of those that it has started and waited for."""
    used = os.times()
    return used.user + used.system + used.children_user + used.children_system


def save_model(folder: Path, channels: int, strides: tuple[int, ...], width: int, layers: int) -> str:
    """A Wav2Vec2 of random weights, as `save_pretrained` writes it; what `load_encoder` loads it by."""
    import transformers

    torch.manual_seed(0)
    config = transformers.Wav2Vec2Config(
        conv_dim=(channels,) * len(strides), conv_stride=strides,
        conv_kernel=[2 * stride if stride > 2 else 3 for stride in strides], hidden_size=width,
        num_hidden_layers=layers, num_attention_heads=4,
        intermediate_size=4 * width, num_conv_pos_embedding_groups=4, num_conv_pos_embeddings=32,
    )  # fmt: skip
    transformers.utils.logging.disable_progress_bar()
    transformers.Wav2Vec2Model(config).save_pretrained(folder)
    transformers.Wav2Vec2FeatureExtractor(do_normalize=True).save_pretrained(folder)
    return f"hf:{folder}"


def end_to_end(spec: str, folder: Path, *, workers: int, threads: int, device: str, rounds: int) -> list[str]:
    """Cells of one row: decoding alone, forward alone, both, and what they say; and the opening of the folder."""
    torch.set_num_threads(threads)
    encoder = load_encoder(spec, device=device)
    corpus = open_corpus(folder, sample_rate=encoder.sample_rate)
    how = Pass(workers=workers)
    count, some = len(corpus), len(corpus) // 4  # of which the forward passes are measured
    recorder = Recorder(encoder)
    measure_encoder(recorder, corpus.part(range(some)), how=how)  # pyright: ignore[reportArgumentType]
    measured: list[Measured] = []
    opened: list[float] = []

    def decode() -> None:
        deque(clips(corpus, range(len(corpus)), workers=workers), maxlen=0)

    def forward() -> None:
        for wave in recorder.waves:
            encoder.embed(wave).float().cpu().numpy()

    def whole() -> Taken:
        started = time.perf_counter()
        fresh = open_corpus(folder, sample_rate=encoder.sample_rate)  # whose identity is not yet computed
        opened.append(time.perf_counter() - started)
        return taken(lambda: measured.append(measure_encoder(encoder, fresh, how=how)))

    forward()
    found = [(taken(decode), taken(forward).times(count / some), whole()) for _ in range(rounds)]
    a, b, both = (statistics.median(each.wall for each in column) for column in zip(*found, strict=True))
    slower = statistics.median(w.wall / max(d.wall, f.wall) for d, f, w in found)
    cores = available_cores()
    bound = statistics.median(w.wall / max(d.wall, f.wall, (d.cpu + f.cpu) / cores) for d, f, w in found)
    share = statistics.median((m.forward_seconds or 0.0) / w.wall for m, (_, _, w) in zip(measured, found, strict=True))
    work = statistics.median(w.cpu / (d.cpu + f.cpu) for d, f, w in found)
    return [
        f"{workers} + {threads}", f"{4 * len(recorder.waves):,}", f"{count / statistics.median(opened):,.0f}",
        f"{count / a:,.0f}", f"{count / b:,.0f}", f"{count / both:,.0f}", f"{share:.0%}", f"{slower:.2f}",
        f"{bound:.2f}", f"{work:.2f}",
    ]  # fmt: skip


def end_to_end_table(temporary: Path, count: int, rounds: int, device: str) -> Table:
    cores = available_cores()
    apart = (max(1, cores // 2), max(1, cores - cores // 2))  # of decoding, and of torch: a core for each thread
    kinds = {
        "WAV": {"suffix": "wav", "step": 0.5},
        "WAV, any length": {"suffix": "wav", "step": None},
        "FLAC": {"suffix": "flac", "step": 0.5},
    }
    for kind, options in kinds.items():
        files = make_clips(temporary / f"{kind}, few", min(count, FEW), **options)  # pyright: ignore[reportArgumentType]
        link_clips(files, temporary / kind, count)
    specs = {name: save_model(temporary / name, *sizes) for name, sizes in MODELS.items()}
    table = Table(
        title=f"Measuring a Wav2Vec2 on {count:,} clips of 2 to 5 s at 44.1 kHz, {device}, medians of {rounds} rounds",
        title_justify="left",
    )
    table.add_column("model")
    table.add_column("files")
    for column in (
        "threads: decode + torch", "forward calls", "opened, clips / s", "decode alone", "forward alone",
        "end to end", "share in forward", "over the slower part", "over the bound", "work over both parts",
    ):  # fmt: skip
        table.add_column(column, justify="right")
    parts = [("small", "WAV"), ("small", "FLAC"), ("large", "WAV"), ("small", "WAV, any length")]
    # As `sonoscale measure` does it, with processes that yield to the encoder; and with a core for each thread.
    cases = [(*part, each) for each in ((cores, cores), apart) for part in parts]
    for name, kind, (workers, threads) in cases:
        cells = end_to_end(
            specs[name], temporary / kind, workers=workers, threads=threads, device=device, rounds=rounds
        )
        table.add_row(name, kind, *cells)
    return table


def link_clips(files: list[Path], folder: Path, count: int) -> Path:
    """A folder of `count` names of few files."""
    folder.mkdir()
    for i in range(count):
        os.link(files[i % len(files)], folder / f"{i:05d}{files[0].suffix}")
    return folder


def long_file(folder: Path, suffix: str, rate: int, channels: int, seconds: float) -> Path:
    """A folder with one long recording in it."""
    folder.mkdir()
    block = tone_in_noise(np.random.default_rng(0), 30 * rate, rate, channels)
    with soundfile.SoundFile(folder / f"long.{suffix}", "w", rate, channels) as file:
        for _ in range(max(1, round(seconds / 30))):
            file.write(block)
    return folder


def peak_memory(encoder: str, folder: Path) -> int:
    """MiB of `sonoscale measure`, in a process of its own."""
    code = (
        "import sys; from sonoscale.cli.main import app; app(sys.argv[1:], standalone_mode=False); "
        "print(next(line for line in open('/proc/self/status') if line.startswith('VmHWM')).split()[1])"
    )
    command = [sys.executable, "-c", code, "measure", encoder, str(folder)]
    found = subprocess.run(command, capture_output=True, text=True, check=True)
    return int(found.stdout.split()[-1]) // 1024


def memory_table(temporary: Path, counts: list[int], long_seconds: float) -> Table:
    temporary.mkdir()
    (temporary / "trivial.py").write_text(TRIVIAL)
    encoder = f"python:{temporary / 'trivial.py'}:factory"
    files = make_clips(temporary / "few", 40)
    even = make_clips(temporary / "even", 40, step=3)
    folders: dict[str, Callable[[], Path]] = {}
    for count in counts:
        folders[f"{count:,} clips of 2 to 5 s, 44.1 kHz"] = lambda n=count: link_clips(files, temporary / f"a{n}", n)
    folders[f"{counts[-1]:,} clips of 2 or 5 s, 44.1 kHz"] = lambda: link_clips(even, temporary / "b", counts[-1])
    for suffix, rate, channels in (("wav", 16_000, 1), ("wav", 44_100, 2), ("flac", 44_100, 2)):
        what = f"one {suffix.upper()} of {long_seconds / 60:g} min, {rate / 1000:g} kHz, {channels} channels"
        folders[what] = lambda s=suffix, r=rate, c=channels: long_file(temporary / f"{s}{r}", s, r, c, long_seconds)
    table = Table(title="Peak memory of `sonoscale measure`, trivial encoder", title_justify="left")
    table.add_column("audio")
    table.add_column("MiB", justify="right")
    for what, make in folders.items():
        table.add_row(what, f"{peak_memory(encoder, make()):,}")
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clips", type=int, default=4000, help="clips that are measured end to end")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--memory", default="250,1000,4000", help="clips to measure the memory of; empty for none")
    parser.add_argument("--long", type=float, default=3600, help="seconds of the long recordings")
    parser.add_argument("--device", default="cpu", help="of the encoder, end to end")
    parser.add_argument("--folder", type=Path, default=None, help="where to write 2 GB for a while")
    arguments = parser.parse_args()
    if "GOMP_SPINCOUNT" not in os.environ:  # as the command has it; torch reads it when it is imported
        share_cores()
        os.execv(sys.executable, [sys.executable, *sys.argv])
    load = os.getloadavg()[0]
    console = Console(width=140)
    with tempfile.TemporaryDirectory(dir=arguments.folder) as name:
        temporary = Path(name)
        if arguments.clips:
            console.print(end_to_end_table(temporary, arguments.clips, arguments.rounds, arguments.device))
            console.print(
                "over the slower part (target: at most 1.2): the time end to end, without opening, over that of "
                "decoding or forward alone, whichever is more\n"
                "over the bound: over that, or over the processor time of both parts divided by the cores, if that is "
                "more\n"
                "work over both parts: processor time end to end over that of both parts"
            )
        if arguments.memory:
            console.print(
                memory_table(temporary / "memory", [int(n) for n in arguments.memory.split(",")], arguments.long)
            )
    console.print(f"{footer()}; load before {load:.1f}")


if __name__ == "__main__":
    main()
