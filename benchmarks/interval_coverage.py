"""How often the intervals of the rank hold what they should: `python benchmarks/interval_coverage.py`.

For each population spectrum and number of rows, many samples are drawn. Two claims are tested: that the interval of
a record holds the mean over samples of that size, and that the interval of the extrapolation holds the rank of the
population itself. Gaussian rows, and rows with heavy tails (each scaled by a log-normal number).
"""

from __future__ import annotations

import argparse
import time

import numpy as np
from rich.console import Console
from rich.table import Table
from scipy import stats
from threadpoolctl import threadpool_limits

from sonoscale.rank import SpectralSketch, extrapolate, rankme

SIZES = ((32, 2, 1000), (32, 8, 1000), (32, 32, 1000), (256, 4, 60), (256, 8, 60))
"""Dimensions, rows per dimension, samples."""


def spectra(dim: int) -> dict[str, np.ndarray]:
    """Singular values of the populations."""
    index = np.arange(1, dim + 1.0)
    return {
        "power law, 1/k": 1 / index,
        "power law, 1/sqrt(k)": index**-0.5,
        "exponential": np.exp(-8 * index / dim),
        "spiked": np.r_[np.full(4, 10.0), np.ones(dim - 4)],
        "step": np.r_[np.ones(dim // 4), np.full(dim - dim // 4, 0.01)],
        "flat": np.ones(dim),
    }


def coverage(spectrum: np.ndarray, n: int, trials: int, *, heavy: bool) -> dict[str, float]:
    """Over `trials` samples of `n` rows of one population."""
    records, limits = [], []
    for seed in range(trials):
        rng = np.random.default_rng(seed)
        rows = rng.standard_normal((n, len(spectrum))) * spectrum
        if heavy:
            rows *= np.exp(rng.normal(0, 0.7, (n, 1)))
        sketch = SpectralSketch(len(spectrum))
        sketch.update(rows)
        records.append(rankme(sketch))
        limits.append(extrapolate(sketch))
    truth = float(np.exp(stats.entropy(spectrum)))  # scaling whole rows leaves the population's directions as they are
    mean = float(np.mean([record.value for record in records]))
    return {
        "population": truth,
        "mean at n": mean,
        "limit": float(np.mean([limit.value for limit in limits])),
        "half-width": float(np.mean([limit.high - limit.value for limit in limits])),
        "holds mean at n": float(np.mean([record.low <= mean <= record.high for record in records])),
        "holds population": float(np.mean([limit.low <= truth <= limit.high for limit in limits])),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--share", type=float, default=1.0, help="of the samples")
    share = parser.parse_args().share
    started = time.perf_counter()
    table = Table(title="nominal 95%, RankMe; sample i has seed i", title_justify="left")
    columns: list[str] = []
    with threadpool_limits(1):
        for dim, ratio, samples in SIZES:
            trials = max(2, round(share * samples))
            for heavy in (False, True):
                for name, spectrum in spectra(dim).items():
                    found = coverage(spectrum, ratio * dim, trials, heavy=heavy)
                    if not columns:
                        columns = ["spectrum", "rows", "dim", "n/dim", "samples", *found]
                        for column in columns:
                            table.add_column(column, justify="left" if column in ("spectrum", "rows") else "right")
                    cells = [f"{v:.1%}" if k.startswith("holds") else f"{v:.3f}" for k, v in found.items()]
                    table.add_row(
                        name, "heavy" if heavy else "Gaussian", str(dim), str(ratio), str(trials), *cells
                    )  # fmt: skip
    Console(width=170).print(table)
    print(f"{time.perf_counter() - started:.0f} s")


if __name__ == "__main__":
    main()
