"""`read_runs`: a file, a study's folder or columns as the one table of runs, with its rules."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sonoscale.errors import SonoscaleError
from sonoscale.laws import read_runs


@pytest.fixture
def study(tmp_path):
    rows = [
        {"run": run, "label": run, "seed": 0, "step": step, "mask_ratio": None if run == "b" else 0.75, "rankme": 10.0}
        | {"task": task, "protocol": "linear/1", "metric": "accuracy", "score": score + step / 100, "chance": 0.1}
        for run in ("b", "a")
        for step in (10, 20)
        for task, score in (("word", 0.5), ("esc10", 0.3))
        if (run, step, task) != ("b", 20, "word")
    ]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "ledger.parquet")
    return tmp_path


def test_a_study_has_one_row_per_run_and_checkpoint(study):
    table = read_runs(study)
    assert table["run"].tolist() == ["a", "a", "b", "b"]
    np.testing.assert_allclose(table["quality"], [0.5, 0.6, 0.5, np.nan])
    np.testing.assert_allclose(table["score:word"], [0.6, 0.7, 0.6, np.nan])
    np.testing.assert_allclose(table["score:esc10"], [0.4, 0.5, 0.4, 0.5])
    np.testing.assert_array_equal(table["mask_ratio"], [0.75, 0.75, np.nan, np.nan])
    assert "task" not in table.columns
    assert {len(column) for column in table.columns.values()} == {4}


def test_several_protocols_are_kept_apart(study):
    ledger = pq.read_table(study / "ledger.parquet")
    other = [row | {"protocol": "knn/1", "score": 0.2} for row in ledger.to_pylist()]
    pq.write_table(pa.Table.from_pylist(ledger.to_pylist() + other), study / "ledger.parquet")
    table = read_runs(study)
    np.testing.assert_allclose(table["score:esc10:knn/1"], 0.2)
    np.testing.assert_allclose(table["score:esc10:linear/1"], [0.4, 0.5, 0.4, 0.5])


def test_a_file_is_read_as_a_table(tmp_path):
    (tmp_path / "runs.csv").write_text("x,y\n1,2\n")
    assert read_runs(tmp_path / "runs.csv", y="y")["y"].tolist() == [2]


def test_refuses_and_says_what_it_wants(study, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(SonoscaleError, match=r"empty: a folder without a ledger.parquet: give a study's folder"):
        read_runs(tmp_path / "empty")
    with pytest.raises(SonoscaleError, match=r"none.csv: no such table"):
        read_runs(tmp_path / "none.csv")
    pq.write_table(pa.table({"x": [1]}), study / "ledger.parquet")
    with pytest.raises(SonoscaleError, match=r"not the ledger of a study: no column protocol, run, score, step, task"):
        read_runs(study)
    pq.write_table(pa.table({"x": pa.array([], pa.int64())}), study / "ledger.parquet")
    with pytest.raises(SonoscaleError, match="no run of this study is finished"):
        read_runs(study)
    (study / "ledger.parquet").write_text("x")
    with pytest.raises(SonoscaleError, match="not readable as Parquet"):
        read_runs(study)


def test_reading_tables_needs_no_slow_import():
    """SciPy's statistics alone take most of a second."""
    heavy = "{'scipy.stats', 'scipy.optimize', 'scipy.special', 'pyarrow', 'pandas', 'matplotlib'}"
    code = f"import sys, sonoscale.laws; sys.exit(', '.join({heavy} & set(sys.modules)) or 0)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr


def test_several_readouts_are_kept_apart_and_the_first_is_quality(study):
    old = pq.read_table(study / "ledger.parquet").to_pylist()
    quality = read_runs(study)["quality"]
    other = [row | {"readout": "mean+std", "score": 0.9} for row in old]
    for first in (old, [row | {"readout": "mean"} for row in old]):
        pq.write_table(pa.Table.from_pylist([row | {"readout": row.get("readout")} for row in first + other]),
                       study / "ledger.parquet")  # fmt: skip
        table = read_runs(study)
        np.testing.assert_allclose(table["quality"], quality)
        np.testing.assert_allclose(table["score:esc10:mean"], [0.4, 0.5, 0.4, 0.5])
        np.testing.assert_allclose(table["score:esc10:mean+std"], 0.9)
        assert "readout" not in table.columns
    pq.write_table(pa.Table.from_pylist(other), study / "ledger.parquet")
    np.testing.assert_allclose(read_runs(study)["score:esc10"], 0.9)  # one alone needs no name
