"""What the ledger makes unnecessary is removed, and nothing else; what was removed is made again if asked for."""

import json
import shutil

import pytest
from tests.study.test_end_to_end import run_folders, table

import sonoscale as so
from sonoscale.claims import claim
from sonoscale.errors import SonoscaleError
from sonoscale.study import clean, verify

pytestmark = pytest.mark.xdist_group("study")


@pytest.fixture
def folder(finished, tmp_path):
    out = tmp_path / "out"
    shutil.copytree(finished[0], out)
    return out


def files_of(folder):
    return {file.relative_to(folder): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def test_nothing_is_removed_unless_asked_for(folder):
    before = files_of(folder)
    found = clean(folder, files=["trunks", "checkpoints", "final"])
    assert "nothing was, yet (dry run)" in found.headline
    assert {file.name for file in found.files} == {"trunk.pt", "checkpoint-000004.pt", "checkpoint.pt"}
    assert len(found.files) == 3 * 5
    assert found.bytes == sum(file.stat().st_size for file in found.files)
    assert files_of(folder) == before


def test_what_is_not_the_study_s_own_stays(folder, tmp_path):
    first, second, third, fourth, fifth = run_folders(folder)
    (first / "trunk.pt").write_bytes(b"mine")  # not what was written
    (second / "notes.pt").write_bytes(b"mine")
    shutil.move(third / "trunk.pt", tmp_path / "trunk.pt")
    (third / "trunk.pt").symlink_to(tmp_path / "trunk.pt")
    shutil.copytree(fourth, folder / "runs" / "0123456789ab")  # of no run that was planned
    mine = claim(fifth.parent, fifth.name)
    assert mine is not None
    try:
        found = clean(folder, dry_run=False)
    finally:
        mine.release()
    assert (first / "trunk.pt").read_bytes() == b"mine"
    assert (second / "notes.pt").is_file()
    assert (third / "trunk.pt").is_symlink()
    assert (tmp_path / "trunk.pt").is_file()
    assert (folder / "runs" / "0123456789ab" / "trunk.pt").is_file()
    assert (fifth / "trunk.pt").is_file()
    assert not (fourth / "trunk.pt").exists()
    assert found.kept == {
        first.name: "trunk.pt is not what was written",
        "0123456789ab": "the study does not ask for it",
        fifth.name: "another process has it",
    }


def test_runs_that_are_not_in_the_ledger_and_the_best_are_kept(folder):
    import pyarrow as pa

    from sonoscale.study._ledger import read_ledger, write_ledger

    ledger = read_ledger(folder / "ledger.parquet")
    lacking = ledger.table["run"][0].as_py()
    others = ledger.table.filter(pa.array([run != lacking for run in ledger.table["run"].to_pylist()]))
    write_ledger(others, folder / "ledger.parquet", ledger.about)
    runs = so.read_runs(folder)
    final = runs["is_final"].astype(bool)
    best = runs["run"][final][runs["quality"][final].argmax()]
    found = clean(folder, best=1, dry_run=False)
    assert found.kept == {lacking: "not all of its scores are in the ledger", best: "one of the best 1"}
    for run in run_folders(folder):
        assert (run / "trunk.pt").is_file() == (run.name in found.kept)


@pytest.mark.e2e
def test_a_cleaned_study_is_whole_and_trains_again_what_is_asked_for(folder, finished, in_process, sonoscale, cache):
    freed = clean(folder, files=["trunks", "checkpoints", "final"], dry_run=False)
    assert not list(folder.glob("runs/*/*.pt"))
    assert clean(folder, files=["trunks", "checkpoints", "final"]).files == ()
    assert freed.bytes > 0
    assert verify(folder).wrong == ()
    record = json.loads((run_folders(folder)[0] / "record.json").read_text())
    assert record["removed"] == ["checkpoint-000004.pt", "checkpoint.pt", "trunk.pt"]
    (folder / ".finished.json").unlink()
    so.study(folder, cache=cache).run()
    assert table(folder) == table(finished[0])
    assert not list(folder.glob("runs/*/*.pt"))
    more = {"readouts": ["mean", "mean+std"], "sweep": {}}
    so.study(folder, cache=cache, set=more).run()
    assert {row["readout"] for row in table(folder)} == {"mean", "mean+std"}
    anew = {row["task"]: row["score"] for row in table(folder) if row["readout"] == "mean" and row["step"] == 8}
    before = {row["task"]: row["score"] for row in table(finished[0]) if row["label"] == "base" and row["step"] == 8}
    assert anew == before


def test_what_cannot_be_cleaned_is_said(folder, tmp_path):
    with pytest.raises(SonoscaleError, match="files: 'logs': must be of trunks, checkpoints, final"):
        clean(folder, files=["logs"])  # pyright: ignore[reportArgumentType]
    with pytest.raises(SonoscaleError, match="this study was not begun"):
        clean(tmp_path / "none")
