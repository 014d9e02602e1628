"""Clips, columns and files that go wrong while an encoder is measured: what is lost is that alone, and it is listed."""

import math
import time

import numpy as np
import pytest
import soundfile
import torch

from sonoscale.corpora import open_corpus
from sonoscale.errors import SonoscaleError, SonoscaleWarning
from sonoscale.measure import EmbeddingWriter, Pass, measure_encoder
from sonoscale.measure._encoder import compare_encoders


class Bands:
    """The log energy in four bands; refuses clips with a sample over `most`, and counts what it is given."""

    sample_rate, dim, layers, min_samples, identity = 16_000, 4, 2, 400, "bands"

    def __init__(self, most=math.inf):
        self.most, self.batches = most, []

    def embed_layers(self, wave):
        self.batches.append(tuple(wave.shape))
        if wave.max() > self.most:
            raise SonoscaleError("too loud")
        bands = torch.stack([part.square().mean(dim=1) for part in wave.tensor_split(4, dim=1)], dim=1)
        return torch.stack([bands, (bands + 1e-6).log()])

    def embed(self, wave):
        return self.embed_layers(wave)[-1]

    def embed_frames(self, wave):
        raise NotImplementedError


@pytest.fixture
def folder(tmp_path):
    """40 clips of a second, of which the tenth is loud."""
    folder, rng = tmp_path / "audio", np.random.default_rng(0)
    folder.mkdir()
    for i in range(40):
        envelope = rng.uniform(0.01, 0.1, 4).repeat(4000)
        wave = np.clip(envelope * rng.standard_normal(16_000), -0.8, 0.8)
        wave[0] = 0.95 if i == 10 else 0.0
        soundfile.write(folder / f"{i:02d}.wav", wave, 16_000, "FLOAT")
    return folder


def test_a_clip_that_the_encoder_refuses_costs_no_other(folder):
    measured = measure_encoder(Bands(most=0.9), open_corpus(folder))
    assert measured.sketch.n == 39
    assert [(name.rsplit("/", 1)[-1], reason) for name, reason in measured.skipped] == [("10.wav", "too loud")]
    others = open_corpus(folder).part([i for i in range(40) if i != 10])
    assert measured.records[0].value == pytest.approx(measure_encoder(Bands(), others).records[0].value, rel=1e-9)


def test_a_clip_that_is_refused_when_each_is_a_batch(folder):
    measured = measure_encoder(Bands(most=0.9), open_corpus(folder), how=Pass(batch_seconds=0.1))
    assert (measured.sketch.n, len(measured.skipped)) == (39, 1)
    with pytest.raises(SonoscaleError, match=r"^too loud \(processing .*07.wav\)$"):
        measure_encoder(Bands(most=0), open_corpus(folder), how=Pass(batch_seconds=0.1), max_skipped=1)


def test_refused_clips_count_as_broken(folder):
    with pytest.raises(SonoscaleError, match=r"1 of 40 clips cannot be processed, more than the 1\.0% allowed"):
        measure_encoder(Bands(most=0.9), open_corpus(folder), max_skipped=0.01)


def test_a_batch_of_which_all_are_refused_is_the_encoders_fault(folder):
    with pytest.raises(SonoscaleError, match=r"^too loud \(processing .*00.wav\)$"):
        measure_encoder(Bands(most=0.0), open_corpus(folder), max_skipped=1)


def test_a_batch_that_is_refused_though_no_clip_is(folder):
    class Small(Bands):
        def embed_layers(self, wave):
            if len(wave) > 4:
                raise SonoscaleError("out of memory")
            return super().embed_layers(wave)

    with pytest.raises(SonoscaleError, match=r"^out of memory \(each of these 40 clips passes alone\)$"):
        measure_encoder(Small(), open_corpus(folder))
    assert measure_encoder(Small(), open_corpus(folder), how=Pass(batch_seconds=4)).clips == 40


def test_too_many_known_to_be_broken_are_refused_before_anything_is_embedded(folder):
    for i in range(4):
        (folder / f"x{i}.wav").write_bytes(b"not audio")
    encoder = Bands()
    with pytest.raises(SonoscaleError, match=r"4 of 44 clips cannot be processed, .* allowed; fix"):
        measure_encoder(encoder, open_corpus(folder))
    assert encoder.batches == []


def test_the_pass_ends_with_the_first_clip_too_many(folder):
    for i in range(0, 20, 2):
        wave = np.zeros(16_000)
        wave[5] = np.nan
        soundfile.write(folder / f"{i:02d}.wav", wave, 16_000, "FLOAT")
    encoder = Bands()
    with pytest.raises(SonoscaleError, match=r"3 of 40 clips .* 5.0% allowed \(the rest was not tried\)"):
        measure_encoder(encoder, open_corpus(folder), how=Pass(batch_seconds=1))
    assert sum(batch for batch, _ in encoder.batches) <= 4


def test_a_file_that_is_gone_is_a_broken_clip_and_stops_nothing(folder):
    corpus = open_corpus(folder)
    (folder / "20.wav").unlink()
    measured = measure_encoder(Bands(), corpus, durations=[0.5])
    assert (measured.sketch.n, ["20.wav" in name for name, _ in measured.skipped]) == (39, [True])
    assert (measured.durations[0].n, measured.undefined) == (39, {})  # not tried, nor reported, again
    assert measured.corpus != measure_encoder(Bands(), open_corpus(folder)).corpus


def test_audio_that_cannot_be_identified_is_told_before_the_pass(folder):
    corpus, encoder = open_corpus(folder), Bands()

    class Unknown:
        identity = property(lambda self: (_ for _ in ()).throw(SonoscaleError("no identity")))
        __len__ = corpus.__len__

        def __getattr__(self, name):
            return getattr(corpus, name)

    with pytest.raises(SonoscaleError, match="no identity"):
        measure_encoder(encoder, Unknown())  # pyright: ignore[reportArgumentType]
    assert encoder.batches == []


def test_clips_without_a_length_are_processed_and_noted_and_not_broken(tmp_path):
    rng = np.random.default_rng(0)
    for i in range(12):
        file = tmp_path / f"{i:02d}.flac"
        soundfile.write(file, 0.1 * rng.standard_normal(16_000), 16_000)
        content = bytearray(file.read_bytes())
        content[21] &= 0xF0
        content[22:26] = bytes(4)
        file.write_bytes(content)
    measured = measure_encoder(Bands(), open_corpus(tmp_path), max_skipped=0)
    assert (measured.sketch.n, measured.skipped, len(measured.notes)) == (12, [], 12)
    assert "does not say how long it is" in measured.as_dict()["notes"][0]["note"]


def test_durations_are_all_over_the_clips_of_the_longest(folder):
    wave, _ = soundfile.read(folder / "05.wav")
    wave[14_000] = 0.95  # refused in the longest beginning only
    soundfile.write(folder / "05.wav", wave, 16_000, "FLOAT")

    class Quick(Bands):
        def embed_layers(self, wave):
            if wave.shape[1] == 15_000:
                return super().embed_layers(wave)
            self.batches.append(tuple(wave.shape))
            return Bands().embed_layers(wave)

    measured = measure_encoder(Quick(most=0.9), open_corpus(folder), durations=[0.25, 15 / 16])
    assert [(record.mean_seconds, record.n) for record in measured.durations] == [(0.25, 38), (15 / 16, 38)]
    assert "2 of 40 clips could not be processed, among them" in measured.undefined["durations"]


def test_a_duration_over_fewer_clips_than_the_longer_ones_has_no_value(folder):
    class Slow(Bands):
        def embed_layers(self, wave):
            if wave.shape[1] == 4000:
                return super().embed_layers(wave)
            return Bands().embed_layers(wave)

    measured = measure_encoder(Slow(most=0.9), open_corpus(folder), durations=[0.25, 0.5, 1.0])
    assert [(record.mean_seconds, record.n) for record in measured.durations] == [(0.5, 40), (1.0, 40)]
    assert "1 of 40 clips" in measured.undefined["rankme of the first 0.25 s"]


def test_embeddings_are_there_after_the_pass_whatever_fails_later(folder, tmp_path):
    seen, path = [], tmp_path / "z.npy"

    def progress(what, done, total):
        seen.append((what, path.exists()))
        if what.startswith("first"):
            raise KeyboardInterrupt

    def interrupted():
        with EmbeddingWriter(path, corpus, 4) as writer:
            measure_encoder(
                Bands(), corpus, emit=writer, finished=writer.finish, durations=[0.5], progress=progress
            )  # fmt: skip

    corpus = open_corpus(folder)
    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert set(seen) == {("clips", False), ("first 0.5 s", True)}
    assert np.load(path).shape == (40, 4)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["audio", "z.csv", "z.npy"]


@pytest.mark.parametrize("suffix", [".parquet", ".npy"])
@pytest.mark.parametrize("other", [True, False])
def test_embeddings_that_cannot_be_completed_leave_nothing(folder, tmp_path, monkeypatch, suffix, other):
    def fail():
        raise OSError("no space left on device")

    def save():
        with EmbeddingWriter(tmp_path / f"z{suffix}", open_corpus(folder), 4) as writer:
            monkeypatch.setattr(writer._sink, "close", fail)
            if other:
                raise ValueError("the encoder fails")

    with pytest.raises(ValueError if other else OSError, match="the encoder fails" if other else "no space left"):
        save()
    assert [each.name for each in tmp_path.iterdir()] == ["audio"]


@pytest.fixture
def manifest(folder):
    lines = [f"{i:02d}.wav,{i % 5}" for i in range(40)]
    (folder / "clips.csv").write_text("\n".join(["path,speaker", *lines]))
    return open_corpus(folder / "clips.csv")


def test_a_missing_column_is_told_of_five_clips_before_anything_is_embedded(manifest):
    encoder = Bands()
    with pytest.raises(SonoscaleError, match=r"04\.wav and 35 more: has no column 'kind' to group by; it has speaker"):
        measure_encoder(encoder, manifest, how=Pass(group="kind"))
    assert encoder.batches == []


def test_more_groups_than_there_is_memory_for(manifest, monkeypatch):
    each = 8 * 16 * 4**2
    monkeypatch.setattr("sonoscale.measure._clips.physical_memory", lambda: 2.0 * 5 * each)
    assert len(measure_encoder(Bands(), manifest, how=Pass(group="speaker")).groups) == 5
    monkeypatch.setattr("sonoscale.measure._clips.physical_memory", lambda: 2.0 * 5 * each - 1)
    encoder = Bands()
    with pytest.raises(SonoscaleError, match=r"group speaker: sketches of 5 groups .* column of fewer values"):
        measure_encoder(encoder, manifest, how=Pass(group="speaker"))
    assert encoder.batches == []


def test_what_is_no_longer_needed_is_not_kept_and_groups_tell_their_length(manifest):
    measured = measure_encoder(Bands(), manifest, how=Pass(group="speaker", layers=True, sample=20))
    assert (len(measured.layers), len(measured.groups)) == (2, 5)
    assert measured.sketch.n == 40
    assert [record.mean_seconds for record in measured.groups.values()] == [1.0] * 5


def test_encoders_that_processed_other_clips_are_not_compared(folder):
    short = measure_encoder(Bands(), open_corpus(folder, max_seconds=0.5))
    halves = open_corpus(folder, max_seconds=0.5)
    for other, count in (
        (measure_encoder(Bands(), open_corpus(folder)), 120),
        (measure_encoder(Bands(most=0.9), halves), 1),
        (measure_encoder(Bands(), halves.part([i for i in range(80) if i != 7])), 1),
    ):
        (found,) = compare_encoders([short, other], ["rankme"])
        assert found.difference is None
        assert (
            f"they did not process the same clips: {count} were processed by one of them only; remove" in found.reason
        )
    (found,) = compare_encoders([short, measure_encoder(Bands(), halves)], ["rankme"])
    assert found.difference is not None


def test_clips_that_are_too_short_for_another_encoder_are_left_out(folder):
    soundfile.write(folder / "short.wav", np.full(1000, 0.1), 16_000, "FLOAT")
    measured = measure_encoder(Bands(), open_corpus(folder), how=Pass(min_seconds=0.1))
    assert (measured.sketch.n, measured.skipped[0][1]) == (
        40,
        "0.062 s is shorter than the 0.100 s that every encoder here takes",
    )
    with pytest.raises(SonoscaleError, match=r"0.05 s is shorter than the 0.100 s that every encoder here takes"):
        measure_encoder(Bands(), open_corpus(folder), how=Pass(min_seconds=0.1), durations=[0.05])


def test_an_encoder_that_does_not_return_is_said_to(folder, monkeypatch):
    monkeypatch.setattr("sonoscale.measure._forward.SLOW", 0.05)

    class Slow(Bands):
        def embed(self, wave):
            time.sleep(0.3)
            return super().embed(wave)

    with pytest.warns(SonoscaleWarning, match=r"has not returned for 0\.05 s from a batch of \d+ clips"):
        measure_encoder(Slow(), open_corpus(folder, sample_rate=16_000))


@pytest.mark.parametrize("suffix", [".npy", ".parquet"])
def test_what_a_killed_process_has_left_is_removed(folder, tmp_path, suffix):
    path, corpus = tmp_path / f"z{suffix}", open_corpus(folder)
    gone, alive = tmp_path / f".4194999-z{suffix}", tmp_path / f".1-z{suffix}"  # beyond the largest number there is
    other = tmp_path / f".4194999-y{suffix}"
    for left in (gone, alive, other):
        left.write_bytes(b"begun")
    with EmbeddingWriter(path, corpus, dim=4) as writer:
        writer(np.array([0, 1]), np.ones((2, 4)))
    assert path.is_file()
    assert (gone.exists(), alive.exists(), other.exists()) == (False, True, True)


@pytest.mark.parametrize("suffix", [".npy", ".parquet"])
def test_embeddings_that_cannot_be_written_are_one_line(folder, tmp_path, suffix):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(SonoscaleError, match=r"file.*: cannot be "):
        EmbeddingWriter(tmp_path / "file" / f"z{suffix}", open_corpus(folder), dim=4)
