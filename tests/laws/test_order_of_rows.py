"""The order of the rows in a file changes no number."""

from typing import Any

import numpy as np
import pytest

import sonoscale as so

RNG = np.random.default_rng(3)
N, D = (column.ravel() for column in np.meshgrid(np.geomspace(1e7, 1e9, 5), np.geomspace(1e9, 1e11, 5)))
LOSS = (1.7 + 400 / N**0.34 + 1200 / D**0.36) * np.exp(0.01 * RNG.standard_normal(25))
RUNS = {"params": N, "tokens": D, "loss": LOSS, "config": [f"c{i // 2}" for i in range(25)]}
VERBS = {
    "fit": lambda runs: so.fit(runs, ["params", "tokens"], y="loss", form="chinchilla", bootstrap=80),
    "auto": lambda runs: so.fit(runs, "params", y="loss"),
    "compare": lambda runs: so.compare(runs, ["params", "tokens"], y="loss", bootstrap=80),
    "plan": lambda runs: so.plan(runs, flops=1e21, y="loss", bootstrap=80),
    "design": lambda runs: so.plan(runs, design=["params", "tokens"], limits={"tokens": 1e11}, y="loss", bootstrap=80),
}


def numbers(found: Any, path: str = "") -> dict[str, float]:
    """All numbers of a result by their places; not times, nor the places of rows."""
    if isinstance(found, dict):
        return {k: v for key, one in found.items() for k, v in numbers(one, f"{path}.{key}").items()}
    if isinstance(found, list):
        return {k: v for i, one in enumerate(found) for k, v in numbers(one, f"{path}[{i}]").items()}
    own = isinstance(found, float) and "seconds" not in path and "outliers" not in path
    return {path: found} if own else {}


@pytest.mark.parametrize("verb", VERBS)
def test_the_order_of_rows_changes_no_number(verb):
    order = RNG.permutation(25)
    shuffled = {name: np.asarray(values)[order] for name, values in RUNS.items()}
    first, again = (numbers(VERBS[verb](runs).as_dict()) for runs in (RUNS, shuffled))
    assert len(first) > 10
    assert again == pytest.approx(first, rel=1e-6)
