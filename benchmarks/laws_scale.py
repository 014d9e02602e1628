"""Time and memory of the laws on large tables: `python benchmarks/laws_scale.py` writes `docs/laws-scale.md`.

Every measurement runs in a process of its own, with one thread; the table is simulated there, and the time is of the
verb alone, its imports included.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from typing import Any

import numpy as np

import sonoscale as so
from public_tables import DOCS, made_by

PAGE = DOCS / "laws-scale.md"
SEED = 0
TRUTH = {"E": 1.7, "A": 400.0, "alpha": 0.34, "B": 1200.0, "beta": 0.36}
NOISE = 0.01

VERBS: dict[str, tuple[str, dict[str, Any]]] = {
    "read": ("read_runs", {"y": "loss"}),
    "fit, one variable": ("fit", {"x": "params", "y": "loss"}),
    "fit, two variables": ("fit", {"x": ["params", "tokens"], "y": "loss"}),
    "fit, chinchilla": ("fit", {"x": ["params", "tokens"], "y": "loss", "form": "chinchilla"}),
    "fit, saturating_loss": ("fit", {"x": "params", "y": "loss", "form": "saturating_loss"}),
    "plan": ("plan", {"flops": 1e23, "y": "loss"}),
    "audit": ("audit", {"rank": "rank", "y": "loss"}),
}
"""What is measured -> the verb and its options."""


def table(rows: int, seed: int, checkpoints: int) -> dict[str, Any]:
    """Runs of the law above, each with so many dependent checkpoints whose errors are half shared."""
    rng = np.random.default_rng(seed)
    runs = -(-rows // checkpoints)
    of = np.repeat(np.arange(runs), checkpoints)[:rows]
    n = np.exp(rng.uniform(np.log(1e6), np.log(1e10), runs))[of]
    d = np.exp(rng.uniform(np.log(1e8), np.log(1e12), rows))
    error = NOISE * (rng.standard_normal(runs)[of] + rng.standard_normal(rows)) / np.sqrt(2)
    loss = (TRUTH["E"] + TRUTH["A"] / n ** TRUTH["alpha"] + TRUTH["B"] / d ** TRUTH["beta"]) * np.exp(error)
    rank = np.exp(0.2 * np.log(n) + 0.3 * rng.standard_normal(rows))
    found = {"params": n, "tokens": d, "loss": loss, "rank": rank}
    return found if checkpoints == 1 else found | {"config": of}


def measure(what: str, rows: int, checkpoints: int, seed: int) -> dict[str, float]:
    """Seconds of one verb and the peak memory of this process, in MB."""
    runs = table(rows, seed, checkpoints)
    verb, options = VERBS[what]
    started, used = time.perf_counter(), time.process_time()
    found = getattr(so, verb)(runs, **options)
    seconds, cpu = time.perf_counter() - started, time.process_time() - used
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    result = {"seconds": seconds, "cpu": cpu, "peak": peak / 1024}
    if what == "fit, chinchilla":
        result["held"] = sum(one.low <= TRUTH[name] <= one.high for name, one in found.groups[0].fit.params.items())
    return result


def in_child(what: str, rows: int, checkpoints: int, seed: int, limit: float) -> dict[str, float] | None:
    """The same in a process of its own; None where it does not end within the limit of seconds."""
    command = [
        sys.executable, __file__, "--one", what, "--rows", str(rows), "--checkpoints", str(checkpoints), "--seed",
        str(seed),
    ]  # fmt: skip
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    try:
        done = subprocess.run(command, env=os.environ | threads, capture_output=True, text=True, timeout=limit)
    except subprocess.TimeoutExpired:
        return None
    if done.returncode:
        raise SystemExit(done.stderr)
    return json.loads(done.stdout)


def main() -> None:
    """Measure, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, nargs="+", default=[1_000, 100_000, 1_000_000])
    parser.add_argument("--checkpoints", type=int, help="of each run; by default 1, and 20 at the largest size")
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--limit", type=float, default=300.0, help="seconds")
    parser.add_argument("--one", choices=VERBS, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        print(json.dumps(measure(given.one, given.rows[0], given.checkpoints or 1, given.seed)))
        return
    sizes = [(rows, given.checkpoints or 1) for rows in given.rows]
    if given.checkpoints is None:
        sizes.append((max(given.rows), 20))
    loads = [os.getloadavg()[0]]
    lines, held = [], []
    for rows, checkpoints in sizes:
        for what in VERBS:
            found = in_child(what, rows, checkpoints, given.seed, given.limit)
            loads.append(os.getloadavg()[0])
            cells = (
                [f"over {given.limit:.0f} s", "", ""]
                if found is None
                else [f"{found['seconds']:.1f} s", f"{found['cpu']:.1f} s", f"{found['peak']:.0f} MB"]
            )
            lines.append(f"| {rows:,} | {checkpoints} | {what} | {' | '.join(cells)} |")
            print(lines[-1], flush=True)
            if found is not None and "held" in found:
                held.append(f"{found['held']:g} of {len(TRUTH)} at {rows:,} rows ({checkpoints} per run)")
    PAGE.write_text(
        "\n".join(
            [
                "# Time and memory of the laws on large tables",
                "",
                "Simulated runs, `loss = E + A / params^alpha + B / tokens^beta` with 1% noise; with several rows per "
                "run, half of the variance of the noise is the run's own. Seconds of the verb, its imports included; "
                "peak memory of the process, the table and Python included.",
                "",
                "| rows | rows per run | what | time | processor time | peak memory |",
                "|---:|---:|---|---:|---:|---:|",
                *lines,
                "",
                "Tables of up to 5,000 rows (resamples), 10,000 rows (rolling origins) and 1,000 configurations "
                "(audit) are used whole. Of larger ones, about so many rows are drawn by configuration, with a fixed "
                "seed: on these, starts are searched, resamples are drawn and origins roll. Laws are then fitted to "
                "all rows from there, and the spread of resamples shrinks by the root of the share of configurations "
                "that were drawn. An audit is of the configurations drawn. A note in the result says each of these.",
                "",
                f"Parameters of `chinchilla` whose 95% interval holds the truth: {'; '.join(held)}.",
                "",
                f"{made_by('laws_scale.py', given.seed)} One thread; load average {min(loads):.1f} to {max(loads):.1f} "
                "while it ran: times include waiting for other work where that is above the number of cores, processor "
                "time does not.",
                "",
            ]
        )
    )
    print(f"written: {PAGE}")


if __name__ == "__main__":
    main()
