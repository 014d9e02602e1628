"""Packed audio: shards of 16-bit samples that are mapped, not read, and an index of clips."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import soxr
from pydantic import BaseModel, Field

from sonoscale.audio._crop import resampled_crop, resampled_length
from sonoscale.config import validate
from sonoscale.digests import file_digests, read_sealed
from sonoscale.errors import SonoscaleError
from sonoscale.files import digest

__all__ = ["FORMAT", "INDEX_FILE", "META_FILE", "STEP", "VERSION", "PackedCorpus", "is_pack", "shard_name"]

FORMAT = "sonoscale-pack"
VERSION = 2
META_FILE = "sonoscale-pack.json"
INDEX_FILE = "index.parquet"
STEP = 1 / 32768
"""One step of a 16-bit sample, as a share of full scale."""
_DTYPE = np.dtype("<i2")


def shard_name(number: int) -> str:
    """File name of a shard."""
    return f"shard-{number:05d}.bin"


def is_pack(path: str | Path) -> bool:
    """Whether `path` is a folder that `sonoscale data pack` finished."""
    return (Path(path) / META_FILE).is_file()


class _File(BaseModel):
    bytes: int = Field(ge=0)
    sha256: str


class _Column(BaseModel):
    name: str
    stored: str
    json_: bool = Field(alias="json")


class _Skipped(BaseModel):
    name: str
    reason: str


class _Meta(BaseModel):
    """The description of a pack."""

    sha256: str
    rate: int = Field(ge=1, le=10_000_000)
    clips: int = Field(ge=1)
    columns: tuple[_Column, ...]
    shards: tuple[_File, ...]
    index: _File
    skipped: tuple[_Skipped, ...]
    settings: dict[str, Any]


@dataclass(frozen=True)
class _Index:
    """What is known of each clip; the numbers as arrays `[clips]`, the words left in the table."""

    meta: _Meta
    shard: np.ndarray  # int32
    offset: np.ndarray  # int64, in samples from the start of the shard
    samples: np.ndarray  # int64
    scale: np.ndarray  # float64
    words: pa.Table  # name, group and the columns of the source


@dataclass(frozen=True)
class PackedCorpus:
    """Clips of a pack, float32 mono at `sample_rate`. Cheap to pickle: a worker maps the shards itself."""

    folder: Path
    sample_rate: int = 16_000
    indices: tuple[int, ...] | None = None  # which clips, by default all
    _maps: dict[int, np.ndarray] = field(default_factory=dict, init=False, repr=False, compare=False)
    _loaded: list[_Index] = field(default_factory=list, init=False, repr=False, compare=False)

    @classmethod
    def open(cls, path: str | Path, sample_rate: int = 16_000) -> PackedCorpus:
        """Open what `sonoscale data pack` wrote.

        Arguments:
            path: the folder.
            sample_rate: the wanted rate in Hz; where the pack has another, clips are resampled when asked for.

        Raises:
            SonoscaleError: not a pack, an unfinished one, one of a later version, or a shard that is missing or
                has been cut (named).
        """
        corpus = cls(Path(path).absolute(), sample_rate)
        for number in range(len(corpus._index.meta.shards)):
            corpus._check_shard(number)
        return corpus

    def __getstate__(self) -> dict[str, Any]:
        return {"folder": self.folder, "sample_rate": self.sample_rate, "indices": self.indices}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _maps={}, _loaded=[])

    @property
    def identity(self) -> dict[str, Any]:
        """Content, wherever it lies: see `Corpus.identity`.

        Raises:
            SonoscaleError: a shard is damaged; all of them are read, unless they were found whole before.
        """
        meta = self._index.meta
        self.verify()
        whole = {"kind": "packed", "sha256": meta.sha256, "clips": meta.clips, "rate": self.sample_rate}
        return whole if self.indices is None else {"subset_of": whole, "indices": list(self.indices)}

    def verify(self, *, anew: bool = False) -> None:
        """Whether all shards hold what was packed.

        Arguments:
            anew: read them even if they were found whole before and have not changed since, as far as the file system
                says.

        Raises:
            SonoscaleError: some are damaged (named).
        """
        shards = self._index.meta.shards
        files = [self.folder / shard_name(number) for number in range(len(shards))]
        for number in range(len(shards)):
            self._check_shard(number)
        found = [_digest(file) for file in files] if anew else file_digests(files)
        damaged = [file for file, shard, now in zip(files, shards, found, strict=True) if now != shard.sha256]
        if damaged:
            more = f", and {len(damaged) - 1} more of {len(shards)} shards" if len(damaged) > 1 else ""
            raise SonoscaleError(
                f"{damaged[0]}{more}: damaged: not what the pack recorded (SHA-256); copy it again or pack it again"
            )

    @property
    def skipped(self) -> tuple[tuple[str, str], ...]:
        """Name and reason of each clip that could not be packed; nothing for a part."""
        if self.indices is not None:
            return ()
        return tuple((item.name, item.reason) for item in self._index.meta.skipped)

    @property
    def notes(self) -> tuple[tuple[str, str], ...]:
        """None: a pack holds what it was given."""
        return ()

    @property
    def hours(self) -> float:
        """Of audio in all clips."""
        samples = self._index.samples if self.indices is None else self._index.samples[list(self.indices)]
        return float(samples.sum() / self._index.meta.rate / 3600)

    def __len__(self) -> int:
        return len(self._index.samples) if self.indices is None else len(self.indices)

    def part(self, indices: Sequence[int]) -> PackedCorpus:
        """The clips at `indices`, in that order."""
        return PackedCorpus(self.folder, self.sample_rate, tuple(self._row(i) for i in indices))

    def wave(self, index: int) -> np.ndarray:
        """float32 `[samples]` with the amplitude of the original, which may exceed full scale.

        Each sample is at most half of a 16-bit step from the original, times the clip's scale where the original
        exceeded full scale.
        """
        row, known = self._row(index), self._index
        wave = self._stored(row, 0, int(known.samples[row]))
        rate = known.meta.rate
        if rate == self.sample_rate:
            return wave
        wave = np.asarray(soxr.resample(wave, rate, self.sample_rate, quality="HQ"), dtype=np.float32)
        if not len(wave):
            raise SonoscaleError(f"{self.name(index)}: too short to resample from {rate} to {self.sample_rate} Hz")
        return wave

    def samples(self, indices: Sequence[int]) -> np.ndarray:
        """See `Croppable.samples`."""
        rows = np.asarray(indices) if self.indices is None else np.asarray(self.indices)[np.asarray(indices)]
        return resampled_length(self._index.samples[rows], self._index.meta.rate, self.sample_rate)

    def crop(self, index: int, start: int, stop: int) -> np.ndarray:
        """See `Croppable.crop`."""
        row, known = self._row(index), self._index
        return resampled_crop(
            partial(self._stored, row), int(known.samples[row]), known.meta.rate, self.sample_rate, start, stop
        )

    def name(self, index: int) -> str:
        """What the source called clip `index`."""
        return self._index.words["name"][self._row(index)].as_py()

    def group(self, index: int) -> str:
        """The recording that clip `index` was cut from, or its name where the source did not say."""
        return self._index.words["group"][self._row(index)].as_py() or self.name(index)

    def seconds(self, index: int) -> float:
        """Length of clip `index`."""
        return float(self._index.samples[self._row(index)] / self._index.meta.rate)

    def row(self, index: int) -> dict[str, Any]:
        """The source's metadata of clip `index`."""
        row, known = self._row(index), self._index
        values = {column.name: known.words[column.stored][row].as_py() for column in known.meta.columns}
        nested = [column.name for column in known.meta.columns if column.json_ and values[column.name]]
        try:
            return values | {name: json.loads(values[name]) for name in nested}
        except (ValueError, TypeError, RecursionError) as error:
            raise SonoscaleError(f"{self.folder / INDEX_FILE}: row {row}: not JSON ({_first_line(error)})") from error

    @property
    def _index(self) -> _Index:
        if not self._loaded:
            if not is_pack(self.folder):
                raise SonoscaleError(_no_pack(self.folder))
            stamps = (_stamp(self.folder / name) for name in (META_FILE, INDEX_FILE))
            self._loaded.append(_load(self.folder, *stamps))
        return self._loaded[0]

    def _row(self, index: int) -> int:
        if not -len(self) <= index < len(self):
            raise IndexError(index)
        index = int(index) % len(self)
        return index if self.indices is None else self.indices[index]

    def _stored(self, row: int, first: int, last: int) -> np.ndarray:
        """Samples of a clip at the rate of the pack, float32 `[last - first]`."""
        known = self._index
        start = int(known.offset[row])
        stored = self._map(int(known.shard[row]))[start + first : start + last]
        return stored.astype(np.float32) * np.float32(STEP * known.scale[row])

    def _map(self, number: int) -> np.ndarray:
        if number not in self._maps:
            self._check_shard(number)
            self._maps[number] = np.memmap(self.folder / shard_name(number), _DTYPE, mode="r")
        return self._maps[number]

    def _check_shard(self, number: int) -> None:
        shard, expected = self.folder / shard_name(number), self._index.meta.shards[number].bytes
        try:
            found = shard.stat().st_size
        except OSError as error:
            raise SonoscaleError(
                f"{shard}: this shard of the pack is missing; copy it again or pack it again"
            ) from error
        if found != expected:
            raise SonoscaleError(
                f"{shard}: {found} bytes where the pack recorded {expected}: the shard is truncated or changed; copy "
                "it again or pack it again"
            )


def _digest(file: Path) -> str | None:
    try:
        return digest(file)
    except OSError:
        return None


def _stamp(file: Path) -> int:
    return file.stat().st_mtime_ns if file.exists() else 0


@lru_cache(maxsize=8)
def _load(folder: Path, *stamps: int) -> _Index:  # `stamps`: a pack made anew is read anew
    meta_file, index_file = folder / META_FILE, folder / INDEX_FILE
    found = read_sealed(meta_file, "the description of a pack")
    if (known := (found.get("format"), found.get("version"))) != (FORMAT, VERSION):
        raise SonoscaleError(
            f"{meta_file}: format {known[0]!r} version {known[1]!r}; this Sonoscale reads {FORMAT!r} version {VERSION}"
        )
    meta = validate(_Meta, found, source=str(meta_file))
    try:
        if digest(index_file) != meta.index.sha256:
            raise SonoscaleError(f"{index_file}: damaged or changed: it is not what the pack recorded; copy it again")
        table = pq.read_table(index_file)
        numbers = {name: table[name].to_numpy() for name in _NUMBERS}
        words = table.drop_columns([*numbers, "seconds", "peak"]).combine_chunks()
        stored = {"name", "group", *(column.stored for column in meta.columns)} - set(words.column_names)
    except (OSError, pa.ArrowException, KeyError, ValueError) as error:
        raise SonoscaleError(f"{index_file}: not readable as the index of a pack ({_first_line(error)})") from error
    if stored:
        raise SonoscaleError(f"{index_file}: not the index of this pack: no column {sorted(stored)[0]!r}")
    if table.num_rows != meta.clips:
        raise SonoscaleError(f"{index_file}: {table.num_rows} clips where {META_FILE} has {meta.clips}; pack it again")
    _check_places(index_file, meta, numbers)
    return _Index(meta, **numbers, words=words)


_NUMBERS = {"shard": "i", "offset": "i", "samples": "i", "scale": "f"}
"""Columns of numbers in the index, and the kinds of their types."""


def _check_places(index_file: Path, meta: _Meta, numbers: Mapping[str, np.ndarray]) -> None:
    """Whether every clip lies in its shard."""
    for name, kind in _NUMBERS.items():
        if numbers[name].dtype.kind != kind:
            raise SonoscaleError(f"{index_file}: column {name!r} holds {numbers[name].dtype}, or nothing in some rows")
    shard, offset, samples, scale = (numbers[name] for name in _NUMBERS)
    room = np.array([each.bytes // _DTYPE.itemsize for each in meta.shards], dtype=np.int64)
    wrong = (shard < 0) | (shard >= len(room)) | (offset < 0) | (samples < 1) | ~(np.isfinite(scale) & (scale > 0))
    wrong[~wrong] = samples[~wrong] > room[shard[~wrong]] - offset[~wrong]
    if wrong.any():
        raise SonoscaleError(f"{index_file}: row {int(wrong.argmax())} does not lie in a shard of this pack")


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]


def _no_pack(folder: Path) -> str:
    if any(folder.glob("shard-*.bin")):
        return f"{folder}: an unfinished pack; give the same `sonoscale data pack` again and it goes on"
    return f"{folder}: no pack ({META_FILE} is not there); `sonoscale data pack AUDIO --out {folder}` makes one"


def content_digest(shards: Sequence[Mapping[str, Any]], index_digest: str) -> str:
    """SHA-256 over the shards' and the index's digests: the same for packs of the same audio and metadata."""
    text = json.dumps([[shard["sha256"] for shard in shards], index_digest])
    return hashlib.sha256(text.encode()).hexdigest()
