"""Published learning curves, fitted below the split that comes with them and predicted beyond it."""

from __future__ import annotations

import csv
import os
from pathlib import Path

import numpy as np
import pytest

from sonoscale.laws import extrapolate

DATA = Path(os.environ.get("SONOSCALE_TEST_DATA") or Path(__file__).parents[3].parent / "shared" / "data")
BEST = ("M4", "BNSL1", "HILL")  # the others are at 0.045 and more
CURVES = DATA / "laws" / "learning_curves_36.csv"


@pytest.mark.skipif(not CURVES.is_file(), reason="no learning curves: set SONOSCALE_TEST_DATA to a folder with laws/")
def test_the_panel_predicts_better_than_each_of_its_forms():
    """18 of 36 curves of image classifiers and language models (every other, for time), by RMSE of log loss."""
    curves: dict[tuple[str, ...], list[list[float]]] = {}
    with CURVES.open() as stream:
        for row in list(csv.reader(stream))[1:]:
            curves.setdefault(tuple(row[:3]), []).append([float(cell) for cell in row[3:]])
    errors, inside = {form: [] for form in ("auto", *BEST)}, []
    for rows in list(curves.values())[::2]:
        seen, loss, train = np.array(rows).T
        new = train == 0
        for form, found in errors.items():
            prediction = extrapolate(seen[~new], loss[~new], form=form).predict(seen[new])
            found.append(np.sqrt(np.mean(np.log(prediction.value / loss[new]) ** 2)))
            if form == "auto":
                inside.append(np.mean((prediction.low <= loss[new]) & (loss[new] <= prediction.high)))
    means = {form: float(np.mean(found)) for form, found in errors.items()}
    assert means["auto"] < min(means[form] for form in BEST), means
    assert np.mean(inside) >= 0.85
