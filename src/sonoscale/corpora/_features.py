"""Log-mels computed once, kept in a memory-mapped file, shared by every run."""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from sonoscale.audio import LogMel, LogMelConfig
from sonoscale.config import config_hash
from sonoscale.corpora._base import Corpus, Divisible, take
from sonoscale.digests import read_sealed, write_sealed
from sonoscale.errors import SonoscaleError, SonoscaleWarning
from sonoscale.files import digest, make_folder, settle
from sonoscale.processes import WorkerPool, remove_leftovers, unfinished_folder, worker_pool

_CHUNK = 32  # clips a worker handles at a time
_META, _FRAMES, _OFFSETS = "meta.json", "frames.npy", "offsets.npy"
_verified: dict[Path, tuple[int, ...]] = {}
"""Stores that this process has read whole and found undamaged: folder -> state of their files then."""
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class FeatureStore:
    """Log-mels of a corpus, one clip after the other in one array.

    `frames` is `[total_frames, mels]`; clip i is rows `offsets[i]` to `offsets[i + 1]`.
    """

    folder: Path
    frames: np.ndarray
    offsets: np.ndarray
    hop_seconds: float
    window_seconds: float
    corpus: str  # digest of the corpus's identity

    @classmethod
    def open(cls, folder: str | Path) -> FeatureStore:
        """Map a store that `build_features` made. Once in a process it is read whole, to see that nothing is damaged.

        Raises:
            SonoscaleError: it is missing, damaged, or not one.
        """
        folder = Path(folder)
        try:
            meta = read_sealed(folder / _META, "the description of log-mels")
            _verify(folder, meta["files"])
            return cls(
                folder, np.load(folder / _FRAMES, mmap_mode="r"), np.load(folder / _OFFSETS), meta["hop_seconds"],
                meta["window_seconds"], meta["corpus"],
            )  # fmt: skip
        except (SonoscaleError, OSError, ValueError, KeyError, TypeError, AttributeError, EOFError) as error:
            reason = f"no {error} in its {_META}" if isinstance(error, KeyError) else error
            raise SonoscaleError(f"{folder}: damaged log-mels ({reason}); delete it to have them computed") from error

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def clip(self, index: int) -> np.ndarray:
        """Log-mel of one clip, `[frames, mels]`."""
        return self.frames[self.offsets[index] : self.offsets[index + 1]]

    def read(self, rows: Sequence[Sequence[tuple[int, int, int]]]) -> torch.Tensor:
        """Examples made of parts of clips, one after the other.

        Arguments:
            rows: of each example its parts, as (clip, first frame, frames); all examples have equally many frames.

        Returns:
            float32 `[rows, frames, mels]`.
        """
        frames = sum(part[2] for part in rows[0])
        out = np.empty((len(rows), frames, self.frames.shape[1]), dtype=self.frames.dtype)
        for row, parts in zip(out, rows, strict=True):
            filled = 0
            for clip, first, count in parts:
                row[filled : filled + count] = self.clip(clip)[first : first + count]
                filled += count
        return torch.from_numpy(out).float()  # torch widens float16 several times faster than NumPy

    def lengths(self, clips: int | None = None) -> np.ndarray:
        """Frames of the first `clips` clips (by default all), int64 `[clips]`."""
        return np.diff(self.offsets[: (len(self) if clips is None else clips) + 1])

    def seconds(self, clips: int | None = None) -> float:
        """Audio in the first `clips` clips, in seconds, as the frames cover it."""
        lengths = self.lengths(clips)
        return float((lengths * self.hop_seconds + self.window_seconds - self.hop_seconds).sum())

    def statistics(self, clips: int | None = None) -> tuple[float, float]:
        """Mean and standard deviation over all values of the first `clips` clips."""
        rows = self.frames[: self.offsets[len(self) if clips is None else clips]]
        total = square = 0.0
        for start in range(0, len(rows), 1 << 16):
            part = rows[start : start + (1 << 16)].astype(np.float64)
            total += part.sum()
            square += np.square(part).sum()
        mean = total / rows.size
        return float(mean), float(max(square / rows.size - mean**2, 1e-12) ** 0.5)


def build_features(
    corpus: Corpus,
    front_end: LogMelConfig,
    cache: Path,
    *,
    dtype: str = "float32",
    pool: WorkerPool | None = None,
    progress: Progress | None = None,
) -> FeatureStore:
    """Compute the log-mels of a corpus, or find them. Those that are found damaged are computed anew, with a warning.

    Arguments:
        corpus: what to compute.
        front_end: how.
        cache: folder of all stores; each gets a subfolder named by what it holds.
        dtype: "float32", or "float16" for training data (rounding 0.004 at most, half the memory).
        pool: from `feature_pool`, to compute in parallel.
        progress: called with (clips done, clips in all).

    Raises:
        SonoscaleError: a clip cannot be read, or is shorter than one analysis window (named).
    """
    identity = config_hash(corpus.identity, 16)
    key = config_hash([identity, front_end.model_dump(), dtype, _FORMAT], 16)
    folder = cache / f"logmel-{key}"
    if (folder / _META).exists():
        try:
            return FeatureStore.open(folder)
        except SonoscaleError as error:
            said = str(error).removesuffix("; delete it to have them computed")
            warnings.warn(f"{said}: they are computed anew", SonoscaleWarning, stacklevel=2)
            shutil.rmtree(folder, ignore_errors=True)
    _write(corpus, front_end, folder, dtype, pool, progress, identity)
    return FeatureStore.open(folder)


_FORMAT = 2
"""Raised when older stores cannot be used."""


def _verify(folder: Path, digests: dict[str, str]) -> None:
    """Whether the arrays are as they were written; not asked again in this process until they change."""
    states = [(folder / name).stat() for name in (_META, _FRAMES, _OFFSETS)]
    state = tuple(n for s in states for n in (s.st_ino, s.st_size, s.st_mtime_ns, s.st_ctime_ns))
    if _verified.get(folder) == state:
        return
    for name in (_FRAMES, _OFFSETS):
        if digest(folder / name) != digests[name]:
            raise SonoscaleError(f"{name} is not what was written")
    _verified[folder] = state


def _write(
    corpus: Corpus,
    front_end: LogMelConfig,
    folder: Path,
    dtype: str,
    pool: WorkerPool | None,
    progress: Progress | None,
    identity: str,
) -> None:
    remove_leftovers(folder.parent)
    unfinished = unfinished_folder(folder)
    shutil.rmtree(unfinished, ignore_errors=True)
    make_folder(unfinished)
    try:
        lengths: list[int] = []
        with (unfinished / "raw").open("wb") as stream:
            for part, part_lengths in _compute(corpus, front_end, dtype, pool):
                if not lengths:
                    _check_disk(unfinished, part.nbytes * len(corpus) / len(part_lengths), len(corpus))
                stream.write(part.tobytes())
                lengths.extend(part_lengths)
                if progress:
                    progress(len(lengths), len(corpus))
        shape = (sum(lengths), front_end.n_mels)
        _raw_to_npy(unfinished / "raw", unfinished / _FRAMES, shape, np.dtype(dtype))
        np.save(unfinished / _OFFSETS, np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64))
        meta = {
            "corpus": identity,
            "clips": len(corpus),
            "hop_seconds": front_end.hop / front_end.sample_rate,
            "window_seconds": front_end.n_fft / front_end.sample_rate,
            "front_end": front_end.model_dump(),
            "files": {name: digest(unfinished / name) for name in (_FRAMES, _OFFSETS)},
        }
        write_sealed(unfinished / _META, meta)
        for path in (unfinished / _FRAMES, unfinished / _OFFSETS, unfinished / _META, unfinished):
            settle(path)
        if (folder / _META).is_file():  # another process was faster; its runs may have it open
            return
        shutil.rmtree(folder, ignore_errors=True)
        unfinished.replace(folder)
        settle(folder.parent)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _check_disk(folder: Path, needed: float, clips: int) -> None:
    """Whether there is room, as the first clips let expect: twice, as a header is put before the numbers at the end."""
    free = shutil.disk_usage(folder).free
    if 2 * needed > free:
        raise SonoscaleError(
            f"{folder.parent}: log-mels of {clips:,} clips need about {2 * needed / 1e9:,.1f} GB of disk, and "
            f"{free / 1e9:,.1f} GB are free: take fewer clips, another cache, or log_mels: on_device"
        )


def _raw_to_npy(raw: Path, target: Path, shape: tuple[int, int], dtype: np.dtype[Any]) -> None:
    """Put an npy header before raw numbers, in constant memory."""
    header = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
    with target.open("wb") as out, raw.open("rb") as source:
        np.lib.format.write_array_header_1_0(out, header)
        shutil.copyfileobj(source, out, 1 << 24)
    raw.unlink()


@contextmanager
def feature_pool(workers: int) -> Iterator[WorkerPool | None]:
    """Processes for any number of `build_features` calls; None for one worker, which needs no process."""
    if workers <= 1:
        yield None
        return
    with worker_pool(workers, doing="computing log-mels") as pool:
        yield pool


def _compute(
    corpus: Corpus, front_end: LogMelConfig, dtype: str, pool: WorkerPool | None
) -> Iterator[tuple[np.ndarray, list[int]]]:
    chunks = (range(i, min(i + _CHUNK, len(corpus))) for i in range(0, len(corpus), _CHUNK))
    parts = (corpus.part(c) if isinstance(corpus, Divisible) else take(corpus, c) for c in chunks)
    work = partial(_chunk, front_end, dtype)
    yield from map(work, parts) if pool is None else pool.map(work, parts)


def _chunk(front_end: LogMelConfig, dtype: str, corpus: Corpus) -> tuple[np.ndarray, list[int]]:
    front, parts = LogMel(front_end), []
    for index in range(len(corpus)):
        try:
            wave = torch.from_numpy(corpus.wave(index))
            parts.append(front(wave[None])[0].T.numpy().astype(dtype))
        except SonoscaleError as error:
            name = corpus.name(index)
            raise error if name in str(error) else SonoscaleError(f"{name}: {error}") from None
    return np.concatenate(parts), [len(part) for part in parts]
