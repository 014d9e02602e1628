"""Files per second of reading and resampling to 16 kHz, ours and others' on the same files: part of `make bench`.

Rounds are side by side: every reader goes over the files once a round, in turn.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import os
import statistics
import tempfile
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from rich.console import Console
from rich.table import Table

from sonoscale.audio import read_audio
from sonoscale.corpora import open_corpus
from sonoscale.measure._stream import clips
from sonoscale.processes import available_cores, single_threaded
from sonoscale.provenance import provenance

RATE = 16_000
FORMATS = {
    "WAV 44.1 kHz": ("wav", 44_100, 1, "PCM_16"),
    "WAV 44.1 kHz stereo": ("wav", 44_100, 2, "PCM_16"),
    "FLAC 44.1 kHz": ("flac", 44_100, 1, "PCM_16"),
    "Ogg Vorbis 48 kHz": ("ogg", 48_000, 1, "VORBIS"),
    "Ogg Opus 48 kHz": ("opus", 48_000, 1, "OPUS"),
}
Reader = Callable[[Sequence[Path]], object]


def tone_in_noise(rng: np.random.Generator, frames: int, rate: int, channels: int = 1) -> np.ndarray:
    """A few partials in noise, float32 `[frames, channels]`."""
    time_ = np.arange(frames, dtype=np.float32)[:, None] * np.float32(2 * np.pi / rate)
    pitches = rng.uniform(80, 6000, (4, channels)).astype(np.float32)
    tones = sum(0.1 * np.sin(time_ * pitch) for pitch in pitches)
    return tones + 0.05 * rng.standard_normal((frames, channels), dtype=np.float32)


def make_clips(
    folder: Path, count: int, *, suffix: str = "wav", rate: int = 44_100, channels: int = 1, subtype: str = "PCM_16",
    step: float | None = None, seed: int = 0,
) -> list[Path]:  # fmt: skip
    """Write `count` files of 2 to 5 s: of any length, or of multiples of `step` seconds."""
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True)
    made = []
    for i in range(count):
        seconds = rng.uniform(2, 5) if step is None else 2 + step * rng.integers(round(3 / step) + 1)
        path = folder / f"{i:05d}.{suffix}"
        wave = tone_in_noise(rng, round(seconds * rate), rate, channels)
        soundfile.write(path, wave, rate, subtype=subtype, format="OGG" if suffix in ("ogg", "opus") else None)
        made.append(path)
    return made


def by_librosa(files: Sequence[Path]) -> None:
    import librosa

    for file in files:
        librosa.load(file, sr=RATE)


def datasets_reader() -> tuple[str, Reader]:
    """`datasets.Audio` where it can decode, else what it did up to version 3; and what was done."""
    import datasets

    try:
        import torchcodec  # noqa: F401 # pyright: ignore[reportMissingImports]

        def decode(files: Sequence[Path]) -> None:
            table = datasets.Dataset.from_dict({"audio": [str(file) for file in files]})
            for row in table.cast_column("audio", datasets.Audio(sampling_rate=RATE)):
                row["audio"].get_all_samples()  # pyright: ignore[reportCallIssue, reportArgumentType]

        return "datasets.Audio by torchcodec", decode
    except (ImportError, RuntimeError, OSError):
        import librosa

    def as_before(files: Sequence[Path]) -> None:
        table = datasets.Dataset.from_dict({"audio": [str(file) for file in files]})
        for row in table.cast_column("audio", datasets.Audio(decode=False)):
            wave, rate = soundfile.read(row["audio"]["path"])  # pyright: ignore[reportCallIssue, reportArgumentType]
            librosa.resample(librosa.to_mono(wave.T), orig_sr=rate, target_sr=RATE)

    return "datasets, decoding as version 3 did (no torchcodec here): soundfile, librosa.resample", as_before


def ours_one_by_one(files: Sequence[Path]) -> None:
    for file in files:
        read_audio(file, sample_rate=RATE)


def ours_in_threads(workers: int, corpus: Any, files: Sequence[Path]) -> None:
    deque(clips(corpus, range(len(files)), workers=workers), maxlen=0)


def librosa_in_threads(workers: int, files: Sequence[Path]) -> None:
    with ThreadPoolExecutor(workers) as pool:
        deque(pool.map(lambda file: by_librosa([file]), files), maxlen=0)


def paired(readers: dict[str, Reader], files: Sequence[Path], rounds: int) -> dict[str, list[float]]:
    """Seconds of each round of each reader, after a warm-up on some of the files."""
    for read in readers.values():
        read(files if len(files) < 20 else files[:20])
    found: dict[str, list[float]] = {name: [] for name in readers}
    for _ in range(rounds):
        for name, read in readers.items():
            started = time.perf_counter()
            read(files)
            found[name].append(time.perf_counter() - started)
    return found


def footer() -> str:
    """The machine, the versions and what else was running."""
    facts = provenance("torch", "numpy", "scipy")
    reported = [f"{key} {facts[key]}" for key in ("sonoscale", "python", "torch", "numpy", "cpu", "cores")]
    reported += [f"{name} {importlib.metadata.version(name)}" for name in ("soundfile", "soxr", "librosa", "datasets")]
    return ", ".join(reported)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clips", type=int, default=300, help="files of each format")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    load, workers = os.getloadavg()[0], available_cores()
    single_threaded()
    other, by_datasets = datasets_reader()
    table = Table(title=f"Files of 2 to 5 s read as mono at {RATE // 1000} kHz, medians", title_justify="left")
    table.add_column("files")
    table.add_column("how")
    table.add_column("threads", justify="right")
    table.add_column("files / s", justify="right")
    table.add_column("ours is faster by", justify="right")
    for label, (suffix, rate, channels, subtype) in FORMATS.items():
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary) / "clips"
            files = make_clips(
                folder, arguments.clips, suffix=suffix, rate=rate, channels=channels, subtype=subtype
            )  # fmt: skip
            corpus = open_corpus(folder, sample_rate=RATE)
            readers: dict[str, Reader] = {
                "sonoscale.audio.read_audio": ours_one_by_one,
                "librosa.load": by_librosa,
                other: by_datasets,
                "sonoscale.measure": partial(ours_in_threads, workers, corpus),
                "librosa.load in threads": partial(librosa_in_threads, workers),
            }
            found = paired(readers, files, arguments.rounds)
        base = ""
        for name, seconds in found.items():
            threaded = name.endswith(("measure", "threads"))
            ours = name.startswith("sonoscale")
            base = name if ours else base
            ratio = statistics.median(b / a for a, b in zip(found[base], seconds, strict=True))
            table.add_row(
                label if name.endswith("read_audio") else "", name, str(workers if threaded else 1),
                f"{len(files) / statistics.median(seconds):,.0f}", "" if ours else f"{ratio:.2f} times",
            )  # fmt: skip
        table.add_section()
    console = Console(width=130)
    console.print(table)
    console.print(f"{footer()}; load before {load:.1f}")


if __name__ == "__main__":
    main()
