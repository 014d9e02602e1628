"""Which points of a sweep a design takes. All are deterministic, and say what a larger one keeps of a smaller."""

from __future__ import annotations

import importlib
import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sonoscale.errors import SonoscaleError
from sonoscale.study._axes import Axis
from sonoscale.study._config import DesignConfig

__all__ = ["Point", "design_points", "fractional", "latin_hypercube", "sobol"]

Array = NDArray[np.float64]

_MOST_COMBINATIONS = 20_000  # of which a fractional design can choose
_EXCHANGES = 50  # rounds, at most
_STARTS = 60  # of the search, at most
_WORK = 3 * 10**7  # combinations times effects times points of all starts


@dataclass(frozen=True)
class Point:
    """One point of a design.

    Attributes:
        levels: axis -> values of its keys; axes that stay at the base are not there.
        corner: whether each axis is at an end (of one-at-a-time: the axis that is moved).
        slice: FLOPs, of an IsoFLOP slice.
    """

    levels: dict[str, dict[str, Any]]
    corner: bool
    slice: float | None = None


def design_points(design: DesignConfig, axes: Sequence[Axis]) -> Iterator[Point]:
    """The points of a design over its axes, those of isoflop over those of one slice, the base first where it is in.

    Adding values to an axis keeps the points that there are in one-at-a-time, grid and isoflop; adding points keeps
    them in sobol, and in fractional and latin-hypercube where they are added as another number: `points: [12, 12]`.

    Raises:
        SonoscaleError: the design needs a number of values of an axis that is continuous, or cannot be made.
    """
    kind = design.kind
    if design.centre or (design.centre is None and kind == "one-at-a-time"):
        yield Point({}, False)
    if kind in ("sobol", "latin-hypercube"):
        if not axes:
            raise SonoscaleError(f"design {kind}: sweep is empty: there is nothing to spread the points over")
        make = sobol if kind == "sobol" else latin_hypercube
        for row in make(len(axes), design.points or (), design.seed).tolist():
            yield _point(axes, [axis.at(share) for axis, share in zip(axes, row, strict=True)])
        return
    for axis in axes:
        if axis.levels is None:
            raise SonoscaleError(
                f"sweep.{axis.name}: give n, the number of values in the range: design {kind} takes these, and only "
                "sobol and latin-hypercube any in between"
            )
    if kind == "one-at-a-time":
        for axis in axes:
            for level in axis.levels or ():
                yield _point([axis], [level])
    elif kind == "fractional":
        for row in fractional([len(axis.levels or ()) for axis in axes], design.points or ()):
            yield _point(axes, [(axis.levels or ())[i] for axis, i in zip(axes, row, strict=True)])
    else:
        for combination in itertools.product(*(axis.levels or () for axis in axes)):
            yield _point(axes, combination)


def _point(axes: Sequence[Axis], levels: Sequence[dict[str, Any]]) -> Point:
    corner = bool(axes) and all(level in axis.ends for axis, level in zip(axes, levels, strict=True))
    return Point({axis.name: level for axis, level in zip(axes, levels, strict=True)}, corner)


def sobol(axes: int, points: Sequence[int], seed: int) -> Array:
    """The first points of a scrambled Sobol sequence.

    Arguments:
        axes: number of them, d.
        points: how many, as a sum.
        seed: of the scrambling.

    Returns:
        [points, d] in [0, 1); the first n do not depend on how many there are.

    Example:
        >>> bool((sobol(3, [12], 0) == sobol(3, [12, 20], 0)[:12]).all())
        True
    """
    qmc: Any = importlib.import_module("scipy.stats.qmc")  # seed has another name in the stubs of later versions
    n = sum(points)
    return qmc.Sobol(axes, seed=seed).random_base2(math.ceil(math.log2(max(n, 2))))[:n]


def latin_hypercube(axes: int, points: Sequence[int], seed: int) -> Array:
    """A Latin hypercube with points added to it.

    Each further number of points cuts each axis into as many strata as there then are points, and puts the new ones
    into empty strata, which makes a Latin hypercube of all wherever the total is a multiple of what there was.

    Arguments:
        axes: number of them, d.
        points: how many at first, and how many were added each time.
        seed: of all choices.

    Returns:
        [points, d] in [0, 1).

    Example:
        >>> import numpy as np
        >>> both = latin_hypercube(2, [4, 4], 0)
        >>> np.sort((both * 8).astype(int), axis=0).T.tolist()
        [[0, 1, 2, 3, 4, 5, 6, 7], [0, 1, 2, 3, 4, 5, 6, 7]]
    """
    qmc: Any = importlib.import_module("scipy.stats.qmc")
    tried = [qmc.LatinHypercube(axes, seed=np.random.default_rng([seed, 0, i])).random(points[0]) for i in range(100)]
    found: Array = min(tried, key=qmc.discrepancy)
    for block, more in enumerate(points[1:], start=1):
        rng = np.random.default_rng([seed, block])
        total = len(found) + more
        new = np.empty((more, axes))
        for axis in range(axes):
            empty = np.setdiff1d(np.arange(total), (found[:, axis] * total).astype(int))
            new[:, axis] = (rng.permutation(empty)[:more] + rng.random(more)) / total
        found = np.concatenate([found, new])
    return found


def fractional(sizes: Sequence[int], points: Sequence[int]) -> list[tuple[int, ...]]:
    """Of all combinations of levels, those that determine the main effects best.

    Bayesian D-optimal (DuMouchel and Jones, Technometrics 36, 1994): of all sets of so many different combinations, the
    determinant of the information on the main effect of each level is largest, where interactions of two axes are
    taken to be small rather than none, which keeps them apart from main effects as far as possible. Where there is a
    regular fraction of two-level axes, that is what it finds.

    Arguments:
        sizes: number of levels of each axis.
        points: how many at first, and how many were added each time.

    Returns:
        The level of each axis at each point.

    Raises:
        SonoscaleError: fewer points than main effects, or more than combinations.

    Example:
        >>> half = fractional([2, 2, 2], [4])
        >>> {sum(point) % 2 for point in half} in ({0}, {1})
        True
    """
    combinations = math.prod(sizes)
    effects = 1 + sum(size - 1 for size in sizes)
    if combinations > _MOST_COMBINATIONS:
        raise SonoscaleError(
            f"design fractional: {combinations:,} combinations are too many to choose from ({_MOST_COMBINATIONS:,}): "
            "list fewer values, or use sobol or latin-hypercube"
        )
    if points[0] < effects:
        raise SonoscaleError(
            f"design fractional: points = {points[0]} cannot tell {effects} main effects (one, and one less than the "
            "values of each axis): give more points or fewer values"
        )
    if sum(points) > combinations:
        raise SonoscaleError(
            f"design fractional: points = {sum(points)}, but there are {combinations} combinations: use grid"
        )
    grid = np.array(list(itertools.product(*map(range, sizes))))
    X, prior = _effects(grid, sizes)
    chosen: list[int] = []
    for count in points:
        chosen += _d_optimal(X, prior, chosen, count)
    return [tuple(grid[i].tolist()) for i in chosen]


def _effects(grid: NDArray[np.int_], sizes: Sequence[int]) -> tuple[Array, Array]:
    """Columns of the main effects and of interactions [m, p], and the prior precision of each [p]."""
    per_axis = []
    for axis, size in enumerate(sizes):
        x = np.linspace(-1.0, 1.0, size) if size > 1 else np.zeros(1)
        basis = np.linalg.qr(np.vander(x, size, increasing=True))[0][:, 1:] * math.sqrt(size)
        per_axis.append(basis[grid[:, axis]])  # [m, size - 1], orthogonal over the grid
    main = np.column_stack([np.ones(len(grid)), *per_axis])
    pairs = [a[:, :1] * b[:, :1] for a, b in itertools.combinations(per_axis, 2) if a.shape[1] and b.shape[1]]
    X = np.column_stack([main, *pairs])
    return X, np.concatenate([np.full(main.shape[1], 1e-6), np.full(len(pairs), 40.0)])


def _d_optimal(X: Array, prior: Array, fixed: list[int], count: int) -> list[int]:
    """Rows of X [m, p] to add to the fixed ones: the best of some starts, improved by exchanges (Fedorov, 1972)."""
    rng = np.random.default_rng(0)
    left = np.setdiff1d(np.arange(len(X)), fixed)
    found = []
    for _ in range(max(1, min(_STARTS, _WORK // (len(X) * X.shape[1] * count)))):
        chosen = _exchanged(X, prior, fixed, rng.permutation(left)[:count].tolist())
        rows = X[[*fixed, *chosen]]
        found.append((round(float(np.linalg.slogdet(rows.T @ rows + np.diag(prior))[1]), 6), sorted(chosen)))
    return min(found, key=lambda one: (-one[0], one[1]))[1]


def _exchanged(X: Array, prior: Array, fixed: list[int], start: list[int]) -> list[int]:
    chosen, taken = list(start), np.zeros(len(X), dtype=bool)
    taken[[*fixed, *start]] = True
    V = np.linalg.inv(X[taken].T @ X[taken] + np.diag(prior))
    for _ in range(_EXCHANGES):
        changed = False
        for place, old in enumerate(chosen):
            XV = X @ V
            own, with_old = (XV * X).sum(axis=1), XV @ X[old]
            gain = (1.0 + own) * (1.0 - own[old]) + with_old**2  # of the determinant
            new = _best(np.where(taken, -np.inf, gain))
            if gain[new] > 1.0 + 1e-6:
                taken[old], taken[new], changed = False, True, True
                chosen[place] = new
                V = np.linalg.inv(X[taken].T @ X[taken] + np.diag(prior))
        if not changed:
            break
    return chosen


def _best(values: Array) -> int:
    """The first of the largest, to a precision that all machines share."""
    return int(np.argmax(values >= values.max() - 1e-6 * max(1.0, abs(values.max()))))
