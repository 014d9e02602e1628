"""From embeddings to records."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterable, Sequence
from os import PathLike
from typing import Any

import numpy as np

from sonoscale import __version__
from sonoscale.arguments import check_arguments
from sonoscale.errors import SonoscaleError, in_one_line
from sonoscale.rank._estimators import ESTIMATORS, Estimator, get_estimator
from sonoscale.rank._files import EmbeddingFile
from sonoscale.rank._hypersphere import uniformity
from sonoscale.rank._interval import NO_INTERVAL, check_level, jackknife
from sonoscale.rank._neighbours import two_nn
from sonoscale.rank._record import RankRecord
from sonoscale.rank._rows import NanPolicy
from sonoscale.rank._sketch import Method, SpectralSketch
from sonoscale.rank._sources import as_sketch

ROWS_PER_DIM = 8
"""Fewer embeddings per dimension than this earn a warning."""

DEFAULT = "rankme"


@in_one_line
def rankme(
    embeddings: Any,
    *,
    estimator: str | Estimator = DEFAULT,
    level: float = 0.95,
    interval: bool = True,
    groups: Sequence[Hashable] | np.ndarray | None = None,
    blocks: int = 16,
    method: Method = "gram",
    nan_policy: NanPolicy = "raise",
    key: str | None = None,
    encoder: str = "",
    corpus: str = "",
    layer: int | None = None,
    mean_seconds: float | None = None,
) -> RankRecord:
    """The effective rank of embeddings, with an interval.

    RankMe is the exponential of the entropy of the normalised singular values (Garrido et al., arXiv 2210.02885);
    other estimators by name. The interval is `value ± t * se`, with the delete-one-block jackknife's standard error
    over the blocks and t of blocks - 1 degrees of freedom, cut off at the bounds of the estimator.

    Arguments:
        embeddings: `[n, dim]` of floats: a NumPy array, a torch tensor, nested lists, a pandas or Polars frame (a
            column of lists, or the float columns as dimensions), the path of a file that `open_embeddings` reads, or
            a `SpectralSketch`.
        estimator: a name of `ESTIMATORS`, `renyi_<order>[_centred]`, or an `Estimator` of your own.
        level: coverage of the interval, in (0, 1).
        interval: False leaves it out (NaN), which saves one eigenvalue problem per block.
        groups: what each row belongs to (a recording, a speaker), if rows of one group resemble each other; see
            `SpectralSketch.update`.
        blocks, method, nan_policy: as for `SpectralSketch`; a sketch has its own.
        key: which array of a file, or which column of lists of a frame.
        encoder, corpus, layer, mean_seconds: kept in the record: identities, layer, mean duration of the clips in s.

    Returns:
        the record; its `warnings` say what should stop a reader from trusting it.

    Raises:
        SonoscaleError: not embeddings (wrong shape or dtype, NaN, a file that cannot be read), or the estimator is
            not defined for them.

    Example:
        >>> import numpy as np
        >>> embeddings = np.random.default_rng(0).standard_normal((2048, 96)) * np.arange(1, 97) ** -0.5
        >>> rankme(embeddings)
        RankMe 80.67 [80.42, 80.93] of 2,048 x 96 embeddings
        >>> round(rankme(embeddings, estimator="participation_ratio").value, 1)
        16.3
    """
    check_arguments(rankme, locals())
    if not encoder and isinstance(embeddings, (str, PathLike, EmbeddingFile)):
        encoder = str(embeddings.path if isinstance(embeddings, EmbeddingFile) else embeddings)
    sketch = as_sketch(embeddings, groups=groups, blocks=blocks, method=method, nan_policy=nan_policy, key=key)
    return measure_rank(
        sketch, estimator, level=level, interval=interval, encoder=encoder, corpus=corpus, layer=layer,
        mean_seconds=mean_seconds,
    )  # fmt: skip


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
    """`rankme` of what a sketch has seen, for other floors; embeddings in other forms are sketched first."""
    sketch = as_sketch(sketch)
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


@in_one_line
def measure_all(
    sketch: Any, estimators: Iterable[str | Estimator] | None = None, **about: Any
) -> tuple[list[RankRecord], dict[str, str]]:
    """Every estimator on one sketch.

    Arguments:
        sketch: the embeddings; also in any other form that `rankme` takes.
        estimators: which, all of `ESTIMATORS` if None.
        about: `level`, `interval`, `encoder`, `corpus`, `layer`, `mean_seconds` as for `rankme`.

    Returns:
        the records, and the reasons for those that are not defined here, by name.

    Raises:
        SonoscaleError: the sketch is empty, or no such estimator.

    Example:
        >>> import numpy as np
        >>> records, undefined = measure_all(np.random.default_rng(0).standard_normal((400, 12)))
        >>> len(records), undefined
        (20, {'alpha_req': 'alpha-ReQ needs at least 5 positive eigenvalues of index 11 to 100, and 2 are there'})
    """
    check_arguments(measure_all, locals())
    sketch = as_sketch(sketch)
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
    if sketch.zeros > 1:
        found.append(
            f"{sketch.zeros:,} of {n:,} embeddings ({sketch.zeros / n:.1%}) hold nothing but zeros: were they never "
            "written, as by a job that was killed?"
        )
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
            f"{unresolved} singular values are zero or under 4e-8 of the largest, which a Gram matrix does not "
            'resolve: method="qr" does'
            if sketch.method == "gram"
            else f"{unresolved} singular values are zero: dimensions that repeat others, or are constant"
        )
    return found


_ON_ROWS: dict[str, Callable[[np.ndarray], float]] = {
    "two_nn": lambda rows: two_nn(rows).value,
    "uniformity": uniformity,
}


def sample_records(
    rows: np.ndarray, *, dtype: str = "", level: float = 0.95, encoder: str = "", corpus: str = ""
) -> tuple[list[RankRecord], dict[str, str]]:
    """What needs pairs of embeddings, of a sample: TwoNN intrinsic dimension and uniformity, without intervals.

    Arguments:
        rows: `[n, dim]`, float64.
        dtype: what the embeddings were before.
        level, encoder, corpus: as for `rankme`.

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
