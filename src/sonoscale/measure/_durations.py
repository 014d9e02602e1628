"""Ranks of the beginnings of clips: one length after the other, all over the same clips."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from sonoscale.corpora import AudioCorpus
from sonoscale.encoders import Encoder
from sonoscale.errors import SonoscaleError
from sonoscale.measure._sketches import Pass, Sketches
from sonoscale.rank import RankRecord, measure_rank


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
    enough = np.flatnonzero(lengths >= longest - 0.5 / rate).tolist()
    if len(enough) < 2:
        raise SonoscaleError(f"{len(enough)} clips are {longest:g} s long or longer: take shorter durations")
    return enough


def by_duration(
    over: Callable[[Pass, Sequence[int], str], Sketches], enough: list[int], how: Pass, durations: Sequence[float],
    estimator: str, about: dict[str, Any], undefined: dict[str, str],
) -> list[RankRecord]:  # fmt: skip
    """Of the beginnings of clips, the longest first: what then cannot be heard is in none of the shorter ones.

    Arguments:
        over: sketches clips.
        enough: the clips that are as long as the longest duration.
        how: see `Pass`.
        durations: seconds.
        estimator: name.
        about: for the records.
        undefined: is told why a duration has no value, and what was left out of all.

    Returns:
        records by ascending duration.
    """
    found: list[RankRecord] = []
    cut = replace(how, layers=False, by=None, sample=0, most_skipped=None)
    for seconds in sorted(set(durations), reverse=True):
        name = f"{estimator} of the first {seconds:g} s"
        try:
            made = over(replace(cut, crop_seconds=seconds), enough, f"first {seconds:g} s")
            record = measure_rank(made.whole, estimator, mean_seconds=seconds, **about)
        except SonoscaleError as error:
            undefined[name] = str(error)
            continue
        if made.skipped:
            clip, reason = made.skipped[0]
            told = f"{len(made.skipped)} of {len(enough)} clips could not be heard, among them {clip}: {reason}"
            if found:
                undefined[name] = f"not over the same clips as the longer ones: {told}"
                continue
            undefined["durations"] = f"{told}; all are over the other clips"
        enough = sorted(np.concatenate(made.heard).tolist())
        found.append(record)
    return found[::-1]
