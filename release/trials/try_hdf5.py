"""Embeddings in an HDF5 file, without torch."""

import h5py
import numpy as np

from _common import sonoscale

with h5py.File("a.h5", "w") as file:
    file["rows"] = np.random.default_rng(0).normal(size=(400, 32))
assert "rankme" in sonoscale("measure --embeddings a.h5")
print("measure --embeddings a.h5")
