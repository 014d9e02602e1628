"""Spectra of far fewer rows than dimensions, which take a shorter way."""

import numpy as np
import pytest

from sonoscale.rank import SpectralSketch


@pytest.mark.parametrize("decay", [0.0, 1.0, 3.0])
@pytest.mark.parametrize("rows", [2, 9, 60])
def test_spectrum_of_few_rows_is_that_of_numpy(rows, decay):
    rng = np.random.default_rng(rows)
    Z = rng.standard_normal((rows, 150)) * np.arange(1, 151.0) ** -decay + 0.5
    sketch = SpectralSketch(150)
    sketch.update(Z)
    centred = Z - Z.mean(axis=0)
    for about, matrix in (
        ({}, Z), ({"centred": True}, centred), ({"standardised": True}, centred / centred.std(axis=0)),
    ):  # fmt: skip
        expected = np.linalg.svd(matrix, compute_uv=False)
        found = sketch.spectrum(**about)
        assert found.shape == (rows,)
        # Squares of singular values are resolved to a few eps of the largest.
        np.testing.assert_allclose(found**2, expected**2, atol=1e-14 * expected[0] ** 2, rtol=1e-9)


def test_rows_that_repeat_or_are_zero():
    Z = np.zeros((40, 200))
    Z[::2, :3] = np.random.default_rng(0).standard_normal(3)
    Z[1::4, 3:5] = 2.0
    sketch = SpectralSketch(200)
    sketch.update(Z)
    expected = np.linalg.svd(Z, compute_uv=False)
    np.testing.assert_allclose(sketch.spectrum(), np.where(expected < 1e-7, 0, expected), rtol=1e-9)
    assert np.count_nonzero(sketch.spectrum()) == 2
    nothing = SpectralSketch(200)
    nothing.update(np.zeros((5, 200)))
    assert not nothing.spectrum().any()
