"""One encoder on one corpus: from clips to records."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from sonoscale.corpora import AudioCorpus
from sonoscale.encoders import Encoder
from sonoscale.errors import SonoscaleError
from sonoscale.measure._clips import block_of_each, check_groups, clip_hashes, equal_groups, identity_of
from sonoscale.measure._measured import Measured, MeasuredDifference, differences, limits
from sonoscale.measure._sketches import Emit, Pass, Sketches, sketch_clips
from sonoscale.measure._views import measure_lidar
from sonoscale.rank import Difference, RankRecord, compare_sketches, measure_all, measure_rank
from sonoscale.rank._measure import sample_records

DEFAULT = ("rankme", "rankme_centred", "rankme_standardised")

Progress = Callable[[str, int, int], None]


def measure_encoder(
    encoder: Encoder,
    corpus: AudioCorpus,
    *,
    how: Pass | None = None,
    estimators: Sequence[str] = DEFAULT,
    durations: Sequence[float] = (),
    level: float = 0.95,
    tolerance: float = 0.01,
    max_skipped: float = 0.05,
    progress: Progress | None = None,
    emit: Emit | None = None,
    finished: Callable[[], None] | None = None,
    sketch: Callable[[Pass, Sequence[int], str], Sketches] | None = None,
) -> Measured:
    """Stream the clips through the encoder and measure the rank of the embeddings, which are not kept.

    Arguments:
        encoder: see `Encoder`.
        corpus: opened at the encoder's rate.
        how: see `Pass`; how many clips may be skipped follows from `max_skipped`.
        estimators: names; the first is that of layers, groups and durations.
        durations: seconds; also measure the beginnings of so many seconds of the clips that are as long as the longest.
        level: coverage of the intervals.
        tolerance: share of the limit that the clips needed are for.
        max_skipped: largest share of clips that may be skipped.
        progress: called with what is being done, how many clips are done with, and of how many.
        emit: called with indices and embeddings of every batch.
        finished: called when `emit` has been given everything, and enough clips were processed.
        sketch: what makes the sketches of some clips, if not this process; its last argument says of what.

    Returns:
        Records, spectra and what was skipped.

    Raises:
        SonoscaleError: more clips than `max_skipped` could not be processed (they are listed), or none could; or what
            the encoder or the estimators raise.

    Example:
        >>> import numpy as np, soundfile, tempfile
        >>> from sonoscale.corpora import open_corpus
        >>> from sonoscale.encoders import load_encoder
        >>> encoder, rng = load_encoder("logmel:8"), np.random.default_rng(0)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     for i in range(20):
        ...         soundfile.write(f"{folder}/{i}.wav", 0.1 * rng.standard_normal(4000), 16_000)
        ...     measured = measure_encoder(encoder, open_corpus(folder, sample_rate=encoder.sample_rate))
        >>> measured.sketch.n, measured.seconds, [record.estimator for record in measured.records]
        (20, 5.0, ['rankme', 'rankme_centred', 'rankme_standardised'])
    """
    how = how or Pass()
    if encoder.sample_rate != corpus.sample_rate:
        raise SonoscaleError(f"the corpus is at {corpus.sample_rate} Hz, and the encoder at {encoder.sample_rate} Hz")
    started = time.perf_counter()
    skipped, total = list(corpus.skipped), len(corpus) + len(corpus.skipped)
    check_skipped(skipped, len(corpus), max_skipped)
    if how.group is not None:
        check_groups(corpus, how.group, dim=encoder.dim, blocks=how.blocks)
        if how.equal_n:
            how = replace(how, group_clips=equal_groups(corpus, how.group))
    suitable = long_enough(encoder, corpus, durations, how.min_seconds)
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
    most = math.floor(max_skipped * total) - len(skipped)
    made = over(replace(how, most_skipped=most), range(len(corpus)), "clips")
    skipped += made.skipped
    check_skipped(skipped, made.whole.n, max_skipped, total)
    if finished:
        finished()
    processed, mean, first = np.concatenate(made.processed), made.seconds / made.whole.n, estimators[0]
    records, undefined = measure_all(made.whole, estimators, mean_seconds=mean, **about)
    layers: list[RankRecord] = []
    for i, each in enumerate(made.layers):
        try:
            layers.append(measure_rank(each, first, layer=i, mean_seconds=mean, **about))
        except SonoscaleError as error:
            undefined[f"{first} of layer {i}"] = str(error)
    groups: dict[str, RankRecord] = {}
    for value, each in sorted(made.groups.items()):
        try:
            record = measure_rank(each, first, mean_seconds=made.group_seconds[value] / each.n, **about)
            groups[value] = replace(record, corpus=f"{about['corpus']} where {how.group}={value}")
        except SonoscaleError as error:
            undefined[f"{first} where {how.group}={value}"] = str(error)
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
    suitable = np.intersect1d(suitable, processed).tolist()
    beginnings = by_duration(over, suitable, how, durations, first, about, undefined)
    limit, needed, no_limit = limits(made.whole, first, level=level, tolerance=tolerance)
    return Measured(
        encoder.identity, encoder.identity, made.whole, records, undefined, limit, needed, no_limit,
        corpus=about["corpus"], layers=layers, groups=groups, durations=beginnings, skipped=skipped,
        notes=list(corpus.notes), seconds=made.seconds, wall_seconds=time.perf_counter() - started,
        forward_seconds=made.forward_seconds, processed=clip_hashes(corpus, processed),
    )  # fmt: skip


def check_skipped(skipped: Sequence[tuple[str, str]], processed: int, most: float, total: int | None = None) -> None:
    """Refuse a corpus of which too much could not be processed.

    Arguments:
        skipped: name and reason of each clip that could not be processed.
        processed: clips that were, or may be.
        most: largest share that may be skipped.
        total: clips in all, if not all were tried.

    Raises:
        SonoscaleError: more than the share `most` was skipped, or nothing was processed; it lists what and why.
    """
    tried = processed + len(skipped)
    total = tried if total is None else total
    if total == 0:
        raise SonoscaleError("there is no clip to process")
    if processed and len(skipped) <= most * total:
        return
    listed = "\n".join(f"  {name}: {reason}" if name not in reason else f"  {reason}" for name, reason in skipped[:20])
    more = f"\n  and {len(skipped) - 20} more" if len(skipped) > 20 else ""
    raise SonoscaleError(
        f"{len(skipped)} of {total} clips cannot be processed, more than the {most:.1%} allowed"
        f"{' (the rest was not tried)' if tried < total else ''}; fix or remove them, or allow more (max_skipped):\n"
        f"{listed}{more}"
    )


def long_enough(
    encoder: Encoder, corpus: AudioCorpus, durations: Sequence[float], min_seconds: float = 0.0
) -> list[int]:
    """The clips that are as long as the longest of the durations.

    Raises:
        SonoscaleError: fewer than 2 clips are, or a duration is shorter than the encoder takes or than `min_seconds`.
    """
    if not durations:
        return []
    rate, longest, shortest = corpus.sample_rate, max(durations), min(durations)
    least = max(1, encoder.min_samples)
    if round(shortest * rate) < least:
        raise SonoscaleError(f"{shortest:g} s is shorter than the {least / rate:.3f} s that {encoder.identity} takes")
    if shortest < min_seconds:
        raise SonoscaleError(f"{shortest:g} s is shorter than the {min_seconds:.3f} s that every encoder here takes")
    lengths = np.array([corpus.seconds(i) or 0.0 for i in range(len(corpus))])
    found = np.flatnonzero(lengths >= longest - 0.5 / rate).tolist()
    if len(found) < 2:
        raise SonoscaleError(f"{len(found)} clips are {longest:g} s long or longer: take shorter durations")
    return found


def by_duration(
    over: Callable[[Pass, Sequence[int], str], Sketches], clips: list[int], how: Pass, durations: Sequence[float],
    estimator: str, about: dict[str, Any], undefined: dict[str, str],
) -> list[RankRecord]:  # fmt: skip
    """Of the beginnings of clips, the longest first: what cannot be processed then is in none of the shorter ones.

    Arguments:
        over: sketches clips.
        clips: those that are as long as the longest duration.
        how: see `Pass`.
        durations: seconds.
        estimator: name.
        about: for the records.
        undefined: takes the reasons why a duration has no value, and what was left out of all.

    Returns:
        records by ascending duration.
    """
    found: list[RankRecord] = []
    cut = replace(how, layers=False, group=None, sample=0, most_skipped=None)
    for seconds in sorted(set(durations), reverse=True):
        name = f"{estimator} of the first {seconds:g} s"
        try:
            made = over(replace(cut, crop_seconds=seconds), clips, f"first {seconds:g} s")
            record = measure_rank(made.whole, estimator, mean_seconds=seconds, **about)
        except SonoscaleError as error:
            undefined[name] = str(error)
            continue
        if made.skipped:
            clip, reason = made.skipped[0]
            lost = f"{len(made.skipped)} of {len(clips)} clips could not be processed, among them {clip}: {reason}"
            if found:
                undefined[name] = f"not over the same clips as the longer ones: {lost}"
                continue
            undefined["durations"] = f"{lost}; all are over the other clips"
        clips = sorted(np.concatenate(made.processed).tolist())
        found.append(record)
    return found[::-1]


def compare_encoders(
    measured: Sequence[Measured], estimators: Sequence[str], *, level: float = 0.95
) -> list[MeasuredDifference]:
    """Each further encoder minus the first, paired by clip; or why there is no difference."""

    def difference(first: Measured, other: Measured, name: str) -> Difference:
        alone = np.setxor1d(first.processed, other.processed, assume_unique=True)
        if len(alone):
            raise SonoscaleError(
                f"they did not process the same clips: {len(alone)} were processed by one of them only; remove what "
                "either has skipped, and measure both again"
            )
        return compare_sketches(first.sketch, other.sketch, name, level=level)

    return differences(measured, estimators, difference=difference)
