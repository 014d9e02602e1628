"""Audio that lies in files: a folder, or the paths of a metadata table."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from sonoscale.audio import AUDIO_SUFFIXES, read_audio
from sonoscale.audio._crop import resampled_crop, resampled_length
from sonoscale.audio._read import read_header
from sonoscale.corpora._files_corpus import header_of, headers
from sonoscale.digests import file_digests
from sonoscale.errors import SonoscaleError


@dataclass(frozen=True)
class FileCorpus:
    """Audio files, one clip each, decoded to mono at `sample_rate` when asked for."""

    root: Path
    paths: tuple[str, ...]  # relative to root
    sample_rate: int = 16_000

    @classmethod
    def from_folder(cls, root: str | Path, *, sample_rate: int = 16_000) -> FileCorpus:
        """All audio files below `root`, sorted by path.

        Raises:
            SonoscaleError: no such folder, or no audio file in it.
        """
        root = Path(root)
        if not root.is_dir():
            raise SonoscaleError(f"{root}: no such folder")
        files = (f for f in root.rglob("*") if f.suffix.lower() in AUDIO_SUFFIXES and f.is_file())
        paths = sorted(f.relative_to(root).as_posix() for f in files)
        if not paths:
            raise SonoscaleError(f"{root}: no audio files in this folder (looked for {' '.join(AUDIO_SUFFIXES)})")
        return cls(root, tuple(paths), sample_rate)

    @property
    def identity(self) -> dict[str, Any]:
        """Content, wherever it lies: see `Corpus.identity`."""
        return {"kind": "files", "clips": len(self.paths), "sha256": self._digest, "rate": self.sample_rate}

    @cached_property
    def _digest(self) -> str:
        """Over each file's relative path and content."""
        digest, files = hashlib.sha256(), [self.root / path for path in self.paths]
        for path, file, content in zip(self.paths, files, file_digests(files), strict=True):
            if content is None:
                raise SonoscaleError(f"{file}: cannot be read")
            digest.update(os.fsencode(path) + b"\0" + bytes.fromhex(content))
        return digest.hexdigest()

    def __len__(self) -> int:
        return len(self.paths)

    def part(self, indices: Sequence[int]) -> FileCorpus:
        """The files at `indices` alone, which is less to send to a worker."""
        return FileCorpus(self.root, tuple(self.paths[i] for i in indices), self.sample_rate)

    def wave(self, index: int) -> np.ndarray:
        """See `Corpus.wave`."""
        return read_audio(self.root / self.paths[index], sample_rate=self.sample_rate)

    def samples(self, indices: Sequence[int]) -> np.ndarray:
        """See `Croppable.samples`; a file whose header holds no length is decoded."""
        lengths = np.empty(len(indices), dtype=np.int64)
        for at, index in enumerate(indices):
            rate, frames = self._header(index)
            known = resampled_length(frames, rate, self.sample_rate) if frames >= 0 else None
            lengths[at] = len(self.wave(index)) if known is None else known
        return lengths

    def crop(self, index: int, start: int, stop: int) -> np.ndarray:
        """See `Croppable.crop`."""
        rate, frames = self._header(index)
        if frames < 0:
            return self.wave(index)[start:stop]

        def read(first: int, last: int) -> np.ndarray:
            return read_audio(self.root / self.paths[index], sample_rate=rate, start=first / rate, stop=last / rate)

        return resampled_crop(read, frames, rate, self.sample_rate, start, stop)

    def _header(self, index: int) -> tuple[int, int]:
        """Rate in Hz, and frames at that rate, -1 where the header holds no length."""
        rate, frames = (int(numbers[index]) for numbers in self._headers)
        if not rate:
            header = read_header(self.root / self.paths[index])  # raises, and says why; or it is readable by now
            return header.rate, -1 if header.frames is None else header.frames
        return rate, frames

    @cached_property
    def _headers(self) -> tuple[np.ndarray, np.ndarray]:
        """Rate and frames of each file, int64 `[clips]`; rate 0 where it cannot be read."""
        read = headers(self.root / path for path in self.paths)
        known = [(0, 0) if isinstance(h, str) else (h.rate, -1 if h.frames is None else h.frames) for h in read]
        rates, frames = np.array(known, dtype=np.int64).T
        return rates, frames

    def cut_off(self, index: int) -> str:
        """What shows that the file of clip `index` ends before its audio does; empty if nothing does."""
        header = header_of(self.root / self.paths[index])
        return "" if isinstance(header, str) else header.cut_off

    def name(self, index: int) -> str:
        """See `Corpus.name`."""
        return str(self.root / self.paths[index])
