"""Detection of sound events in embeddings of frames."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from scipy.ndimage import median_filter

from sonoscale.corpora import Event
from sonoscale.errors import SonoscaleError
from sonoscale.probe._event_scores import EventMetric, find_event_metric
from sonoscale.probe._hear import HEAR, Lesson, Training, draw_seed, fit_grid
from sonoscale.probe._interval import ends
from sonoscale.probe._results import ProbeResult
from sonoscale.probe._rounds import Round, make_rounds

EVENTS = "hear-events/1"  # raise the number with any change that can change a score
END_MS = 1e-4  # added to the end of an event, which it thereby includes
THRESHOLD = 0.5


def probe_events(
    frames: Sequence[np.ndarray],
    times: Sequence[np.ndarray],
    events: Sequence[Sequence[Event]],
    folds: Sequence[str],
    *,
    scheme: str = "folds",
    metric: str = "event_onset_200ms_fms",
    seed: int = 0,
    progress: Callable[[int, int], None] = lambda done, total: None,
    training: Training | None = None,
    median_ms: Sequence[float] = (250.0,),
    min_ms: Sequence[float] = (125.0, 250.0),
) -> ProbeResult:
    """Protocol `hear-events/1`: what sounds when, from embeddings of frames, as in HEAR (arXiv 2203.03022).

    A frame has the labels of all events that sound at its time. The networks of `hear` learn frames (sigmoid outputs),
    those of one clip after the other; clips are shuffled once. Probabilities go through a median filter over time; a
    run of frames above 0.5 is an event from the time of its first frame to that of its last, if that is not shorter
    than the minimum. Filter and minimum are chosen with each check on the validation clips (of equals, the longer), and
    those of the best check are used for the test.

    Where it differs from heareval 2021.1.3: see `hear`; an F-measure is 0, not NaN, where nothing was detected; for the
    error rate the filter with the lower rate is chosen (heareval would take the higher). HEAR itself checks every 10
    epochs for DCASE 2016 task 2, and for MAESTRO every epoch of 50, the loss, with a filter of 150 ms and a minimum of
    50 ms: `training`, `median_ms` and `min_ms` can say so, but for the loss.

    Arguments:
        frames: embeddings of each clip, `[frames, dim]`.
        times: of its frames, in ms, ascending.
        events: of each clip.
        folds: fold of each clip, or its part of the split (train, valid, test).
        scheme: "folds" or "split".
        metric: name; see `EVENT_METRICS`.
        seed: of whatever is drawn.
        progress: called with the epochs done, and how many there can be.
        training: settings of the networks.
        median_ms: lengths of the median filter to choose from; 0 for none.
        min_ms: shortest events to choose from.

    Returns:
        the score, its interval by drawing test clips again within each fold, and what was chosen; `n` are clips.

    Raises:
        SonoscaleError: lengths that differ, embeddings or times that cannot be used, no events to learn or to find, no
            such metric, or folds that cannot be used.

    Example:
        >>> events = [(Event("beep", 200.0 + 50 * i, 600.0 + 50 * i),) for i in range(6)]
        >>> times = [np.arange(0.0, 1000.0, 50.0)] * 6
        >>> frames = [((at >= e.start_ms) & (at <= e.end_ms))[:, None].astype(np.float32) for (e,), at in
        ...           zip(events, times)]
        >>> small = Training(grid=Training().grid[:1], epochs=2, every=1, width=8)
        >>> parts = ["train"] * 3 + ["valid"] + ["test"] * 2
        >>> probe_events(frames, times, events, parts, scheme="split", training=small).protocol
        'hear-events/1'
    """
    training, measure = training or Training(), find_event_metric(metric)
    _check(frames, times, events, folds)
    rounds = make_rounds(folds, scheme=scheme)
    classes = sorted({event.label for clip in events for event in clip})
    labels = [label_frames(clip, at, classes) for clip, at in zip(events, times, strict=True)]
    for each in rounds:
        if not any(labels[clip].any() for clip in each.train):
            raise SonoscaleError(f"probe: no frame to train on for fold {each.name!r} lies within an event")
        if not any(events[clip] for clip in each.test):
            raise SonoscaleError(f"probe: the test clips of fold {each.name!r} have no event")
    grid = sorted({(float(median), float(least)) for median in median_ms for least in min_ms}, reverse=True)

    def count(clips: np.ndarray, parts: Sequence[np.ndarray], median: float, least: float) -> np.ndarray:
        """Counts `[clips, k]` of the metric, from the probabilities of each clip."""
        found = (
            find_events(p, times[clip], classes, median_ms=median, min_ms=least)
            for clip, p in zip(clips, parts, strict=True)
        )
        return np.array([measure.count(events[clip], each) for clip, each in zip(clips, found, strict=True)])

    def judge(clips: np.ndarray, probabilities: np.ndarray) -> tuple[float, dict[str, Any]]:
        parts = _by_clip(probabilities, frames, clips)
        scores = [float(measure.of(count(clips, parts, *point).sum(axis=0))) for point in grid]
        best = int(np.argmax(scores) if measure.higher else np.argmin(scores))
        return scores[best], {"median_ms": grid[best][0], "min_ms": grid[best][1]}

    def rows(clips: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(np.concatenate([frames[clip] for clip in clips]).astype(np.float32, copy=False))

    tasks = []
    for each in rounds:
        order = np.random.default_rng(draw_seed(seed, each.name)).permutation(each.train)
        learnt = torch.from_numpy(np.concatenate([labels[clip] for clip in order]).astype(np.float32))
        tasks.append(
            Lesson(
                each.name, rows(order), learnt, len(classes), rows(each.valid), rows(each.test),
                lambda p, clips=each.valid: judge(clips, p), measure.higher,
            )
        )  # fmt: skip
    counts, chosen = [], {}
    for each, (probabilities, found) in zip(rounds, fit_grid(tasks, training, seed, progress), strict=True):
        parts = _by_clip(probabilities, frames, each.test)
        counts.append(count(each.test, parts, found["median_ms"], found["min_ms"]))
        chosen[each.name] = found
    scores = np.array([measure.of(each.sum(axis=0)) for each in counts])
    chances = []
    for each in rounds:
        common = np.concatenate([labels[clip] for clip in each.fitted]).mean(axis=0)
        constant = [np.tile(common, (len(frames[clip]), 1)) for clip in each.test]
        chances.append(measure.of(count(each.test, constant, *grid[0]).sum(axis=0)))
    draws = _draws(counts, measure, seed)
    low, high = ends(draws)
    return ProbeResult(
        score=float(scores.mean()),
        low=low,
        high=high,
        fold_std=float(scores.std(ddof=1)) if len(scores) > 1 else None,
        per_fold={each.name: float(score) for each, score in zip(rounds, scores, strict=True)},
        chosen=chosen, chance=float(np.mean(chances)), n=len(frames), classes=len(classes), metric=measure.name,
        kind="events", protocol=EVENTS, warnings=tuple(_remarks(times, measure, rounds)), draws=draws,
    )  # fmt: skip


def label_frames(events: Sequence[Event], times: np.ndarray, classes: Sequence[str]) -> np.ndarray:
    """Which labels sound at which times, ends included: bool `[frames, classes]`.

    Arguments:
        events: of a clip.
        times: in ms `[frames]`.
        classes: names, of the columns.
    """
    column = {name: i for i, name in enumerate(classes)}
    there = np.zeros((len(times), len(classes)), dtype=bool)
    for event in events:
        there[:, column[event.label]] |= (event.start_ms <= times) & (times < event.end_ms + END_MS)
    return there


def find_events(
    probabilities: np.ndarray, times: np.ndarray, classes: Sequence[str], *, median_ms: float, min_ms: float
) -> list[Event]:
    """Runs of frames whose smoothed probability is above 0.5.

    Arguments:
        probabilities: of a clip `[frames, classes]`.
        times: in ms `[frames]`, ascending.
        classes: names, of the columns.
        median_ms: length of the median filter, rounded to frames; 0 for none. The clip is mirrored at its ends.
        min_ms: from the first frame to the last, at least.
    """
    frames = round(median_ms / float(np.diff(times).mean())) if len(times) > 1 else 0
    if frames:
        probabilities = median_filter(probabilities, size=(frames, 1))
    on = np.zeros((probabilities.shape[1], len(times) + 2), dtype=np.int8)
    on[:, 1:-1] = probabilities.T > THRESHOLD
    change = np.diff(on, axis=1)
    (labels, first), (_, after) = np.nonzero(change == 1), np.nonzero(change == -1)
    starts, ends = times[first], times[after - 1]
    return [
        Event(classes[int(label)], float(start), float(end))
        for label, start, end in zip(labels, starts, ends, strict=True)
        if end - start >= min_ms
    ]


def _by_clip(probabilities: np.ndarray, frames: Sequence[np.ndarray], clips: np.ndarray) -> list[np.ndarray]:
    return np.split(probabilities, np.cumsum([len(frames[clip]) for clip in clips])[:-1])


def _draws(counts: Sequence[np.ndarray], metric: EventMetric, seed: int, *, draws: int = 1000) -> np.ndarray | None:
    """Bootstrap over test clips within each fold, float64 `[draws]`; None where a fold has fewer than two."""
    if min(len(each) for each in counts) < 2:
        return None
    rng = np.random.default_rng(seed)
    drawn = [metric.of(each[rng.integers(len(each), size=(draws, len(each)))].sum(axis=1)) for each in counts]
    return np.mean(drawn, axis=0)


def _remarks(times: Sequence[np.ndarray], metric: EventMetric, rounds: Sequence[Round]) -> list[str]:
    remarks = [HEAR.remark] if len(rounds) > 1 else []
    hops = [float(np.diff(at).mean()) for at in times if len(at) > 1]
    if metric.collar is not None and hops and max(hops) > 1000 * metric.collar:
        remarks.append(
            f"frames are {max(hops):g} ms apart, but an onset may be off by {1000 * metric.collar:g} ms only: "
            "onsets that lie between frames are missed whatever the embeddings"
        )
    return remarks


def _check(
    frames: Sequence[np.ndarray], times: Sequence[np.ndarray], events: Sequence[Sequence[Event]], folds: Sequence[str]
) -> None:
    if not len(frames) == len(times) == len(events) == len(folds):
        raise SonoscaleError(
            f"probe: frames of {len(frames)} clips, times of {len(times)}, events of {len(events)} and {len(folds)} "
            "folds do not agree"
        )
    for clip, (x, at, there) in enumerate(zip(frames, times, events, strict=True)):
        if x.ndim != 2 or x.shape[1] != frames[0].shape[-1] or not len(x) or at.shape != (len(x),):
            raise SonoscaleError(
                f"probe: clip {clip}: embeddings {list(x.shape)} and times {list(at.shape)}; needed are [frames, "
                f"{frames[0].shape[-1]}] and [frames]"
            )
        if not np.isfinite(x).all():
            raise SonoscaleError(f"probe: clip {clip}: the embedding of frame {int(np.argmin(np.isfinite(x).all(1)))} "
                                 "is not finite")  # fmt: skip
        if not np.isfinite(at).all() or (np.diff(at) <= 0).any():
            raise SonoscaleError(f"probe: clip {clip}: the times of its frames do not ascend")
        for event in there:
            if not 0 <= event.start_ms <= event.end_ms < np.inf:
                raise SonoscaleError(
                    f"probe: clip {clip}: event {event.label!r} from {event.start_ms:g} to {event.end_ms:g} ms"
                )
