"""Event detection in embeddings of frames, as in HEAR."""

import numpy as np
import pytest

from sonoscale.corpora.tasks import Event
from sonoscale.errors import SonoscaleError
from sonoscale.probe._events import find_events, label_frames, probe_events
from sonoscale.probe._hear import GridPoint, Training

TINY = Training(
    grid=(GridPoint(1, "normal", 3e-2), GridPoint(1, "uniform", 1e-3)),
    epochs=16,
    every=4,
    patience=5,
    batch=64,
    width=16,
)
SHORT = Training(grid=TINY.grid[:1], epochs=8, every=4, batch=128, width=16)
HOP = 50.0


def _clips(n=9, noise=0.05, seed=0, shortest=300):
    """Frames whose embedding encodes what sounds, times, events, folds."""
    rng = np.random.default_rng(seed)
    shown = rng.normal(size=(2, 6))
    frames, times, events = [], [], []
    for i in range(n):
        at = np.arange(60 + i) * HOP
        there = []
        for label in ("bark", "ring"):
            start = float(rng.integers(0, 20)) * HOP
            there.append(Event(label, start, start + shortest + float(rng.integers(0, 8)) * HOP))
            there.append(Event(label, start + 1500, start + 1500 + shortest))
        times.append(at)
        events.append(there)
        on = label_frames(there, at, ("bark", "ring"))
        frames.append((on @ shown + noise * rng.normal(size=(len(at), 6))).astype(np.float32))
    return frames, times, events, [str(i % 3) for i in range(n)]


def _split(n):
    return [("train", "train", "valid", "test")[i % 4] for i in range(n)]


def test_frames_within_an_event_have_its_label_ends_included():
    events = [Event("b", 100, 200), Event("a", 190, 400), Event("a", 350, 500)]
    labels = label_frames(events, np.array([99.9, 100, 195, 200, 200.1, 400, 450, 501]), ("a", "b"))
    assert labels[:, 0].tolist() == [False, False, True, True, True, True, True, False]
    assert labels[:, 1].tolist() == [False, True, True, True, False, False, False, False]


def test_events_are_runs_that_last_long_enough():
    times = np.arange(10) * 100.0
    p = np.zeros((10, 2))
    p[[0, 1, 2, 5, 6, 9], 0] = 0.9
    p[4, 1] = 0.5  # not above
    found = find_events(p, times, ("a", "b"), median_ms=0, min_ms=100)
    assert found == [Event("a", 0, 200), Event("a", 500, 600)]
    assert len(find_events(p, times, ("a", "b"), median_ms=0, min_ms=0)) == 3


def test_median_filter_mends_gaps_and_drops_spikes():
    times = np.arange(12) * 50.0
    p = np.zeros((12, 1))
    p[[2, 3, 5, 6, 10]] = 1.0
    assert find_events(p, times, ("a",), median_ms=150, min_ms=0) == [Event("a", 100, 300)]
    assert find_events(p[:1] + 1, times[:1], ("a",), median_ms=150, min_ms=0) == [Event("a", 0, 0)]


@pytest.mark.parametrize("metric", ["event_onset_200ms_fms", "segment_1s_er"])
def test_finds_what_can_be_told_and_nothing_in_noise(metric):
    frames, times, events, folds = _clips()
    result = probe_events(frames, times, events, folds, metric=metric, training=TINY)
    rng = np.random.default_rng(9)
    noise = [rng.normal(size=each.shape) for each in frames]
    nothing = probe_events(noise, times, events, folds, metric=metric, training=TINY)
    if metric == "segment_1s_er":
        assert result.score < 0.1
        assert nothing.score > 0.2  # most segments hold an event
    else:
        assert result.score > 0.9
        assert nothing.score < 0.4  # a guess within 200 ms is not rare
    assert result.low <= result.score <= result.high
    assert (result.kind, result.metric, result.n, result.classes) == ("events", metric, 9, 2)
    assert result.protocol == "hear-events/1"
    assert result.per_fold.keys() == result.chosen.keys() == {"0", "1", "2"}
    assert type(result).from_dict(result.as_dict()) == result


def test_chance_is_that_of_knowing_what_is_common():
    frames, times, events, folds = _clips()
    for metric, chance in (("event_onset_200ms_fms", 0.0), ("segment_1s_er", 1.0)):  # no label is on half the time
        assert probe_events(frames, times, events, folds, metric=metric, training=SHORT).chance == chance


def test_validation_clips_choose_the_shortest_event_and_the_longer_of_equals():
    frames, times, events, folds = _clips(shortest=150)
    found = probe_events(frames, times, events, folds, training=TINY, median_ms=(0, 50), min_ms=(100, 2000))
    assert {each["min_ms"] for each in found.chosen.values()} == {100.0}
    assert {each["median_ms"] for each in found.chosen.values()} == {50.0}  # one frame: as none


def test_test_clips_choose_nothing():
    frames, times, events, _ = _clips(noise=1.0)
    folds = _split(len(frames))
    before = probe_events(frames, times, events, folds, scheme="split", training=TINY)
    for i, part in enumerate(folds):
        if part == "test":
            events[i], frames[i] = [Event("ring", 0, 3000)], -frames[i]
    after = probe_events(frames, times, events, folds, scheme="split", training=TINY)
    assert after.chosen == before.chosen
    assert after.score != before.score


def test_seed_decides():
    clips = _clips(noise=1.0)
    first, again, other = (probe_events(*clips, training=SHORT, seed=seed) for seed in (0, 0, 1))
    assert first == again
    assert first.per_fold != other.per_fold


def test_remarks_tell_of_folds_and_of_frames_too_far_apart():
    frames, times, events, folds = _clips()
    assert any("first fold" in each for each in probe_events(frames, times, events, folds, training=SHORT).warnings)
    slow = [each * 1.1 for each in times]
    result = probe_events(
        frames, slow, events, _split(9), scheme="split", metric="event_onset_50ms_fms", training=SHORT
    )
    assert len(result.warnings) == 1
    assert "55 ms apart" in result.warnings[0]


def test_errors_are_clear():
    frames, times, events, folds = _clips()

    def fails(match, *, frames=frames, times=times, events=events, **settings):
        with pytest.raises(SonoscaleError, match=match):
            probe_events(frames, times, events, folds, training=TINY, **settings)

    fails("no metric 'er' for events", metric="er")
    fails("frames of 8 clips", frames=frames[1:])
    fails(r"clip 0: embeddings \[60, 6\] and times \[59\]", times=[times[0][1:], *times[1:]])
    fails("clip 0: the times of its frames do not ascend", times=[times[0][::-1], *times[1:]])
    fails("clip 0: the embedding of frame 3 is not finite",
          frames=[np.where(np.arange(60)[:, None] == 3, np.nan, frames[0]), *frames[1:]])  # fmt: skip
    fails("clip 0: event 'x' from 5 to 2 ms", events=[[Event("x", 5, 2)], *events[1:]])
    fails("the test clips of fold '0' have no event",
          events=[[] if fold == "0" else each for fold, each in zip(folds, events, strict=True)])  # fmt: skip
    fails("no frame to train on for fold '0'",
          events=[[] if fold == "2" else each for fold, each in zip(folds, events, strict=True)])  # fmt: skip
