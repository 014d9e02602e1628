"""From an encoder and audio to records."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from sonoscale.corpora import AudioCorpus
from sonoscale.encoders import Encoder
from sonoscale.errors import SonoscaleError
from sonoscale.measure._durations import by_duration, long_enough
from sonoscale.measure._groups import check_groups
from sonoscale.measure._identity import clip_hashes, identity_of
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
        notes: name of and remark on each clip that was heard, but not all of its recording.
        records: of the output, one per estimator.
        layers: of each layer, by the first estimator.
        by: of the clips of each value of a column, by the first estimator.
        durations: of the beginnings of clips, by the first estimator; all over the same clips.
        undefined: the reason for each number that has no value here.
        limit: the first estimator extrapolated to infinitely many clips, None if that cannot be told.
        wall_seconds, forward_seconds: taken in all, and by the encoder.
        sketches: what the records were read from: that of the output alone.
        heard: 64 bits of a hash of name and length of each clip heard, ascending.
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
    notes: list[tuple[str, str]] = field(default_factory=list)
    heard: np.ndarray = field(default_factory=lambda: np.empty(0, dtype=np.uint64), repr=False)

    def as_dict(self) -> dict[str, Any]:
        """JSON-able: all but the sketches and hashes."""
        return {
            "encoder": self.encoder, "corpus": self.corpus, "clips": self.clips, "seconds": self.seconds,
            "skipped": [{"name": name, "reason": reason} for name, reason in self.skipped],
            "notes": [{"name": name, "note": note} for name, note in self.notes],
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
    finished: Callable[[], None] | None = None,
    sketch: Callable[[Pass, Sequence[int], str], Sketches] | None = None,
) -> Measurement:
    """Stream the clips through the encoder and measure the rank of the embeddings, which are not kept.

    Arguments:
        encoder: see `Encoder`.
        corpus: opened at the encoder's rate.
        how: see `Pass`; how many clips may be skipped follows from `max_broken`.
        estimators: names; the first is that of layers, groups and durations.
        durations: seconds; also measure the beginnings of so many seconds of the clips that are as long as the longest.
        level: coverage of the intervals.
        max_broken: largest share of clips that may be skipped.
        progress: told what is being done, how many clips are done with, and of how many.
        emit: given indices and embeddings of every batch.
        finished: called when `emit` has been given everything, and enough clips were heard.
        sketch: what makes the sketches of some clips, if not this process; its last argument says of what.

    Raises:
        SonoscaleError: more clips than `max_broken` could not be heard (they are listed), or none could; or what the
            encoder or the estimators raise.
    """
    how = how or Pass()
    if encoder.sample_rate != corpus.sample_rate:
        raise SonoscaleError(f"the corpus is at {corpus.sample_rate} Hz, and the encoder at {encoder.sample_rate} Hz")
    started = time.perf_counter()
    skipped, total = list(corpus.skipped), len(corpus) + len(corpus.skipped)
    check_broken(skipped, len(corpus), max_broken)
    if how.by is not None:
        check_groups(corpus, how.by, dim=encoder.dim, blocks=how.blocks)
    enough = long_enough(encoder, corpus, durations, how.min_seconds)
    about = {"level": level, "encoder": encoder.identity, "corpus": identity_of(corpus)}
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
    most = math.floor(max_broken * total) - len(skipped)
    made = over(replace(how, most_skipped=most), range(len(corpus)), "clips")
    skipped += made.skipped
    check_broken(skipped, made.whole.n, max_broken, total)
    if finished:
        finished()
    heard, mean, first = np.concatenate(made.heard), made.seconds / made.whole.n, estimators[0]
    records, undefined = measure_all(made.whole, estimators, mean_seconds=mean, **about)
    layers: list[RankRecord] = []
    for i, each in enumerate(made.layers):
        try:
            layers.append(measure_rank(each, first, layer=i, mean_seconds=mean, **about))
        except SonoscaleError as error:
            undefined[f"{first} of layer {i}"] = str(error)
    by: dict[str, RankRecord] = {}
    for value, each in sorted(made.by.items()):
        try:
            record = measure_rank(each, first, mean_seconds=made.by_seconds[value] / each.n, **about)
            by[value] = replace(record, corpus=f"{about['corpus']} where {how.by}={value}")
        except SonoscaleError as error:
            undefined[f"{first} where {how.by}={value}"] = str(error)
    if how.sample:
        more, without = sample_records(np.concatenate(made.sample).astype(np.float64), dtype="float32", **about)
        records, undefined = records + more, undefined | without
    # Memory of many layers and groups is given back before other passes.
    made = Sketches(made.whole, seconds=made.seconds, skipped=made.skipped, forward_seconds=made.forward_seconds)
    if how.sample:
        try:
            if sketch:
                raise SonoscaleError("LiDAR is measured by one process only")
            names = {"encoder_name": about["encoder"], "corpus_name": about["corpus"]}
            records.append(measure_lidar(encoder, corpus, how=how, level=level, progress=progress, **names))
        except SonoscaleError as error:
            undefined["lidar"] = str(error)
    beginnings = by_duration(over, np.intersect1d(enough, heard).tolist(), how, durations, first, about, undefined)
    return Measurement(
        encoder.identity, about["corpus"], made.whole.n, made.seconds, skipped, records, layers, by, beginnings,
        undefined, _limit(made, first, level), time.perf_counter() - started, made.forward_seconds, made,
        list(corpus.notes), clip_hashes(corpus, heard),
    )  # fmt: skip


def check_broken(skipped: Sequence[tuple[str, str]], heard: int, most: float, total: int | None = None) -> None:
    """Refuse a corpus of which too much could not be heard.

    Arguments:
        skipped: name and reason of each clip that could not be heard.
        heard: clips that were, or may be.
        most: largest share that may be skipped.
        total: clips in all, if not all were tried.

    Raises:
        SonoscaleError: more than the share `most` was skipped, or nothing was heard; it lists what and why.
    """
    tried = heard + len(skipped)
    total = tried if total is None else total
    if total == 0:
        raise SonoscaleError("there is no clip to hear")
    if heard and len(skipped) <= most * total:
        return
    told = "\n".join(f"  {name}: {reason}" if name not in reason else f"  {reason}" for name, reason in skipped[:20])
    more = f"\n  and {len(skipped) - 20} more" if len(skipped) > 20 else ""
    raise SonoscaleError(
        f"{len(skipped)} of {total} clips cannot be heard, more than the {most:.1%} allowed"
        f"{' (the rest was not tried)' if tried < total else ''}; mend or remove them, or allow more (--max-broken):\n"
        f"{told}{more}"
    )


def _limit(made: Sketches, estimator: str, level: float) -> Extrapolation | None:
    try:
        return extrapolate(made.whole, estimator, level=level)
    except SonoscaleError:
        return None
