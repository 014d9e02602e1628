"""The corpus's contract: shapes, determinism, balance, splits, constraints, errors."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import subprocess
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sonoscale.corpora.procedural import ProceduralCorpus, _corpus, _espeak, speech_available
from sonoscale.corpora.procedural._environment import EVENTS
from sonoscale.corpora.procedural._instruments import INSTRUMENTS
from sonoscale.corpora.procedural._random import Draw
from sonoscale.corpora.procedural._speech import vocabulary
from sonoscale.errors import SonoscaleError

needs_speech = pytest.mark.skipif(not speech_available(), reason="eSpeak NG is not installed")

SOME = [0, 1, 2, 7, 11, 12, 21, 29]


def digests(corpus: ProceduralCorpus, indices: list[int]) -> list[str]:
    return [hashlib.sha256(corpus.wave(i).tobytes()).hexdigest() for i in indices]


@needs_speech
@pytest.mark.parametrize("split", ["train", "heldout", "test"])
@pytest.mark.parametrize("seconds", [0.3, 2.0])
def test_every_clip_keeps_the_contract(split: str, seconds: float) -> None:
    corpus = ProceduralCorpus(split, 42, seconds=seconds)
    for i in range(len(corpus)):
        wave, labels = corpus.wave(i), corpus.labels(i)
        assert wave.shape == (round(seconds * corpus.sample_rate),)
        assert wave.dtype == np.float32
        assert np.isfinite(wave).all()
        assert 0.05 < np.abs(wave).max() <= 1.0, labels
        assert np.mean(wave == 0.0) < 0.01, labels  # background noise everywhere, no digital silence
        assert set(labels) == set(_corpus.LABELS)
        assert corpus.name(i) == f"{split}-{i:06d}-{labels['domain']}"


@needs_speech
def test_a_clip_depends_on_nothing_but_its_key() -> None:
    corpus = ProceduralCorpus("train", 30, seed=5)
    first = digests(corpus, SOME)
    assert digests(corpus, SOME[::-1])[::-1] == first
    assert digests(ProceduralCorpus("train", 900, seed=5), SOME) == first  # nested
    assert digests(pickle.loads(pickle.dumps(corpus)), SOME) == first
    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(lambda i: digests(corpus, [i])[0], SOME)) == first
    assert len(set(first)) == len(SOME)


def voices() -> list[str]:
    """A digest of one word by each speaker."""
    known = vocabulary()
    waves = [_espeak.speak("window", _espeak.Voice("en", s))[0] for s in known.speakers + known.test_speakers]
    return [hashlib.sha256(wave.tobytes()).hexdigest() for wave in waves]


@needs_speech
def test_other_processes_make_the_same_bits() -> None:
    corpus = ProceduralCorpus("test", 30, seed=6)
    here = [*digests(corpus, SOME), *voices()]
    assert len(set(here)) == len(here)
    script = (
        f"import multiprocessing, sys; sys.path.insert(0, {str(Path(__file__).parent)!r}); from test_corpus import *;"
        "print(*voices()); corpus = ProceduralCorpus('test', 30, seed=6); print(*digests(corpus, SOME[::-1]));"
        "pool = multiprocessing.get_context('fork').Pool(2);"  # not of the tests' own process, which has threads
        "print(*(d for [d] in pool.starmap(digests, [(corpus, [i]) for i in SOME]))); pool.terminate()"
    )
    surroundings = {
        "PYTHONHASHSEED": "77",
        "OMP_NUM_THREADS": "2",
        "MALLOC_PERTURB_": "165",
        "PAD": "x" * 5000,
    }
    run = [sys.executable, "-c", script]
    fresh = subprocess.run(run, env={**os.environ, **surroundings}, capture_output=True, text=True, check=True)
    spoken, sounds, forked = (line.split() for line in fresh.stdout.splitlines())
    assert sounds[::-1] + spoken == here
    assert forked == here[: len(SOME)]


def test_seed_split_and_constraints_change_the_audio() -> None:
    music = ("music",)
    variants = [
        ProceduralCorpus("train", 4, 0, domains=music),
        ProceduralCorpus("train", 4, 1, domains=music),
        ProceduralCorpus("heldout", 4, 0, domains=music),
        ProceduralCorpus("test", 4, 0, domains=music),
        ProceduralCorpus("train", 4, 0, domains=music, fixed={"material": "chord"}),
    ]
    assert len({digest for corpus in variants for digest in digests(corpus, [0, 1])}) == 2 * len(variants)


@needs_speech
def test_every_prefix_is_balanced_over_domains_and_classes() -> None:
    corpus = ProceduralCorpus("train", 400)
    labels = [corpus.labels(i) for i in range(len(corpus))]
    for n in (1, 2, 3, 50, 199, 400):
        counts = Counter(label["domain"] for label in labels[:n])
        assert max(counts.values()) - min(counts[d] for d in corpus.domains) <= 1
    for column, domain in (("language", "speech"), ("instrument", "music"), ("event", "environment")):
        values = [label[column] for label in labels if label["domain"] == domain]
        assert max(Counter(values).values()) - min(Counter(values).values()) <= 1
        assert all(label[column] == "" for label in labels if label["domain"] != domain)
    assert 0.2 < np.mean([bool(label["word"]) for label in labels if label["domain"] == "speech"]) < 0.6


def test_labels_need_no_synthesis(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("synthesised")

    monkeypatch.setattr(_espeak, "speech_available", lambda: True)
    for name in ("say", "perform", "record"):
        monkeypatch.setattr(_corpus, name, refuse)
    monkeypatch.setattr(_corpus, "EVENTS", dict.fromkeys(EVENTS, refuse))
    corpus = ProceduralCorpus("train", 60)
    assert {corpus.labels(i)["domain"] for i in range(60)} == set(corpus.domains)


@lru_cache
def traces(split: str, clips: int) -> dict[str, list[Any]]:
    """Every value drawn from a range that the splits do not share, over a corpus."""
    merged: dict[str, list[Any]] = {}
    domains = ("speech", "music", "environment") if speech_available() else ("music", "environment")
    corpus = ProceduralCorpus(split, clips, seed=3, seconds=0.3, domains=domains)
    for i in range(clips):
        draw = corpus._draw(i)
        corpus._record(i, draw)
        for name, values in draw.trace.items():
            merged.setdefault(name, []).extend(values)
    return merged


def test_test_parameters_lie_outside_the_training_ranges() -> None:
    train, test = traces("train", 180), traces("test", 180)
    assert set(train) == set(test)
    for name in train:
        if isinstance(train[name][0], str):
            assert not set(train[name]) & set(test[name]), name
        else:
            separate = max(train[name]) < min(test[name]) or max(test[name]) < min(train[name])
            assert separate, name
    assert {"room.rt60", "room.size"} <= set(train)
    if speech_available():
        assert {"speech.speaker", "speech.rate"} <= set(train)


@pytest.mark.parametrize("family", [*INSTRUMENTS, *EVENTS])
def test_every_class_has_a_parameter_that_the_splits_do_not_share(family: str) -> None:
    draw = Draw(np.random.default_rng(0))
    if family in INSTRUMENTS:
        INSTRUMENTS[family](draw)
    else:
        for _ in range(8):  # a model may take one of several ways
            EVENTS[family](draw, 4000)
    assert draw.trace


def test_heldout_has_the_training_ranges() -> None:
    train, heldout = traces("train", 180), traces("heldout", 180)
    for name in train.keys() & heldout.keys():
        if not isinstance(train[name][0], str) and min(len(train[name]), len(heldout[name])) > 100:
            spread = max(train[name]) - min(train[name])
            assert abs(max(train[name]) - max(heldout[name])) < 0.1 * spread, name
            assert abs(min(train[name]) - min(heldout[name])) < 0.1 * spread, name


def test_identity_is_json_and_tells_corpora_apart() -> None:
    corpora = [
        ProceduralCorpus("train", 4, domains=("music",)),
        ProceduralCorpus("test", 4, domains=("music",)),
        ProceduralCorpus("train", 4, 1, domains=("music",)),
        ProceduralCorpus("train", 4, seconds=1.0, domains=("music",)),
        ProceduralCorpus("train", 4, domains=("environment",)),
        ProceduralCorpus("train", 4, domains=("music",), fixed={"pitch": "A4"}),
    ]
    assert len({json.dumps(corpus.identity, sort_keys=True) for corpus in corpora}) == len(corpora)


@needs_speech
def test_identity_names_the_speech_synthesiser() -> None:
    assert ProceduralCorpus(clips=3).identity["espeak"] == _espeak.version()
    assert "espeak" not in ProceduralCorpus(clips=3, domains=("music",)).identity


@pytest.mark.parametrize("index", [-1, 3, 10**9])
def test_an_index_out_of_range_is_refused(index: int) -> None:
    corpus = ProceduralCorpus(clips=3, domains=("music",))
    for ask in (corpus.wave, corpus.labels, corpus.name):
        with pytest.raises(IndexError, match="of 3 clips"):
            ask(index)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"split": "dev"}, r"split='dev'.*train, heldout, test"),
        ({"clips": 0}, "clips=0"),
        ({"clips": 2.5}, "clips=2.5"),
        ({"seed": -1}, "seed=-1"),
        ({"seconds": 0.1}, "seconds=0.1"),
        ({"seconds": float("nan")}, "seconds=nan"),
        ({"domains": ("music", "noise")}, "domain='noise'.*environment"),
        ({"domains": ()}, "domains="),
        ({"domains": "music"}, "domains='music'"),
        ({"domains": ("music", "music")}, "domains="),
        ({"fixed": {"colour": "red"}}, "constraint='colour'.*language"),
        ({"fixed": {"event": "opera"}}, "event='opera'.*rain"),
        ({"fixed": {"event": []}}, r"event=\[\]"),
        ({"fixed": {"pitch": "A9"}}, "pitch='A9'"),
        ({"fixed": {"words": 0}, "domains": ("speech",)}, "words=0"),
        ({"fixed": {"words": "two"}, "domains": ("speech",)}, "words='two'"),
        ({"fixed": {"word": "one", "words": 3}, "domains": ("speech",)}, "contradicts"),
        ({"fixed": {"word": "one"}}, "speech, which is not among"),
        ({"fixed": {"pitch": "A4", "material": "chord"}}, "contradicts"),
        ({"fixed": {"pitch": "A4", "instrument": "drum"}}, "'drum' has no pitch"),
        ({"fixed": {"instrument": ["piano", "drum"], "material": "melody"}}, "'drum' has no pitch"),
        ({"fixed": {"domain": "speech"}}, "domain='speech'"),
    ],
)
def test_a_bad_argument_is_named_with_the_good_ones(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(SonoscaleError, match=message):
        ProceduralCorpus(**{"domains": ("music", "environment"), **arguments})


def test_constraints_hold_and_are_run_through_in_equal_shares() -> None:
    fixed = {"pitch": ["A3", "C4", "F#4"], "instrument": ["piano", "flute"]}
    corpus = ProceduralCorpus(clips=31, domains=("music",), fixed=fixed)
    labels = [corpus.labels(i) for i in range(31)]
    assert set(Counter(label["pitch"] for label in labels).values()) == {10, 11}
    assert set(Counter(label["instrument"] for label in labels).values()) == {15, 16}
    assert {label["material"] for label in labels} == {"note"}
    pairs = {(label["pitch"], label["instrument"]) for label in labels}
    assert len(pairs) == 6


def test_without_speech_the_corpus_says_so_once_and_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_espeak, "speech_available", lambda: False)
    monkeypatch.setattr(_corpus, "_told_of_missing_speech", False)
    with pytest.warns(UserWarning, match=r'pip install "sonoscale\[procedural\]"') as reported:
        corpora = [ProceduralCorpus(clips=4) for _ in range(3)]
    assert len(reported) == 1
    assert corpora[0].domains == ("music", "environment")
    assert corpora[0].identity["domains"] == ["music", "environment"]
    assert corpora[0].wave(0).any()
    refused: list[dict[str, Any]] = [
        {"domains": ("speech",)},
        {"fixed": {"language": "en"}},
        {"fixed": {"domain": "speech"}},
    ]
    for arguments in refused:
        with pytest.raises(SonoscaleError, match=r'pip install "sonoscale\[procedural\]"'):
            ProceduralCorpus(clips=4, **arguments)
