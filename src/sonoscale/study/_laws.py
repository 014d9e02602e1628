"""The laws of a study, from its ledger."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sonoscale.errors import SonoscaleError
from sonoscale.study._config import LawConfig

if TYPE_CHECKING:
    from sonoscale.laws import Correlation, RunTable

__all__ = ["fit_laws"]

Columns = Mapping[str, list[Any]]

RANKS = ("rankme", "rankme_centred")
RISING = (*RANKS, "params", "train_hours", "flops")  # quality should rise with these
FALLING = ("loss",)  # and fall with this, for which a saturating law in 1 / x has no meaning
DESIGN = (
    "params", "train_hours", "examples_seen", "mask_ratio", "clip_seconds", "depth", "batch_size", "lr",
    "backbone", "objective",
)  # fmt: skip
"""What one chooses, of which the two-stage law takes whatever the study varies."""


def fit_laws(ledger: Any, config: LawConfig) -> dict[str, Any]:
    """Quality against rank, and against what one knows without it, with the same forms and intervals.

    All budgets of all runs are fitted together; intervals come from resampling whole configurations, so that seeds
    and budgets of one configuration do not count as independent.

    Arguments:
        ledger: an Arrow table, or a mapping of column names to values: one row per run, checkpoint, task, protocol and
            readout.
        config: level of the intervals and number of resamples.

    Returns:
        What `laws.json` holds: `fits`, `correlations`, `best`, `skipped`, `per_task`, `audit` and `two_stage` by rank,
        `seed_spread` and `notes`, as plain values.
    """
    from sonoscale.laws import compare
    from sonoscale.laws._ledger import last_layer

    scores = last_layer(_listed(ledger.to_pydict() if hasattr(ledger, "to_pydict") else ledger))
    runs = _runs(scores)
    tasks = sorted(set(scores.get("task", ())))
    content: dict[str, Any] = {
        "y": "quality",
        "y_meaning": _meaning(scores, tasks),
        "fits": [],
        "correlations": {},
        "skipped": [],
        "best": {},
        "per_task": {},
        "audit": {},
        "two_stage": {},
        "seed_spread": {},
        "notes": ["No run is finished: there is nothing to fit."],
    }
    if runs is None:
        return content
    table = _listed(runs.columns)
    content |= {"seed_spread": _seed_spread(table), "notes": [*runs.notes, *_notes(table)]}
    losses = None not in table["loss"]
    comparable = losses and _loss_is_comparable(table)
    rising = tuple(name for name in RISING if not _lacking(table, name))
    for x, forms in ((rising, ("power", "saturating")), (FALLING if comparable else (), ("power",))):
        if not x:
            continue
        try:
            comparison = compare(runs, x, forms=forms, bootstrap=config.bootstrap, level=config.level).as_dict()
        except SonoscaleError as error:
            content["notes"].append(f"No law in {', '.join(x)} was fitted: {error}.")
            continue
        content["fits"] += [{"x": f.pop("x_name"), "y": f.pop("y_name"), **f} for f in comparison["fits"]]
        content["skipped"] += comparison["skipped"]
        content["correlations"] |= comparison["correlations"]
        content["best"] |= comparison["best"]
    content["audit"] = {rank: _audit(runs, rank, config) for rank in RANKS}
    content["two_stage"] = {rank: _two_stage(runs, rank, config) for rank in RANKS}
    variables = (*rising, *FALLING) if comparable else rising
    for name, rows in _by_task(scores).items():
        found = {x: _correlation(rows, x, "score", config) for x in variables}
        content["per_task"][name] = {x: c.as_dict() for x, c in found.items() if c}
    if losses and not comparable:
        content["notes"].append(_loss_note(table, config))
    return content


def _runs(ledger: Columns) -> RunTable | None:
    """One row per run and checkpoint that is scored on all tasks, or None where there is none."""
    from sonoscale.laws import read_runs

    if not ledger.get("run"):
        return None
    return read_runs(ledger, y="quality", clusters="config", omit=True, higher_is_better=True).use("quality")


def _meaning(ledger: Columns, tasks: Sequence[str]) -> str:
    by = {name: sorted(set(map(str, ledger.get(name, ())))) for name in ("metric", "protocol")}
    first = (ledger.get("readout") or ["mean"])[0]
    read = "" if first == "mean" else f" on readout {first}"
    what = by["metric"][0] if len(by["metric"]) == 1 else "score"
    return f"mean {what} over {len(tasks)} tasks ({', '.join(tasks)}) by {' and '.join(by['protocol'])}{read}"


def _by_task(ledger: Columns) -> dict[str, Columns]:
    """The rows of each score, by its name: the task, and protocol and readout where it has several."""
    from sonoscale.laws._ledger import ledger_scores

    names = ledger_scores(ledger)
    rows = {name: [i for i, one in enumerate(names) if one == name] for name in sorted(set(names))}
    return {name: {column: [values[i] for i in of] for column, values in ledger.items()} for name, of in rows.items()}


def _audit(runs: RunTable, rank: str, config: LawConfig) -> dict[str, Any]:
    """Whether this rank is to be trusted as a proxy of quality in this study, or why that cannot be asked."""
    from sonoscale.laws.audit import audit

    table = _listed(runs.columns)
    known = None  # by default what a training has: parameters, data, compute, loss
    if all(value is None for value in table.get("flops", [0])):  # of existing encoders, what is known of most
        known = [name for name in ("params", "train_hours") if _lacking(table, name) < len(table[name]) / 2]
    try:
        found = audit(runs, rank=rank, covariates=known, level=config.level).as_dict()
    except SonoscaleError as error:
        return {"verdict": None, "reason": str(error)}
    del found["rules"]  # the same in every study: see `sonoscale.laws.audit`
    return found


def _two_stage(runs: RunTable, rank: str, config: LawConfig) -> dict[str, Any]:
    """Design -> rank -> quality against design -> quality, or why that cannot be fitted."""
    from sonoscale.laws.loglinear import fit_two_stage

    design = _design(_listed(runs.columns))
    if not design:
        return {"verdict": None, "reason": f"none of {', '.join(DESIGN)} varies"}
    try:
        found = fit_two_stage(runs, design, through=rank, bootstrap=config.bootstrap, level=config.level)
    except SonoscaleError as error:
        return {"verdict": None, "reason": str(error)}
    content = found.as_dict()
    return {"design": list(design)} | {name: content[name] for name in ("verdict", "routes", "warnings", "level")}


def _design(table: Columns) -> tuple[str, ...]:
    """Columns of the design that vary, none of which those before it determine."""
    kept: list[str] = []
    basis = np.ones((len(table["run"]), 1))
    for name in DESIGN:
        values = table.get(name, [None])
        if all(isinstance(value, int | float) and value > 0 for value in values):
            logs = np.log(np.asarray(values, dtype=np.float64))
            columns = (logs - logs.mean())[:, None]
        elif all(isinstance(value, str) for value in values):
            columns = np.array(
                [[value == one for one in sorted(set(values))[1:]] for value in values], dtype=np.float64
            )
        else:
            continue
        wider = np.column_stack([basis, columns])
        if columns.shape[1] and np.linalg.matrix_rank(wider) == wider.shape[1]:
            kept, basis = [*kept, name], wider
    return tuple(kept)


def _correlation(rows: Columns, x: str, y: str, config: LawConfig) -> Correlation | None:
    """Spearman's rho, or None where it has no meaning: x is constant, or there are too few configurations."""
    from sonoscale.laws import spearman

    if len(set(rows[x])) < 2 or len(set(rows[y])) < 2:
        return None
    try:
        return spearman(rows[x], rows[y], clusters=rows["config"], bootstrap=config.bootstrap, level=config.level)
    except SonoscaleError:
        return None


_LOSS_KEY = ("loss_of", "mask_ratio", "patch_mels", "patch_frames", "n_mels", "clip_seconds")


def _show(value: Any) -> str:
    return f"{value:g}" if isinstance(value, int | float) else str(value)


def _loss_is_comparable(table: Columns) -> bool:
    return len(set(zip(*(table[name] for name in _LOSS_KEY), strict=True))) == 1


def _loss_note(table: Columns, config: LawConfig) -> str:
    """What the loss says where it can be compared: among the runs of the commonest kind."""
    keys = list(zip(*(table[name] for name in _LOSS_KEY), strict=True))
    common = max(set(keys), key=lambda key: (keys.count(key), str(key)))
    rows = {name: [values[i] for i, key in enumerate(keys) if key == common] for name, values in table.items()}
    correlation = _correlation(rows, "loss", "quality", config)
    varied = [name for i, name in enumerate(_LOSS_KEY) if len({key[i] for key in keys}) > 1]
    found = correlation.as_dict() if correlation else None
    said = (
        f"Spearman's correlation of quality with it is {found['value']:.2f} "
        f"[{found['low']:.2f}, {found['high']:.2f}] ({found['n']} points)"
        if found
        else "there are too few points to correlate it with quality"
    )
    where = ", ".join(f"{name} = {_show(common[_LOSS_KEY.index(name)])}" for name in varied)
    return (
        f"The held-out loss cannot be compared where {' or '.join(varied)} differs, so it is left out of the laws; "
        f"among runs with {where}, {said}."
    )


def _lacking(table: Columns, name: str) -> int:
    """How many runs have no such number, or none above zero."""
    return sum(not (isinstance(value, int | float) and value > 0) for value in table[name])


def _seed_spread(table: Columns) -> dict[str, float]:
    """Pooled standard deviation between seeds of one configuration and budget."""
    groups: dict[tuple[str, int], list[int]] = {}
    for i, key in enumerate(zip(table["config"], table["step"], strict=True)):
        groups.setdefault(key, []).append(i)
    repeated = [g for g in groups.values() if len(g) > 1]
    if not repeated:
        return {}
    freedom = sum(len(g) - 1 for g in repeated)
    spread = {}
    for name in ("quality", *RANKS, "loss"):
        if None in table[name]:
            continue
        values = np.asarray(table[name])
        squares = sum(np.square(values[g] - values[g].mean()).sum() for g in repeated)
        spread[name] = float(np.sqrt(squares / freedom))
    return spread


def _notes(table: Columns) -> list[str]:
    notes = []
    clips = [(w, n) for w, n in zip(table["width"], table["rank_n"], strict=True) if w is not None and n is not None]
    short = sorted({w for w, n in clips if n < 8 * w})
    if short:
        notes.append(
            f"The rank is measured on {min(n for _, n in clips)} clips, fewer than 8 per dimension at width "
            f"{', '.join(map(str, short))}: there the finite sample biases it down."
        )
    for name in ("params", "train_hours"):
        lacking, n = _lacking(table, name), len(table["run"])
        if 0 < lacking < n:
            notes.append(f"No law in {name} was fitted: it is not known of {lacking} of {n} runs.")
    if len(set(table["seed"])) == 1:
        notes.append("One seed only: differences cannot be held against the spread between seeds.")
    return notes


def _listed(columns: Mapping[str, NDArray[Any] | list[Any]]) -> dict[str, list[Any]]:
    """Columns as lists, None where a number is missing."""
    lists = {name: v.tolist() if isinstance(v, np.ndarray) else list(v) for name, v in columns.items()}
    return {
        name: [None if isinstance(value, float) and np.isnan(value) else value for value in values]
        for name, values in lists.items()
    }
