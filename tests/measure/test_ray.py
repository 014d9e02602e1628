"""Measuring over a real Ray cluster: the same answer as here, also when workers are killed on the way."""

import functools
import os
import signal
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from sonoscale.corpora import open_corpus
from sonoscale.encoders import load_encoder
from sonoscale.errors import SonoscaleError
from sonoscale.measure import Pass, measure_encoder
from sonoscale.measure._clips import block_of_each
from sonoscale.measure._facts import EncoderFacts
from sonoscale.measure._ray import cluster_device, ray_sketcher
from sonoscale.measure._sketches import Sketches, sketch_clips

pytestmark = [pytest.mark.xdist_group("ray"), pytest.mark.e2e]

CLIPS = 48
ENCODER = '''
"""Energy in eight bands; records which process works on which batch."""

import os
import time
from pathlib import Path

import torch

HERE = Path(__file__).parent


class Bands:
    sample_rate, dim, layers = 16_000, 8, 2

    def embed(self, wave):
        return self.embed_layers(wave)[-1]

    def embed_layers(self, wave):
        if (HERE / "slow").exists():
            with (HERE / "pids").open("a") as log:
                log.write(f"{os.getpid()} {len(wave)} {float(wave.square().sum()):.3f}\\n")
            time.sleep(0.3)
        if (HERE / "broken").exists():
            raise ValueError("the weights are gone")
        parts = torch.fft.rfft(wave).abs().square().tensor_split(8, dim=1)
        bands = torch.stack([part.mean(dim=1) for part in parts], dim=1)
        return torch.stack([bands, (bands + 1e-6).log()])
'''


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An encoder and 48 clips and one broken, in the working directory, as a user has them."""
    (tmp_path / "bands.py").write_text(ENCODER)
    (tmp_path / "audio").mkdir()
    rng = np.random.default_rng(0)
    lines = ["path,kind"]
    for i in range(CLIPS):
        tone = 0.3 * np.sin(2 * np.pi * rng.uniform(100, 7000) * np.arange(8000) / 16_000)
        soundfile.write(tmp_path / f"audio/{i:02d}.wav", tone + 0.01 * rng.standard_normal(8000), 16_000, "FLOAT")
        lines.append(f"{i:02d}.wav,{'low' if i % 3 else 'high'}")
    (tmp_path / "audio/broken.wav").write_bytes(b"not audio")
    (tmp_path / "audio/clips.csv").write_text("\n".join([*lines, "broken.wav,low"]))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def over_ray(how=None, durations=(), progress=None):
    """Paths are relative to the working directory."""
    spec, audio = "python:bands.py:Bands", "audio/clips.csv"
    encoder = load_encoder(spec)
    corpus = open_corpus(audio, sample_rate=encoder.sample_rate)
    sketch = ray_sketcher(
        spec, audio, encoder=encoder, corpus=corpus, opened={}, loaded={}, shards=12, progress=progress
    )
    return measure_encoder(encoder, corpus, how=how, durations=durations, sketch=sketch)


def here(how=None, durations=()):
    return measure_encoder(
        load_encoder("python:bands.py:Bands"), open_corpus("audio/clips.csv"), how=how, durations=durations
    )


def everything(measured):
    return [*measured.records, *measured.layers, *measured.groups.values(), *measured.durations]


def test_the_cluster_gives_what_one_process_gives(ray_cluster, folder):
    how, done = Pass(layers=True, group="kind"), []
    found = over_ray(how, [0.25, 0.5], lambda what, clips, total: done.append((what, clips, total)))
    expected = here(how, [0.25, 0.5])
    assert found.sketch.n == expected.sketch.n == CLIPS
    assert found.skipped == expected.skipped
    assert "broken.wav" in found.skipped[0][0]
    assert len(everything(found)) == len(everything(expected)) == 3 + 2 + 2 + 2
    for ours, theirs in zip(everything(found), everything(expected), strict=True):
        assert ours.value == pytest.approx(theirs.value, rel=1e-6)
        assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), rel=1e-5)
        assert (ours.n, ours.dim, ours.corpus, ours.encoder) == (theirs.n, theirs.dim, theirs.corpus, theirs.encoder)
    assert done[11] == ("clips", CLIPS, CLIPS)  # the broken one was found when the manifest was read
    assert [what for what, _, _ in done[-1:]] == ["first 0.25 s"]


@pytest.mark.slow
def test_killing_a_worker_changes_nothing(ray_cluster, folder):
    undisturbed = everything(over_ray())
    (folder / "slow").touch()
    killed: list[int] = []

    def kill():
        """The worker of the third batch, while it is at work; and a later one once more."""
        deadline = time.monotonic() + 60
        for after in (3, 8):
            while len(at_work()) < after and time.monotonic() < deadline:
                time.sleep(0.01)
            pid = int(at_work()[-1][0])
            if pid != os.getpid():
                killed.append(pid)
                os.kill(pid, signal.SIGKILL)

    def at_work():
        """Process, clips and energy of each batch begun so far."""
        pids = Path("pids")
        return [line.split() for line in pids.read_text().splitlines()] if pids.exists() else []

    killer = threading.Thread(target=kill)
    killer.start()
    found = everything(over_ray())
    killer.join()
    assert len(set(killed)) == 2
    batches = [(int(pid), energy) for pid, clips, energy in at_work() if int(clips) > 1]
    for pid in killed:  # what it was at was done again, by another
        lost = [energy for each, energy in batches if each == pid][-1]
        assert {each for each, energy in batches if energy == lost} - set(killed[: killed.index(pid) + 1])
    assert found == undisturbed


def test_shards_are_merged_in_their_order_and_few_wait(ray_cluster, folder, monkeypatch):
    how = Pass(layers=True, group="kind", workers=1)
    encoder, corpus = load_encoder("python:bands.py:Bands"), open_corpus("audio/clips.csv")
    assigned = block_of_each(corpus, how.blocks)
    parts = np.array_split(np.arange(CLIPS), 12)
    expected = functools.reduce(
        Sketches.merge, [sketch_clips(encoder, corpus, part.tolist(), assigned, how) for part in parts]
    )
    at_once, wait = [], ray_cluster.wait

    def spy(tasks, **options):
        at_once.append(len(tasks))
        return wait(tasks, **options)

    monkeypatch.setattr(ray_cluster, "wait", spy)
    found = sketcher(encoder, corpus)(how, range(CLIPS), "clips")
    assert len(at_once) == 12
    assert max(at_once) == 4  # twice the cores
    ours, theirs = ([each.whole, *each.layers, *each.groups.values()] for each in (found, expected))
    assert [sketch.n for sketch in ours] == [sketch.n for sketch in theirs]
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(a.spectrum(), b.spectrum())  # to the last bit
    assert found.seconds == expected.seconds


def sketcher(encoder, corpus, **loaded):
    return ray_sketcher(
        "python:bands.py:Bands", "audio/clips.csv", encoder=encoder, corpus=corpus, opened={}, loaded=loaded, shards=12
    )


def test_a_worker_that_finds_something_else_says_what(ray_cluster, folder):
    encoder, corpus = load_encoder("python:bands.py:Bands"), open_corpus("audio/clips.csv")
    other = replace(EncoderFacts.of(encoder), identity="an older one")
    with pytest.raises(SonoscaleError, match=r"finds another encoder: python:bands.py:Bands .*, and not an older one"):
        sketcher(other, corpus)(Pass(), range(CLIPS), "clips")
    with pytest.raises(SonoscaleError, match="finds another number of clips: 48 clips, and not 10 clips"):
        sketcher(encoder, corpus.part(range(10)))(Pass(), range(10), "clips")
    over = sketcher(encoder, corpus)
    soundfile.write(folder / "audio/07.wav", np.zeros(8000), 16_000, "FLOAT")
    with pytest.raises(SonoscaleError, match=r"finds another audio: manifest, 48 clips, .*, and not manifest, 48"):
        over(Pass(), range(CLIPS), "clips")


def test_too_many_broken_clips_end_it(ray_cluster, folder):
    for i in range(0, 40, 4):
        wave = np.zeros(8000)
        wave[9] = np.nan
        soundfile.write(folder / f"audio/{i:02d}.wav", wave, 16_000, "FLOAT")
    with pytest.raises(SonoscaleError, match=r"of 49 clips cannot be processed, .* \(the rest was not tried\)"):
        over_ray()


def test_lidar_is_said_to_need_one_process(ray_cluster, folder):
    measured = over_ray(Pass(sample=4096))
    assert measured.undefined["lidar"] == "LiDAR is measured by one process only"
    assert {"two_nn", "uniformity"} <= {record.estimator for record in measured.records}


def test_the_device_is_the_clusters(ray_cluster, monkeypatch):
    assert [cluster_device(device) for device in ("auto", "cpu")] == ["cpu", "cpu"]
    for device in ("cuda", "cuda:1"):
        with pytest.raises(SonoscaleError, match=f"device {device}: the Ray cluster has no GPU; use cpu"):
            cluster_device(device)
    monkeypatch.setattr(ray_cluster, "cluster_resources", lambda: {"CPU": 2.0, "GPU": 2.0})
    assert [cluster_device(device) for device in ("auto", "cuda", "cuda:1", "cpu")] == ["cuda", "cuda", "cuda", "cpu"]


@pytest.mark.parametrize("error", [ConnectionError("nobody answers\nat all"), ValueError("Malformed address")])
def test_an_address_without_a_cluster(ray_cluster, monkeypatch, error):
    def refuse(**options):
        raise error

    monkeypatch.setattr(ray_cluster, "is_initialized", lambda: False)
    monkeypatch.setattr(ray_cluster, "init", refuse)
    monkeypatch.setenv("RAY_ADDRESS", "10.9.8.7:6379")
    message = str(error).splitlines()[0]
    with pytest.raises(SonoscaleError, match=rf"^no Ray cluster at 10\.9\.8\.7:6379 .*: {message}$"):
        cluster_device("auto")


def test_what_an_encoder_says_in_a_worker_is_said_here(ray_cluster, folder):
    (folder / "broken").touch()
    with pytest.raises(SonoscaleError, match=r"python:bands.py:Bands: .*the weights are gone"):
        over_ray()
