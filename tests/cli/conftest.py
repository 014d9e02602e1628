"""Encoders of other people in files, audio for them, and `sonoscale measure` in this process, which is quicker."""

import signal
import subprocess
import sys
from functools import partial

import numpy as np
import pytest
import soundfile

from sonoscale.cli.main import run

BANDS = """
import torch

class Bands:
    sample_rate, dim, layers, min_samples = 16_000, 8, 2, 400

    def embed_layers(self, wave):
        power = torch.fft.rfft(wave).abs().square()
        bands = torch.stack([part.mean(dim=1) for part in power.tensor_split(8, dim=1)], dim=1)
        return torch.stack([bands, (bands + 1e-6).log()])

    def embed(self, wave):
        return self.embed_layers(wave)[-1]

class Flatter(Bands):
    layers = None

    def embed(self, wave):
        return (super().embed(wave) / 4).tanh()
"""


def bands(wave):
    """Both layers of `Bands` of one clip, in float64: [2, 8]."""
    power = np.abs(np.fft.rfft(wave.astype(np.float64))) ** 2
    energy = np.array([part.mean() for part in np.array_split(power, 8)])
    return np.stack([energy, np.log(energy + 1e-6)])


def svd_rank(rows):
    """RankMe by its definition."""
    share = np.linalg.svd(rows, compute_uv=False)
    share = share[share > 0] / share.sum()
    return np.exp(-(share * np.log(share)).sum())


@pytest.fixture(scope="session")
def by_hand():
    """`by_hand(waves, layer)`: RankMe of the embeddings of `Bands`, uncentred and centred, one clip at a time."""

    def ranks(waves, layer=-1):
        rows = np.stack([bands(wave)[layer] for wave in waves])
        return svd_rank(rows), svd_rank(rows - rows.mean(axis=0))

    return ranks


@pytest.fixture(scope="session")
def encoders(tmp_path_factory):
    """A file with `Bands`, of two layers, and `Flatter`, of none."""
    file = tmp_path_factory.mktemp("encoders") / "mine.py"
    file.write_text(BANDS)
    return file


@pytest.fixture(scope="session")
def waves():
    """60 tones in noise of three lengths, at 16 kHz."""
    rng = np.random.default_rng(0)
    made = []
    for i in range(60):
        t = np.arange((8000, 12_000, 16_000)[i % 3]) / 16_000
        tone = 0.3 * rng.uniform(0.1, 1) * np.sin(2 * np.pi * rng.uniform(100, 7000) * t)
        made.append((tone + 0.01 * rng.standard_normal(len(t))).astype(np.float32))
    return made


@pytest.fixture(scope="session")
def audio(tmp_path_factory, waves):
    """The same as files, with a manifest of their kinds."""
    root, lines = tmp_path_factory.mktemp("audio"), ["path,kind"]
    for i, wave in enumerate(waves):
        soundfile.write(root / f"{i:02d}.wav", wave, 16_000, subtype="FLOAT")
        lines.append(f"{i:02d}.wav,{'low' if i % 2 else 'high'}")
    (root / "clips.csv").write_text("\n".join(lines))
    return root


@pytest.fixture
def sonoscale(monkeypatch, capsys):
    """`sonoscale(*arguments)`: the command as its entry point runs it, in this process."""

    monkeypatch.setattr("sonoscale.cli._console.console.width", 400)  # so that no long path is broken

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["sonoscale", *map(str, arguments)])
        handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
        capsys.readouterr()
        try:
            with pytest.raises(SystemExit) as end:
                run()
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)
        return subprocess.CompletedProcess(arguments, int(end.value.code or 0), *capsys.readouterr())

    return call


@pytest.fixture
def measure(sonoscale):
    """`measure(*arguments)`: that command."""
    return partial(sonoscale, "measure")


@pytest.fixture
def refused(measure):
    """`refused(*arguments)`: the message, once the command is seen to have failed with it alone."""

    def call(*arguments):
        result = measure(*arguments)
        assert result.returncode == 1, (result.returncode, result.stdout, result.stderr)
        assert result.stderr.startswith("error: ")
        assert result.stderr.count("error: ") == 1
        assert "Traceback" not in result.stderr
        return result.stderr.removeprefix("error: ").strip()

    return call
