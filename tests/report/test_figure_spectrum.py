"""The figure of spectra, as data and as PNG."""

import numpy as np
import pytest

from sonoscale.rank import SpectralSketch
from sonoscale.report import spectrum_figure, write_figure


@pytest.fixture
def sketches():
    """One set of embeddings with an offset, and one that are all equal."""
    rows = np.random.default_rng(0).standard_normal((200, 6)) * np.arange(1, 7) ** -1.0 + 2.0
    made = {"a": SpectralSketch(6), "constant": SpectralSketch(6)}
    made["a"].update(rows)
    made["constant"].update(np.ones((200, 6)))
    return made


def test_lines_are_shares_of_the_spectrum(sketches):
    figure = spectrum_figure(sketches)
    as_they_are, about_the_mean = figure.panels
    first = as_they_are.series[0]
    np.testing.assert_allclose(first.y, sketches["a"].spectrum() / sketches["a"].spectrum().sum())
    assert first.x == (1, 2, 3, 4, 5, 6)
    assert sum(about_the_mean.series[0].y) == pytest.approx(1.0)
    assert len(as_they_are.series[1].x) == 1  # equal rows have one direction
    assert [line.label for line in about_the_mean.series] == ["a"]  # and none about their mean
    assert [key.label for key in figure.legend] == ["a", "constant"]


def test_png(sketches, tmp_path):
    write_figure(spectrum_figure(sketches), tmp_path / "s.png")
    assert (tmp_path / "s.png").read_bytes().startswith(b"\x89PNG")
    assert [p.name for p in tmp_path.iterdir()] == ["s.png"]
