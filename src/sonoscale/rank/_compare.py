"""Which numbers may be compared, and by how much they differ."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from sonoscale.arguments import check_arguments
from sonoscale.errors import SonoscaleError
from sonoscale.rank._estimators import Estimator, get_estimator
from sonoscale.rank._interval import check_level, paired
from sonoscale.rank._record import RankRecord
from sonoscale.rank._sketch import SpectralSketch

FIXED = ("estimator", "eps", "centred", "n", "corpus", "mean_seconds", "layer", "omitted", "dtype")
"""What must be the same for two ranks to say something about two encoders."""


@dataclass(frozen=True)
class Difference:
    """`value` is second minus first, `low` to `high` its interval at `level`; `paired` if over the same clips."""

    value: float
    low: float
    high: float
    level: float
    paired: bool

    @property
    def significant(self) -> bool:
        """Whether the interval excludes zero."""
        return self.low > 0.0 or self.high < 0.0


def check_comparable(first: RankRecord, second: RankRecord, *, vary: Collection[str] = ()) -> None:
    """Refuse to compare numbers that were measured differently.

    Arguments:
        vary: fields that may differ because they are what is compared, such as `layer`.

    Raises:
        SonoscaleError: the fields of `FIXED` in which the records differ.

    Example:
        >>> import numpy as np
        >>> from sonoscale.rank import rankme
        >>> clips = np.random.default_rng(0).standard_normal((100, 4))
        >>> check_comparable(rankme(clips), rankme(clips[:50]))
        Traceback (most recent call last):
        sonoscale.errors.SonoscaleError: these ranks were measured differently and cannot be compared: n (100 and 50); \
measure them alike, or force=True
    """
    check_arguments(check_comparable, locals())
    differing = [
        f"{key} ({getattr(first, key)!r} and {getattr(second, key)!r})"
        for key in FIXED
        if key not in vary and getattr(first, key) != getattr(second, key)
    ]
    if differing:
        raise SonoscaleError(
            f"these ranks were measured differently and cannot be compared: {', '.join(differing)}; "
            "measure them alike, or force=True"
        )


def compare(first: RankRecord, second: RankRecord, *, force: bool = False, vary: Collection[str] = ()) -> Difference:
    """Second minus first, from two records alone, as if their errors were independent.

    Over the same clips they are not: `compare_sketches` is then much sharper.

    Arguments:
        first, second: records.
        force: compare also what was measured differently.
        vary: fields that may differ, see `check_comparable`.

    Returns:
        The difference, with an interval at the level of the records.

    Raises:
        SonoscaleError: measured differently (see `check_comparable`), unless forced; or at different levels.

    Example:
        >>> import numpy as np
        >>> from sonoscale.rank import rankme
        >>> clips = np.random.default_rng(0).standard_normal((1000, 16))
        >>> difference = compare(rankme(clips), rankme(clips * np.linspace(1, 2, 16)))
        >>> print(f"{difference.value:+.2f}", difference.paired)
        -0.35 False
    """
    check_arguments(compare, locals())
    if not force:
        check_comparable(first, second, vary=vary)
    if first.level != second.level:
        raise SonoscaleError(f"intervals at levels {first.level} and {second.level} cannot be joined")
    value = second.value - first.value
    # The half-widths towards the difference, added as independent errors.
    down = ((second.value - second.low) ** 2 + (first.high - first.value) ** 2) ** 0.5
    up = ((second.high - second.value) ** 2 + (first.value - first.low) ** 2) ** 0.5
    return Difference(value, value - down, value + up, first.level, paired=False)


def compare_sketches(
    first: SpectralSketch, second: SpectralSketch, estimator: str | Estimator = "rankme", *, level: float = 0.95
) -> Difference:
    """Second minus first where row i of both is the same clip, with a paired jackknife interval.

    Arguments:
        first, second: sketches of the same clips in the same order by two encoders, with as many blocks.
        estimator: see `rankme`.
        level: coverage of the interval.

    Returns:
        The difference, with its interval.

    Raises:
        SonoscaleError: not the same number of rows in each block, so that they cannot be the same clips.

    Example:
        >>> import numpy as np
        >>> clips = np.random.default_rng(0).standard_normal((1000, 16))
        >>> first, second = SpectralSketch(16), SpectralSketch(16)
        >>> first.update(clips)
        >>> second.update(clips * np.linspace(1, 2, 16))
        >>> difference = compare_sketches(first, second)
        >>> print(f"{difference.value:+.2f}", difference.significant)
        -0.35 True
    """
    check_arguments(compare_sketches, locals())
    check_level(level)
    chosen = get_estimator(estimator) if isinstance(estimator, str) else estimator
    counts = [[part.count for part in sketch.parts()] for sketch in (first, second)]
    if counts[0] != counts[1] or first.omitted_rows != second.omitted_rows:
        raise SonoscaleError(
            f"the sketches do not hold the same clips in the same order: {first.n} rows in {first.blocks} blocks, "
            f"and {second.n} in {second.blocks}, or other rows omitted"
        )
    found = paired(first, second, chosen.compute, chosen.about)
    half = found.half_width(level)
    return Difference(found.value, found.value - half, found.value + half, level, paired=True)
