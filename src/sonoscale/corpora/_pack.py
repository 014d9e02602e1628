"""Pack a corpus: 16-bit samples one after the other in a few large files, so that reading needs no decoder."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sonoscale._text import encodable
from sonoscale.config import config_hash
from sonoscale.corpora._base import Corpus, sound_wave
from sonoscale.corpora._pack_index import finish_pack, plain
from sonoscale.corpora._pack_journal import Journal, Progressed
from sonoscale.corpora._packed import INDEX_FILE, META_FILE, STEP, VERSION, PackedCorpus, is_pack, shard_name
from sonoscale.corpora._parallel import map_chunks
from sonoscale.errors import SonoscaleError
from sonoscale.files import make_folder, remove_partial
from sonoscale.processes import only_one_process

__all__ = ["PackedCorpus", "TooManyBrokenError", "pack_corpus"]

_LOWEST, _HIGHEST = -32768, 32767
Progress = Callable[[int, int], None]


class TooManyBrokenError(SonoscaleError):
    """More clips are broken than was allowed; `broken` has (name, reason) of each that was found so far."""

    def __init__(self, message: str, broken: list[tuple[str, str]]) -> None:
        super().__init__(message)
        self.broken = broken


@dataclass(frozen=True)
class Quantised:
    """A clip as 16-bit samples; the amplitude is `samples * STEP * scale`."""

    samples: np.ndarray  # int16 [samples]
    peak: float  # largest |amplitude| of the original, 1 = full scale
    scale: float  # 1 unless the original exceeds full scale


def quantise(wave: np.ndarray) -> Quantised:
    """Round a float waveform `[samples]` to 16 bits; scaled down first if it exceeds full scale."""
    highest, lowest = float(wave.max()), float(wave.min())
    peak, scale = max(highest, -lowest), 1.0
    if round(highest / STEP) > _HIGHEST or round(lowest / STEP) < _LOWEST:
        scale = max(highest / (_HIGHEST * STEP), lowest / (_LOWEST * STEP))
    steps = np.rint(wave.astype(np.float64) / (STEP * scale))
    return Quantised(np.clip(steps, _LOWEST, _HIGHEST).astype("<i2"), peak, scale)


def pack_corpus(
    corpus: Corpus,
    out: str | Path,
    *,
    shard_mb: int = 512,
    workers: int | None = None,
    max_broken: float = 0.05,
    progress: Progress | None = None,
) -> PackedCorpus:
    """Write a corpus as a pack, or resume one that was interrupted.

    However often it was interrupted, even by a kill, the files come out the same to the byte. A finished pack of
    the same corpus and settings is left as it is.

    Arguments:
        corpus: what to pack, at its own sample rate. Where it has `group`, `row` and `skipped` (as what
            `open_corpus` gives), they are kept too.
        out: the folder to write, made if need be.
        shard_mb: size of a shard in 2**20 bytes; a clip never lies in two, and a longer clip has one of its own.
        workers: processes that decode; by default one per core if it is worth their start.
        max_broken: the largest share of clips that may be left out because they cannot be read.
        progress: called with (clips done, clips in all).

    Raises:
        TooManyBrokenError: more than `max_broken` cannot be read; what was done is kept.
        SonoscaleError: `out` holds something else, or is being written by another process.
    """
    out, known = Path(out), _Described(corpus)
    settings = {
        "version": VERSION,
        "source": config_hash(corpus.identity, 64),
        "clips": len(corpus),
        "rate": corpus.sample_rate,
        "shard_bytes": shard_mb << 20,
    }
    if is_pack(out):
        return _finished(out, settings)
    make_folder(out)
    Journal.check_place(out)
    with only_one_process(out, "packs into"):
        if is_pack(out):  # another process was faster
            return _finished(out, settings)
        for file in (INDEX_FILE, META_FILE):  # killed while it wrote them
            remove_partial(out / file)
        journal = Journal.open(out, settings)
        state = journal.state
        allowed = max_broken * (len(corpus) + len(known.skipped))
        _check_broken(known.skipped + state.skipped, allowed, max_broken, out)
        with _Shards(out, settings["shard_bytes"], state) as shards:
            for results in map_chunks(_quantise_chunk, corpus, start=state.done, workers=workers):
                clips, skipped = [], []
                for index, result in enumerate(results, start=state.done):
                    said = known.said(index)
                    if isinstance(result, str) or isinstance(said, str):
                        skipped.append((known.name(index), result if isinstance(result, str) else str(said)))
                        continue
                    shard, offset = shards.append(result.samples)
                    place = {"shard": shard, "offset": offset, "samples": len(result.samples)}
                    clips.append(
                        {"name": known.name(index), **place, "peak": result.peak, "scale": result.scale, **said}
                    )
                shards.flush()
                journal.append(len(results), clips, skipped, shards.number, shards.bytes)
                if progress:
                    progress(state.done, len(corpus))
                _check_broken(known.skipped + state.skipped, allowed, max_broken, out)
        if not state.clips:
            raise SonoscaleError(f"{out}: nothing to pack: none of {len(corpus)} clips can be read")
        finish_pack(out, settings, corpus.identity, journal, known.skipped)
        journal.remove()
    return PackedCorpus.open(out, corpus.sample_rate)


def _finished(out: Path, settings: dict[str, Any]) -> PackedCorpus:
    packed = PackedCorpus.open(out, settings["rate"])
    if packed._index.meta.settings != settings:
        raise SonoscaleError(
            f"{out / META_FILE}: a finished pack of other audio or with other settings is here; choose another "
            "folder, or delete this one"
        )
    return packed


def _check_broken(broken: list[tuple[str, str]], allowed: float, share: float, out: Path) -> None:
    if len(broken) > allowed:
        name, reason = broken[0]
        first = reason if name in reason else f"{name}: {reason}"
        raise TooManyBrokenError(
            f"{len(broken)} clips cannot be read, more than the {share:.1%} allowed (the first: {first}); what was "
            f"packed is kept in {out}: give the same command with a higher --max-broken to go on",
            broken,
        )


def _quantise_chunk(corpus: Corpus) -> list[Quantised | str]:
    """Each clip quantised, or why it cannot be read."""
    results: list[Quantised | str] = []
    for index in range(len(corpus)):
        try:
            results.append(quantise(sound_wave(corpus, index)))
        except SonoscaleError as error:
            results.append(str(error))
    return results


class _Described:
    """The metadata of a corpus, where it has any."""

    def __init__(self, corpus: Any) -> None:
        self.skipped = [(str(name), str(reason)) for name, reason in getattr(corpus, "skipped", ())]
        self._name: Callable[[int], str] = corpus.name
        self._group: Callable[[int], Any] = getattr(corpus, "group", lambda _: None)
        self._row: Callable[[int], Mapping[str, Any]] = getattr(corpus, "row", lambda _: {})

    def name(self, index: int) -> str:
        """What to call a clip, as UTF-8 can hold it."""
        return encodable(self._name(index))

    def said(self, index: int) -> dict[str, Any] | str:
        """The group and the row of a clip, or why they cannot be read."""
        try:
            group, row = self._group(index), self._row(index)
        except SonoscaleError as error:
            return str(error)
        row = {encodable(str(key)): plain(value) for key, value in row.items()}
        return {"group": None if group is None else encodable(str(group)), "row": row}


class _Shards:
    """The shard that is being written, continued where the journal ends."""

    def __init__(self, out: Path, limit: int, state: Progressed) -> None:
        self._out, self._limit = out, limit
        self.number, self.bytes = state.shard, state.bytes
        for later in out.glob("shard-*.bin"):
            if later.name > shard_name(self.number):
                later.unlink()
        self._stream = (out / shard_name(self.number)).open("ab")
        if self._stream.tell() < self.bytes:
            raise SonoscaleError(
                f"{out / shard_name(self.number)}: {self._stream.tell()} bytes where the journal has {self.bytes}; "
                f"delete {out} and pack again"
            )
        self._stream.truncate(self.bytes)

    def __enter__(self) -> _Shards:
        return self

    def __exit__(self, *_: object) -> None:
        self._stream.close()

    def append(self, samples: np.ndarray) -> tuple[int, int]:
        """Write a clip; its shard and its offset there in samples."""
        if self.bytes and self.bytes + samples.nbytes > self._limit:
            self.flush()
            self._stream.close()
            self.number, self.bytes = self.number + 1, 0
            self._stream = (self._out / shard_name(self.number)).open("wb")
        offset = self.bytes // samples.itemsize
        self._stream.write(samples.tobytes())
        self.bytes += samples.nbytes
        return self.number, offset

    def flush(self) -> None:
        """Let what was written outlast a crash of the machine."""
        self._stream.flush()
        os.fsync(self._stream.fileno())
