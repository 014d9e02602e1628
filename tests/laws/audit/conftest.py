"""Tables of runs whose truth is known."""

import numpy as np
import pytest

from sonoscale.laws import read_runs
from sonoscale.laws.audit._audit import rule
from sonoscale.laws.audit._gather import gather


def world(count, seed, *, extra=0.0, capacity=1.0, bend=False, families=0, seeds=1, spread=0.0, noise=0.4, tails=False):
    """Runs of `count` configurations.

    `extra`: weight of what rank knows of quality beyond capacity. `capacity`: weight of capacity in quality.
    `bend`: quality and rank saturate in parameters. `spread`: of seeds.
    """
    rng = np.random.default_rng(seed)
    size, data = rng.uniform(0, 6, count), rng.uniform(0, 5, count)
    family = rng.integers(0, max(families, 1), count)
    offset = rng.normal(size=max(families, 1)) if families else np.zeros(1)
    grow = (lambda x: 3 - 3 * np.exp(-0.6 * x)) if bend else (lambda x: 0.5 * x)

    def draw():
        return noise * (rng.standard_t(3, count) / np.sqrt(3) if tails else rng.normal(size=count))

    known = draw()
    rank = grow(size) + 0.3 * data + offset[family] + draw() + known
    quality = capacity * (grow(size) + 0.2 * data + offset[family]) + extra * known + draw()
    again = np.repeat(np.arange(count), seeds)
    table = {
        "params": np.exp(13 + size)[again],
        "hours": np.exp(data)[again],
        "rank": np.exp(2 + 0.2 * (rank[again] + spread * rng.normal(size=len(again)))),
        "quality": 0.4 + 0.02 * (quality[again] + spread * rng.normal(size=len(again))),
        "config": [f"c{i}" for i in again],
    }
    if families:
        table["family"] = [f"family {i}" for i in family[again]]
    return table


@pytest.fixture(scope="session")
def make():
    """`make(count, seed, ...)`: a table of runs."""
    return world


@pytest.fixture(scope="session")
def gathered():
    """`gathered(table, ...)`: its configurations."""

    def call(table, covariates=None, higher_is_better=True):
        family = "family" if "family" in table else None
        runs = read_runs(table, y="quality", clusters="config", family=family, higher_is_better=higher_is_better)
        return gather(runs, rank="rank", covariates=covariates)

    return call


@pytest.fixture(scope="session")
def verdict(gathered):
    """`verdict(table)`: by the rules alone, which is quicker than an audit."""

    def call(table, **options):
        return rule(gathered(table, **options), level=0.95, bootstrap=80, permutations=80, seed=0)[-1].verdict

    return call
