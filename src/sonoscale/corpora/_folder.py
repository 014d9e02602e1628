"""Audio that lies in files: a folder, or the paths of a metadata table."""

from __future__ import annotations

import csv
import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from sonoscale.audio import AUDIO_SUFFIXES, read_audio
from sonoscale.corpora._base import Task
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
        """Over each file's relative path, size, and first and last 64 KiB."""
        digest = hashlib.sha256()
        for path in self.paths:
            file = self.root / path
            try:
                size = file.stat().st_size
                with file.open("rb") as stream:
                    content = stream.read(1 << 16)
                    stream.seek(max(0, size - (1 << 16)))
                    content += stream.read(1 << 16)
            except OSError as error:
                raise SonoscaleError(f"{file}: cannot be read ({error.strerror})") from error
            digest.update(os.fsencode(path) + f"\0{size}\0".encode() + hashlib.sha256(content).digest())
        return digest.hexdigest()

    def __len__(self) -> int:
        return len(self.paths)

    def part(self, indices: Sequence[int]) -> FileCorpus:
        """The files at `indices` alone, which is less to send to a worker."""
        return FileCorpus(self.root, tuple(self.paths[i] for i in indices), self.sample_rate)

    def wave(self, index: int) -> np.ndarray:
        """See `Corpus.wave`."""
        return read_audio(self.root / self.paths[index], sample_rate=self.sample_rate)

    def name(self, index: int) -> str:
        """See `Corpus.name`."""
        return str(self.root / self.paths[index])


def read_task(
    name: str, metadata: str | Path, *, audio_root: str | Path, label: str = "label", fold: str | None = None
) -> Task:
    """A labelled task from a CSV file with a column `path`, a label column, and a column `fold` or `split`.

    A `split` column must hold train, valid and test (or training, validation, val, dev, in any case); a `fold`
    column may hold any names, at least three.

    Arguments:
        name: of the task, for tables and messages.
        metadata: the CSV file.
        audio_root: the folder that its paths are relative to.
        label: the column of labels.
        fold: the column of folds; by default `fold`, or else `split`.

    Raises:
        SonoscaleError: the file, a column, a value or an audio file is missing; folds that cannot be used.
    """
    metadata, audio_root = Path(metadata), Path(audio_root)
    if not metadata.is_file():
        raise SonoscaleError(f"task {name}: {metadata}: no such file")
    try:
        with metadata.open(newline="", encoding="utf-8-sig") as stream:
            reader = csv.DictReader(stream)
            columns = list(reader.fieldnames or [])
            rows = list(reader)
    except (UnicodeDecodeError, csv.Error) as error:
        raise SonoscaleError(f"{metadata}: not a CSV file in UTF-8 ({error})") from error
    if fold is None:
        fold = next((c for c in ("fold", "split") if c in columns), "fold")
    for column in ("path", label, fold):
        if column not in columns:
            raise SonoscaleError(f"{metadata}: no column '{column}'; its columns are {', '.join(columns)}")
    if not rows:
        raise SonoscaleError(f"{metadata}: no rows")
    first_line: dict[str, int] = {}
    for line, row in enumerate(rows, start=2):
        for column in ("path", label, fold):
            if not (row[column] or "").strip():
                raise SonoscaleError(f"{metadata}: line {line}: no value in column '{column}'")
        if not (audio_root / row["path"]).is_file():
            raise SonoscaleError(f"{metadata}: line {line}: no such audio file {audio_root / row['path']}")
        if row["path"] in first_line:
            raise SonoscaleError(
                f"{metadata}: line {line}: {row['path']} stands in line {first_line[row['path']]} already; a clip that "
                "is in two folds would be tested on what was trained on"
            )
        first_line[row["path"]] = line
    folds, scheme = _folds([row[fold].strip() for row in rows], fold)
    corpus = FileCorpus(audio_root, tuple(row["path"] for row in rows))
    return Task(name, corpus, tuple(row[label].strip() for row in rows), folds, scheme)


_PARTS = {
    "train": "train", "training": "train",
    "valid": "valid", "validation": "valid", "val": "valid", "dev": "valid",
    "test": "test", "testing": "test",
}  # fmt: skip


def _folds(values: list[str], column: str) -> tuple[tuple[str, ...], str]:
    """Folds and their scheme; the parts of a split under their usual names."""
    parts = [_PARTS.get(value.lower()) for value in values]
    if column.lower() != "split" and not all(parts):
        return tuple(values), "folds"
    unknown = sorted({value for value, part in zip(values, parts, strict=True) if part is None})
    if unknown:
        raise SonoscaleError(f"column '{column}': '{unknown[0]}' is not a part of a split; use train, valid and test")
    return tuple(part for part in parts if part), "split"
