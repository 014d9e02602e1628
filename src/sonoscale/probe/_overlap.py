"""Test audio among what an encoder was trained on, found by content."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np

from sonoscale.config import config_hash
from sonoscale.corpora import Corpus
from sonoscale.files import replacing
from sonoscale.measure import readable_clips

_FORMAT = 1


def content_hashes(
    corpus: Corpus,
    cache: Path | None = None,
    *,
    workers: int = 1,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> np.ndarray:
    """A hash of each clip's samples, uint64 `[clips]`; 0 for a clip that cannot be read.

    Samples are rounded to 16 bits and silence at either end is left out, so that the same recording is found under
    another name, in another lossless format, or padded. It is not found lossily coded, resampled, cropped or scaled.

    Arguments:
        corpus: whose clips.
        cache: folder to keep the hashes in.
        workers: threads, or processes, that decode.
        progress: called with the number of clips done, and of how many.
    """
    file = cache / f"content-{config_hash([_FORMAT, corpus.identity], 16)}.npz" if cache else None
    if file is not None and (kept := _kept(file, len(corpus))) is not None:
        return kept
    hashes = np.zeros(len(corpus), dtype=np.uint64)
    with closing(readable_clips(corpus, workers=workers)) as waves:
        for done, (index, wave) in enumerate(waves, start=1):
            hashes[index] = _hash(wave) if wave is not None else 0
            progress(done, len(corpus))
    if file is not None:
        with replacing(file) as partial, partial.open("wb") as stream:
            np.savez(stream, hashes=hashes)  # whose parts have checksums
    return hashes


def _kept(file: Path, clips: int) -> np.ndarray | None:
    """What was kept; None where there is nothing, or nothing that can be read: made anew."""
    try:
        with np.load(file) as content:
            found = content["hashes"]
    except Exception:  # whatever damage brings about
        return None
    return found if found.shape == (clips,) and found.dtype == np.uint64 else None


def overlap(task: np.ndarray, trained_on: np.ndarray) -> np.ndarray:
    """Which clips of a task are among what was trained on: indices, of `content_hashes` of both."""
    return np.flatnonzero(np.isin(task, trained_on) & (task != 0))


def overlap_warning(name: str, task: Corpus, both: np.ndarray) -> str:
    """What to say of it."""
    share = len(both) / len(task)
    return (
        f"{len(both)} of {len(task)} clips ({share:.1%}) were in the pre-training data, such as "
        f"{task.name(int(both[0]))}: the score is too good"
    )


def _hash(wave: np.ndarray) -> int:
    samples = np.clip(np.round(wave * 32768.0), -32768, 32767).astype(np.int16)
    sounding = np.flatnonzero(samples)
    if len(sounding) == 0:
        return 0
    content = samples[sounding[0] : sounding[-1] + 1].tobytes()
    return int.from_bytes(hashlib.blake2b(content, digest_size=8).digest(), "little") or 1
