"""What `extrapolate` and its predictions refuse."""

from __future__ import annotations

import numpy as np
import pytest

from sonoscale.errors import SonoscaleError
from sonoscale.laws import extrapolate

PARAMS = np.geomspace(1e3, 1e6, 14)
LOSS = (0.5 + 8.0 * PARAMS**-0.35) * np.exp(0.01 * np.random.default_rng(0).normal(size=14))


def test_predict_refuses_what_is_no_run():
    law = extrapolate(PARAMS, LOSS, x_names=("params",))
    for x, message in (
        ([0.0], "params, row 0: 0 is not above zero"),
        ([np.nan], "not a finite"),
        (["7"], "not a number"),
    ):
        with pytest.raises(SonoscaleError, match=message):
            law.predict(x)
    with pytest.raises(SonoscaleError, match="one column for each of params"):
        law.predict([[1.0, 2.0]])
    with pytest.raises(SonoscaleError, match="flops has 2 rows but params has 1"):
        law.predict([1e6], flops=[1.0, 2.0])
    with pytest.raises(SonoscaleError, match="flops, row 0: -1 is not above zero"):
        law.predict([1e6], flops=[-1.0])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"y": LOSS[:5]}, "x has 14 rows but y has 5"),
        ({"flops": PARAMS[:5]}, "flops has 5 rows but y has 14"),
        ({"clusters": [1, 2]}, "clusters has 2 rows"),
        ({"x_names": ("N", "D")}, "x is one column, but there are names for 2"),
        ({"x": np.stack([PARAMS, PARAMS], axis=1)}, r"x must be \[n, 1\] for x"),
        ({"x": np.stack([PARAMS, np.ones(14)], axis=1), "x_names": ("N", "D")}, "D is constant"),
        ({"y": np.linspace(0.1, 1.0, 14)}, "leaves no error below 1"),
        ({"y": np.linspace(-0.1, 0.9, 14)}, "y, row 0: -0.1 is not above zero"),
    ],
)
def test_extrapolate_refuses_and_names(change, message):
    with pytest.raises(SonoscaleError, match=message):
        extrapolate(**({"x": PARAMS, "y": LOSS} | change))
