"""The plan that a report makes of its study."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from sonoscale.errors import SonoscaleError
from sonoscale.laws.plan import Allocation, Designed, plan
from sonoscale.report._model import StudyResults

__all__ = ["AHEAD", "held_out_rows", "plan_study"]

AHEAD = 10.0
"""The budget of a plan, unless one is given, over the FLOPs of the most expensive run."""


def plan_study(results: StudyResults, flops: float | None) -> Allocation | Designed | str:
    """What to train next for a budget of FLOPs, or the reason why that cannot be said."""
    if flops is None:
        spent = [point.get("flops") for point in results.points if math.isfinite(point.get("flops"))]
        if not spent:
            return "the ledger has no FLOPs"
        flops = float(f"{AHEAD * max(spent):.1e}")
    try:
        found = plan(results.folder, flops=flops)
    except SonoscaleError as error:
        return str(error)
    return found if isinstance(found, Allocation | Designed) else "the study's runs are in groups"


def held_out_rows(found: Allocation | Designed | str, results: StudyResults) -> list[dict[str, Any]]:
    """Each encoder that the law of a plan was fitted to, as it is predicted without its configuration.

    `inside` is the level of the narrowest of the law's intervals for a new run that holds what was observed.
    """
    if not isinstance(found, Designed):
        return []
    law, runs = found.law, found.runs
    columns = runs.columns
    if not {"run", "step", "config", "label"} <= set(columns):
        return []
    forward, back = law._scale.forward, law._scale.back
    z = forward(np.asarray(runs[law.y] / found.unit, dtype=np.float64))
    predicted = found.unit * back(z - law.missed)
    if law.family is not None:
        return []
    X = law._expect({name: runs[name] for name in law.x})[1]
    may_be = np.abs(law._simulate(X, np.full(len(X), -1, dtype=np.intp)))  # [R, n]
    inside = (may_be <= np.abs(law.missed)).mean(axis=0)
    axis = {point.run: point.axis for point in results.points}
    rows = []
    for i, value in enumerate(predicted.tolist()):
        if math.isfinite(value):
            run = str(columns["run"][i])
            rows.append(
                {
                    "run": run, "config": str(columns["config"][i]), "label": str(columns["label"][i]),
                    "axis": axis.get(run, "base"), "predicted": float(f"{value:.5g}"),
                    "observed": float(f"{float(runs[law.y][i]):.5g}"), "inside": float(inside[i]),
                }
            )  # fmt: skip
    return rows
