"""Steps from a design: one variable doubled, and the runs that would lower its error most."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sonoscale.errors import SonoscaleError
from sonoscale.laws._runs import numbered
from sonoscale.laws.loglinear import LogLinear
from sonoscale.laws.plan._candidates import Columns, DesignCost, grid, ladders, plain_item, usual_value
from sonoscale.laws.plan._evidence import Doubling
from sonoscale.laws.plan._next import NextRuns, choose_runs, covariance_of, repeats_of, resampled_errors
from sonoscale.laws.plan._surface import estimate_of

__all__ = ["design_doublings", "design_next_runs"]


def design_doublings(
    law: LogLinear, design: Columns, best: Mapping[str, Any], cost: DesignCost | None, unit: float
) -> tuple[Doubling, ...]:
    """Each number above zero doubled, at the best design and at the middle of the data.

    Variables in 0..1 (ratios) are left out: to double them would mean nothing. The middle is the value of the data
    that is nearest to the geometric mean, and the level that is most frequent.
    """
    middle = {name: _middle(values) for name, values in design.items()}
    found = []
    for at, point in (("the plan", dict(best)), ("the centre of the data", middle)):
        for name, values in design.items():
            if values.dtype.kind not in "iuf" or not (values > 0).all() or bool((values < 1).all()):
                continue
            rows: Columns = {
                key: np.array([point[key], 2 * point[key] if key == name else point[key]], dtype=design[key].dtype)
                for key in design
            }
            centre, X, _ = law._expect(rows)
            draws = law._draws @ X.T  # [R, 2]
            back = law._scale.back
            change = unit * (back(draws[:, 1]) - back(draws[:, 0]))
            value = estimate_of(
                change, unit * float(back(centre[1:])[0] - back(centre[:1])[0]), level=law.level, factor=law._factor
            )
            flops = None
            if cost is not None:
                spent = np.asarray(cost(rows).get("flops", np.full(2, np.nan)))
                flops = float(spent[1] - spent[0]) if np.isfinite(spent).all() else None
            found.append(Doubling(variable=name, at=at, change=value, flops=flops))
    return tuple(found)


def design_next_runs(
    law: LogLinear,
    design: Columns,
    silent: Sequence[str],
    amount: str | None,
    cost: DesignCost | None,
    best: Mapping[str, Any],
    most: float | None,
    count: int,
    clusters: NDArray[np.intp],
) -> NextRuns:
    """Among designs as tried and one step beyond, those that would lower the error of y at the best design most.

    Rows of one cluster count together as one run. No two differ only in variables that are silent (without a shown
    effect): they would be seeds of one configuration.

    Raises:
        SonoscaleError: Where no candidate costs as little as `most`.
    """
    candidates = grid(ladders(design, silent, as_tried=amount))
    flops = np.full(len(next(iter(candidates.values()))), np.nan)
    if cost is not None:
        flops = np.asarray(cost(candidates).get("flops", flops))
    if most is not None:
        kept = flops <= most * (1.0 + 1e-9)
        if not kept.any():
            raise SonoscaleError(
                f"no next run costs at most {most:.3g} FLOPs: the cheapest that could be tried costs "
                f"{np.nanmin(flops):.3g}"
            )
        candidates, flops = {name: values[kept] for name, values in candidates.items()}, flops[kept]
    weights = np.full(len(clusters), (clusters.max() + 1) / len(clusters))
    X = law._expect(design)[1]
    V = covariance_of(X, weights, law.within)
    aim = law._expect({name: np.array([value]) for name, value in best.items()})[1][0]
    kinds = numbered(list(zip(*(candidates[name].tolist() for name in design if name not in silent), strict=True)))
    order, variances = choose_runs(V, law._expect(candidates)[1], aim, law.within, count, kinds)
    before, after = resampled_errors(law._draws @ aim, float(aim @ V @ aim), variances)
    return NextRuns(
        runs=tuple({name: plain_item(values[i]) for name, values in candidates.items()} for i in order),
        flops=tuple(float(flops[i]) if np.isfinite(flops[i]) else None for i in order),
        repeats=repeats_of({name: values[order] for name, values in candidates.items()}, design),
        most=most, before=before, after=after,
        of=f"{law._scale.text.format(law.y)} at the plan",
    )  # fmt: skip


def _middle(values: NDArray[Any]) -> Any:
    if values.dtype.kind not in "iuf":
        return usual_value(values)
    distinct = np.unique(values)
    if not (values > 0).all():
        return distinct[np.abs(distinct - np.median(values)).argmin()]
    return distinct[np.abs(np.log(distinct) - np.log(values).mean()).argmin()]
