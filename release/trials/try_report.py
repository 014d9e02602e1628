"""A figure and a page of spectra, and a page of a law, without torch."""

import importlib.util
from pathlib import Path

import numpy as np

from _common import sonoscale

assert importlib.util.find_spec("torch") is None
np.save("a.npy", np.random.default_rng(0).normal(size=(400, 32)).astype(np.float32))
sonoscale("measure --embeddings a.npy --plot a.png --out a.html")
assert Path("a.png").stat().st_size > 10_000
assert Path("a.html").stat().st_size > 900_000
rows = [f"{n:g},{2 + 400 * n**-0.34:.6f}" for n in np.geomspace(1e6, 1e9, 12)]
Path("runs.csv").write_text("\n".join(["params,loss", *rows]))
sonoscale("fit runs.csv --x params --out fit.html")
assert "What was fitted?" in Path("fit.html").read_text()
print("measure --embeddings --plot --out, fit --out")
