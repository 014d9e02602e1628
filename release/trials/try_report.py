"""A figure of spectra, without torch."""

import importlib.util
from pathlib import Path

import numpy as np

from _common import sonoscale

assert importlib.util.find_spec("torch") is None
np.save("a.npy", np.random.default_rng(0).normal(size=(400, 32)).astype(np.float32))
sonoscale("measure --embeddings a.npy --plot a.png")
assert Path("a.png").stat().st_size > 10_000
print("measure --embeddings --plot")
