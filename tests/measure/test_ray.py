"""Measuring over a real Ray cluster: the same answer as here, also when workers are killed on the way."""

import os
import signal
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

from sonoscale.corpora import open_corpus
from sonoscale.encoders import load_encoder
from sonoscale.errors import SonoscaleError
from sonoscale.measure import Pass, measure_encoder, ray_sketcher

pytestmark = [pytest.mark.xdist_group("ray"), pytest.mark.e2e]

CLIPS = 48
ENCODER = '''
"""Energy in eight bands; tells who is at work on which batch."""

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
            with (HERE / "pids").open("a") as told:
                told.write(f"{os.getpid()}\\n")
            time.sleep(0.3)
        if (HERE / "broken").exists():
            raise ValueError("the weights are gone")
        parts = torch.fft.rfft(wave).abs().square().tensor_split(8, dim=1)
        bands = torch.stack([part.mean(dim=1) for part in parts], dim=1)
        return torch.stack([bands, (bands + 1e-6).log()])
'''


@pytest.fixture(scope="module")
def cluster():
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("RAY_AUTH_MODE", "disabled")  # else it keeps a token in the home folder
        ray = pytest.importorskip("ray")
        ray.init(
            address="local", num_cpus=2, include_dashboard=False, log_to_driver=False, configure_logging=False,
            object_store_memory=100 * 2**20,
        )  # fmt: skip
        yield ray
        ray.shutdown()


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
    sketch = ray_sketcher(spec, audio, opened={}, loaded={}, shards=12, progress=progress)
    encoder = load_encoder(spec)
    corpus = open_corpus(audio, sample_rate=encoder.sample_rate)
    return measure_encoder(encoder, corpus, how=how, durations=durations, sketch=sketch)


def here(how=None, durations=()):
    return measure_encoder(
        load_encoder("python:bands.py:Bands"), open_corpus("audio/clips.csv"), how=how, durations=durations
    )


def everything(told):
    return [*told.records, *told.layers, *told.by.values(), *told.durations]


def test_the_cluster_gives_what_one_process_gives(cluster, folder):
    how, done = Pass(layers=True, by="kind"), []
    found = over_ray(how, [0.25, 0.5], lambda what, clips, total: done.append((what, clips, total)))
    expected = here(how, [0.25, 0.5])
    assert found.clips == expected.clips == CLIPS
    assert found.skipped == expected.skipped
    assert "broken.wav" in found.skipped[0][0]
    assert len(everything(found)) == len(everything(expected)) == 3 + 2 + 2 + 2
    for ours, theirs in zip(everything(found), everything(expected), strict=True):
        assert ours.value == pytest.approx(theirs.value, rel=1e-6)
        assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), rel=1e-5)
        assert (ours.n, ours.dim, ours.corpus, ours.encoder) == (theirs.n, theirs.dim, theirs.corpus, theirs.encoder)
    assert done[11] == ("clips", CLIPS, CLIPS)  # the broken one was found when the manifest was read
    assert [what for what, _, _ in done[-1:]] == ["first 0.5 s"]


def test_killing_a_worker_changes_nothing(cluster, folder):
    undisturbed = everything(over_ray())
    (folder / "slow").touch()
    killed: list[int] = []

    def kill():
        """The worker of the third batch, while it is at work; and a later one once more."""
        deadline = time.monotonic() + 60
        for after in (3, 8):
            while len(at_work()) < after and time.monotonic() < deadline:
                time.sleep(0.01)
            os.kill(at_work()[-1], signal.SIGKILL)
            killed.append(at_work()[-1])

    def at_work():
        pids = Path("pids")
        return [int(line) for line in pids.read_text().split()] if pids.exists() else []

    killer = threading.Thread(target=kill)
    killer.start()
    found = everything(over_ray())
    killer.join()
    assert len(killed) == 2
    assert os.getpid() not in killed
    assert len(at_work()) > 12  # batches lost with a worker were done again, by another
    assert set(at_work()) - set(killed)
    assert found == undisturbed


def test_what_an_encoder_says_in_a_worker_is_said_here(cluster, folder):
    (folder / "broken").touch()
    with pytest.raises(SonoscaleError, match=r"python:bands.py:Bands: .*the weights are gone"):
        over_ray()
