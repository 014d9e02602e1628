"""Encoders on tasks: embeddings made once, training audio found in tests, protocols held against each other."""

import json
from dataclasses import replace

import numpy as np
import pytest
import soundfile
import torch

from sonoscale.corpora import open_corpus, open_task
from sonoscale.encoders import load_encoder
from sonoscale.errors import SonoscaleError
from sonoscale.measure import _forward
from sonoscale.probe import ProbeResult, Score, probe
from sonoscale.probe._cache import embed_once
from sonoscale.probe._encoders import score_encoder
from sonoscale.probe._overlap import content_hashes, overlap
from sonoscale.probe._results import protocol_agreement

RATE = 16_000


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Tones of two pitches in noise, five folds of ten."""
    root = tmp_path_factory.mktemp("task")
    rng = np.random.default_rng(0)
    lines = ["path,label,fold"]
    for i in range(50):
        pitch = (300, 1200)[i % 2]
        wave = 0.1 * np.sin(2 * np.pi * pitch * np.arange(RATE // 2) / RATE) + 0.02 * rng.standard_normal(RATE // 2)
        soundfile.write(root / f"{i}.wav", wave, RATE)
        lines.append(f"{i}.wav,{pitch},{i // 2 % 5}")
    (root / "metadata.csv").write_text("\n".join(lines))
    return root


@pytest.fixture(scope="module")
def task(folder):
    return open_task(folder / "metadata.csv", name="tones")


def test_embeddings_are_made_once_and_shared(task, tmp_path, monkeypatch):
    calls = []
    forward = _forward.Forward.__call__

    def counted(self, *args):
        calls.append(args)
        return forward(self, *args)

    monkeypatch.setattr(_forward.Forward, "__call__", counted)
    encoder = load_encoder("logmel")
    first = score_encoder(encoder, "logmel", task, ["linear", "knn"], cache=tmp_path)
    made = len(calls)
    again = score_encoder(encoder, "logmel", task, ["linear", "knn"], cache=tmp_path)
    assert made > 0
    assert len(calls) == made + 1  # one clip, to see that they still hold
    assert [s.result for s in first] == [s.result for s in again]
    assert [s.result.score for s in first] == [1.0, 1.0]
    (file,) = tmp_path.glob("embeddings-*.npz")
    file.write_bytes(b"broken")
    assert score_encoder(encoder, "logmel", task, ["linear"], cache=tmp_path)[0].result == first[0].result
    assert len(calls) == 2 * made + 1


def test_training_audio_in_the_test_is_found_in_another_format_and_place(folder, task, tmp_path):
    for i in (3, 8, 20):
        wave, _ = soundfile.read(folder / f"{i}.wav", dtype="int16")
        wave = np.concatenate([np.zeros(400, dtype=np.int16), wave])
        soundfile.write(tmp_path / f"other-{i}.flac", wave, RATE)
    rng = np.random.default_rng(1)
    soundfile.write(tmp_path / "new.wav", 0.1 * rng.standard_normal(RATE), RATE)
    soundfile.write(tmp_path / "silence.wav", np.zeros(RATE), RATE)
    trained_on = content_hashes(open_corpus(tmp_path), tmp_path / "cache")
    assert np.array_equal(trained_on, content_hashes(open_corpus(tmp_path), tmp_path / "cache"))
    assert overlap(content_hashes(task.corpus), trained_on).tolist() == [3, 8, 20]
    (score,) = score_encoder(load_encoder("logmel"), "logmel", task, ["knn"], trained_on=trained_on)
    assert "3 of 50 clips (6.0%) were in the pre-training data" in score.result.warnings[0]
    (clean,) = score_encoder(load_encoder("logmel"), "logmel", task, ["knn"], trained_on=trained_on[:0])
    assert not any("pre-training" in warning for warning in clean.result.warnings)


def test_training_audio_is_found_at_the_rate_of_the_encoder(folder, tmp_path):
    for i in (1, 2):
        (tmp_path / f"{i}.wav").write_bytes((folder / f"{i}.wav").read_bytes())
    slow = open_task(folder / "metadata.csv", sample_rate=8000)
    hashes = [content_hashes(open_corpus(tmp_path, sample_rate=rate)) for rate in (8000, RATE)]
    assert overlap(content_hashes(slow.corpus), hashes[0]).tolist() == [1, 2]
    assert overlap(content_hashes(slow.corpus), hashes[1]).tolist() == []  # other samples: rates must agree


def test_training_audio_in_a_task_of_events_is_found(folder, tmp_path, monkeypatch):
    root = tmp_path / "toy"
    meta = {"embedding_type": "event", "prediction_type": "multilabel", "split_mode": "trainvaltest",
            "splits": ["train", "valid", "test"], "evaluation": ["event_onset_200ms_fms"]}  # fmt: skip
    root.mkdir()
    (root / "task_metadata.json").write_text(json.dumps(meta))
    (root / "labelvocabulary.csv").write_text("idx,label\n0,low\n1,high\n")
    for k, part in enumerate(meta["splits"]):
        (root / "16000" / part).mkdir(parents=True)
        said = {}
        for i in range(2):
            (root / "16000" / part / f"{part}{i}.wav").write_bytes((folder / f"{2 * k + i}.wav").read_bytes())
            said[f"{part}{i}.wav"] = [{"label": ("low", "high")[i], "start": 0.0, "end": 300.0}]
        (root / f"{part}.json").write_text(json.dumps(said))
    task = open_task(root)
    trained_on = content_hashes(open_task(folder / "metadata.csv").corpus)[4:]  # the two test clips, and others
    result = ProbeResult(0.5, 0, 1, None, {}, {}, 0.1, 6, 2, "event_onset_200ms_fms", "events", "hear-events/1")
    monkeypatch.setattr("sonoscale.probe._encoders.probe_events", lambda *_, **__: result)
    (score,) = score_encoder(load_encoder("logmel"), "logmel", task, ["hear"], trained_on=trained_on)
    (warning,) = [each for each in score.result.warnings if "pre-training" in each]
    assert warning.startswith("2 of 6 clips (33.3%) were in the pre-training data, such as ")
    assert "test0.wav" in warning


def test_parts_of_a_fixed_length_overlap_where_they_must(tmp_path):
    class Fixed:
        sample_rate, dim, layers, identity = RATE, 2, None, "one second, no more and no less"
        min_samples = max_samples = RATE

        def embed(self, wave):
            assert wave.shape[1] == RATE
            return torch.stack([wave.mean(dim=1), wave.square().mean(dim=1)], dim=1)

        def embed_layers(self, wave):
            raise NotImplementedError

        def embed_frames(self, wave):
            raise NotImplementedError

    rng, lines = np.random.default_rng(0), ["path,label,fold"]
    for i in range(12):
        size = (RATE, 24_000, 33_000, 8000)[i % 4]
        wave = 0.1 * rng.standard_normal(size) + np.linspace(0, 0.3, size) * (i // 2 % 2)
        soundfile.write(tmp_path / f"{i}.wav", wave, RATE, subtype="FLOAT")
        lines.append(f"{i}.wav,{'ab'[i // 2 % 2]},{i // 4}")
    (tmp_path / "metadata.csv").write_text("\n".join(lines))
    task = open_task(tmp_path / "metadata.csv")
    made = embed_once(Fixed(), ["mean"], task.corpus, None)["mean"]
    assert (made.padded, made.cut) == (3, 6)
    starts = {0: [0], 1: [0, 8000], 2: [0, 8500, 17_000], 3: [0]}
    for i in range(12):
        wave = np.pad(task.corpus.wave(i).astype(np.float64), (0, 8000 if i % 4 == 3 else 0))
        parts = [wave[start : start + RATE] for start in starts[i % 4]]
        expected = np.mean([[part.mean(), np.square(part).mean()] for part in parts], axis=0)
        np.testing.assert_allclose(made.rows[0, i], expected, rtol=1e-4, atol=1e-7)
    (score,) = score_encoder(Fixed(), "fixed", task, ["knn"])
    assert "3 clips are shorter than the encoder takes and were padded with zeros" in score.result.warnings
    assert "6 clips are longer than the encoder takes: means over equal parts" in score.result.warnings


def test_weights_that_nobody_can_see_are_noticed_when_they_change(task, tmp_path):
    class Hidden:
        sample_rate, dim, layers, identity, min_samples, factor = RATE, 2, None, "always the same", 1, 1.0

        def embed(self, wave):
            return torch.stack([wave.square().mean(dim=1), self.factor * wave.diff(dim=1).square().mean(dim=1)], dim=1)

        def embed_layers(self, wave):
            raise NotImplementedError

        def embed_frames(self, wave):
            raise NotImplementedError

    encoder = Hidden()
    before = embed_once(encoder, ["mean"], task.corpus, tmp_path)["mean"].rows
    encoder.factor = 3.0
    after = embed_once(encoder, ["mean"], task.corpus, tmp_path)["mean"].rows
    np.testing.assert_allclose(after[0, :, 1], 3 * before[0, :, 1], rtol=1e-5)
    assert np.array_equal(embed_once(encoder, ["mean"], task.corpus, tmp_path)["mean"].rows, after)


@pytest.mark.parametrize("damage", [600, 0])
def test_a_damaged_cache_is_made_anew(task, tmp_path, damage):
    encoder = load_encoder("logmel:8")
    before = embed_once(encoder, ["mean"], task.corpus, tmp_path)["mean"].rows
    (file,) = tmp_path.glob("embeddings-*.npz")
    file.write_bytes(file.read_bytes()[:damage])
    assert np.array_equal(embed_once(encoder, ["mean"], task.corpus, tmp_path)["mean"].rows, before)


def test_errors_come_before_the_work(task):
    with pytest.raises(SonoscaleError, match=r"no protocol 'magic'"):
        score_encoder(load_encoder("logmel"), "logmel", task, ["magic"])


def scored(encoder, task, protocol, value):
    result = ProbeResult(value, 0, 1, None, {}, {}, 0.1, 10, 2, "accuracy", "multiclass", protocol)
    return Score(encoder, encoder, task, 4, None, result, 0.0, 0.0)


def test_protocols_that_order_encoders_alike_agree():
    scores = []
    for i, encoder in enumerate("abcd"):
        scores += [scored(encoder, "t", "one/1", i / 10), scored(encoder, "u", "one/1", i / 10)]
        scores += [scored(encoder, "t", "two/1", i**2 / 10), scored(encoder, "u", "two/1", -i / 10)]
    (found,) = protocol_agreement(scores)
    assert found.per_task == {"t": pytest.approx(1), "u": pytest.approx(-1)}
    assert found.mean == pytest.approx(0)
    assert protocol_agreement([s for s in scores if s.encoder in "ab"]) == []


def test_readouts_are_named_in_every_score_and_cached_apart(task, tmp_path):
    plain = probe("logmel:16", task, protocols="knn", compare="logmel:8", baselines=False)
    names = ["mean", "frequency"]
    both = probe(
        "logmel:16", task, protocols="knn", readouts=names, compare="logmel:8", baselines=False,
        cache=tmp_path, out=tmp_path / "scores.json",
    )  # fmt: skip
    assert [(row["encoder"], row["readout"]) for row in both.rows()] == [
        (encoder, readout) for encoder in ("logmel:16", "logmel:8") for readout in names
    ]
    assert [score.dim for score in both.scores] == [32, 16, 16, 8]
    assert [row["readout"] for row in plain.rows()] == ["mean", "mean"]
    assert [score.result for score in plain.scores] == [score.result for score in both.scores[::2]]
    content = json.loads((tmp_path / "scores.json").read_text())
    assert [score["readout"] for score in content["scores"]] == names * 2
    assert [each["readout"] for each in content["differences"]] == names
    assert content["options"]["readouts"] == names
    assert len(list(tmp_path.glob("embeddings-*.npz"))) == 4
    found = repr(both)
    assert "knn/1, frequency" in found
    assert "frequency" not in repr(plain)


@pytest.mark.parametrize(
    ("readouts", "layers", "message"),
    [
        ("median", False, r"readouts: there is no 'median'; there are mean, mean\+std"),
        ([], False, "readouts: none given"),
        ("mean+std", True, "gives no layers"),
    ],
)
def test_readouts_that_cannot_be_are_refused_before_the_work(task, readouts, layers, message):
    with pytest.raises(SonoscaleError, match=message):
        probe("logmel", task, readouts=readouts, layers=layers)


def test_the_mean_over_tasks_is_compared_too(task):
    """Paired by clip within each task: its interval is narrower than that of a task, about by the root of two."""
    other = replace(task, name="again", labels=tuple(reversed(task.labels)), folds=tuple(reversed(task.folds)))
    results = probe("logmel:16", [task, other], protocols="knn", compare="logmel:8", baselines=False)
    *single, mean = results.differences
    assert [each.tasks for each in results.differences] == [0, 0, 2]
    assert mean.task == "mean of 2 tasks"
    assert mean.value == pytest.approx(np.mean([each.value for each in single]))
    draws = [[s.result.draws for s in results.scores if s.encoder == name] for name in ("logmel:16", "logmel:8")]
    apart = np.mean([b - a for a, b in zip(*draws, strict=True)], axis=0)
    assert (mean.low, mean.high) == pytest.approx(tuple(np.quantile(apart, [0.025, 0.975])))
    assert "of 2 comparisons" in results.headline
    assert "mean of 2 tasks" in repr(results)
    assert "clips" in repr(results)
