"""Studies at scale: what a run costs besides its work, claims per second, and a ledger of 10,000 runs.

`python benchmarks/study_scale.py` prints seconds and memory of this machine; with `--page` it writes them into
`docs/scale.md`, below its heading "Figures".
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from sonoscale.claims import claim
from sonoscale.config import validate
from sonoscale.extras import available
from sonoscale.laws import read_runs
from sonoscale.provenance import provenance
from sonoscale.study import export, sql, status
from sonoscale.study._ledger import read_ledger, write_ledger
from sonoscale.study._plan_file import write_plan
from sonoscale.study._schema import COLUMNS, arrow_schema

RUNS, BUDGETS, TASKS = 10_000, 3, 2
PAGE = Path(__file__).parents[1] / "docs" / "scale.md"
HEADING = "## Figures\n"

Row = tuple[str, str, str, str]
"""What, time, processor time, memory."""
_RANK = {"value": 2.0, "low": 1.0, "high": 3.0, "n": 64}
_RECORD = {
    "identity": {}, "precision": "fp32", "device": "cpu", "processes": 1, "clips": 8, "hours": 1.0, "warnings": [],
    "params_encoder": 1, "params_decoder": 1, "params_teacher": 0, "params_head": 0,
    "rank_start": {"rankme": 1.0, "rankme_centred": 1.0},
    "budgets": [
        dict.fromkeys(("clips_seen", "hours_seen", "flops_encoder", "flops", "seconds", "loss"), 1.0)
        | {"step": 4, "rank": _RANK, "rank_centred": _RANK}
    ],
}  # fmt: skip


def main() -> None:
    """Measure all, and print a line for each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--page", action="store_true", help="write docs/scale.md too")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        rows = [overhead(folder / "overhead", 300), claims(folder / "claims", 2000), *many_runs(folder / "many")]
    facts = provenance("numpy", "pyarrow", "duckdb")
    lines = ["| what | time | processor time | memory |", "|---|---:|---:|---:|"]
    lines += [f"| {' | '.join(row)} |" for row in rows]
    load = os.getloadavg()[0]
    lines += [
        "",
        f"`python benchmarks/study_scale.py --page`, {facts['created']}; sonoscale {facts['sonoscale']}, python "
        f"{facts['python']}, pyarrow {facts['pyarrow']}; {facts['cpu']}, {facts['cores']} cores, load "
        f"average {load:.1f}: times include waiting for other work where that is above the number of cores, processor "
        "time does not.",
    ]
    print("\n".join(lines))
    if asked.page:
        text = PAGE.read_text()
        PAGE.write_text(text[: text.index(HEADING) + len(HEADING)] + "\n" + "\n".join(lines) + "\n")


def overhead(folder: Path, runs: int) -> Row:
    """Runs that are finished when their turn comes: what is left is to share them out, claim them and let them go."""
    from sonoscale.pretrain import RunConfig
    from sonoscale.study import Lines, PlannedRun
    from sonoscale.study._execute import open_executor, run_jobs
    from sonoscale.study._prepare import RunJob

    config = validate(RunConfig, {})
    jobs = []
    for i in range(runs + 1):
        run = folder / "runs" / f"{i:012x}"
        run.mkdir(parents=True)
        (run / "record.json").write_text(json.dumps(_RECORD))
        jobs.append(RunJob(PlannedRun(config, "base", "base"), "config", run, {}, Path(), Path(), ()))
    executor = open_executor("local", workers=1, device="cpu", folder=folder)
    done: list[float] = []
    memory: list[float] = []

    class Watch(Lines):
        def finished(self, index: int, failure: Any) -> None:
            assert failure is None
            done.append(time.perf_counter())
            memory.append(resident())

    used = sum(os.times()[:4])
    run_jobs(jobs, executor, Watch(None), folder=folder, retries=0)  # its worker has ended, and been waited for
    used = sum(os.times()[:4]) - used
    grown = memory[-1] - memory[runs // 3]
    return (
        f"to share out, claim and let go a run ({runs} runs, one worker; processor time of driver and worker together, "
        "the worker's start included; memory: growth of the driver over the last two thirds)",
        f"{1000 * (done[-1] - done[0]) / runs:.1f} ms", f"{1000 * used / runs:.1f} ms", f"{grown:+.1f} MB",
    )  # fmt: skip


def resident() -> float:
    """Megabytes that this process has in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def claims(folder: Path, n: int) -> Row:
    """Claim and let go pieces of work."""
    folder.mkdir()
    began, used = time.perf_counter(), time.process_time()
    for i in range(n):
        mine = claim(folder, f"{i:012x}")
        assert mine is not None
        mine.release()
    took = time.perf_counter() - began
    return (
        f"claim a run and let it go, on this machine's disk: {n / took:.0f} a second", f"{1000 * took / n:.2f} ms",
        f"{1000 * (time.process_time() - used) / n:.2f} ms", "",
    )  # fmt: skip


def many_runs(folder: Path) -> list[Row]:
    """Write, read, list and query the ledger of 10,000 runs."""
    from sonoscale.pretrain import RunConfig

    rng = np.random.default_rng(0)
    n = RUNS * BUDGETS * TASKS
    run = np.repeat(np.arange(RUNS), BUDGETS * TASKS)
    step = np.tile(np.repeat([100, 200, 400], TASKS), RUNS)
    task = np.tile(np.arange(TASKS), RUNS * BUDGETS)
    columns: dict[str, Any] = {}
    for column in COLUMNS:
        if column.kind == "string":
            columns[column.name] = ["same"] * n
        else:
            columns[column.name] = rng.random(n) if column.kind == "double" else np.ones(n, int).tolist()
    columns |= {
        "run": [f"{i:012x}" for i in run], "config": [f"{i // 2:012x}" for i in run], "seed": run % 2,
        "step": step, "task": [f"task{i}" for i in task], "task_id": [f"key{i}" for i in task], "readout": ["mean"] * n,
        "layer": [None] * n, "is_final": step == 400, "quality_rule": [None] * n, "protocol": ["linear/1"] * n,
    }  # fmt: skip
    configuration = json.dumps(validate(RunConfig, {}).model_dump(mode="json"))
    columns["configuration"] = [configuration] * n
    names = [column.name for column in COLUMNS]
    table = pa.table({name: columns[name] for name in names}, schema=arrow_schema(names))
    planned = [
        {"run": f"{i:012x}", "label": "same", "seed": i % 2, "budgets": [100, 200, 400], "flops": 1.0,
         "scores": [f"key{j}" for j in range(TASKS)]}
        for i in range(RUNS)
    ]  # fmt: skip
    folder.mkdir()
    file = folder / "ledger.parquet"
    write_ledger(table, file, {"runs": planned})
    write_plan(folder, planned)
    (folder / "study.yaml").write_text("name: many\n")
    for name in ("laws", "provenance"):
        (folder / f"{name}.json").write_text("{}")
    found = [measured(f"list: status of {RUNS:,} runs", _status, folder)]
    found.append(measured(f"read the ledger, checksums verified ({n:,} rows)", _read, file))
    found.append(measured("runs with their quality, as laws read them", _runs, folder))
    if available("duckdb"):
        found.append(measured("query: best score of each task (study sql)", _query, folder))
    found.append(measured("report: all that its page is made of, read", _load, folder))
    found.append(measured("export to CSV, one row per run and checkpoint", _export, folder))
    size = file.stat().st_size / 1e6
    return [(f"the file of that ledger: {size:.1f} MB", "", "", ""), *found]


def _status(folder: Path) -> None:
    assert status(folder).counts["done"] == RUNS


def _read(file: Path) -> None:
    read_ledger(file)


def _runs(folder: Path) -> None:
    assert len(read_runs(folder)) == RUNS * BUDGETS


def _query(folder: Path) -> None:
    assert sql(folder, "select task, max(score) from ledger group by task").table.num_rows == TASKS


def _load(folder: Path) -> None:
    from sonoscale.report._load import load_study

    assert len(load_study(folder).points) == RUNS * BUDGETS


def _export(folder: Path) -> None:
    export(folder, folder / "runs.csv", rows="runs")


def measured(what: str, work: Callable[[Path], None], place: Path) -> Row:
    """Do it in a process of its own: how long it took, imports aside, and the largest memory of the process."""
    context = multiprocessing.get_context("spawn")
    with context.Pool(1) as pool:
        took, used, peak = pool.apply(_timed, (work, place))
    return what, f"{took:.2f} s", f"{used:.2f} s", f"{peak:.0f} MB"


def _timed(work: Callable[[Path], None], place: Path) -> tuple[float, float, float]:
    began, used = time.perf_counter(), time.process_time()
    work(place)
    took, used = time.perf_counter() - began, time.process_time() - used
    return took, used, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6


if __name__ == "__main__":
    main()
