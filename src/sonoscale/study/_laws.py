"""The laws of a study, from its ledger."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from sonoscale.errors import SonoscaleError
from sonoscale.laws import compare, spearman
from sonoscale.study._config import LawConfig
from sonoscale.study._ledger import run_table

RISING = (
    "rankme",
    "rankme_centred",
    "params_encoder",
    "train_hours",
    "flops_total",
)  # quality should rise with these
FALLING = ("loss",)  # and fall with this, for which a saturating law in 1 / x has no meaning


def fit_laws(ledger: pa.Table, config: LawConfig) -> dict[str, Any]:
    """Quality against rank, and against what one knows without it, with the same forms and intervals.

    All budgets of all runs are fitted together; intervals come from resampling whole configurations, so that seeds
    and budgets of one configuration do not count as independent.
    """
    table = run_table(ledger)
    tasks = sorted(set(ledger.column("task").to_pylist())) if ledger.num_rows else []
    content: dict[str, Any] = {
        "y": "quality",
        "y_meaning": f"mean accuracy of a linear probe over {len(tasks)} tasks: {', '.join(tasks)}",
        "fits": [],
        "correlations": {},
        "skipped": [],
        "best": {},
        "per_task": {},
        "seed_spread": _seed_spread(table),
        "notes": _notes(table),
    }
    if not table:
        return content
    for x, forms in ((RISING, ("power", "saturating")), (FALLING, ("power",))):
        try:
            comparison = compare(
                table, y="quality", x=x, clusters="config", forms=forms, bootstrap=config.bootstrap,
                level=config.level,
            ).as_dict()  # fmt: skip
        except SonoscaleError as error:
            content["notes"].append(f"No law in {', '.join(x)} was fitted: {error}.")
            continue
        content["fits"] += [{"x": f.pop("x_name"), "y": f.pop("y_name"), **f} for f in comparison["fits"]]
        content["skipped"] += comparison["skipped"]
        content["correlations"] |= comparison["correlations"]
        content["best"] |= comparison["best"]
    content["per_task"] = {task: _correlations(ledger, task, config, content["notes"]) for task in tasks}
    return content


def _correlations(ledger: pa.Table, task: str, config: LawConfig, notes: list[str]) -> dict[str, Any]:
    """Spearman's rho of one task's score with each variable that varies."""
    rows = [row for row in ledger.to_pylist() if row["task"] == task]
    found = {}
    for x in (*RISING, *FALLING):
        try:
            found[x] = spearman(
                [r[x] for r in rows], [r["score"] for r in rows], clusters=[r["config"] for r in rows],
                bootstrap=config.bootstrap, level=config.level,
            ).as_dict()  # fmt: skip
        except SonoscaleError as error:
            notes.append(f"Task {task}: no correlation with {x} ({error}).")
    return found


def _seed_spread(table: dict[str, list[Any]]) -> dict[str, float]:
    """Pooled standard deviation between seeds of one configuration and budget."""
    if not table:
        return {}
    groups: dict[tuple[str, int], list[int]] = {}
    for i, key in enumerate(zip(table["config"], table["step"], strict=True)):
        groups.setdefault(key, []).append(i)
    replicated = [g for g in groups.values() if len(g) > 1]
    if not replicated:
        return {}
    freedom = sum(len(g) - 1 for g in replicated)
    spread = {}
    for name in ("quality", "rankme", "rankme_centred", "loss"):
        values = np.asarray(table[name])
        squares = sum(np.square(values[g] - values[g].mean()).sum() for g in replicated)
        spread[name] = float(np.sqrt(squares / freedom))
    return spread


def _notes(table: dict[str, list[Any]]) -> list[str]:
    if not table:
        return ["No run is finished: there is nothing to fit."]
    notes = []
    if len(set(zip(table["mask_ratio"], table["patch_mels"], table["patch_frames"], strict=True))) > 1:
        notes.append("The held-out loss is not comparable between mask ratios or patch shapes, which vary here.")
    short = sorted({w for w, n in zip(table["width"], table["rank_n"], strict=True) if n < 8 * w})
    if short:
        notes.append(
            f"The rank is measured on {table['rank_n'][0]} clips, fewer than 8 per dimension at width "
            f"{', '.join(map(str, short))}: there the finite sample biases it down."
        )
    if len(set(table["seed"])) == 1:
        notes.append("One seed only: differences cannot be held against the spread between seeds.")
    return notes
