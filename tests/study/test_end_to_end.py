"""The whole path, by the command, in real processes."""

import json
import os
import re
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from sonoscale.errors import SonoscaleError
from sonoscale.laws.audit import audit

pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("study")]


def table(folder):
    """The ledger without the clock."""
    ledger = pq.read_table(folder / "ledger.parquet")
    return ledger.drop_columns(["seconds"]).to_pylist()


def run_folders(folder):
    return sorted(f for f in (folder / "runs").iterdir() if not f.name.startswith("."))


def hidden(folder):
    return list((folder / "runs").glob(".*"))


def wait_for(condition, seconds=120.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


def test_a_study_ends_with_its_files(finished):
    folder, printed = finished
    for name in (
        "study.yaml",
        "ledger.parquet",
        "laws.json",
        "report.html",
        "provenance.json",
        "figures/quality.png",
    ):
        assert (folder / name).stat().st_size > 0, name
    assert len(run_folders(folder)) == 5
    assert hidden(folder) == []
    assert "RankMe" in printed
    assert str(folder / "report.html") in printed.replace("\n", "")


def test_a_probe_without_any_encoder_stands_beside_the_models(finished):
    folder, printed = finished
    baseline = json.loads((folder / "baseline.json").read_text())
    assert set(baseline) == {"event", "instrument"}
    score = np.mean([task["score"] for task in baseline.values()])
    assert f"scores {score:.3f}" in " ".join(printed.split())


def test_five_configurations_settle_nothing_and_say_why(finished):
    folder, printed = finished
    audits = json.loads((folder / "laws.json").read_text())["audit"]
    assert set(audits) == {"rankme", "rankme_centred"}
    assert audits["rankme"]["verdict"] == "insufficient_data"
    found = json.loads((folder / "laws.json").read_text())["two_stage"]["rankme"]
    assert found["verdict"] is None
    assert f"No law in two stages through RankMe: {found['reason']}." in " ".join(printed.split())
    assert "Is rank to be trusted here? Insufficient data" in " ".join(printed.split())
    for rank, reported in audits.items():
        found = audit(folder, rank=rank).as_dict()
        for name in ("verdict", "reason", "needed", "n", "n_clusters", "clusters", "step", "covariates"):
            assert found[name] == reported[name], name


def test_the_ledger_has_a_row_per_run_budget_and_task(finished):
    rows = table(finished[0])
    assert len(rows) == 5 * 2 * 2
    assert {(r["width"], r["mask_ratio"]) for r in rows} == {
        (8, 0.75),
        (12, 0.75),
        (16, 0.75),
        (24, 0.75),
        (16, 0.5),
    }
    for row in rows:
        assert 0 <= row["score"] <= 1
        assert row["rankme_low"] <= row["rankme"] <= row["rankme_high"] <= row["dim"]
    small, large = (next(r for r in rows if r["width"] == w and r["step"] == 8) for w in (8, 24))
    assert small["params"] < large["params"]
    assert small["flops"] < large["flops"]


def test_the_laws_are_fitted_to_the_ledger(finished):
    laws = json.loads((finished[0] / "laws.json").read_text())
    fit = next(f for f in laws["fits"] if f["x"] == "rankme" and f["form"] == "power")
    assert (fit["n"], fit["n_clusters"]) == (10, 5)
    exponent = fit["params"][fit["exponent"]]
    assert exponent["low"] <= exponent["value"] <= exponent["high"]
    rows = table(finished[0])
    quality = {}
    for row in rows:
        quality.setdefault((row["run"], row["step"]), []).append(row["score"])
    x = np.array([next(r["rankme"] for r in rows if (r["run"], r["step"]) == key) for key in quality])
    y = np.array([np.mean(scores) for scores in quality.values()])
    residuals = y - fit["params"]["a"]["value"] * x ** exponent["value"]
    assert np.sqrt(np.mean(residuals**2)) == pytest.approx(fit["rmse"], rel=1e-3)


def test_the_same_command_again_trains_nothing(finished, sonoscale, tiny):
    folder, _ = finished
    before = {f: f.stat().st_mtime_ns for f in folder.glob("runs/*/*")}
    rows = table(folder)
    assert "5 runs are finished already, 0 to do" in sonoscale("study", "run", tiny, "--out", folder)
    assert {f: f.stat().st_mtime_ns for f in folder.glob("runs/*/*")} == before
    assert table(folder) == rows


def test_a_report_is_drawn_again(finished, sonoscale):
    folder, _ = finished
    (folder / "report.html").unlink()
    (folder / "figures" / "quality.png").unlink()
    sonoscale("study", "report", folder)
    assert (folder / "report.html").is_file()
    assert (folder / "figures" / "quality.png").is_file()


def children_of(session):
    """Processes of a session that was started for one command."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[3]) == session and fields[0] != "Z":
            found.append(int(stat.parent.name))
    return found


def test_interrupted_then_killed_then_the_same_command(finished, sonoscale, start, tiny, tmp_path):
    """Ctrl-C is one line, no finished run is lost, and the ledger is that of an undisturbed study."""
    out = tmp_path / "out"
    process = start("study", "run", tiny, "--out", out, "--workers", 1)
    wait_for(lambda: (out / "ledger.parquet").is_file())  # grows while runs are under way
    rows = pq.read_table(out / "ledger.parquet").to_pylist()
    assert 1 <= len({row["run"] for row in rows}) < 5
    assert all("reliability" in row["quality_rule"] for row in rows)
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert errors.strip().splitlines() == [
        "error: interrupted: whatever was finished is kept; the same command resumes"
    ]
    wait_for(lambda: not children_of(process.pid), 20)
    first = kept(out)
    assert 1 <= len(first) < 5

    process = start("study", "run", tiny, "--out", out, "--workers", 1)
    wait_for(lambda: len(run_folders(out)) > len(first))
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    wait_for(lambda: not children_of(process.pid), 20)
    second = kept(out)
    assert second.items() > first.items(), "a finished run was trained again"

    printed = sonoscale("study", "run", tiny, "--out", out, "--workers", 2)
    assert "runs are finished already" in printed  # fewer than were kept, if one still lacks its probes
    assert kept(out).items() >= second.items(), "a finished run was trained again"
    assert hidden(out) == []
    assert table(out) == table(finished[0])


def kept(folder):
    """When the record of each finished run was written."""
    return {f: (f / "record.json").stat().st_mtime_ns for f in run_folders(folder)}


def test_a_full_disk_is_one_line_and_keeps_what_is_finished(sonoscale, tiny, tmp_path, request):
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1500k", "none", disk], capture_output=True, check=False)
    if mount.returncode:
        pytest.skip("a small file system cannot be mounted here (not root, or not allowed)")
    try:
        with pytest.raises(SonoscaleError, match="no space left on the disk") as caught:
            sonoscale("study", "run", tiny, "--out", disk / "out", "--workers", 1)
        assert len(str(caught.value).splitlines()) == 1
        finished = run_folders(disk / "out")
        assert finished
        assert all((f / "record.json").is_file() for f in finished)
        subprocess.run(["mount", "-o", "remount,size=60m", disk], check=True)
        request.getfixturevalue("in_process")
        again = sonoscale("study", "run", tiny, "--out", disk / "out", "--workers", 1)
        kept = re.search(r"(\d+) runs are finished already", again)
        assert kept  # the last of them may have been trained and not yet probed
        assert len(finished) - 1 <= int(kept[1]) <= len(finished)
    finally:
        subprocess.run(["umount", "-l", disk], check=False)
