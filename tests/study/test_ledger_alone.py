"""The ledger is the truth: what it holds is enough, and damage to it is seen."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from tests.study.test_end_to_end import run_folders, table

import sonoscale as so
from sonoscale.digests import read_sealed, write_sealed
from sonoscale.errors import SonoscaleError
from sonoscale.laws.audit import audit
from sonoscale.study import status, verify
from sonoscale.study._ledger import read_ledger
from sonoscale.study._schema import COLUMNS, ledger_page
from sonoscale.study._stamp import is_stamped, stamp

ROOT = Path(__file__).parents[2]


@pytest.fixture
def alone(finished, tmp_path):
    """A folder that holds the ledger of a finished study and nothing else, as on another machine."""
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    shutil.copyfile(finished[0] / "ledger.parquet", folder / "ledger.parquet")
    return folder


def test_the_page_on_the_ledger_is_that_of_the_code():
    assert (ROOT / "docs" / "ledger.md").read_text() == ledger_page(), "run: python docs/ledger.py"


def test_the_ledger_has_the_columns_of_the_schema(finished):
    ledger = read_ledger(finished[0] / "ledger.parquet")
    assert ledger.table.column_names == [column.name for column in COLUMNS]
    assert ledger.about["study"]["name"] == "tiny"
    assert len(ledger.about["runs"]) == 5
    rows = ledger.table.to_pylist()
    keys = [(r["run"], r["step"], r["task"], r["protocol"], r["readout"], r["layer"]) for r in rows]
    assert len(set(keys)) == len(keys)
    for row in rows:
        assert json.loads(row["configuration"])["encoder"]["width"] == row["width"]
        assert row["family"] == "tiny"


def test_laws_are_fitted_by_the_vocabulary(finished):
    law = so.fit(finished[0], x=["params"], bootstrap=100)
    assert "10 runs of 5 configurations" in str(law)


def test_a_study_is_reported_and_audited_from_its_ledger_alone(alone, finished, sonoscale):
    assert status(alone).counts == {"queued": 0, "running": 0, "done": 5, "failed": 0}
    page = so.study(alone).report().page
    assert page == alone / "report.html"
    ours, theirs = (json.loads((folder / "laws.json").read_text()) for folder in (alone, finished[0]))
    assert ours["fits"] == theirs["fits"]
    assert ours["baseline"] == theirs["baseline"]
    assert audit(alone, rank="rankme").verdict == audit(finished[0], rank="rankme").verdict
    assert "5 of 5 runs done" in sonoscale("study", "status", alone)


def test_finished_runs_whose_folders_are_gone_are_not_trained_again(alone, finished, in_process, cache):
    again = so.study(alone / "ledger.parquet", cache=cache).run()
    assert list((alone / "runs").iterdir()) == []
    assert table(alone) == table(finished[0])
    more = again.add(values={"encoder.width": [20]})
    assert (len(more.new), len(more.continued), more.kept) == (1, 0, 5)
    said = []
    again = so.study(alone, cache=cache).run(progress=said.append)
    assert "5 runs are finished already, 1 to do" in said
    assert len(run_folders(alone)) == 1
    rows = table(alone)
    assert [row for row in rows if row["width"] != 20] == table(finished[0])
    assert {row["width"] for row in rows} == {8, 12, 16, 20, 24}


def test_a_study_continues_in_another_folder_from_the_ledger(finished, in_process, cache, tmp_path):
    out = tmp_path / "out"
    made = so.study(finished[0] / "ledger.parquet", out=out, cache=cache).run()
    assert made.folder == out
    assert table(out) == table(finished[0])
    assert not run_folders(out)


def test_rows_that_a_smaller_study_does_not_ask_for_are_kept(alone, in_process, finished, cache):
    so.study(alone, cache=cache, set={"sweep": {}}).run()
    assert {row["label"] for row in table(alone)} == {"base"}
    whole = so.study(finished[0]).config
    so.study(whole, out=alone, cache=cache).run()
    assert table(alone) == table(finished[0])
    assert not run_folders(alone)


def test_a_flipped_bit_is_seen(alone, sonoscale):
    """In what is read: it ends in an error, or in the same values."""
    file = alone / "ledger.parquet"
    whole = file.read_bytes()
    rows = table(alone)
    about = read_ledger(file).about
    rng, seen = np.random.default_rng(0), 0
    for place, bit in zip(rng.integers(len(whole), size=300), rng.integers(8, size=300), strict=True):
        content = bytearray(whole)
        content[place] ^= 1 << int(bit)
        file.write_bytes(content)
        try:
            found = read_ledger(file)
        except SonoscaleError:
            seen += 1
        else:
            assert found.about == about
            assert found.table.drop_columns(["seconds"]).to_pylist() == rows
    assert seen > 100
    file.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(SonoscaleError, match=r"ledger.parquet"):
        so.read_runs(alone)


def test_a_finished_study_has_nothing_to_do(finished, sonoscale, tiny, tmp_path):
    """Nothing heavy is imported for it, and no file is written."""
    out = tmp_path / "out"
    shutil.copytree(finished[0], out)
    before = {file: file.stat().st_mtime_ns for file in out.rglob("*")}
    code = (
        "import sys, sonoscale.cli.main as main; sys.argv = ['sonoscale', 'study', 'run', "
        f"{str(tiny)!r}, '--out', {str(out)!r}]\n"
        "try: main.run()\nexcept SystemExit as end: assert not end.code\n"
        "print({'torch', 'scipy', 'matplotlib'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "set()"
    assert "5 runs are finished already, 0 to do" in done.stdout
    assert {file: file.stat().st_mtime_ns for file in out.rglob("*")} == before


@pytest.mark.parametrize("change", ["ledger.parquet", "laws.json", "metadata"])
def test_a_study_is_looked_at_again_when_something_changed(finished, tiny, tmp_path, change):
    out = tmp_path / "out"
    shutil.copytree(finished[0], out)
    config = so.study(tiny).config
    assert is_stamped(config, out)
    if change == "metadata":
        config = config.model_copy(update={"description": "another"})
    else:
        (out / change).write_bytes((out / change).read_bytes() + b" ")
    assert not is_stamped(config, out)


def test_changed_audio_is_seen_without_reading_it(tmp_path, finished, tiny):
    out, root = tmp_path / "out", tmp_path / "root"
    shutil.copytree(finished[0], out)
    (root / "pool").mkdir(parents=True)
    (root / "pool" / "a.wav").write_bytes(bytes(100))
    config = so.study(tiny).config.model_copy(update={"description": str(root)})
    stamp(config, out)
    assert is_stamped(config, out)
    (root / "pool" / "a.wav").write_bytes(bytes(101))
    assert not is_stamped(config, out)


def test_damage_is_found_and_what_is_gone_is_none(finished, tmp_path, sonoscale):
    out = tmp_path / "out"
    shutil.copytree(finished[0], out)
    assert "nothing is damaged" in sonoscale("study", "verify", out)
    gone, damaged, lying, *_ = run_folders(out)
    shutil.rmtree(gone)
    content = bytearray((damaged / "checkpoint.pt").read_bytes())
    content[len(content) // 2] ^= 1
    (damaged / "checkpoint.pt").write_bytes(content)
    record = read_sealed(lying / "record.json", "it")
    record["budgets"][0]["loss"] *= 2
    write_sealed(lying / "record.json", record)
    found = verify(out)
    assert found.gone == 1
    assert found.wrong == (
        f"{damaged / 'checkpoint.pt'}: damaged: it is not what was written",
        f"{lying / 'record.json'}: says otherwise than the ledger of step 4",
    )
