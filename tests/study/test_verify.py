"""Runs that are trained again give the numbers of the ledger, and a ledger that says otherwise is found out."""

import shutil

import pyarrow as pa
import pytest
from tests.study.test_end_to_end import run_folders

from sonoscale.errors import SonoscaleError
from sonoscale.study import verify
from sonoscale.study._ledger import read_ledger, write_ledger

pytestmark = pytest.mark.xdist_group("study")


@pytest.mark.e2e
def test_trained_again_the_numbers_are_the_same_and_a_changed_ledger_is_found_out(
    finished, tmp_path, monkeypatch, cache
):
    monkeypatch.setenv("SONOSCALE_CACHE", str(cache))
    out = tmp_path / "out"
    shutil.copytree(finished[0], out)
    (out / "verify").mkdir()
    (out / "verify" / "mine.txt").write_text("mine")  # a folder of somebody else's
    before = {file: file.read_bytes() for file in out.rglob("*") if file.is_file()}
    lines = []
    found = verify(out, retrain=1, workers=1, progress=lines.append)
    assert found.wrong == ()
    assert {row["column"] for row in found.retrained} >= {"loss", "rankme", "rankme_centred", "score"}
    assert all(row["largest_difference"] == 0 for row in found.retrained)
    assert "1 run(s) were trained again: all" in found.headline
    assert any(line.endswith("done") for line in lines)
    assert {file: file.read_bytes() for file in out.rglob("*") if file.is_file()} == before

    (run,) = {row["run"] for row in found.retrained}
    ledger = read_ledger(out / "ledger.parquet")
    rows = ledger.table.select(["run", "score"]).to_pylist()
    scores = pa.array([row["score"] + 0.125 * (row["run"] == run) for row in rows])
    place = ledger.table.column_names.index("score")
    changed = ledger.table.set_column(place, ledger.table.schema.field(place), pa.chunked_array([scores]))
    write_ledger(changed, out / "ledger.parquet", ledger.about)
    found = verify(out, retrain=1, workers=1)
    off = {row["column"]: row["largest_difference"] for row in found.retrained if row["largest_difference"]}
    assert off == {"score": pytest.approx(0.125)}
    assert f"by at most 0.125 (score of {run})" in found.headline


def test_what_cannot_be_trained_again(finished, tmp_path):
    out = tmp_path / "out"
    shutil.copytree(finished[0], out)
    (out / "ledger.parquet").unlink()
    with pytest.raises(SonoscaleError, match=r"no ledger.parquet to compare with"):
        verify(out, retrain=1)
    with pytest.raises(SonoscaleError, match=r"retrain = -1"):
        verify(out, retrain=-1)
    assert len(run_folders(out)) == len(run_folders(finished[0]))
