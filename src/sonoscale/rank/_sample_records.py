"""Records of what needs pairs of embeddings, and so is measured on a sample of rows."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from sonoscale import __version__
from sonoscale.errors import SonoscaleError
from sonoscale.rank._hypersphere import uniformity
from sonoscale.rank._neighbours import two_nn
from sonoscale.rank._record import RankRecord

_ON_ROWS: dict[str, Callable[[np.ndarray], float]] = {
    "two_nn": lambda rows: two_nn(rows).value,
    "uniformity": uniformity,
}


def sample_records(
    rows: np.ndarray, *, dtype: str = "", level: float = 0.95, encoder: str = "", corpus: str = ""
) -> tuple[list[RankRecord], dict[str, str]]:
    """Two-NN intrinsic dimension and uniformity of some embeddings, without intervals.

    Arguments:
        rows: `[n, dim]`, float64.
        dtype: what the embeddings were before.
        level, encoder, corpus: as for `measure_rank`.

    Returns:
        the records, and the reasons for those that are not defined here, by name.
    """
    records, undefined = [], {}
    mean_energy = 0.0
    if len(rows):
        unit = rows / max(float(np.abs(rows).max()), 1e-300)
        mean_energy = float(np.square(unit.mean(axis=0)).sum() / max(np.square(unit).sum(axis=1).mean(), 1e-300))
    for name, compute in _ON_ROWS.items():
        try:
            value = float(compute(rows))
        except SonoscaleError as error:
            undefined[name] = str(error)
            continue
        records.append(
            RankRecord(
                estimator=name, value=value, low=math.nan, high=math.nan, level=level, eps=0.0, centred=False,
                n=len(rows), dim=rows.shape[1], mean_energy=mean_energy, method="sample of rows", dtype=dtype,
                encoder=encoder, corpus=corpus, version=__version__,
            )
        )  # fmt: skip
    return records, undefined
