"""Embeddings with a known population, for the tests of the rank."""

import numpy as np
import pytest

from sonoscale.rank import SpectralSketch


@pytest.fixture(scope="session")
def population():
    """Gaussian rows whose singular values fall as index**-decay, about a mean."""

    def rows(n, dim, *, decay=1.0, mean=0.0, seed=0):
        rng = np.random.default_rng(seed)
        return rng.standard_normal((n, dim)) * np.arange(1, dim + 1.0) ** -decay + mean

    return rows


@pytest.fixture(scope="session")
def sketch_of():
    """A sketch of rows, fed in batches."""

    def sketch(rows, *, batch=100, groups=None, **settings):
        made = SpectralSketch(rows.shape[1], **settings)
        for start in range(0, len(rows), batch):
            part = slice(start, start + batch)
            made.update(rows[part], None if groups is None else groups[part])
        return made

    return sketch
