"""The estimate of `sonoscale study plan` against what the study then took: seconds and peak memory, of two designs.

    python benchmarks/study_plan.py [--out FILE]

Each design has 12 runs and is planned right before it is trained. Seconds are given twice: of cores, which do not
depend on what else the machine does, and as they passed, which do; the load is stated. Log-mels are computed before.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from multiprocessing import forkserver
from pathlib import Path
from typing import Any

from sonoscale.processes import single_threaded
from sonoscale.provenance import provenance
from sonoscale.study import StudyConfig, plan, study
from sonoscale.study._prepare import prepare

TASKS = [{"kind": "procedural", "name": name} for name in ("word", "instrument", "event")]
SHARED: dict[str, Any] = {
    "data": {"kind": "procedural", "clips": 768, "heldout_clips": 384, "seconds": 2.0},
    "law": {"bootstrap": 100},
    "tasks": TASKS,
}
DESIGNS: dict[str, dict[str, Any]] = {
    "one-at-a-time": SHARED | {
        "name": "one-at-a-time", "encoder": {"backbone": "vit", "width": 48, "depth": 4}, "objective": {"kind": "mae"},
        "train": {"batch_size": 64, "budgets": [30, 60], "warmup_steps": 10}, "seeds": 2,
        "sweep": {"encoder.width": [12, 24, 96], "encoder.depth": [2], "objective.mask_ratio": [0.5]},
    },
    "isoflop": SHARED | {
        "name": "isoflop", "encoder": {"backbone": "vit", "width": 32, "depth": 3}, "objective": {"kind": "mae"},
        "train": {"batch_size": 32, "warmup_steps": 4},
        "families": [{"name": "vit"}, {"name": "conv", "encoder": {"backbone": "conv"}}],
        "design": {"kind": "isoflop", "slices": [{"flops": 4e10}, {"flops": 8e10}]},
        "sweep": {"encoder.width": [16, 32, 64]}, "seeds": 1, "protocols": ["linear", "knn"],
    },
}  # fmt: skip


def measure(name: str, folder: Path) -> dict[str, Any]:
    """Plan one design, train it, and put both side by side."""
    config = StudyConfig.model_validate(DESIGNS[name])
    made = study(config, out=folder / name, cache=folder / "cache")
    prepare(config, made.planned(), made.folder, made.cache, 2, lambda what, done, total: None)
    load = os.getloadavg()[0]
    planned = plan(made, workers=2)
    assert planned.seconds is not None
    assert planned.core_seconds is not None
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    ends: list[float] = []
    made.run(workers=2, progress=lambda line: ends.append(time.perf_counter()))
    forkserver._forkserver._stop()  # pyright: ignore  # it waits for the workers, and we for it: all are accounted for
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    took = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    memory = after.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    most = max(run.memory or 0.0 for run in planned.runs)
    return {
        "design": name, "runs": len(planned.runs),
        "core_seconds": {"planned": planned.core_seconds, "took": took, "ratio": planned.core_seconds / took},
        "seconds": {
            "planned": planned.seconds, "took": ends[-1] - began, "ratio": planned.seconds / (ends[-1] - began),
            "slowdown": planned.slowdown,
        },
        "memory_mib": {"planned": most / 2**20, "took": memory / 2**20, "ratio": most / memory},
        "load": [load, os.getloadavg()[0]],
    }  # fmt: skip


def main() -> None:
    """Print a table, and write everything as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--design", choices=list(DESIGNS), help="this one only, as JSON")
    options = parser.parse_args()
    if options.design:
        single_threaded()
        with tempfile.TemporaryDirectory() as folder:
            print(json.dumps(measure(options.design, Path(folder))), flush=True)
        return
    found = []
    for name in DESIGNS:  # each in a process of its own, so that the peak is that of its own workers
        done = subprocess.run(
            [sys.executable, __file__, "--design", name], check=True, stdout=subprocess.PIPE, text=True
        )
        found.append(json.loads(done.stdout.splitlines()[-1]))
    for what in ("core_seconds", "seconds", "memory_mib"):
        for one in found:
            numbers = one[what]
            print(f"{what:14} {one['design']:14} planned {numbers['planned']:8.1f}  took {numbers['took']:8.1f}  "
                  f"ratio {numbers['ratio']:.2f}")  # fmt: skip
    if options.out:
        options.out.write_text(json.dumps([*found, provenance("torch", "numpy")], indent=1) + "\n")


if __name__ == "__main__":
    main()
