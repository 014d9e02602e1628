"""Embeddings of a task's clips, made once for each encoder, for all readouts and protocols."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from sonoscale.config import config_hash
from sonoscale.corpora import Corpus, take
from sonoscale.encoders import Encoder, ReadoutEncoder, with_readouts
from sonoscale.files import replacing
from sonoscale.measure import Embedded, embed_corpus

_FORMAT = 1
_ROUNDING = 1e-2  # of the root mean square; other threads, batches and half precision change less


def embed_once(
    encoder: Encoder,
    readouts: Sequence[str],
    corpus: Corpus,
    cache: Path | None,
    *,
    layers: bool = False,
    workers: int = 1,
    batch_seconds: float = 64.0,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, Embedded]:
    """`embed_corpus` for several readouts in one pass, or what it gave before for the same encoder and audio.

    Found by the identities of both, which follow weights, code versions and content. As the weights of some encoders
    cannot be seen (such as those behind a function of the user's), the first clip is embedded again and must agree.

    Arguments:
        encoder, corpus, layers, workers, batch_seconds, progress: see `embed_corpus`.
        readouts: names of `READOUTS`; those that are not kept yet are made together.
        cache: folder; None to keep nothing.

    Returns:
        the rows of each readout; what was counted and timed is that of the pass which made them.
    """
    found: dict[str, Embedded] = {}
    files = {name: _file(cache, encoder, name, corpus, layers) for name in readouts} if cache else {}
    for name, file in files.items():
        kept = _read(file, len(corpus))
        if kept is not None and _still_true(kept, with_readouts(encoder, [name]), corpus, layers):
            found[name] = kept
    missing = [name for name in readouts if name not in found]
    if not missing:
        progress(len(corpus), len(corpus))
        return found
    reader = with_readouts(encoder, missing)
    made = embed_corpus(reader, corpus, layers=layers, workers=workers, batch_seconds=batch_seconds, progress=progress)
    parts = reader.split(made.rows) if isinstance(reader, ReadoutEncoder) else {"mean": made.rows}
    for name, rows in parts.items():
        found[name] = replace(made, rows=np.ascontiguousarray(rows))
        if cache:
            about = {"encoder": encoder.identity, "readout": name, "corpus": config_hash(corpus.identity, 16)}
            _write(files[name], found[name], about)
    return {name: found[name] for name in readouts}


def _file(cache: Path, encoder: Encoder, readout: str, corpus: Corpus, layers: bool) -> Path:
    who = encoder.identity if readout == "mean" else f"{encoder.identity} readout={readout}"
    return cache / f"embeddings-{config_hash([_FORMAT, who, corpus.identity, layers], 16)}.npz"


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
    except Exception:  # not there, or whatever damage brings about: made anew
        return None
    return made if made.rows.ndim == 3 and made.rows.shape[1] == clips else None


def _write(file: Path, made: Embedded, about: dict[str, str]) -> None:
    facts = {**about, "padded": made.padded, "cut": made.cut, "forward_seconds": made.forward_seconds}
    with replacing(file) as partial, partial.open("wb") as stream:
        np.savez(stream, rows=made.rows, facts=json.dumps(facts))
