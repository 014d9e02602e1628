"""Audio files: a folder of them, what a pattern matches, or one."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from sonoscale.audio import AUDIO_SUFFIXES
from sonoscale.corpora._files_corpus import Segments, cut_all, headers, need_clips
from sonoscale.corpora._manifest import described_by
from sonoscale.errors import SonoscaleError

# Audio that libsndfile does not decode: reported rather than ignored.
METADATA = "metadata.csv"
"""In a folder of audio: what is known of its files, as Hugging Face and this project keep it."""
OTHER_AUDIO = (".m4a", ".aac", ".mp4", ".wma", ".webm", ".amr", ".ape", ".wv", ".mka")


def _open_files(
    kind: str, root: Path, files: Iterable[Path], spec: str, *, sample_rate: int, max_seconds: float | None
) -> Segments:
    """All audio among `files`, which lie below `root`, sorted by path. A row holds `path` and `folder`, and what a
    `metadata.csv` in the folder says of that path.

    Audio is known by its suffix here, save for a file that is itself the `spec`.

    Raises:
        SonoscaleError: no audio among them.
    """
    # What begins with "._" are notes that macOS keeps beside files.
    chosen = sorted((f.relative_to(root).as_posix(), f) for f in files if not f.name.startswith("._"))
    known = [(name, file) for name, file in chosen if file.suffix.lower() in AUDIO_SUFFIXES or str(file) == spec]
    other = [
        (name, f"{file.suffix} cannot be decoded here; convert it to FLAC or WAV")
        for name, file in chosen
        if file.suffix.lower() in OTHER_AUDIO and str(file) != spec
    ]

    described = described_by(root / METADATA) if kind == "folder" else {}

    def row(i: int) -> dict[str, Any]:
        name = known[i][0]
        return {"path": name, "folder": name.rpartition("/")[0], **described.get(name, {})}

    clips, skipped = cut_all(known, headers(file for _, file in known), row, max_seconds)
    need_clips(clips, skipped + other, spec)
    return Segments(kind, str(root), tuple(clips), sample_rate, max_seconds, tuple(skipped + other))


def open_folder(root: Path, *, sample_rate: int, max_seconds: float | None) -> Segments:
    """All audio files below a folder, or one file.

    Raises:
        SonoscaleError: no such folder or file, or no audio in it.
    """
    if root.is_file():
        return _open_files("folder", root.parent, [root], str(root), sample_rate=sample_rate, max_seconds=max_seconds)
    if not root.is_dir():
        raise SonoscaleError(f"{root}: no such file or folder")
    files = (Path(folder, name) for folder, _, names in os.walk(root) for name in names)
    return _open_files("folder", root, files, str(root), sample_rate=sample_rate, max_seconds=max_seconds)


def open_glob(pattern: str, *, sample_rate: int, max_seconds: float | None) -> Segments:
    """All audio files that a pattern such as `/data/**/*.flac` matches.

    Raises:
        SonoscaleError: it matches no audio file.
    """
    files = [Path(file) for file in glob.glob(pattern, recursive=True) if Path(file).is_file()]  # noqa: PTH207
    if not files:
        raise SonoscaleError(f"{pattern}: no file matches this pattern")
    root = Path(os.path.commonpath([file.parent for file in files]))
    return _open_files("glob", root, files, pattern, sample_rate=sample_rate, max_seconds=max_seconds)
