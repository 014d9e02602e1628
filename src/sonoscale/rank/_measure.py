"""From a sketch to records."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from sonoscale import __version__
from sonoscale.errors import SonoscaleError
from sonoscale.rank._estimators import ESTIMATORS, Estimator, get_estimator
from sonoscale.rank._interval import NO_INTERVAL, check_level, jackknife
from sonoscale.rank._record import RankRecord
from sonoscale.rank._sketch import SpectralSketch

ROWS_PER_DIM = 8
"""Fewer embeddings per dimension than this earn a warning."""

DEFAULT = "rankme"


def measure_rank(
    sketch: SpectralSketch,
    estimator: str | Estimator = DEFAULT,
    *,
    level: float = 0.95,
    interval: bool = True,
    encoder: str = "",
    corpus: str = "",
    layer: int | None = None,
    mean_seconds: float | None = None,
) -> RankRecord:
    """One number out of the spectrum of what the sketch has seen, with a block-jackknife interval.

    The interval is `value ± t * se`, where `se` is the delete-one-block jackknife standard error over the blocks of
    the sketch and t has blocks - 1 degrees of freedom, cut off at the bounds of the estimator.

    Arguments:
        sketch: the embeddings seen.
        estimator: a name of `ESTIMATORS`, `renyi_<order>[_centred]`, or an `Estimator` of your own.
        level: coverage of the interval, in (0, 1).
        interval: False leaves it out (NaN), which saves one eigenvalue problem per block.
        encoder, corpus: identities to keep with the number.
        layer: layer of the encoder, None for its output.
        mean_seconds: mean duration of the clips.

    Returns:
        the record; its `warnings` say what should stop a reader from trusting it.

    Raises:
        SonoscaleError: the sketch is empty, or the estimator is not defined for what it has seen.
    """
    check_level(level)
    chosen = get_estimator(estimator) if isinstance(estimator, str) else estimator
    spectrum = sketch.spectrum(centred=chosen.centred, standardised=chosen.about == "standardised")
    value, low, high, warnings = chosen.compute(spectrum, sketch.n, sketch.dim), math.nan, math.nan, []
    if interval:
        half = jackknife(sketch, chosen.compute, chosen.about).half_width(level)
        least, most = chosen.bounds(sketch.n, sketch.dim)
        low, high = max(least, value - half), min(most, value + half)
        if not math.isfinite(half):
            low, high = least, most
            warnings.append(NO_INTERVAL if math.isfinite(value) else "infinite: the smallest singular value is zero")
    return RankRecord(
        estimator=chosen.name, value=value, low=min(low, value), high=max(high, value), level=level, eps=chosen.eps,
        centred=chosen.centred, n=sketch.n, dim=sketch.dim, mean_energy=sketch.mean_energy(), method=sketch.method,
        dtype=sketch.dtype, omitted=sketch.omitted, layer=layer, mean_seconds=mean_seconds, encoder=encoder,
        corpus=corpus, version=__version__, note=chosen.note(spectrum) if chosen.note else "",
        warnings=tuple(warnings + _warnings(sketch, chosen, value, spectrum)),
    )  # fmt: skip


def measure_all(
    sketch: SpectralSketch, estimators: Iterable[str | Estimator] | None = None, **about: Any
) -> tuple[list[RankRecord], dict[str, str]]:
    """Every estimator on one sketch.

    Arguments:
        sketch: the embeddings seen.
        estimators: which, all of `ESTIMATORS` if None.
        about: as for `measure_rank`.

    Returns:
        the records, and the reasons for those that are not defined here, by name.

    Raises:
        SonoscaleError: the sketch is empty, or no such estimator.
    """
    sketch.spectrum()  # if that fails there is nothing to measure
    chosen = [get_estimator(e) if isinstance(e, str) else e for e in estimators or ESTIMATORS]
    records, undefined = [], {}
    for estimator in chosen:
        try:
            records.append(measure_rank(sketch, estimator, **about))
        except SonoscaleError as error:
            undefined[estimator.name] = str(error)
    return records, undefined


def _warnings(sketch: SpectralSketch, estimator: Estimator, value: float, spectrum: np.ndarray) -> list[str]:
    n, dim, energy = sketch.n, sketch.dim, sketch.mean_energy()
    found = []
    if sketch.omitted:
        found.append(f"{sketch.omitted} embeddings with NaN or infinity were left out")
    if n < dim:
        found.append(f"n = {n} is under dim = {dim}: no rank can exceed n, and all say more of n than of the encoder")
    elif n < ROWS_PER_DIM * dim:
        found.append(
            f"n = {n} is under 8 * dim = {ROWS_PER_DIM * dim}: not yet what many clips would show (ranks come out low)"
        )
    if estimator.about == "uncentred" and energy > 0.9:
        found.append(f"the mean holds {energy:.1%} of the energy: the uncentred spectrum mostly shows it")
    most = min(n - estimator.centred, dim)
    ceiling = 1.0 if estimator.name in ("rankme_normalised", "rankme_lightly") else float(most)
    if estimator.name.startswith("rankme") and most > 1 and value > 0.95 * ceiling:
        found.append(f"the rank is within 5% of its ceiling {ceiling:g}")
    unresolved = int((spectrum[: max(1, most)] == 0).sum())
    if unresolved:
        found.append(
            f"{unresolved} singular values are zero or under 4e-8 of the largest, which a Gram matrix cannot tell "
            'apart: method="qr" can'
            if sketch.method == "gram"
            else f"{unresolved} singular values are zero: dimensions that repeat others, or are constant"
        )
    return found
