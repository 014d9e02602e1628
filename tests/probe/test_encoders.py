"""Encoders on tasks: embeddings made once, training audio found in tests, protocols held against each other."""

import numpy as np
import pytest
import soundfile
import torch

from sonoscale.corpora import open_corpus, open_task
from sonoscale.encoders import load_encoder
from sonoscale.errors import SonoscaleError
from sonoscale.measure import _embed
from sonoscale.probe import (
    ProbeResult,
    Score,
    content_hashes,
    overlap,
    probe_encoder,
    protocol_agreement,
)
from sonoscale.probe._cache import embed_once

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
    forward = _embed.Forward.__call__

    def counted(self, *args):
        calls.append(args)
        return forward(self, *args)

    monkeypatch.setattr(_embed.Forward, "__call__", counted)
    encoder = load_encoder("logmel:")
    first = probe_encoder(encoder, "logmel", task, ["linear", "knn"], cache=tmp_path)
    made = len(calls)
    again = probe_encoder(encoder, "logmel", task, ["linear", "knn"], cache=tmp_path)
    assert made > 0
    assert len(calls) == made + 1  # one clip, to see that they still hold
    assert [s.result for s in first] == [s.result for s in again]
    assert [s.result.score for s in first] == [1.0, 1.0]
    (file,) = tmp_path.glob("embeddings-*.npz")
    file.write_bytes(b"broken")
    assert probe_encoder(encoder, "logmel", task, ["linear"], cache=tmp_path)[0].result == first[0].result
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
    (score,) = probe_encoder(load_encoder("logmel:"), "logmel", task, ["knn"], trained_on=trained_on)
    assert "3 of 50 clips (6.0%) were in the pre-training data" in score.result.warnings[0]
    (clean,) = probe_encoder(load_encoder("logmel:"), "logmel", task, ["knn"], trained_on=trained_on[:0])
    assert not any("pre-training" in warning for warning in clean.result.warnings)


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
    before = embed_once(encoder, task.corpus, tmp_path).rows
    encoder.factor = 3.0
    after = embed_once(encoder, task.corpus, tmp_path).rows
    np.testing.assert_allclose(after[0, :, 1], 3 * before[0, :, 1], rtol=1e-5)
    assert np.array_equal(embed_once(encoder, task.corpus, tmp_path).rows, after)


@pytest.mark.parametrize("damage", [600, 0])
def test_a_damaged_cache_is_made_anew(task, tmp_path, damage):
    encoder = load_encoder("logmel:8")
    before = embed_once(encoder, task.corpus, tmp_path).rows
    (file,) = tmp_path.glob("embeddings-*.npz")
    file.write_bytes(file.read_bytes()[:damage])
    assert np.array_equal(embed_once(encoder, task.corpus, tmp_path).rows, before)


def test_errors_come_before_the_work(task):
    with pytest.raises(SonoscaleError, match=r"no protocol 'magic'"):
        probe_encoder(load_encoder("logmel:"), "logmel", task, ["magic"])


def scored(encoder, task, protocol, value):
    result = ProbeResult(value, (0, 1), None, {}, {}, 0.1, 10, 2, "accuracy", "multiclass", protocol)
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
