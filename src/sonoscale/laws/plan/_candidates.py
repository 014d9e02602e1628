"""The designs among which a plan chooses."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sonoscale.errors import SonoscaleError
from sonoscale.laws.plan._value import Array

__all__ = ["Columns", "DesignCost", "affordable", "grid", "ladder"]

Columns = dict[str, NDArray[Any]]
DesignCost = Callable[[Mapping[str, NDArray[Any]]], Mapping[str, Array]]

_MOST = 20_000  # candidates, before the amounts of data


def ladder(values: NDArray[Any], *, beyond: bool = True) -> NDArray[Any]:
    """Values to try: those seen, their geometric means by pairs, and one step above the largest.

    Whole numbers stay multiples of what all seen ones are multiples of. Values between 0 and 1 (ratios), and
    those that are not above zero, are tried as they were seen. Text is tried level by level.
    """
    seen = np.unique(values)
    if seen.dtype.kind not in "iuf":
        return seen
    if not (seen > 0).all() or bool((seen < 1).all()) or len(seen) < 2:
        return seen.astype(np.float64)
    steps = np.sqrt(seen[:-1].astype(np.float64) * seen[1:])
    above = [float(seen[-1]) ** 2 / float(seen[-2])] if beyond else []
    found = np.array([*steps.tolist(), *above])
    if (seen == np.round(seen)).all() and seen.max() < 2**53:
        unit = float(np.gcd.reduce(seen.astype(np.int64)))
        found = unit * np.maximum(np.round(found / unit), 1.0)
    return np.unique(np.concatenate([seen.astype(np.float64), found]))


def grid(ladders: Mapping[str, NDArray[Any]]) -> Columns:
    """All combinations, as columns.

    Raises:
        SonoscaleError: Where there are too many to be tried.
    """
    count = int(np.prod([len(values) for values in ladders.values()]))
    if count > _MOST:
        told = ", ".join(f"{name} ({len(values)})" for name, values in ladders.items())
        raise SonoscaleError(f"{count:,} designs are more than {_MOST:,}: leave out a variable of {told}")
    places = np.array(list(itertools.product(*(range(len(values)) for values in ladders.values()))), dtype=np.intp)
    places = places.reshape(count, len(ladders))
    return {name: values[places[:, i]] for i, (name, values) in enumerate(ladders.items())}


def affordable(shapes: Columns, amount: str, seen: Array, cost: DesignCost, budgets: Mapping[str, float]) -> Columns:
    """Each shape with each amount seen that the budgets allow (the least one at any rate), and with all they allow.

    What rises with the amount is taken to rise in proportion to it.
    """
    size = len(next(iter(shapes.values()))) if shapes else 1
    most = np.full(size, budgets.get(amount, np.inf))
    one, two = (cost(shapes | {amount: np.full(size, k * float(seen.min()))}) for k in (1.0, 2.0))
    for name, cap in budgets.items():
        if name in one and name != amount:
            grown = np.asarray(two[name]) > np.asarray(one[name])
            with np.errstate(invalid="ignore", divide="ignore"):
                most = np.where(grown, np.minimum(most, cap * float(seen.min()) / np.asarray(one[name])), most)
    if (seen == np.round(seen)).all():
        most = np.floor(most * (1.0 + 1e-12))
    rows, amounts = [], []
    beyond = ladder(seen)[-1:].tolist()
    for i in range(size):
        tried = seen[seen <= most[i]].tolist() or [seen[0]]  # the least, so that its cost can be told
        tried += beyond if np.isinf(most[i]) else [most[i]] if most[i] > seen[0] else []
        tried = sorted(set(tried))
        rows += [i] * len(tried)
        amounts += tried
    return {name: values[rows] for name, values in shapes.items()} | {amount: np.array(amounts, dtype=np.float64)}
