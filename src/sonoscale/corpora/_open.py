"""From one string to a corpus."""

from __future__ import annotations

import glob
import math
import os
from pathlib import Path
from typing import Any

from sonoscale.arguments import check_arguments
from sonoscale.audio import AUDIO_SUFFIXES
from sonoscale.corpora._base import AudioCorpus
from sonoscale.corpora._hear import HEAR_MARK, open_hear
from sonoscale.corpora._hf import is_saved, open_hf
from sonoscale.corpora._manifest import MANIFEST_SUFFIXES, has_bytes, open_manifest
from sonoscale.corpora._open_files import open_folder, open_glob
from sonoscale.corpora._tar import is_tar_spec, open_tars
from sonoscale.errors import SonoscaleError, in_one_line

KINDS = ("folder", "glob", "manifest", "webdataset", "hear", "hf", "procedural", "packed")
_PACK_MARK = "sonoscale-pack.json"


@in_one_line
def open_corpus(
    spec: str | Path,
    *,
    kind: str | None = None,
    sample_rate: int = 16_000,
    max_seconds: float | None = 30.0,
    path_column: str | None = None,
    audio_root: str | Path | None = None,
    key: str | None = None,
) -> AudioCorpus:
    """Open audio of any kind without decoding it.

    What `spec` can be, and the kind that is found:

    - a folder (`folder`: all audio below it), a file, or a pattern such as `/data/**/*.flac` (`glob`);
    - a CSV, TSV, JSON lines or Parquet file with a column of paths (`manifest`);
    - tar shards: a file, a folder, `*.tar`, `train-{000..010}.tar` (`webdataset`);
    - a HEAR task folder (`hear`);
    - `hf:owner/name[:config][:split]`, or a folder that `datasets` saved or of Parquet files (`hf`);
    - `procedural[:split][?clips=500&seed=1&seconds=2]` (`procedural`);
    - a folder that Sonoscale packed (`packed`).

    A folder with audio files and others is a `folder`. A recording longer than `max_seconds` becomes consecutive
    clips, `path@0.0-30.0s` and so on, each read alone; what is left at its end is one if it has 0.5 s. What is
    listed and cannot be a clip is in `skipped`; a clip that cannot be decoded raises when it is read.

    Arguments:
        spec: see above.
        kind: one of the kinds, instead of the one found.
        sample_rate: of the waves, in Hz.
        max_seconds: of a clip; None for whole recordings. Of no effect on procedural and packed clips.
        path_column: of a manifest; by default path, file, filename, file_name, filepath, audio_filepath or audio.
        audio_root: what a manifest's paths are relative to; by default its own folder.
        key: extension of the audio in tar samples with several, or column of audio of a Hugging Face data set.

    Returns:
        The clips, each decoded when it is read.

    Raises:
        SonoscaleError: there is nothing of this kind at `spec`, or no clip at all in it; an argument is out of its
            range or not for this kind.

    Example:
        >>> corpus = open_corpus("procedural?clips=8&seconds=0.5")
        >>> len(corpus), corpus.sample_rate
        (8, 16000)
    """
    check_arguments(open_corpus, locals())
    text = os.path.expanduser(spec)  # noqa: PTH111 (a Path would change patterns)
    if sample_rate < 1:
        raise SonoscaleError(f"sample_rate = {sample_rate}: a rate in Hz is needed, such as 16000")
    if max_seconds is not None and not 0 < max_seconds < math.inf:
        raise SonoscaleError(f"max_seconds = {max_seconds}: a length of more than 0 is needed, or None")
    if kind is not None and kind not in KINDS:
        raise SonoscaleError(f"no kind of audio '{kind}'; there are {', '.join(KINDS)}")
    kind = kind or _kind(text)
    _check_used(text, kind, path_column=path_column, audio_root=audio_root, key=key)
    cut: dict[str, Any] = {"sample_rate": sample_rate, "max_seconds": max_seconds}
    path = Path(text)
    if kind == "folder":
        return open_folder(path, **cut)
    if kind == "glob":
        return open_glob(text, **cut)
    if kind == "manifest":
        root = None if audio_root is None else Path(audio_root)
        return open_manifest(path, path_column=path_column, audio_root=root, **cut)
    if kind == "webdataset":
        return open_tars(text, key=key, **cut)
    if kind == "hear":
        return open_hear(path, **cut)
    if kind == "hf":
        return open_hf(text, key=key, **cut)
    if kind == "procedural":
        from sonoscale.corpora._procedural_audio import ProceduralAudio

        return ProceduralAudio.parse(text, sample_rate=sample_rate)
    from sonoscale.corpora._pack import PackedCorpus

    return PackedCorpus.open(path, sample_rate=sample_rate)


_ONLY_FOR = {"path_column": ("manifest",), "audio_root": ("manifest",), "key": ("webdataset", "hf")}


def _check_used(spec: str, kind: str, **options: Any) -> None:
    for option, value in options.items():
        if value is not None and kind not in _ONLY_FOR[option]:
            raise SonoscaleError(f"{spec}: is of kind {kind}; {option} is for {' and '.join(_ONLY_FOR[option])} only")


def _kind(spec: str) -> str:
    """What kind of audio `spec` is."""
    path = Path(spec)
    if spec.startswith("hf:"):
        return "hf"
    if spec.partition("?")[0].partition(":")[0] == "procedural":
        return "procedural"
    if path.is_dir():
        return _kind_of_folder(path)
    if is_tar_spec(spec):
        return "webdataset"
    if path.is_file():
        if path.suffix.lower() not in MANIFEST_SUFFIXES:
            return "folder"
        return "hf" if path.suffix.lower() == ".parquet" and has_bytes(path) else "manifest"
    if glob.has_magic(spec):
        return "glob"
    raise SonoscaleError(
        f"{spec}: no such file or folder; audio is a folder, file or pattern, a manifest "
        f"({' '.join(MANIFEST_SUFFIXES)}), tar shards, hf:owner/name or procedural"
    )


def _kind_of_folder(folder: Path) -> str:
    if (folder / _PACK_MARK).is_file():
        return "packed"
    if (folder / HEAR_MARK).is_file():
        return "hear"
    if is_saved(folder):
        return "hf"
    suffixes: set[str] = set()
    for _, _, names in os.walk(folder):
        suffixes |= {os.path.splitext(name)[1].lower() for name in names}  # noqa: PTH122 (quick)
        if suffixes & set(AUDIO_SUFFIXES):
            return "folder"
    if ".tar" in suffixes:
        return "webdataset"
    return "hf" if ".parquet" in suffixes else "folder"
