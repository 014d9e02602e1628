"""Embeddings of a task's clips, made once for each encoder and shared by all protocols."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from sonoscale.config import config_hash
from sonoscale.corpora import Corpus, take
from sonoscale.encoders import Encoder
from sonoscale.files import replacing
from sonoscale.measure import Embedded, embed_corpus

_FORMAT = 1
_ROUNDING = 1e-2  # of the root mean square; other threads, batches and half precision change less


def embed_once(
    encoder: Encoder,
    corpus: Corpus,
    cache: Path | None,
    *,
    layers: bool = False,
    workers: int = 1,
    batch_seconds: float = 64.0,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Embedded:
    """`embed_corpus`, or what it gave before for the same encoder and audio.

    Found by the identities of both, which follow weights, code versions and content. As the weights of some encoders
    cannot be seen (such as those behind a function of the user's), the first clip is embedded again and must agree.

    Arguments:
        encoder, corpus, layers, workers, batch_seconds, progress: see `embed_corpus`.
        cache: folder; None to keep nothing.
    """

    def made() -> Embedded:
        return embed_corpus(
            encoder, corpus, layers=layers, workers=workers, batch_seconds=batch_seconds, progress=progress
        )

    if cache is None:
        return made()
    key = config_hash([_FORMAT, encoder.identity, corpus.identity, layers], 16)
    file = cache / f"embeddings-{key}.npz"
    found = _read(file, len(corpus))
    if found is None or not _still_true(found, encoder, corpus, layers):
        found = made()
        _write(file, found, {"encoder": encoder.identity, "corpus": config_hash(corpus.identity, 16)})
    else:
        progress(found.rows.shape[1], found.rows.shape[1])
    return found


def _still_true(found: Embedded, encoder: Encoder, corpus: Corpus, layers: bool) -> bool:
    """Whether the encoder gives for the first clip what it gave before, up to rounding."""
    now = embed_corpus(encoder, take(corpus, [0]), layers=layers).rows[:, 0]
    before = found.rows[:, 0]
    if now.shape != before.shape:
        return False
    size = max(float(np.sqrt(np.mean(np.square(before, dtype=np.float64)))), 1e-12)
    return bool(np.abs(now.astype(np.float64) - before).max() <= _ROUNDING * size)


def _read(file: Path, clips: int) -> Embedded | None:
    try:
        with np.load(file) as content:
            facts: dict[str, Any] = json.loads(str(content["facts"]))
            made = Embedded(content["rows"], facts["padded"], facts["cut"], facts["forward_seconds"])
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):  # not there, or damaged: made anew
        return None
    return made if made.rows.ndim == 3 and made.rows.shape[1] == clips else None


def _write(file: Path, made: Embedded, about: dict[str, str]) -> None:
    facts = {**about, "padded": made.padded, "cut": made.cut, "forward_seconds": made.forward_seconds}
    with replacing(file) as partial, partial.open("wb") as stream:
        np.savez(stream, rows=made.rows, facts=json.dumps(facts))
