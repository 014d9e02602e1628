"""Does the quickstart show learning? `python benchmarks/quickstart.py [RESULTS]` writes `docs/quickstart.md`.

RESULTS is the folder of `studies/quickstart.yaml` after a run, `results/quickstart` by default. Its best model is held
against its baselines clip by clip, on the tasks of the study and on the same tasks made of other clips.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import yaml

from paired import PROTOCOLS, hold_against, table
from sonoscale.corpora import ProceduralTaskConfig

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "quickstart.md"
FRESH = 1
"""Seed of the tasks' clips that nothing was chosen on."""

Row = dict[str, Any]


def main(results: Path) -> None:
    """Write the page."""
    rows: list[Row] = pq.read_table(results / "ledger.parquet").to_pylist()
    facts = json.loads((results / "provenance.json").read_text(encoding="utf-8"))
    study = yaml.safe_load((results / "study.yaml").read_text(encoding="utf-8"))
    last = [row for row in rows if row["is_final"]]
    best = max(dict.fromkeys(row["label"] for row in last), key=lambda label: _mean(last, label, "score"))
    runs = [results / "runs" / name for name in dict.fromkeys(row["run"] for row in last if row["label"] == best)]
    trained, time = len({row["run"] for row in rows}), ""
    if facts["runs_trained"] == trained:  # else it was resumed, and took longer
        time = f" in {facts['seconds'] / 60:.1f} minutes on {facts['cores']} cores ({facts['cpu']}), installation apart"
    parts = [
        "# What the quickstart shows\n\n"
        "Written by `python benchmarks/quickstart.py` from a run of `sonoscale study run studies/quickstart.yaml`: "
        f"{trained} runs{time}. Scores are means over "
        f"{', '.join(dict.fromkeys(row['task'] for row in rows))} by nearest neighbours, eight labels a class and a "
        "linear probe, and over seeds; a number after ± is the deviation between seeds.",
        _budgets(rows),
        f"The best configuration at the largest budget, *{best}*, {len(runs)} seeds, against its baselines, read out "
        "alike. Differences are paired by test clip, with 95% intervals. It is the best of those above on the very "
        "same clips, which flatters it a little:",
    ]
    for seed in (None, FRESH):
        given = [task if seed is None else task | {"seed": seed} for task in study["tasks"]]
        tasks = [ProceduralTaskConfig.model_validate(task).load(None) for task in given]
        found = hold_against(runs, tasks, study["readouts"][0])
        parts.append(table(found, {"mean": [task.name for task in tasks]}))
        if seed is None:
            parts.append("On the same tasks made of other clips, on which nothing was chosen:")
    PAGE.write_text("\n\n".join(parts) + "\n", encoding="utf-8")


def _mean(rows: list[Row], label: str, key: str) -> float:
    return float(np.mean([row[key] for row in rows if row["label"] == label and row["protocol"][:-2] in PROTOCOLS]))


def _budgets(rows: list[Row]) -> str:
    """A line for each configuration: its quality untrained and at each budget."""
    steps = sorted({row["step"] for row in rows})
    lines = [
        ["configuration", "parameters", "untrained", *(f"{step} steps" for step in steps), "FLOPs", "RankMe, centred"],
        ["---", *["---:"] * (4 + len(steps))],
    ]
    first = rows[0]
    floor = float(np.mean([row["floor_logmel"] for row in rows if row["run"] == first["run"]]))
    lines.append(["log-mel statistics", "", f"{floor:.3f}", *[""] * (2 + len(steps))])
    for label in dict.fromkeys(row["label"] for row in rows):
        mine = [row for row in rows if row["label"] == label]
        cells = [_seeds([row for row in mine if row["step"] == step], "score") for step in steps]
        end = [row for row in mine if row["is_final"]]
        rank = float(np.mean([row["rankme_centred"] for row in end]))
        lines.append([
            label, f"{mine[0]['params']:,}", _seeds(end, "floor_untrained"), *cells, f"{end[0]['flops']:.1e}",
            f"{rank:.1f}",
        ])  # fmt: skip
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _seeds(rows: list[Row], key: str) -> str:
    means = [np.mean([row[key] for row in rows if row["seed"] == seed]) for seed in sorted({r["seed"] for r in rows})]
    spread = f" ± {np.std(means, ddof=1):.3f}" if len(means) > 1 else ""
    return f"{np.mean(means):.3f}{spread}"


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "results" / "quickstart")
