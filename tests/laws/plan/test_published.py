"""Published tables: the split that Besiroglu et al. found, and 104 models with the largest held out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sonoscale.laws import read_table
from sonoscale.laws.plan import plan_allocation

TABLES = Path(__file__).parents[4] / "shared" / "data" / "laws"

pytestmark = pytest.mark.skipif(not TABLES.is_dir(), reason=f"the published tables are not in {TABLES}")


def test_exponents_of_the_240_runs():
    table = read_table(TABLES / "chinchilla_fig4_epoch.csv")
    kept = ~np.asarray(table["epoch_excluded_outlier"], dtype=bool)
    assert kept.sum() == 240
    table = {name: values[kept] for name, values in table.items()}
    found = plan_allocation(table, n="N", d="D", y="loss", flops=5.76e23, level=0.8, bootstrap=1000)
    assert found.a.value == pytest.approx(0.514, abs=0.001)  # arXiv 2404.10102: 0.512, interval 0.05 wide
    assert 0.051 < found.a.high - found.a.low < 0.12  # theirs is over resamples alone, ours knows how a moved
    assert found.law["alpha"].value == pytest.approx(0.3473, abs=0.001)
    assert found.law["alpha"].high - found.law["alpha"].low == pytest.approx(0.040, abs=0.006)  # 2.56 * 0.0154
    assert found.law["E"].value == pytest.approx(1.817, abs=0.002)
    assert any("44.5x above the largest" in note for note in found.warnings)


@pytest.mark.parametrize("limit", [3e19, 1e20, 3e20, 1e21])
@pytest.mark.parametrize("outliers", [False, True])
def test_the_optimum_of_the_whole_table_lies_in_the_interval_of_a_part(limit, outliers):
    """Over resamples alone, N and a of all runs lie outside in nearly all of these: the optimum moves."""
    table = read_table(TABLES / "chinchilla_fig4_epoch.csv")
    kept = outliers | ~np.asarray(table["epoch_excluded_outlier"], dtype=bool)
    both = []
    for rows in (kept, kept & (table["C"] <= limit)):
        part = {name: table[name][rows] for name in ("N", "D", "loss")}
        both.append(plan_allocation(part, n="N", d="D", y="loss", flops=10 * limit, bootstrap=80, force=True))
    whole, found = both
    assert whole.n.value in found.n
    assert whole.d.value in found.d
    assert whole.a.value in found.a
    if limit > 3e19:  # below, all that is told is that little is known
        assert found.n.high / found.n.low < 150
        assert found.a.high - found.a.low <= 1.0


@pytest.mark.parametrize("dataset", ["c4_original", "rpj", "rw_original"])
def test_the_largest_models_lie_inside_their_intervals(dataset):
    table = read_table(TABLES / "mlfoundations_scaling_104models.csv")
    rows = table["dataset"] == dataset
    table = {name: values[rows] for name, values in table.items()}
    found = plan_allocation(
        table, n="params", d="tokens", y="loss_c4_val_shard_0000000_0000010_", flops=5.7e21,
        held_out=table["params"] > 1e9, bootstrap=300,
    )  # fmt: skip
    check = found.check
    assert check is not None
    assert len(check.runs) == 3
    assert check.coverage == 1.0
    assert check.error < 0.05
    for one in check.runs:
        assert one.predicted.high / one.predicted.low < 1.4
        assert one.best_y is not None
        assert one.best_y <= one.predicted.value
