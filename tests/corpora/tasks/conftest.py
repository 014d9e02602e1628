"""Small clips to make tasks of."""

import io

import numpy as np
import pytest
import soundfile

RATE = 16_000


def _wave(seed):
    return (0.1 * np.random.default_rng(seed).standard_normal(RATE // 20)).astype(np.float32)


def _write(path, seed=0, rate=RATE):
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, _wave(seed), rate)


def _encoded(seed, kind="wav"):
    stream = io.BytesIO()
    soundfile.write(stream, _wave(seed), RATE, format=kind)
    return stream.getvalue()


@pytest.fixture(scope="session")
def write():
    """Writes a clip of 0.05 s: path, seed, rate."""
    return _write


@pytest.fixture(scope="session")
def encoded():
    """The bytes of a clip: seed, format."""
    return _encoded


@pytest.fixture(scope="session")
def audio(tmp_path_factory):
    """A folder of clips 00.wav to 59.wav."""
    root = tmp_path_factory.mktemp("audio")
    for i in range(60):
        _write(root / f"{i:02d}.wav", seed=i)
    return root
