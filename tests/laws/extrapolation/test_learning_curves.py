"""Published learning curves, fitted below the split that comes with them and predicted beyond it."""

from __future__ import annotations

import csv
import os
from pathlib import Path

import numpy as np
import pytest

from sonoscale.laws import extrapolate
from sonoscale.laws.extrapolation import PANEL

DATA = Path(os.environ.get("SONOSCALE_TEST_DATA") or Path(__file__).parents[3].parent / "shared" / "data")
CURVES = DATA / "laws" / "learning_curves_36.csv"


@pytest.mark.skipif(not CURVES.is_file(), reason="no learning curves: set SONOSCALE_TEST_DATA to a folder with laws/")
def test_the_panel_predicts_better_than_each_of_its_forms():
    """12 of 36 curves of image classifiers and language models (every third, for time), by RMSE of log loss."""
    curves: dict[tuple[str, ...], list[list[float]]] = {}
    with CURVES.open() as stream:
        for row in list(csv.reader(stream))[1:]:
            curves.setdefault(tuple(row[:3]), []).append([float(cell) for cell in row[3:]])
    errors, inside = {form: [] for form in ("auto", *PANEL)}, []
    for rows in list(curves.values())[::3]:
        seen, loss, train = np.array(rows).T
        new = train == 0
        for form, found in errors.items():
            reported = extrapolate(seen[~new], loss[~new], form=form).predict(seen[new])
            found.append(np.sqrt(np.mean(np.log(reported.value / loss[new]) ** 2)))
            if form == "auto":
                inside.append(np.mean((reported.low <= loss[new]) & (loss[new] <= reported.high)))
    means = {form: float(np.mean(found)) for form, found in errors.items()}
    assert means["auto"] < min(means[form] for form in PANEL), means
    assert np.mean(inside) >= 0.85
