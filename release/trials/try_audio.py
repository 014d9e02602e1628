"""Reading and describing audio, without torch."""

import importlib.util

from _common import sonoscale, tones
from sonoscale.audio import read_audio

assert importlib.util.find_spec("torch") is None
tones("clips")
assert len(read_audio("clips/00.wav", sample_rate=8000)) == 4000
assert "24" in sonoscale("data describe clips")
print("read_audio, data describe")
