"""Studies at scale: what a run costs besides its work, and a ledger of 10,000 runs.

Writes a table to the terminal: seconds and memory of this machine. Run: python benchmarks/study_scale.py
"""

from __future__ import annotations

import json
import os
import resource
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from sonoscale.config import validate
from sonoscale.laws import read_runs
from sonoscale.pretrain import RunConfig
from sonoscale.study import PlannedRun, status
from sonoscale.study._execute import open_executor, run_jobs
from sonoscale.study._ledger import read_ledger, write_ledger
from sonoscale.study._plan_file import write_plan
from sonoscale.study._prepare import RunJob
from sonoscale.study._schema import COLUMNS, arrow_schema
from sonoscale.study._watch import Lines

RUNS, BUDGETS, TASKS = 10_000, 3, 2
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
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        overhead(folder / "overhead", 300)
        many_runs(folder / "many")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"largest memory of this process: {peak:.0f} MiB")


def overhead(folder: Path, runs: int) -> None:
    """Runs that are finished when their turn comes: what is left is to share them out, claim them and let them go."""
    config = validate(RunConfig, {})
    jobs = []
    for i in range(runs + 1):
        run = folder / "runs" / f"{i:012x}"
        run.mkdir(parents=True)
        (run / "record.json").write_text(json.dumps(_RECORD))
        jobs.append(RunJob(PlannedRun(config, "base", "base"), "config", run, {}, Path(), Path(), ()))
    executor = open_executor("local", workers=1, device="cpu", folder=folder)
    done = []

    class Watch(Lines):
        def finished(self, index: int, failure: Any) -> None:
            assert failure is None
            done.append(time.perf_counter())

    used = sum(os.times()[:4])
    run_jobs(jobs, executor, Watch(None), folder=folder, retries=0)  # its worker has ended, and been waited for
    used = sum(os.times()[:4]) - used
    print(
        f"overhead of a run: {1000 * (done[-1] - done[0]) / runs:.1f} ms; of driver and worker on a core, the worker's "
        f"start included: {1000 * used / runs:.1f} ms ({runs} runs, one worker)"
    )


def many_runs(folder: Path) -> None:
    """Write, read, list and query the ledger of 10,000 runs."""
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
        "is_final": step == 400, "quality_rule": [None] * n, "protocol": ["linear/1"] * n,
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
    timed("write the ledger", lambda: write_ledger(table, file, {"runs": planned}))
    write_plan(folder, planned)
    print(f"its size: {file.stat().st_size / 2**20:.1f} MiB, {n} rows")
    timed("read it, checksums verified", lambda: read_ledger(file))
    timed("status of all runs", lambda: status(folder).headline)
    timed("runs with their quality, as laws read them", lambda: read_runs(folder))


def timed(what: str, work: Any) -> None:
    """Do it, and print how long it took."""
    began, used = time.perf_counter(), time.process_time()
    work()
    print(f"{what}: {time.perf_counter() - began:.2f} s, {time.process_time() - used:.2f} s of it on a core")


if __name__ == "__main__":
    main()
