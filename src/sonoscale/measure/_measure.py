"""From an encoder and audio to records."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from sonoscale.corpora import AudioCorpus
from sonoscale.encoders import Encoder
from sonoscale.errors import SonoscaleError
from sonoscale.measure._sketches import Emit, Pass, Sketches, block_of_each, sketch_clips
from sonoscale.measure._views import measure_lidar
from sonoscale.rank import (
    Extrapolation,
    RankRecord,
    extrapolate,
    measure_all,
    measure_rank,
    sample_records,
)

DEFAULT = ("rankme", "rankme_centred", "rankme_standardised")

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Measurement:
    """Everything told of one encoder on one corpus.

    Attributes:
        encoder, corpus: identities.
        clips: heard.
        seconds: of audio heard.
        skipped: name and reason of each clip that could not be heard.
        records: of the output, one per estimator.
        layers: of each layer, by the first estimator.
        by: of the clips of each value of a column, by the first estimator.
        durations: of the beginnings of clips, by the first estimator; all over the same clips.
        undefined: the reason for each number that has no value here.
        limit: the first estimator extrapolated to infinitely many clips, None if that cannot be told.
        wall_seconds, forward_seconds: taken in all, and by the encoder.
        sketches: what all of it was read from.
    """

    encoder: str
    corpus: str
    clips: int
    seconds: float
    skipped: list[tuple[str, str]]
    records: list[RankRecord]
    layers: list[RankRecord]
    by: dict[str, RankRecord]
    durations: list[RankRecord]
    undefined: dict[str, str]
    limit: Extrapolation | None
    wall_seconds: float
    forward_seconds: float
    sketches: Sketches = field(repr=False)

    def as_dict(self) -> dict[str, Any]:
        """JSON-able: all but the sketches."""
        return {
            "encoder": self.encoder, "corpus": self.corpus, "clips": self.clips, "seconds": self.seconds,
            "skipped": [{"name": name, "reason": reason} for name, reason in self.skipped],
            "layers": [record.as_dict() for record in self.layers],
            "by": {value: record.as_dict() for value, record in self.by.items()},
            "durations": [record.as_dict() for record in self.durations],
            "undefined": self.undefined,
            "limit": dataclasses.asdict(self.limit) | {"trusted": self.limit.trusted} if self.limit else None,
            "wall_seconds": self.wall_seconds, "forward_seconds": self.forward_seconds,
        }  # fmt: skip


def measure_encoder(
    encoder: Encoder,
    corpus: AudioCorpus,
    *,
    how: Pass | None = None,
    estimators: Sequence[str] = DEFAULT,
    durations: Sequence[float] = (),
    level: float = 0.95,
    max_broken: float = 0.05,
    progress: Progress | None = None,
    emit: Emit | None = None,
    sketch: Callable[[Pass, Sequence[int], str], Sketches] | None = None,
) -> Measurement:
    """Stream the clips through the encoder and measure the rank of the embeddings, which are not kept.

    Arguments:
        encoder: see `Encoder`.
        corpus: opened at the encoder's rate.
        how: see `Pass`.
        estimators: names; the first is that of layers, groups and durations.
        durations: seconds; also measure the beginnings of so many seconds of the clips that are as long as the longest.
        level: coverage of the intervals.
        max_broken: largest share of clips that may be skipped.
        progress: told what is being done, how many clips are done with, and of how many.
        emit: given indices and embeddings of every batch.
        sketch: what makes the sketches of some clips, if not this process; its last argument says of what.

    Raises:
        SonoscaleError: more clips than `max_broken` could not be heard (they are listed), or none could; or what the
            encoder or the estimators raise.
    """
    how = how or Pass()
    if encoder.sample_rate != corpus.sample_rate:
        raise SonoscaleError(f"the corpus is at {corpus.sample_rate} Hz, and the encoder at {encoder.sample_rate} Hz")
    enough = _long_enough(encoder, corpus, durations)
    started = time.perf_counter()
    assigned = block_of_each(corpus, how.blocks)

    def local(how: Pass, indices: Sequence[int], what: str) -> Sketches:
        done = 0

        def advance(clips: int) -> None:
            nonlocal done
            done += clips
            if progress:
                progress(what, done, len(indices))

        first = emit if what == "clips" else None
        return sketch_clips(encoder, corpus, indices, assigned, how, progress=advance, emit=first)

    over = sketch or local
    everything = list(range(len(corpus)))
    made = over(how, everything, "clips")
    skipped = [*corpus.skipped, *made.skipped]
    check_broken(skipped, made.whole.n, max_broken)
    about = {"level": level, "encoder": encoder.identity, "corpus": identity_of(corpus)}
    mean = made.seconds / made.whole.n
    records, undefined = measure_all(made.whole, estimators, mean_seconds=mean, **about)
    if how.sample:
        more, without = sample_records(np.concatenate(made.sample).astype(np.float64), dtype="float32", **about)
        records, undefined = records + more, undefined | without
        try:
            if sketch:
                raise SonoscaleError("LiDAR is measured by one process only")
            names = {"encoder_name": about["encoder"], "corpus_name": about["corpus"]}
            records.append(measure_lidar(encoder, corpus, how=how, level=level, progress=progress, **names))
        except SonoscaleError as error:
            undefined["lidar"] = str(error)
    first = estimators[0]
    layers: list[RankRecord] = []
    for i, each in enumerate(made.layers):
        try:
            layers.append(measure_rank(each, first, layer=i, mean_seconds=mean, **about))
        except SonoscaleError as error:
            undefined[f"{first} of layer {i}"] = str(error)
    by: dict[str, RankRecord] = {}
    for value, each in sorted(made.by.items()):
        try:
            by[value] = replace(measure_rank(each, first, **about), corpus=f"{about['corpus']} where {how.by}={value}")
        except SonoscaleError as error:
            undefined[f"{first} where {how.by}={value}"] = str(error)
    return Measurement(
        encoder.identity, about["corpus"], made.whole.n, made.seconds, skipped, records, layers, by,
        _by_duration(over, enough, how, durations, first, about, undefined), undefined, _limit(made, first, level),
        time.perf_counter() - started, made.forward_seconds, made,
    )  # fmt: skip


def check_broken(skipped: Sequence[tuple[str, str]], heard: int, most: float) -> None:
    """Refuse a corpus of which too much could not be heard.

    Raises:
        SonoscaleError: more than the share `most` was skipped, or nothing was heard; it lists what and why.
    """
    total = heard + len(skipped)
    if total == 0:
        raise SonoscaleError("there is no clip to hear")
    if heard and len(skipped) <= most * total:
        return
    told = "\n".join(f"  {name}: {reason}" if name not in reason else f"  {reason}" for name, reason in skipped[:20])
    more = f"\n  and {len(skipped) - 20} more" if len(skipped) > 20 else ""
    raise SonoscaleError(
        f"{len(skipped)} of {total} clips cannot be heard, more than the {most:.1%} allowed; mend or remove them, "
        f"or allow more (--max-broken):\n{told}{more}"
    )


def identity_of(corpus: AudioCorpus) -> str:
    """A short name of what the audio is, wherever it lies."""
    told = corpus.identity
    digest = hashlib.sha256(json.dumps(told, sort_keys=True, default=str).encode()).hexdigest()[:12]
    return f"{told.get('kind', 'audio')}, {len(corpus)} clips, {digest}"


def _limit(made: Sketches, estimator: str, level: float) -> Extrapolation | None:
    try:
        return extrapolate(made.whole, estimator, level=level)
    except SonoscaleError:
        return None


def _long_enough(encoder: Encoder, corpus: AudioCorpus, durations: Sequence[float]) -> list[int]:
    """The clips that are as long as the longest of the durations.

    Raises:
        SonoscaleError: fewer than 2 clips are, or a duration is shorter than the encoder takes.
    """
    if not durations:
        return []
    rate, longest, shortest = corpus.sample_rate, max(durations), min(durations)
    least = max(1, encoder.min_samples)
    if round(shortest * rate) < least:
        raise SonoscaleError(f"{shortest:g} s is shorter than the {least / rate:.3f} s that {encoder.identity} takes")
    lengths = np.array([corpus.seconds(i) or 0.0 for i in range(len(corpus))])
    enough = np.flatnonzero(lengths >= longest - 0.5 / rate).tolist()
    if len(enough) < 2:
        raise SonoscaleError(f"{len(enough)} clips are {longest:g} s long or longer: take shorter durations")
    return enough


def _by_duration(
    over: Callable[[Pass, Sequence[int], str], Sketches], enough: list[int], how: Pass, durations: Sequence[float],
    estimator: str, about: dict[str, Any], undefined: dict[str, str],
) -> list[RankRecord]:  # fmt: skip
    """Of the beginnings of the clips that are as long as the longest asked for; says why one has no value."""
    found = []
    for seconds in sorted(durations):
        cut = replace(how, crop_seconds=seconds, layers=False, by=None, sample=0)
        try:
            made = over(cut, enough, f"first {seconds:g} s")
            found.append(measure_rank(made.whole, estimator, mean_seconds=seconds, **about))
        except SonoscaleError as error:
            undefined[f"{estimator} of the first {seconds:g} s"] = str(error)
    return found
