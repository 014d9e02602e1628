"""What measuring an encoder costs beyond its parts, and how much memory it takes: part of `make bench`.

End to end against decoding alone and the forward passes alone, in turn and in one process; peak memory in processes
of their own. Needs 2 GB of disk for a while. `python benchmarks/measure.py --page docs/measuring.md` writes that page.
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
from collections.abc import Callable, Iterator
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
from sonoscale.provenance import provenance

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
    how, threads_alone = Pass(workers=workers), Pass(workers=workers, processes=False)
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

    def whole(how: Pass) -> Taken:
        started = time.perf_counter()
        fresh = open_corpus(folder, sample_rate=encoder.sample_rate)  # whose identity is not yet computed
        opened.append(time.perf_counter() - started)
        return taken(lambda: measured.append(measure_encoder(encoder, fresh, how=how)))

    forward()
    found = [
        (taken(decode), taken(forward).times(count / some), whole(threads_alone), whole(how)) for _ in range(rounds)
    ]
    a, b, old, both = (statistics.median(each.wall for each in column) for column in zip(*found, strict=True))
    slower = statistics.median(w.wall / max(d.wall, f.wall) for d, f, _, w in found)
    cores = available_cores()
    bound = statistics.median(w.wall / max(d.wall, f.wall, (d.cpu + f.cpu) / cores) for d, f, _, w in found)
    shares = [(m.forward_seconds or 0.0) / w.wall for m, (*_, w) in zip(measured[1::2], found, strict=True)]
    return [
        f"{workers} + {threads}", f"{4 * len(recorder.waves):,}", f"{count / statistics.median(opened):,.0f}",
        f"{count / a:,.0f}", f"{count / b:,.0f}", f"{count / old:,.0f}", f"{count / both:,.0f}",
        f"{statistics.median(shares):.0%}", f"{slower:.2f}", f"{bound:.2f}",
    ]  # fmt: skip


COLUMNS = (
    "model", "files", "decode + torch", "forward calls", "opened", "decode", "forward", "threads alone", "end to end",
    "in forward", "over the slower part", "over the bound",
)  # fmt: skip
ABOUT = """# How fast measuring is on a CPU

Written by `python benchmarks/measure.py --page docs/measuring.md`: a Wav2Vec2 of random weights, a small and a larger
one, on {count:,} clips of 2 to 5 s at 44.1 kHz, of 7 lengths, or of any, which makes a batch of nearly each. Clips per
second, medians of {rounds} rounds, in turns in one process.

- *decode + torch*: processes (or threads) that decode, and threads of the encoder. The first rows are as
  `sonoscale measure` does it, with one of each for every core; the others have a core for each thread.
- *decode*, *forward*: decoding alone, and the forward passes alone. *threads alone*: end to end without processes of
  low priority for decoding. *end to end*: as it is; *in forward*, the share of that in the encoder.
  Where both are alike, the interpreter, which threads share and processes do not, is no bottleneck: with few cores.
- *over the slower part*: time end to end over that of decoding or forward alone, whichever is more. *Over the bound*:
  over that, or over the processor time of both divided by the cores, if that is more, which nothing can be below.

"""


def end_to_end_rows(temporary: Path, count: int, rounds: int, device: str) -> Iterator[list[str]]:
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
    parts = [("small", "WAV"), ("small", "FLAC"), ("large", "WAV"), ("small", "WAV, any length")]
    for workers, threads in ((cores, cores), apart):
        for name, kind in parts:
            how = {"workers": workers, "threads": threads, "device": device, "rounds": rounds}
            yield [name, kind, *end_to_end(specs[name], temporary / kind, **how)]


def write_page(page: Path, rows: list[list[str]], count: int, rounds: int) -> None:
    lines = [COLUMNS, ["---"] * 3 + ["--:"] * (len(COLUMNS) - 3), *rows]
    table = "\n".join("| " + " | ".join(line) + " |" for line in lines)
    where = ", ".join(f"{name}: {value}" for name, value in provenance("torch", "numpy").items())
    page.write_text(f"{ABOUT.format(count=count, rounds=rounds)}{table}\n\n{where}\n")


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
    parser.add_argument("--page", type=Path, help="write what is measured end to end here")
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
            table, rows = Table(), []
            for i, column in enumerate(COLUMNS):
                table.add_column(column, justify="left" if i < 3 else "right")
            for row in end_to_end_rows(temporary, arguments.clips, arguments.rounds, arguments.device):
                table.add_row(*row)
                rows.append(row)
                console.print(" ".join(row))
            console.print(table)
            if arguments.page:
                write_page(arguments.page, rows, arguments.clips, arguments.rounds)
        if arguments.memory:
            console.print(
                memory_table(temporary / "memory", [int(n) for n in arguments.memory.split(",")], arguments.long)
            )
    console.print(f"{footer()}; load before {load:.1f}")


if __name__ == "__main__":
    main()
