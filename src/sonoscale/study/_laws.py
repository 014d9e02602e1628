"""The laws of a study, from its ledger."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from sonoscale.errors import SonoscaleError
from sonoscale.laws import Correlation, compare, spearman
from sonoscale.laws.audit import audit
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
        "audit": {},
        "seed_spread": _seed_spread(table),
        "notes": _notes(table),
    }
    if not table:
        return content
    comparable = _loss_is_comparable(table)
    for x, forms in ((RISING, ("power", "saturating")), (FALLING if comparable else (), ("power",))):
        if not x:
            continue
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
    content["audit"] = {rank: _audit(table, rank, config) for rank in ("rankme", "rankme_centred")}
    variables = (*RISING, *FALLING) if comparable else RISING
    for task in tasks:
        rows = [row for row in ledger.to_pylist() if row["task"] == task]
        found = {x: _correlation(rows, x, "score", config) for x in variables}
        content["per_task"][task] = {x: c.as_dict() for x, c in found.items() if c}
    if not comparable:
        content["notes"].append(_loss_note(table, config))
    return content


def _audit(table: dict[str, list[Any]], rank: str, config: LawConfig) -> dict[str, Any]:
    """Whether this rank is to be trusted as a proxy of quality in this study, or why that cannot be asked."""
    try:
        found = audit(table, rank=rank, y="quality", clusters="config", step="step", level=config.level).as_dict()
    except SonoscaleError as error:
        return {"verdict": None, "reason": str(error)}
    del found["rules"]  # the same in every study: see `sonoscale.laws.audit`
    return found


def _correlation(rows: list[dict[str, Any]], x: str, y: str, config: LawConfig) -> Correlation | None:
    """Spearman's rho, or None where it has no meaning: x is constant, or there are too few configurations."""
    if len({row[x] for row in rows}) < 2 or len({row[y] for row in rows}) < 2:
        return None
    try:
        return spearman(
            [row[x] for row in rows],
            [row[y] for row in rows],
            clusters=[row["config"] for row in rows],
            bootstrap=config.bootstrap,
            level=config.level,
        )
    except SonoscaleError:
        return None


_LOSS_KEY = ("loss_of", "mask_ratio", "patch_mels", "patch_frames", "n_mels", "clip_seconds")


def _show(value: Any) -> str:
    return f"{value:g}" if isinstance(value, int | float) else str(value)


def _loss_is_comparable(table: dict[str, list[Any]]) -> bool:
    return len(set(zip(*(table[name] for name in _LOSS_KEY), strict=True))) == 1


def _loss_note(table: dict[str, list[Any]], config: LawConfig) -> str:
    """What the loss tells where it can be compared: among the runs of the commonest kind."""
    keys = list(zip(*(table[name] for name in _LOSS_KEY), strict=True))
    common = max(set(keys), key=lambda key: (keys.count(key), str(key)))
    rows = [{name: table[name][i] for name in table} for i, key in enumerate(keys) if key == common]
    correlation = _correlation(rows, "loss", "quality", config)
    varied = [name for i, name in enumerate(_LOSS_KEY) if len({key[i] for key in keys}) > 1]
    told = (
        f"Spearman's correlation of quality with it is {correlation.value:.2f} "
        f"[{correlation.low:.2f}, {correlation.high:.2f}] ({len(rows)} points)"
        if correlation
        else "there are too few points to correlate it with quality"
    )
    where = ", ".join(f"{name} = {_show(common[_LOSS_KEY.index(name)])}" for name in varied)
    return (
        f"The held-out loss cannot be compared where {' or '.join(varied)} differs, so it is left out of the laws; "
        f"among runs with {where}, {told}."
    )


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
    short = sorted({w for w, n in zip(table["width"], table["rank_n"], strict=True) if n < 8 * w})
    if short:
        notes.append(
            f"The rank is measured on {min(table['rank_n'])} clips, fewer than 8 per dimension at width "
            f"{', '.join(map(str, short))}: there the finite sample biases it down."
        )
    if len(set(table["seed"])) == 1:
        notes.append("One seed only: differences cannot be held against the spread between seeds.")
    return notes
